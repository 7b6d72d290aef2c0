"""The Snakemake run that nothing interrupts, and copies of it in which faults are injected."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.pipeline.conftest import ROOT, copy_project
from tests.reliability.project import MODEL, PRESET, Project
from tests.reliability.trainings import RUNS


@pytest.fixture(scope="session")
def names(stress: bool) -> list[str]:
    """The trainings that faults hit: in the short form one, whose state has every part."""
    return list(RUNS) if stress else ["adaptive_imle"]


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory, downloads: None, openmoji_faces: Path) -> Callable[[], Project]:
    """Makes projects with prepared images, in which nothing else has run yet."""

    def make() -> Project:
        folder = copy_project(tmp_path_factory.mktemp("fresh") / "project")
        shutil.copytree(openmoji_faces, folder / openmoji_faces.relative_to(ROOT))
        (folder / "config/tiny.yaml").write_text(PRESET)
        return Project(folder)

    return make


@pytest.fixture(scope="session")
def target(stress: bool) -> tuple[str, ...]:
    """What the whole run makes: everything in the long form, a training in the short one."""
    return () if stress else (MODEL,)


@pytest.fixture(scope="session")
def baseline(fresh: Callable[[], Project], target: tuple[str, ...]) -> Project:
    """The uninterrupted run."""
    project = fresh()
    project.run(*target)
    return project


@pytest.fixture
def copy(baseline: Project, tmp_path: Path) -> Project:
    """A copy of the finished project, times kept."""
    shutil.copytree(baseline.folder, tmp_path / "project", symlinks=True)
    return Project(tmp_path / "project")
