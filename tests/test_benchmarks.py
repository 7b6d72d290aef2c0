"""The benchmarks compare results before they time anything, and report what they measured."""

from __future__ import annotations

import json
import time

import pytest

from benchmarks import __main__ as command
from benchmarks.harness import Benchmark, Measurement, Row
from common.console import UserError


def numbers() -> list[int]:
    return [1, 2, 3]


def quickly(given: list[int]) -> int:
    time.sleep(0.01)
    return sum(given)


def slowly(given: list[int]) -> int:
    time.sleep(0.05)
    return sum(given)


def wrongly(given: list[int]) -> int:
    return sum(given) + 1


def same(ours: int, theirs: int) -> None:
    assert ours == theirs


def benchmark(theirs) -> Benchmark:
    return Benchmark("toy", "a pause", numbers, quickly, theirs, same)


def test_a_row_holds_the_medians_and_their_ratio() -> None:
    [row] = benchmark(slowly).rows(3, threads=1)
    assert row.ratio == row.theirs / row.ours > 2
    assert (row.unit, row.repetitions) == ("s", 3)
    assert row.ours_mb < 50


def test_nothing_is_timed_whose_results_differ() -> None:
    with pytest.raises(AssertionError):
        benchmark(wrongly).rows(1, threads=1)


def test_rows_are_printed_as_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [Row("toy", 2.0, 1.0, 2.0, "images", "itself")]
    monkeypatch.setattr(command, "ALL", [Measurement("toy", lambda: rows)])
    monkeypatch.setattr("sys.argv", ["benchmarks", "toy", "--json"])
    command.main()
    printed = capsys.readouterr()
    assert {"name": "toy", "ratio": 2.0, "ours": 1.0, "theirs": 2.0, "unit": "images"}.items() <= json.loads(
        printed.out
    ).items()
    assert "1 threads" in printed.err


def test_a_name_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(UserError, match=r"no benchmark is named 'fretchet'; known are .*frechet"):
        list(command.chosen(["fretchet"]))
