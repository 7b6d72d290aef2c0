"""What the tests of several packages share, and `--stress`, the long form of the reliability tests."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from threading import Lock

import pytest

ROOT = Path(__file__).resolve().parent.parent
os.environ.setdefault("OMP_NUM_THREADS", "1")  # tensors here are small: more threads would mostly wait for each other


class Tally:
    """What the reliability tests did to the benchmark, printed at the end of every test run."""

    def __init__(self) -> None:
        self.counts: dict[str, Counter[str]] = {"faults injected": Counter(), "inputs tried": Counter()}
        self.losses = 0
        self.lock = Lock()  # tests count from two threads

    def fault(self, kind: str) -> AbstractContextManager[None]:
        """Around one injected fault and the recovery from it: what fails inside is a loss."""
        return self._count("faults injected", kind)

    def input(self, reader: str) -> AbstractContextManager[None]:
        """Around one hostile input: anything but a valid result or a `UserError` is a loss."""
        return self._count("inputs tried", reader)

    @contextmanager
    def _count(self, what: str, name: str) -> Iterator[None]:
        with self.lock:
            self.counts[what][name] += 1
        try:
            yield
        except BaseException as error:
            with self.lock:
                self.losses += not isinstance(error, pytest.skip.Exception)
            raise


TALLY = Tally()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--stress", action="store_true", help="the long forms of the reliability tests (`make stress`)")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for what, counts in TALLY.counts.items():
        if counts:
            parts = ", ".join(f"{name} {number:,}" for name, number in sorted(counts.items()))
            terminalreporter.write_line(f"{what}: {counts.total():,} ({parts}); losses: {TALLY.losses}")


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
