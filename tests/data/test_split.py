from __future__ import annotations

import pytest

from data.split import Rule, split


@pytest.mark.parametrize(("n", "train"), [(100, 90), (389, 350), (160, 144), (4, 3)])
@pytest.mark.parametrize("rule", ["lexicographic", "seeded"])
def test_sizes_and_partition(n: int, train: int, rule: Rule) -> None:
    parts = split(n, rule, "toy")
    assert (len(parts["train"]), len(parts["heldout"])) == (train, n - train)
    assert sorted(parts["train"] + parts["heldout"]) == list(range(n))
    assert all(indices == sorted(indices) for indices in parts.values())


def test_lexicographic_trains_on_the_first_and_seeded_draws_them_by_the_name() -> None:
    assert split(100, "lexicographic", "toy")["train"] == list(range(90))
    assert split(100, "seeded", "a") != split(100, "seeded", "b")
    assert split(100, "seeded", "openmoji_faces")["heldout"] == [0, 4, 7, 25, 34, 51, 68, 71, 74, 99]
