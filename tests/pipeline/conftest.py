"""Copies of the project in which real Snakemake runs may do as they like."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}  # this Python first
Completed = subprocess.CompletedProcess[str]


def run_snakemake(project: Path, *arguments: str, prefix: tuple[str, ...] = ()) -> Completed:
    """Snakemake on the smoke preset in a project folder, with this Python first on the path."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    command = [*prefix, "snakemake", *arguments, "--cores", "2", "--configfile", "config/smoke.yaml"]
    return subprocess.run(
        command, cwd=project, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
    )


def copy_project(target: Path) -> Path:
    """The project's files without what runs made, sharing the downloads of this checkout."""
    made = ["raw", "prepared", "manual", "external", "results", "state", "tests"]
    shutil.copytree(ROOT, target, ignore=shutil.ignore_patterns(".*", "__pycache__", *made))
    (target / "data" / "raw").symlink_to(ROOT / "data" / "raw")
    return target


@pytest.fixture(scope="session")
def no_network(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """A command prefix under which a process reaches no network.

    A network namespace without interfaces where the kernel allows one to everybody; elsewhere every Python process is
    given a socket module that refuses to connect.
    """
    prefix = ("unshare", "--user", "--map-root-user", "--net")
    if shutil.which("unshare") and subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode == 0:
        return prefix
    folder = tmp_path_factory.mktemp("no_network")
    refuse = "def refuse(*arguments):\n    raise OSError('the network is denied')\n"
    patch = "import socket\nsocket.socket.connect = socket.socket.connect_ex = refuse\n"
    (folder / "sitecustomize.py").write_text(refuse + patch)
    return ("env", f"PYTHONPATH={folder}")


@pytest.fixture(scope="session")
def snakemake() -> Callable[..., Completed]:
    return run_snakemake


@pytest.fixture(scope="session")
def smoke(tmp_path_factory: pytest.TempPathFactory, downloads: None, no_network: tuple[str, ...]) -> Path:
    """A project in which the smoke preset has run from prepared images to report, with the network denied."""
    project = copy_project(tmp_path_factory.mktemp("smoke") / "project")
    done = run_snakemake(project, prefix=no_network)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-6000:]
    return project


@pytest.fixture
def smoke_copy(smoke: Path, tmp_path: Path) -> Path:
    """A copy of the finished project, times kept, for tests that change something in it."""
    target = tmp_path / "project"
    shutil.copytree(smoke, target, symlinks=True)
    return target
