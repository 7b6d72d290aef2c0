from __future__ import annotations

import pytest

from data.split import split


@pytest.mark.parametrize(("n", "train", "heldout"), [(100, 90, 10), (389, 350, 39), (160, 144, 16), (4, 3, 1)])
@pytest.mark.parametrize("rule", ["lexicographic", "seeded"])
def test_sizes_and_partition(n: int, train: int, heldout: int, rule: str) -> None:
    parts = split(n, rule, "toy")
    assert (len(parts["train"]), len(parts["heldout"])) == (train, heldout)
    assert sorted(parts["train"] + parts["heldout"]) == list(range(n))
    assert all(indices == sorted(indices) for indices in parts.values())


def test_lexicographic_trains_on_the_first() -> None:
    assert split(100, "lexicographic", "toy")["train"] == list(range(90))


def test_seeded_is_the_same_each_time_and_another_for_each_dataset() -> None:
    assert split(100, "seeded", "a") == split(100, "seeded", "a")
    assert split(100, "seeded", "a") != split(100, "seeded", "b")
    assert split(100, "seeded", "openmoji_faces")["heldout"] == [0, 4, 7, 25, 34, 51, 68, 71, 74, 99]


def test_unknown_rule_is_refused() -> None:
    with pytest.raises(ValueError, match="by_mood"):
        split(10, "by_mood", "toy")
