"""Fixtures that several packages' tests share, and the long forms of the reliability tests (`--stress`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

import pytest

ROOT = Path(__file__).resolve().parent.parent


class Tally:
    """What the reliability tests did to the benchmark, printed at the end of every test run."""

    def __init__(self) -> None:
        self.faults: Counter[str] = Counter()  # by kind
        self.inputs: Counter[str] = Counter()  # by reader
        self.losses = 0
        self._counting = Lock()  # tests count from two threads

    @contextmanager
    def fault(self, kind: str) -> Iterator[None]:
        """Around one injected fault, the recovery from it and the comparison: what fails in here is a loss."""
        with self._counting:
            self.faults[kind] += 1
        with self._counting_losses():
            yield

    @contextmanager
    def input(self, reader: str) -> Iterator[None]:
        """Around one hostile input: anything but a sound result or a sentence is a loss."""
        with self._counting:
            self.inputs[reader] += 1
        with self._counting_losses():
            yield

    @contextmanager
    def _counting_losses(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            with self._counting:
                self.losses += not isinstance(error, pytest.skip.Exception)
            raise

    def lines(self) -> list[str]:
        kinds = [("faults injected", self.faults), ("inputs tried", self.inputs)]
        found = []
        for title, counts in kinds:
            if counts:
                parts = ", ".join(f"{name} {number:,}" for name, number in sorted(counts.items()))
                found.append(f"{title}: {counts.total():,} ({parts})")
        return [*found, f"losses: {self.losses}"] if found else []


TALLY = Tally()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--stress", action="store_true", help="the long forms of the reliability tests (`make stress`)")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for line in TALLY.lines():
        terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def tally() -> Tally:
    return TALLY


@pytest.fixture(scope="session")
def stress(request: pytest.FixtureRequest) -> bool:
    """Is this the long form?"""
    return bool(request.config.getoption("--stress"))


@pytest.fixture(scope="session")
def lpips_weights() -> None:
    """LPIPS-AlexNet's real weights, fetched as a user's run would and kept for the next one."""
    from networks.weights import fetch

    fetch("lpips_alex")


@pytest.fixture(scope="session")
def openmoji_faces() -> Path:
    """The prepared demo set at 32 px, made as a user's run would make it."""
    from data.fetch import fetch
    from data.prepare import prepare

    folder = ROOT / "data" / "prepared" / "32" / "openmoji_faces"
    if not (folder / "manifest.json").exists():
        fetch("openmoji_faces")
        prepare("openmoji_faces", 32)
    return folder
