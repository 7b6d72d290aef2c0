"""A small copy of the project in which a real Snakemake run is killed, starved and misled, and then compared."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from tests.pipeline.conftest import ENVIRONMENT

PRESET = """
preset: tiny
resolution: 32
datasets: [openmoji_faces]
methods:
  adaptive_imle:
    steps: 60
    blocks: "1x1,4m1,8m4,16m8,32m16"
    width: 8
    latent_dim: 8
    mapping_depth: 1
    batch: 10
    learning_rate: 2.0e-3
    warmup_steps: 0
    pool_factor: 1.0
    pool_batch: 50
    search: exact
    lpips_weight: 0.0
    perceptual: alex
training: {threads: 1, log_every: 5, grid_every: 50, save_every: 20}
sampling: {n: 20, interpolation_rows: 2, interpolation_steps: 2}
metrics:
  precision_recall: [inception-k3-n20]
  backtracking: {net: alex, upsample: 1, steps: 2, restarts: 1}
"""
RUN = "runs/openmoji_faces/adaptive_imle/seed0/full"
MODEL = f"results/tiny/{RUN}/model.safetensors"
SAMPLES = "samples/openmoji_faces/adaptive_imle/seed0.npz"
# What a stage makes, in the order of the stages, and what Snakemake says when it starts one of its jobs.
STAGES = {
    "train": ([RUN], r"training adaptive_imle on \w+ \(full"),
    "sample": (["samples"], "sampling"),
    "features": (["features/inception/openmoji_faces/*/"], "inception features of .*_imle"),
    "evaluate": (["metrics"], "(FID|LPIPS)"),
    "collect": (["metrics.csv"], "collecting"),
    "render": (["tables", "figures", "report.html"], "(rendering|drawing|writing results)"),
}
# Entries of run.json that follow the clock and interruptions; also the digests of itself and of history.csv, which has
# a column of seconds.
PASSING = {"seconds", "processor_seconds", "started", "finished", "peak_memory_mb", "segments", "files", "digest"}


class Project:
    """A project folder and the Snakemake runs in it.

    prefix: put before every command, to run it in a namespace.  view: the folder as these commands see it.
    """

    patience = 300  # seconds for one command

    def __init__(self, folder: Path, prefix: tuple[str, ...] = (), view: Path | None = None) -> None:
        self.folder, self.prefix, self.view = folder, prefix, view or folder
        self.results = self.view / "results/tiny"
        self.said = folder / "said.txt"  # by the last command

    def options(self, cores: int) -> list[str]:
        """Of every Snakemake run here."""
        return ["--cores", str(cores), "--configfile", "config/tiny.yaml"]

    def start(self, *arguments: str, cores: int = 2) -> subprocess.Popen[bytes]:
        """A Snakemake run as leader of its own process group, as a terminal starts one."""
        command = [*self.prefix, "snakemake", *arguments, *self.options(cores)]
        with self.said.open("wb") as output:
            return subprocess.Popen(
                command,
                cwd=self.folder,
                env=ENVIRONMENT,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # A shell that starts pytest in the background has it, and all its children, ignore Ctrl-C.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
            )

    def run(self, *arguments: str, cores: int = 2) -> str:
        """A Snakemake run that is to succeed; what it said."""
        code = self._finish(*arguments, cores=cores)
        assert code == 0, self.said.read_text()[-4000:]
        return self.said.read_text()

    def refused(self, *arguments: str) -> str:
        """A Snakemake run that is to fail, and not by a crash of ours; what it said."""
        assert self._finish(*arguments) != 0
        said = self.said.read_text()
        assert "Traceback" not in said, said[-4000:]
        return said

    def _finish(self, *arguments: str, cores: int = 2) -> int:
        process = self.start(*arguments, cores=cores)
        try:
            return process.wait(timeout=self.patience)
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)

    def recover(self, *arguments: str) -> str:
        """The README's "If something stops", after which the same command succeeds."""
        self.run("--unlock")
        return self.run(*arguments)

    def forget(self, stage: str) -> None:
        """Go back to just before a stage: remove what it and all later ones made."""
        names = list(STAGES)
        for pattern in [pattern for name in names[names.index(stage) :] for pattern in STAGES[name][0]]:
            for path in self.results.glob(pattern):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        for folder in self._states() if stage == "train" else []:
            shutil.rmtree(folder)

    @property
    def state(self) -> Path:
        """The state folder of RUN's training, which has begun."""
        [found] = self._states()
        return found

    def _states(self) -> list[Path]:
        found = {path.parent: json.loads(path.read_text()) for path in self.view.glob("state/*/identity.json")}
        return [path for path, run in found.items() if run["settings"]["split"] == "full"]

    def saved_step(self) -> int:
        return max(int(path.stem) for path in self.state.glob("0*.json"))

    @property
    def owner(self) -> int:
        """The process that holds, or held, that state."""
        return json.loads((self.state / "lock").read_text())["pid"]

    def training_log(self) -> str:
        return (self.results / "logs/train/openmoji_faces_adaptive_imle_seed0_full.log").read_text()

    def wait_for(self, process: subprocess.Popen[bytes], said: str) -> None:
        """Until a running Snakemake has said so (a regular expression)."""
        self._wait(process, lambda: re.search(said, self.said.read_text()))

    def wait_for_state(self, process: subprocess.Popen[bytes]) -> None:
        """Until the training of RUN has saved a state; it then has a second or more to go."""
        self.wait_for(process, rf"Job \d+: {STAGES['train'][1]}")
        self._wait(process, lambda: [path for folder in self._states() for path in folder.glob("0*.json")])

    def _wait(self, process: subprocess.Popen[bytes], ready: Callable[[], Any]) -> None:
        deadline = time.monotonic() + 120
        while not ready():
            assert process.poll() is None, f"over before it could be hit: {self.said.read_text()[-4000:]}"
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def differences(self, other: Project, pattern: str = "**/*") -> list[str]:
        """Files of the results, by name, that one of the projects lacks or that are not equal in both."""
        mine, others = fingerprints(self.results, pattern), fingerprints(other.results, pattern)
        assert others, f"nothing to compare: {pattern}"
        return sorted(name for name in mine.keys() | others.keys() if mine.get(name) != others.get(name))


def fingerprints(results: Path, pattern: str) -> dict[str, str]:
    """A digest of everything in each file that must not depend on when, or how often interrupted, it was made."""
    paths = [path for path in results.glob(pattern) if path.is_file()]
    kept = [path for path in paths if path.name[0] != "." and path.relative_to(results).parts[0] != "logs"]
    return {
        str(path.relative_to(results)): hashlib.sha256(_lasting(path)).hexdigest()
        for path in kept
        if path.suffix not in (".html", ".pdf") and path.stem != "curves"  # they print dates and seconds
    }


def _lasting(path: Path) -> bytes:
    if path.suffix == ".json":
        return _without_passing(path.read_text())
    if path.name == "history.csv":
        with path.open() as file:
            return repr([{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]).encode()
    if path.suffix == ".npz":
        with np.load(path) as file:
            arrays = {name: file[name] for name in file}
        meta = _without_passing(str(arrays.pop("meta", "{}")))
        return meta + b"".join(f"{name} {array.shape}".encode() + array.tobytes() for name, array in arrays.items())
    return path.read_bytes()


def _without_passing(text: str) -> bytes:
    def keep(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        return {key: value for key, value in pairs if key not in PASSING}

    return json.dumps(json.loads(text, object_pairs_hook=keep)).encode()


def jobs(driver: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The Python processes that a running Snakemake has started."""
    children = psutil.Process(driver.pid).children(recursive=True)
    return [child for child in children if "python" in child.name()]


@contextmanager
def namespace(project: Project, mount: str) -> Iterator[Project]:
    """The project as seen from a mount namespace of its own, in which the shell command `mount` has been run.

    Skips the test where the kernel or a container does not let us mount.
    """
    if not shutil.which("unshare"):
        pytest.skip("mounting needs `unshare`, of Linux")
    script = f"cd {project.folder} && {mount} && echo ready && exec sleep infinity"
    holder = subprocess.Popen(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        if holder.stdout.readline() != "ready\n":
            pytest.skip(f"mounting is not permitted here: {holder.stderr.read().strip()}")
        enter = ("nsenter", f"--target={holder.pid}", "--user", "--mount", "--preserve-credentials", "--")
        inside = (*enter, "sh", "-c", f'cd {project.folder} && exec "$@"', "sh")
        yield Project(project.folder, inside, Path(f"/proc/{holder.pid}/root{project.folder}"))
    finally:
        holder.kill()
        holder.communicate()
