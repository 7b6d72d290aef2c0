"""Small trainings that faults hit, and the comparison of what they leave with an undisturbed run.

A server process imports torch once and forks a training for each order, which saves three seconds a start.
"""

from __future__ import annotations

import errno
import functools
import gc
import importlib
import json
import os
import random
import resource
import runpy
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
DATASET = "openmoji_faces"
HASHES = ("config_hash", "data_hash", "sources_hash", "run_hash", "steps", "seed", "n_train")  # keys of run.json

IMLE = {"blocks": "1x1,4m1,8m4,16m8", "width": 8, "latent_dim": 8, "mapping_depth": 1, "lpips_weight": 0.0}
IMLE |= {"pool_factor": 1.0, "search": "exact", "sample_from": "ema", "ema_decay": 0.9}
IMLE |= {"learning_rate": 3e-3, "warmup_steps": 0}
FASTGAN = {"nz": 4, "ngf": 2, "ndf": 2, "decoder_width": 4, "perceptual": "alex", "bn_latents": 10, "ema_decay": 0.9}
MIXDL = {"style_dim": 8, "mapping_depth": 1, "channel_base": 64, "channel_max": 4, "ema_decay": 0.9}
STYLEGAN2 = {**MIXDL, "ema_start": 0, "batch": 4}
# Schedules so tight that within four steps thresholds, ages and pools all move and all regularisers run.
RUNS: dict[str, dict[str, Any]] = {
    # Every step is an epoch; in the third eight images, in the fourth two take from the same pool.
    "adaptive_imle": {**IMLE, "batch": 10, "delta": 0.9, "staleness": 2, "force_resample": 3},
    "adaptive_imle, schedule paper": {**IMLE, "schedule": "paper", "search": "sketch", "measure": "in_step"},
    "vanilla_imle": {**IMLE, "reassign_every": 1},
    "fastgan": {**FASTGAN, "batch": 4},
    "mixdl": {**MIXDL, "r1_every": 3, "path_every": 2},
    "rs_imle": {**IMLE, "search": "l2", "proj_dim": 16, "chunk": 8, "epsilon": 0.9, "reassign_every": 1},
    "stylegan2": {**STYLEGAN2, "augment": "ada", "ada_kimg": 0.05, "ada_target": -2.0, "ada_every": 2},
    "edm": {"width": 4, "multipliers": [1, 2], "blocks": 1, "attention": [], "batch": 4, "sampler_steps": 4},
}
RESOLUTION = {"fastgan": 32}  # the others' is 16


@dataclass(frozen=True)
class Fault:
    """What happens to a training.

    number: a signal.  It arrives `after` so many seconds; without `after`, at the `at`-th time that the training opens,
    renames, removes or changes a file of its state or its output whose path holds `where`.
    disk_full: from that time on, no file can be created (ENOSPC).  largest_file: in bytes, its limit for every file.
    """

    number: int = 0
    after: float = 0.0
    at: int = 1
    where: str = ""
    disk_full: bool = False
    largest_file: int = resource.RLIM_INFINITY


@dataclass(frozen=True)
class Done:
    returncode: int  # negative for a signal
    log: str


@dataclass(frozen=True)
class Training:
    """One of RUNS, in a folder with ten images of its own."""

    folder: Path
    name: str
    steps: int
    threads: int = 1
    seed: int = 0

    @classmethod
    def prepare(cls, folder: Path, name: str, steps: int, **others: int) -> Training:
        import numpy as np

        from tests.prepared import write_prepared

        side = RESOLUTION.get(name, 16)
        images = np.random.default_rng(0).integers(0, 255, (10, side, side, 3), dtype=np.uint8)
        write_prepared(folder / "data" / "prepared" / str(side) / DATASET, images)
        (folder / "data" / "raw").mkdir()
        (folder / "data" / "raw" / "weights").symlink_to(ROOT / "data" / "raw" / "weights")
        return cls(folder, name, steps, **others)

    def copy(self, folder: Path) -> Training:
        shutil.copytree(self.folder, folder, symlinks=True)
        return replace(self, folder=folder)

    @property
    def method(self) -> str:
        return self.name.split(",")[0]

    def run(self, fault: Fault | None = None, save_every: int = 1) -> Done:
        preset = {
            "preset": "toy",
            "resolution": RESOLUTION.get(self.name, 16),
            "datasets": [DATASET],
            "seeds": [self.seed],
            "methods": {self.method: {"steps": self.steps, **RUNS[self.name]}},
            "training": {"threads": self.threads, "save_every": save_every, "log_every": 2, "grid_every": 3},
        }
        (self.folder / "preset.json").write_text(json.dumps(preset))
        cell = ["--method", self.method, "--dataset", DATASET, "--seed", str(self.seed)]
        arguments = ["train", "--config", "preset.json", *cell, "--out", "out", "--device", "cpu"]
        with tempfile.NamedTemporaryFile() as log:
            order = {"arguments": arguments, "folder": str(self.folder), "log": log.name}
            returncode = server().carry_out({**order, "fault": asdict(fault or Fault())})
            return Done(returncode, Path(log.name).read_text(encoding="utf-8"))

    @property
    def out(self) -> Path:
        return self.folder / "out"

    @property
    def state(self) -> Path:
        """state/<run hash>/"""
        (folder,) = (self.folder / "state").iterdir()
        return folder

    def newest(self) -> int:
        """The step of the newest whole generation, 0 for none."""
        return max((int(path.stem) for path in self.folder.glob("state/*/[0-9]*.json")), default=0)

    def outcome(self) -> dict[str, Any]:
        """By name, all of a finished run that must not depend on what happened on the way: everything but times."""
        import torch

        from common.files import read_json

        last = self.state / f"{self.steps:09d}.json"
        record = read_json(last)["record"]
        found: dict[str, Any] = {"meter": record["meter"]}
        found["history"] = [{key: row[key] for key in row if key != "seconds"} for row in record["history"]]
        found |= dict(leaves(torch.load(last.with_suffix(".pt"), weights_only=True), "state"))
        found |= {path.name: path.read_bytes() for path in self.state.glob("grid*.png")}
        found |= {f"out/{name}": (self.out / name).read_bytes() for name in ("model.safetensors", "grid.png")}
        rows = [line.split(",") for line in (self.out / "history.csv").read_text().splitlines()]
        found["out/history.csv"] = [row[:1] + row[2:] for row in rows]
        run = read_json(self.out / "run.json")
        return found | {f"out/run.json {key}": run[key] for key in HASHES}

    def assert_undisturbed(self) -> None:
        """Every bit is that of a run that was left alone."""
        expected, found = undisturbed(self.name, self.steps, self.threads), self.outcome()
        differing = [key for key in sorted(expected.keys() | found.keys()) if expected.get(key) != found.get(key)]
        assert not differing, f"{self.name}, {self.threads} thread(s): {len(differing)} differ: {differing[:5]}"

    def assert_ends_undisturbed(self) -> str:
        """Let it run to its end.  Returns what it said."""
        done = self.run()
        assert done.returncode == 0, done.log
        self.assert_undisturbed()
        return done.log


def leaves(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    """The tensors, as bytes, and the other values of nested dicts and lists, by their place."""
    if isinstance(value, dict | list | tuple):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(item, f"{name}/{key}")
    else:
        yield name, (value.dtype, value.numpy().tobytes()) if hasattr(value, "dtype") else value


@functools.cache
def undisturbed(name: str, steps: int, threads: int = 1) -> dict[str, Any]:
    """The outcome of this training when nothing happens to it, not even a save."""
    with tempfile.TemporaryDirectory() as folder:
        training = Training.prepare(Path(folder), name, steps, threads=threads)
        done = training.run(save_every=steps)
        assert done.returncode == 0, done.log
        return training.outcome()


def chance(*purpose: object) -> random.Random:
    """A random generator whose seed is printed, which pytest shows if the test fails."""
    seed = os.environ.get("RELIABILITY_SEED") or str(time.time_ns())
    print(f"repeat with RELIABILITY_SEED={seed}")
    return random.Random(f"{seed} {purpose}")


class Server:
    """A process that has imported torch and forks a training for each order."""

    def __init__(self) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = subprocess.Popen([sys.executable, __file__], env=environment, text=True, **pipes)

    def carry_out(self, order: dict[str, Any]) -> int:
        """The exit code, negative for a signal."""
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())


@functools.cache
def server() -> Server:
    """It ends with this process, when its standard input does."""
    return Server()


def serve() -> None:
    methods = {f"methods.{name.split(',')[0]}" for name in RUNS}
    for module in ("torch._dynamo", "networks.lpips", "training.loop", *methods):  # optimisers import dynamo
        importlib.import_module(module)
    gc.freeze()  # so that children need not copy what a collection would touch
    for line in sys.stdin:
        if not (child := os.fork()):
            train(json.loads(line))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def train(order: dict[str, Any]) -> None:
    os.chdir(order["folder"])
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(log, stream)
    inject(Fault(**order["fault"]))
    sys.argv = ["training", *order["arguments"]]
    code = 0
    try:
        runpy.run_module("training", run_name="__main__", alter_sys=True)
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
        if isinstance(leaving.code, str):
            print(leaving.code, file=sys.stderr)
    except BaseException:
        code = 1
        traceback.print_exc()
    sys.stdout.flush()
    os._exit(code)  # the interpreter would take a second to take torch down


def inject(fault: Fault) -> None:
    if fault.largest_file != resource.RLIM_INFINITY:
        resource.setrlimit(resource.RLIMIT_FSIZE, (fault.largest_file, fault.largest_file))
    if fault.after:
        killer = threading.Timer(fault.after, os.kill, (os.getpid(), fault.number))
        killer.daemon = True
        killer.start()
    elif fault.number or fault.disk_full:
        sys.addaudithook(trap(fault))


def trap(fault: Fault) -> Callable[[str, tuple[Any, ...]], None]:
    """An audit hook that injects the fault when its file is touched."""
    here, seen = f"{Path.cwd()}/", 0

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        if event not in ("open", "os.rename", "os.remove", "os.chmod", "os.mkdir"):
            return
        path = str(arguments[0]).removeprefix(here)
        if not path.startswith(("state/", "out/")) or fault.where not in path:
            return
        seen += 1
        if fault.number and seen == fault.at:
            os.kill(os.getpid(), fault.number)
        if fault.disk_full and seen >= fault.at and event == "open" and arguments[2] & os.O_CREAT:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

    return watch


KILL = Fault(signal.SIGKILL)

if __name__ == "__main__":
    serve()
