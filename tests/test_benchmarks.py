"""The benchmarks compare results before they time anything."""

from __future__ import annotations

import time
from functools import partial

import pytest

from benchmarks.__main__ import chosen, measure
from benchmarks.cases import CASES, Case, frechet, sketch
from common.console import UserError


def pausing(seconds: float, result: float) -> float:
    time.sleep(seconds)
    return result


def toy(result: float) -> Case:
    return Case("toy", "a pause", lambda: (partial(pausing, 0.01, 6), partial(pausing, 0.05, result)), absolute=0.1)


def test_the_times_are_those_of_the_sides() -> None:
    ours, theirs = measure(toy(6.05), repetitions=3)
    assert 0.01 <= ours < theirs >= 0.05


def test_nothing_is_timed_whose_results_differ() -> None:
    with pytest.raises(RuntimeError, match="toy: the result differs from that of a pause"):
        measure(toy(6.5), repetitions=1)


@pytest.mark.parametrize(
    "case",
    [
        Case("frechet", "clean-fid", partial(frechet, 20, 200, 64), relative=1e-6),
        Case("sketch", "the dense projection", partial(sketch, 32), relative=0.2),
        *(case for case in CASES if case.name == "search"),
    ],
    ids=lambda case: case.against,
)
def test_both_sides_agree(case: Case) -> None:
    assert min(measure(case, repetitions=1)) > 0


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"no benchmark is named 'fretchet'; known are .*frechet"):
        chosen(["fretchet"])
