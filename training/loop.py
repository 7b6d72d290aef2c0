"""Train one method on one dataset: build, resume, train, export."""

from __future__ import annotations

import math
import signal
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from common import __version__
from common.console import Progress, UserError, say
from common.files import atomic_path, read_sealed, sweep, write_sealed, write_text
from common.hashing import sha256_file
from common.machine import batch_job
from methods.api import Method, Scalars, to_uint8
from methods.conditional import ConditionalMethod
from training.checkpoint import RunState, check_checkpoints, check_weights, checkpoint_steps, save_model
from training.config import RunConfig
from training.device import check_gpu, device_for, equal_bits, memory_advice
from training.history import read_scalars, to_csv
from training.identity import claim, run_identity, settings
from training.inputs import hash_of, new_method, training_set
from training.provenance import git_state, hardware, mixed_devices, peak_memory_mb, segment, versions
from training.registry import method_info
from training.sections import Training
from training.signals import caught_signals

LOCK_WAIT = 24 * 3600.0  # seconds
GRID = 6  # samples on each side of a grid
FILES = ("model.safetensors", "history.csv", "grid.png", "run.json")  # run.json last: it marks a finished run


def train(
    run: RunConfig,
    intervals: Training,
    out: Path,
    state_root: Path = Path("state"),
    device: str = "auto",
) -> None:
    """Train a run, or resume it, and write FILES to `out`.

    The state is in `state_root/<run hash>/`, which is not a declared output, so Snakemake never deletes it; `out`
    receives copies.  intervals: when to log, draw and save.
    Raises `UserError` on a non-finite loss (the last good state is kept), if another process holds the run, and if
    `intervals.require_gpu` is set and there is no GPU.
    """
    if intervals.require_gpu and method_info(run.method).trains:
        check_gpu(device)
    chosen = device_for(run.method, device)
    torch.set_num_threads(run.threads)
    data, title = training_set(run)
    identity = run_identity(run, hash_of(data), chosen.type)
    # In a batch job, the owner may be a job of a killed Snakemake: when it has finished, its run is used.
    wait = LOCK_WAIT if batch_job() else 0
    with RunState(state_root / identity["run_hash"], wait, identity["run_hash"]) as state:
        claim(state.folder, run, identity)
        if not finished(state.folder):
            with (
                memory_advice(f"{run.method} on {run.dataset}", _less_memory(run)),
                equal_bits(intervals.deterministic, chosen),
            ):
                loop = Loop(run, identity, new_method(run, data, chosen), state, intervals)
                loop.resume()
                loop.advance()
                loop.export(title)
        _copy(state.folder, out, intervals.checkpoints)


def finished(folder: Path) -> bool:
    """Does the folder contain the files of a finished run, unchanged?  Prints a warning if they are damaged."""
    if not (folder / FILES[-1]).exists():
        return False
    try:
        intact = all(
            sha256_file(folder / name) == sha256 for name, sha256 in read_sealed(folder / FILES[-1])["files"].items()
        )
    except (UserError, OSError, KeyError):
        intact = False
    if not intact:
        say(f"warning: finished files in {folder} are damaged; writing them again from the last saved state")
    return intact


def _less_memory(run: RunConfig) -> str:
    """The keys that limit a method's memory, and what else helps."""
    at_once = "microbatch" if "microbatch" in run.config else "batch"
    bounds = [key for key in ("pool_batch", at_once) if key in run.config]
    keys = " or ".join(f"methods.{run.method}.{key}" for key in bounds) or "the resolution"
    return (
        f"lower {keys} (a new run, since results depend on them) or let fewer jobs run at once (training.runs_per_gpu, "
        "--cores); the last saved state is kept"
    )


class Loop:
    """One training in progress."""

    def __init__(
        self, run: RunConfig, identity: dict[str, str], method: Method, state: RunState, intervals: Training
    ) -> None:
        self.run, self.identity, self.method, self.state, self.intervals = run, identity, method, state, intervals
        self.step = 0
        self.history: list[dict[str, float]] = []
        self.unread: list[Scalars] = []  # of the last steps: reading them would wait for a GPU
        self.latest: dict[str, float] = {}
        self.meter: dict[str, tuple[float, int]] = {}  # sum and count of each scalar since the last row of history
        self.seconds = self.processor_seconds = 0.0  # in training steps
        self.checkpoints: list[dict[str, Any]] = []  # the exported ones
        self.started = datetime.now(UTC).isoformat(timespec="seconds")
        self.code = {**git_state(), "versions": versions()}  # now: commits during a training did not train it
        self.equal_bits = intervals.deterministic or method.device.type == "cpu"
        self.segments = [segment(method.device, 0)]  # the last one is in progress

    def resume(self) -> None:
        found = self.state.load(self.method.device)
        if found is None:
            return
        self.step, state, record = found
        self.method.load_state_dict(state)
        self.history, self.meter = record["history"], record["meter"]
        self.seconds, self.started = record["seconds"], record["started"]
        self.processor_seconds, self.checkpoints = record["processor_seconds"], record["checkpoints"]
        sofar = {"steps": self.run.steps, "checkpoints": self.checkpoints}
        check_checkpoints(sofar, self.state.folder, self.intervals.checkpoints, self.step)
        check_weights(self.checkpoints, self.state.folder)  # now: at the end, the whole training would be lost
        self.segments = [*record["segments"], segment(self.method.device, self.step)]
        self.equal_bits &= record.get("deterministic", self.method.device.type == "cpu")
        if warning := mixed_devices(self.segments):
            say(f"warning: {warning}")
        say(f"resuming {self.run.label} at step {self.step} of {self.run.steps} from {self.state.folder}")

    def advance(self) -> None:
        """Train to the last step, saving at intervals; SIGINT, SIGTERM and SIGHUP save once more and exit."""
        total = self.run.steps
        exported = checkpoint_steps(total, self.intervals.checkpoints)
        with (
            caught_signals() as caught,
            Progress(total, self.run.label, initial=self.step) as progress,
        ):
            while self.step < total:
                began, processor_began = time.monotonic(), time.process_time()
                self.unread.append(self.method.train_step(self.step))
                self.seconds += time.monotonic() - began
                self.processor_seconds += time.process_time() - processor_began
                self.step += 1
                if self.step % self.intervals.log_every == 0 or self.step == total:
                    self._log()
                if self.step % self.intervals.grid_every == 0 and self.step < total:
                    self._read()
                    self.draw_grid()
                if self.step in exported:
                    self._read()
                    self.export_weights()
                if caught or self.step % self.intervals.save_every == 0 or self.step == total:
                    self.save()
                if caught and self.step < total:
                    say(f"stopped by {signal.Signals(caught[0]).name} at step {self.step}; run again to resume")
                    sys.exit(128 + caught[0])
                progress.advance(note=", ".join(f"{name} {value:.4g}" for name, value in self.latest.items()))

    def _read(self) -> None:
        """Read the scalars of the last steps, together, and check them."""
        began = time.monotonic()
        rows = read_scalars(self.unread)
        self.seconds += time.monotonic() - began
        for step, scalars in enumerate(rows, start=self.step - len(rows)):
            self._check_finite(step + 1, scalars)
            for name, value in scalars.items():
                total, count = self.meter.get(name, (0.0, 0))
                self.meter[name] = (total + value, count + 1)
        self.latest = rows[-1] if rows else self.latest
        self.unread = []

    def _check_finite(self, step: int, scalars: dict[str, float]) -> None:
        bad = [name for name, value in scalars.items() if not math.isfinite(value)]
        if bad:
            raise UserError(
                f"{bad[0]} became {scalars[bad[0]]} at step {step} of {self.run.label}; the last good state is "
                f"kept in {self.state.folder}: lower the learning rate of {self.run.method} and run again"
            )

    def _log(self) -> None:
        self._read()
        means = {name: total / count for name, (total, count) in self.meter.items()}
        self.history.append({"step": self.step, "seconds": round(self.seconds, 2), **means})
        self.meter = {}

    def save(self) -> None:
        self._read()
        self.segments[-1]["last_step"] = self.step
        record = {
            "history": self.history,
            "meter": self.meter,
            "seconds": self.seconds,
            "processor_seconds": self.processor_seconds,
            "checkpoints": self.checkpoints,
            "started": self.started,
            "segments": self.segments,
            "deterministic": self.equal_bits,
        }
        self.state.save(self.step, self.method.state_dict(), record)

    def draw_grid(self) -> None:
        """Draw samples of the same latents every time, so that the grids in the state folder show the progress."""
        self.method.freeze()
        with torch.no_grad():
            latents = self.method.latents(GRID * GRID, self.method.streams.generator("grid"))
            if isinstance(self.method, ConditionalMethod):
                drawn = self.method.at_examples(latents, GRID)
            else:
                drawn = self.method.generate(latents)
            images = to_uint8(drawn).numpy()
        side, channels = images.shape[1], images.shape[3]
        images = np.concatenate([images, np.zeros((GRID * GRID - len(images), side, side, channels), np.uint8)])
        rows = images.reshape(GRID, GRID, side, side, channels).swapaxes(1, 2)
        for name in (f"grid_{self.step:09d}.png", "grid.png"):
            with atomic_path(self.state.folder / name) as temporary:
                Image.fromarray(rows.reshape(GRID * side, GRID * side, channels)).save(temporary)

    def export_weights(self) -> None:
        """Write the sampler's weights after this step, as `export` does after the last one."""
        name = f"checkpoint_{self.step:09d}.safetensors"
        self.method.freeze()
        save_model(self.method.sampler().state_dict(), self.state.folder / name)
        seconds = {"seconds": round(self.seconds, 1), "processor_seconds": round(self.processor_seconds, 1)}
        digest = sha256_file(self.state.folder / name)
        self.checkpoints.append({"step": self.step, **seconds, "file": name, "sha256": digest})

    def export(self, dataset_title: str) -> None:
        """Write the finished run's files into the state folder, run.json last."""
        folder = self.state.folder
        trained = [part for part in self.segments if part["last_step"] > part["first_step"]] or self.segments
        self.draw_grid()
        save_model(self.method.sampler().state_dict(), folder / "model.safetensors")
        write_text(folder / "history.csv", to_csv(self.history))
        check_weights(self.checkpoints, folder)
        names = [*FILES[:-1], *(checkpoint["file"] for checkpoint in self.checkpoints)]
        write_sealed(
            folder / FILES[-1],
            {
                "version": __version__,
                **settings(self.run),
                **self.identity,
                "dataset_title": dataset_title,
                "n_train": len(self.method.images),
                "files": {name: sha256_file(folder / name) for name in names},
                "checkpoints": self.checkpoints,
                **self.code,
                "hardware": hardware(self.method.device),
                "segments": trained,
                "mixed_devices": mixed_devices(trained),
                "deterministic": self.equal_bits,
                "seconds": round(self.seconds, 1),
                "processor_seconds": round(self.processor_seconds, 1),
                "peak_memory_mb": peak_memory_mb(self.method.device),
                "started": self.started,
                "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            },
        )


def _copy(folder: Path, out: Path, checkpoints: Sequence[float]) -> None:
    """Copy the files of a finished run, run.json last.  Raises `UserError` if a checkpoint was not exported."""
    record = read_sealed(folder / FILES[-1])
    check_checkpoints(record, folder, checkpoints)
    sweep(out)
    for name in [*record["files"], FILES[-1]]:
        content = (folder / name).read_bytes()
        with atomic_path(out / name) as temporary:
            temporary.write_bytes(content)
