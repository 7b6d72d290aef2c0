"""Copies of the project in which real Snakemake runs may do as they like."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}  # this Python first
METRICS = "results/smoke/metrics.csv"
Completed = subprocess.CompletedProcess[str]


def run_snakemake(
    project: Path,
    *arguments: str,
    prefix: tuple[str, ...] = (),
    config: str | tuple[str, ...] | None = "config/smoke.yaml",
) -> Completed:
    configs = (config,) if isinstance(config, str) else config or ()
    command = [*prefix, "snakemake", *arguments, "--cores", "2", *(["--configfile", *configs] if configs else [])]
    return subprocess.run(command, cwd=project, env=ENVIRONMENT, capture_output=True, text=True, check=False)


def status(project: Path, target: str = METRICS, config: str | tuple[str, ...] = "config/smoke.yaml") -> dict[str, str]:
    """What Snakemake would make again for a target: file names below results/smoke/, each with the reason.

    The reason is "ok" where only something that the file is made from is made again.
    """
    done = run_snakemake(project, target, "--summary", config=config)
    assert done.returncode == 0, done.stderr
    rows = [line.split("\t") for line in done.stdout.splitlines()[1:]]
    return {row[0].removeprefix("results/smoke/"): row[4] for row in rows if row[5] == "update pending"}


def jobs(done: Completed) -> dict[str, int]:
    """How many jobs of each rule a Snakemake run planned."""
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    table = re.findall(r"^(\w+) +(\d+)$", done.stdout + done.stderr, re.MULTILINE)
    return {rule: int(count) for rule, count in table if rule != "total"}


def assert_refused(done: Completed, sentence: str) -> None:
    """With one sentence (a regular expression), and not by a crash."""
    assert done.returncode != 0
    assert re.search(rf"^error: {sentence}", done.stderr, re.MULTILINE), done.stderr
    assert "Traceback" not in done.stderr


def copy_project(target: Path, downloads: bool = True) -> Path:
    """The project's files without what runs made, sharing the downloads of this checkout if asked."""
    made = ["raw", "prepared", "manual", "external", "results", "state", "tests"]
    shutil.copytree(ROOT, target, ignore=shutil.ignore_patterns(".*", "__pycache__", *made))
    if downloads:
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
def smoke(tmp_path_factory: pytest.TempPathFactory, downloads: None, no_network: tuple[str, ...]) -> Path:
    """A project in which the smoke preset has run from images to report, with the network denied.

    Samples made elsewhere take part: `their_gan`, pictures of another size, and `their_vae`, an array.
    """
    project = copy_project(tmp_path_factory.mktemp("smoke") / "project")
    images = np.random.default_rng(0).integers(0, 256, (80, 40, 40, 3), np.uint8)
    pictures, array = (project / "data/external" / name / "openmoji_faces" for name in ("their_gan", "their_vae"))
    pictures.mkdir(parents=True)
    for index, image in enumerate(images[:40]):
        Image.fromarray(image).save(pictures / f"{index}.png")
    array.mkdir(parents=True)
    np.savez(array / "samples.npz", images=images[40:])
    done = run_snakemake(project, prefix=no_network)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-6000:]
    return project


@pytest.fixture
def smoke_copy(smoke: Path, tmp_path: Path) -> Path:
    """A copy of the finished project, times kept, for tests that change something in it."""
    target = tmp_path / "project"
    shutil.copytree(smoke, target, symlinks=True)
    return target
