"""Small trainings in processes that may be hurt, and the comparison of what they leave with an unhurt run.

Two ways to start one: `Training.start` is the command itself, a process to be killed from outside; `Training.run` is
the same command in a fork of a process that has imported torch already, which saves three seconds a start.
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
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from queue import Queue
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
DATASET = "openmoji_faces"
PROVENANCE = ("config_hash", "data_hash", "sources_hash", "run_hash", "steps", "seed", "n_train")  # keys of run.json

IMLE = {"blocks": "1x1,4m1,8m4,16m8", "width": 8, "latent_dim": 8, "mapping_depth": 1, "lpips_weight": 0.0}
IMLE |= {"pool_factor": 1.0, "search": "exact", "sample_from": "ema", "ema_decay": 0.9}
IMLE |= {"learning_rate": 3e-3, "warmup_steps": 0}
FASTGAN = {"nz": 4, "ngf": 2, "ndf": 2, "decoder_width": 4, "perceptual": "alex", "bn_latents": 10, "ema_decay": 0.9}
MIXDL = {"style_dim": 8, "mapping_depth": 1, "channel_base": 64, "channel_max": 4, "ema_decay": 0.9}
# Schedules so tight that within four steps thresholds, ages and pools all move and all regularisers run.
RUNS: dict[str, dict[str, Any]] = {
    "adaptive_imle": {
        "resolution": 16,
        # Every step is an epoch; in the third eight images, in the fourth two take from the same pool.
        "config": {**IMLE, "batch": 10, "delta": 0.9, "staleness": 2, "force_resample": 3},
    },
    "adaptive_imle, schedule paper": {
        "resolution": 16,
        "config": {**IMLE, "schedule": "paper", "search": "sketch", "measure": "in_step"},
    },
    "vanilla_imle": {"resolution": 16, "config": {**IMLE, "reassign_every": 1}},
    "fastgan": {"resolution": 32, "config": {**FASTGAN, "batch": 4}},
    "mixdl": {"resolution": 16, "config": {**MIXDL, "r1_every": 3, "path_every": 2}},
}
PRELOADED = ["torch._dynamo", "networks.lpips", "training.loop"]  # the first step of an optimiser imports dynamo
PRELOADED += [f"methods.{name}" for name in ("adaptive_imle", "vanilla_imle", "fastgan", "mixdl")]


@dataclass(frozen=True)
class Fault:
    """What befalls a training.

    At the `at`-th time that it opens, renames, removes or changes a file of its state or its output whose path holds
    `where`, it receives the signal `number`; with ENOSPC, it can create no file from there on.  `largest_file`: bytes.
    """

    number: int = 0
    at: int = 1
    where: str = ""
    disk_full: bool = False
    largest_file: int = resource.RLIM_INFINITY


@dataclass(frozen=True)
class Done:
    returncode: int
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

        from common.files import write_json
        from data.load import data_hash

        side = RUNS[name]["resolution"]
        images = np.random.default_rng(0).integers(0, 255, (10, side, side, 3), dtype=np.uint8)
        prepared = folder / "data" / "prepared" / str(side) / DATASET
        prepared.mkdir(parents=True)
        np.save(prepared / "images.npy", images)
        split = {"train": list(range(9)), "heldout": [9]}
        write_json(prepared / "manifest.json", {"title": "toy", "array_sha256": data_hash(images), "split": split})
        (folder / "data" / "raw").mkdir()
        (folder / "data" / "raw" / "weights").symlink_to(ROOT / "data" / "raw" / "weights")
        return cls(folder, name, steps, **others)

    def again(self, folder: Path) -> Training:
        """The same training, not yet begun."""
        return self.prepare(folder, self.name, self.steps, threads=self.threads, seed=self.seed)

    def copy(self, folder: Path) -> Training:
        shutil.copytree(self.folder, folder, symlinks=True)
        return replace(self, folder=folder)

    # Processes --------------------------------------------------------------------------------------------------

    def arguments(self, save_every: int) -> list[str]:
        identity = {"preset": "toy", "dataset": DATASET, "method": self.name.split(",")[0], "split": "full"}
        settings = {**identity, **RUNS[self.name], "seed": self.seed, "steps": self.steps, "threads": self.threads}
        training = {"save_every": save_every, "log_every": 2, "grid_every": 3}
        payload = json.dumps({"run": settings, "training": training})
        return ["train", "--settings", payload, "--out", "out", "--device", "cpu"]

    def start(self, save_every: int = 1) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "training", *self.arguments(save_every)]
        with (self.folder / "log").open("wb") as log:
            return subprocess.Popen(command, cwd=self.folder, env=ENVIRONMENT, stdout=log, stderr=log)

    def run(self, fault: Fault | None = None, save_every: int = 1, nursery: Nursery | None = None) -> Done:
        if nursery is None:
            with borrowed(nurseries()) as nursery:
                return self.run(fault, save_every, nursery)
        order = {"arguments": self.arguments(save_every), "folder": str(self.folder), "fault": asdict(fault or Fault())}
        with tempfile.NamedTemporaryFile() as log:  # elsewhere: this folder's disk may be full
            returncode = nursery.carry_out({**order, "log": log.name})
            return Done(returncode, Path(log.name).read_text(encoding="utf-8"))

    # What they leave --------------------------------------------------------------------------------------------

    @property
    def log(self) -> str:
        """What the last process of `start` said."""
        return (self.folder / "log").read_text(encoding="utf-8")

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
        from safetensors.torch import load_file

        from common.files import read_json
        from training.loop import FILES

        assert {path.name for path in self.out.iterdir()} >= set(FILES)
        last = self.state / f"{self.steps:09d}.json"
        saved = read_json(last)
        record = saved["record"]
        found: dict[str, Any] = {"tree": saved["tree"], "meter": record["meter"], "settings": record["settings"]}
        found["history"] = [{key: row[key] for key in row if key != "seconds"} for row in record["history"]]
        for name, tensor in load_file(last.with_suffix(".safetensors")).items():
            found[f"tensor {name}"] = tensor.dtype, tuple(tensor.shape), tensor.numpy().tobytes()
        found |= {path.name: path.read_bytes() for path in self.state.glob("grid*.png")}
        found |= {f"out/{name}": (self.out / name).read_bytes() for name in ("model.safetensors", "grid.png")}
        rows = [line.split(",") for line in (self.out / "history.csv").read_text().splitlines()]
        found["out/history.csv"] = [row[:1] + row[2:] for row in rows]
        run = read_json(self.out / "run.json")
        return found | {f"out/run.json {key}": run[key] for key in PROVENANCE}

    def assert_as_if_nothing_had_happened(self) -> None:
        """Every bit as in a run that was left alone."""
        expected, found = undisturbed(self.name, self.steps, self.threads), self.outcome()
        differing = [key for key in sorted(expected.keys() | found.keys()) if expected.get(key) != found.get(key)]
        assert not differing, f"{self.name}, {self.threads} thread(s): {len(differing)} differ: {differing[:5]}"


@functools.cache
def undisturbed(name: str, steps: int, threads: int = 1) -> dict[str, Any]:
    """The outcome of this training when nothing happens to it, not even a save."""
    with tempfile.TemporaryDirectory() as folder:
        training = Training.prepare(Path(folder), name, steps, threads=threads)
        done = training.run(save_every=steps)
        assert done.returncode == 0, done.log
        return training.outcome()


def side_by_side(work: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
    """`work` on every item, two at a time; the first failure is raised."""
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(work, items))


def chance(*purpose: object) -> random.Random:
    """A random generator whose seed is printed, which pytest shows if the test fails."""
    seed = os.environ.get("RELIABILITY_SEED") or str(time.time_ns())
    print(f"repeat with RELIABILITY_SEED={seed}")
    return random.Random(f"{seed} {purpose}")


# Processes that start quickly ---------------------------------------------------------------------------------------


class Nursery:
    """A process that has imported torch and forks a training for each order."""

    def __init__(self, wrapper: Sequence[str] = ()) -> None:
        command = [*wrapper, sys.executable, __file__]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = subprocess.Popen(command, cwd=ROOT, env=ENVIRONMENT, text=True, **pipes)
        self.ready = False

    def carry_out(self, order: dict[str, Any]) -> int:
        """The exit code, negative for a signal."""
        self.wait_until_ready()
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def wait_until_ready(self) -> None:
        """Its file systems are mounted by then."""
        if not self.ready:
            assert self.process.stdout.readline() == "ready\n", "the process that was to start trainings died"
            self.ready = True

    def close(self) -> None:
        self.process.communicate()


@functools.cache
def nurseries() -> Queue[Nursery]:
    """One for each core; they end with this process, when their standard input does."""
    found: Queue[Nursery] = Queue()
    for _ in range(2):
        found.put(Nursery())
    return found


@contextmanager
def borrowed(queue: Queue[Nursery]) -> Iterator[Nursery]:
    nursery = queue.get()
    try:
        yield nursery
    finally:
        queue.put(nursery)


def serve() -> None:
    for module in PRELOADED:
        importlib.import_module(module)
    print("ready", flush=True)
    gc.freeze()  # so that children need not copy what a collection would touch
    for line in sys.stdin:
        if not (child := os.fork()):
            live(json.loads(line))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def live(order: dict[str, Any]) -> None:
    os.chdir(order["folder"])
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(log, stream)
    fault = Fault(**order["fault"])
    if fault.largest_file != resource.RLIM_INFINITY:
        resource.setrlimit(resource.RLIMIT_FSIZE, (fault.largest_file, fault.largest_file))
    if fault.number or fault.disk_full:
        sys.addaudithook(trap(fault))
    sys.argv = ["methods", *order["arguments"]]
    code = 0
    try:
        runpy.run_module("methods", run_name="__main__", alter_sys=True)
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
        if isinstance(leaving.code, str):
            print(leaving.code, file=sys.stderr)
    except BaseException:
        code = 1
        traceback.print_exc()
    sys.stdout.flush()
    os._exit(code)  # the interpreter would take a second to take torch down


def trap(fault: Fault) -> Callable[[str, tuple[Any, ...]], None]:
    """An audit hook that springs the fault when its file is touched."""
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
