"""Fixtures that several folders share, the count of injected faults, and what runs together in one process."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
SHARED = (
    "smoke",
    "baseline",
    "cluster",
)  # session fixtures that take a minute: their tests run in one process, and first
counted: Counter[str] = Counter()

os.environ.setdefault("OMP_NUM_THREADS", "1")  # two test processes share two cores


class Tally:
    """What a reliability test did to the benchmark; the sums are printed after the last test."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {"losses": 0}  # no Counter, which pytest-xdist cannot pass on

    @contextmanager
    def _counting(self, what: str) -> Iterator[None]:
        self.counts[what] = self.counts.get(what, 0) + 1
        try:
            yield
        except BaseException as error:
            self.counts["losses"] += not isinstance(error, pytest.skip.Exception)
            raise

    def fault(self, kind: str) -> AbstractContextManager[None]:
        """Around one injected fault, the recovery and the comparison: an exception in here is a loss."""
        return self._counting(f"fault: {kind}")

    def input(self, reader: str) -> AbstractContextManager[None]:
        """Around one hostile input: an exception in here is a loss."""
        return self._counting(f"input: {reader}")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--stress", action="store_true", help="the long forms of the reliability tests (`make stress`)")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "long: only in the long form (--stress)")
    config.addinivalue_line("markers", "gpu: needs a real GPU")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the long forms, and begin with what takes longest."""
    if not config.getoption("--stress"):
        items[:] = [item for item in items if not item.get_closest_marker("long")]
    items.sort(key=lambda item: group(item.path) not in SHARED)


@cache
def group(file: Path) -> str:
    """The slow fixture that a test file uses, or else the file itself."""
    text = file.read_text(encoding="utf-8")
    return next((name for name in SHARED if re.search(rf"\b{name}(_copy)?: ", text)), str(file))


@pytest.hookimpl(optionalhook=True)  # also without pytest-xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With `pytest -n 2`, all tests of one group run in the same process, in the order of collection."""
    from xdist.scheduler import LoadScopeScheduling

    class ByGroup(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group(ROOT / nodeid.split("::", maxsplit=1)[0])

    config.option.loadscopereorder = False
    return ByGroup(config, log)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """In the main process, from every test process."""
    if report.when == "teardown":
        counted.update(dict(report.user_properties).get("tally", {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for what, count in sorted(counted.items()):
        terminalreporter.write_line(f"{what}: {count:,}")


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Tally:
    counting = Tally()
    request.node.user_properties.append(("tally", counting.counts))
    return counting


@pytest.fixture(scope="session")
def stress(request: pytest.FixtureRequest) -> bool:
    """Is this the long form?"""
    return bool(request.config.getoption("--stress"))


def download_lock() -> AbstractContextManager[None]:
    """Every test process uses the downloads of this checkout: one process fetches, the others wait and find them."""
    from data.download import locked

    return locked(ROOT / "data" / "raw" / ".tests")


@pytest.fixture(scope="session")
def lpips_weights() -> None:
    """LPIPS-AlexNet's real weights, fetched as a user's run would and kept for the next one."""
    from networks.weights import fetch

    with download_lock():
        fetch("lpips_alex")


@pytest.fixture(scope="session")
def openmoji_faces() -> Path:
    """The prepared demo set at 32 px, made as a user's run would make it."""
    from data.fetch import fetch
    from data.prepare import prepare

    folder = ROOT / "data" / "prepared" / "32" / "openmoji_faces"
    with download_lock():
        if not (folder / "manifest.json").exists():
            fetch("openmoji_faces")
            prepare("openmoji_faces", 32)
    return folder


@pytest.fixture(scope="session")
def downloads(lpips_weights: None, openmoji_faces: Path) -> None:
    """Everything that the smoke preset fetches."""
    from networks.weights import fetch

    with download_lock():
        fetch("inception")
