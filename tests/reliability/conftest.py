"""The run that nothing interrupts, and copies of it in which faults are injected."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.pipeline.conftest import ROOT, copy_project, run_snakemake
from tests.reliability.project import Project, preset


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "long: only in the long form (--stress)")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--stress"):
        items[:] = [item for item in items if not item.get_closest_marker("long")]


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory, stress: bool) -> Callable[[], Project]:
    """Makes projects in which nothing has run yet."""
    done = run_snakemake(ROOT, "fetch")  # kept in this checkout; the one step that needs a network
    assert done.returncode == 0, done.stderr

    def make() -> Project:
        folder = copy_project(tmp_path_factory.mktemp("fresh") / "project")
        raw = folder / "data/raw"
        raw.unlink()  # a link to this checkout's downloads, which are another test's to change
        shutil.copytree(ROOT / "data/raw", raw)
        (folder / "config/tiny.yaml").write_text(preset(methods=2 if stress else 1))
        return Project(folder)

    return make


@pytest.fixture(scope="session")
def target(stress: bool) -> tuple[str, ...]:
    """What the whole run makes: everything in the long form, tables without figures in the short one."""
    return () if stress else ("tables",)


@pytest.fixture(scope="session")
def baseline(fresh: Callable[[], Project], target: tuple[str, ...]) -> Project:
    """The uninterrupted run."""
    project = fresh()
    project.run(*target)
    return project


@pytest.fixture
def copy(baseline: Project, tmp_path: Path) -> Project:
    """A copy of the finished project, times kept."""
    folder = tmp_path / "project"
    shutil.copytree(baseline.folder, folder, ignore=shutil.ignore_patterns("raw"))
    (folder / "data/raw").symlink_to(baseline.folder / "data/raw")
    return Project(folder)
