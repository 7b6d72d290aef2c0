"""Where the pipeline runs: a checkout in an odd place, a bare environment, a closed terminal."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import site
import subprocess
import sys
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import psutil
import pytest

from tests.pipeline.conftest import ENVIRONMENT, ROOT, Completed, assert_refused, copy_project

# No environment is active, HOME cannot be written to, and the user has only a number (see `project`).
BARE = {"PATH": "/usr/bin:/bin", "HOME": "/dev/null/home", "PYTHONPATH": "nameless"}
NAMELESS = "import pwd\ndef unknown(number):\n    raise KeyError(number)\npwd.getpwuid = unknown\n"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, downloads: None) -> Path:
    """The project in a folder that a shell must quote, with an environment whose Python has only its long name."""
    folder = copy_project(tmp_path_factory.mktemp("machine") / 'it\'s "my" $folder')
    shutil.copytree(ROOT / "results/reference/multimodal_tuning", folder / "results/reference/multimodal_tuning")
    (folder / "config/reference.yaml").write_text("reference: [multimodal_tuning]")
    (folder / "nameless").mkdir()
    (folder / "nameless/sitecustomize.py").write_text(NAMELESS)
    own = folder / ".venv" / "bin" / "python3.11"
    own.parent.mkdir(parents=True)
    own.symlink_to(Path(sys.executable).resolve())
    if not (settings := Path(sys.prefix, "pyvenv.cfg")).is_file():
        pytest.skip("needs a virtual environment")
    shutil.copy(settings, folder / ".venv")
    (folder / ".venv/lib").symlink_to(Path(site.getsitepackages()[0]).parents[1])
    return folder


def run(project: Path, *arguments: str) -> Completed:
    command = [project / ".venv/bin/python3.11", "-m", "snakemake", *arguments, "--cores", "1"]
    return subprocess.run(command, cwd=project, env=BARE, capture_output=True, text=True, check=False)


def test_a_job_needs_no_active_environment_and_no_home(project: Path) -> None:
    shutil.copy(project / "config/smoke.yaml", project / "config/my smoke.yaml")
    overrides = ("--configfile", "config/my smoke.yaml", "--config", 'datasets=["openmoji_faces"]', "resolution=16")
    target = "data/prepared/16/openmoji_faces/manifest.json"
    done = run(project, target, *overrides)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (project / target).exists()
    recorded = shlex.split(json.loads((project / "results/smoke/logs/config.json").read_text())["command"])
    assert recorded == ["snakemake", "--cores", "all", *overrides]


def test_a_script_job_needs_no_active_environment_and_no_home(project: Path) -> None:
    report = "results/rendered/multimodal_tuning/report.html"
    done = run(project, report, "--configfile", "config/reference.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (project / report).exists()


def test_another_folder_is_refused_with_the_option_that_helps(project: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "snakemake", "-s", project / "Snakefile", "--cores", "1", "--dry-run"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert_refused(done, f".*or add the option: -d {re.escape(shlex.quote(str(project)))}$")
    assert not (tmp_path / "results").exists()


def test_a_closed_terminal_ends_snakemake_and_its_jobs_and_leaves_no_lock(project: Path) -> None:
    command = ["snakemake", "plan", "--cores", "1", "--configfile", "config/demo.yaml"]
    output = subprocess.DEVNULL
    heard = partial(signal.signal, signal.SIGHUP, signal.SIG_DFL)  # also where nohup runs the tests
    driver = subprocess.Popen(command, cwd=project, env=ENVIRONMENT, stdout=output, stderr=output, preexec_fn=heard)
    jobs: list[psutil.Process] = []
    deadline = time.monotonic() + 60
    while not jobs and driver.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
        for child in psutil.Process(driver.pid).children(recursive=True):
            with suppress(psutil.Error):  # Snakemake also starts short-lived programs
                jobs += [child] if "training" in child.cmdline() else []
    assert jobs
    os.kill(driver.pid, signal.SIGHUP)
    assert driver.wait(timeout=60) not in (0, -signal.SIGHUP)
    assert psutil.wait_procs(jobs, timeout=10)[1] == []
    assert not list((project / ".snakemake").glob("locks/*"))
