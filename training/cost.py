"""Estimate the cost of a preset's trainings on this machine: time a few real steps of each method and multiply.

Seconds are those of the GPU, or the process time of one CPU core, which other processes do not increase.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from statistics import mean
from typing import Any

import numpy as np
import torch

from common.console import UserError, say
from common.machine import usable_cpus
from data.datasets import dataset_info
from methods.api import Method
from training.config import RunConfig
from training.device import memory_advice
from training.inputs import new_method, task_of, unprepared

BUDGET = 10.0  # seconds, after which no further step is timed
FEW = 8  # candidates of an input
MOST_STEPS = 16  # one cycle of StyleGAN2's lazy regularisation
FALL = 20.0  # assumed total fall of a distance; Algorithm 1 searches for an image each time it has fallen by delta
ASSUMED = f"assumed of Algorithm 1: the distance of every image falls to 1/{FALL:g} of its first value"
OMITTED = "not counted: downloads, sampling, features, backtracking, tables and figures"


@dataclass(frozen=True)
class Timing:
    """Seconds of one training step, and of one candidate of the IMLE family's searches (0 for other methods)."""

    step: float
    candidate: float


def time_method(run: RunConfig, device: torch.device) -> Timing:
    """Train a new method of the run's configuration for a few steps, on two batches of random images.

    Raises `UserError` if the weights of the loss network are not fetched, or if there is not enough memory.
    """
    imle = "pool_factor" in run.config or "m" in run.config
    if imle:
        run = replace(run, config={**run.config, **_short_searches(run.config)})
    shape = (2 * run.config.get("batch", 8), run.resolution, run.resolution, 3)
    images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    with memory_advice(f"timing {run.method}", "use a machine with more memory"):
        method = new_method(run, unprepared(run, images), device)
        warm = method.train_step(0)  # not timed: it also loads networks and allocates memory
        first = timed_step(method, 0) if imle else 0.0
        spent: list[float] = []
        while len(spent) <= MOST_STEPS and sum(spent) < BUDGET:
            # IMLE: no step that begins an epoch, since the searches are counted separately.
            spent.append(timed_step(method, 1 if imle else len(spent) + 1))
    step = mean(spent[1:] or spent)
    if not imle:
        return Timing(step, 0.0)
    thresholds = len(images) if "schedule" in run.config else 0  # Adaptive IMLE also generates these in step 0
    return Timing(step, max(0.0, first - step) / (float(warm["pool_images"]) + thresholds))


def _short_searches(config: dict[str, Any]) -> dict[str, Any]:
    """Settings of the same method with a pool of one batch; conditional: small pools of as many inputs as images."""
    if "m" in config:
        m = FEW if isinstance(config["m"], int) else [FEW for _ in config["m"]]
        return {"inputs": None, "rebalance": "none", "m": m}
    return {"pool_size": config["pool_batch"]} | ({"chunk": config["pool_batch"]} if "chunk" in config else {})


def timed_step(method: Method, step: int) -> float:
    """Seconds of one training step."""
    began = clock(method.device)
    method.train_step(step)
    return clock(method.device) - began


def clock(device: torch.device) -> float:
    if device.type != "cuda":
        return time.process_time()
    torch.cuda.synchronize(device)
    return time.perf_counter()


def candidates(run: RunConfig) -> float:
    """Images that the searches of a whole training generate; 0 for methods that are not of the IMLE family."""
    config = run.config
    if "m" in config:
        return conditional_candidates(run)
    if "pool_factor" not in config:
        return 0.0
    n = dataset_info(run.dataset).count * (0.9 if run.split == "train90" else 1.0)
    chunk = config.get("chunk", 1)  # RS-IMLE's pools are whole chunks
    pool = -(-(config["pool_size"] or int(config["pool_factor"] * n)) // chunk) * chunk
    if config.get("schedule") == "paper":  # every image that is due has a search of its own
        delta = min(max(config["delta"], 1e-9), 1 - 1e-9)  # with 1, thresholds do not fall; 0 has no logarithm
        searches = 1 + min(run.steps, n * math.log(FALL) / -math.log(delta))
    else:
        epochs = run.steps / math.ceil(n / config["batch"])
        searches = math.ceil(epochs / (config["staleness"] if "schedule" in config else config["reassign_every"]))
    return searches * pool


def conditional_candidates(run: RunConfig) -> float:
    """The same of conditional IMLE: in each round, the pools of its inputs."""
    config, task = run.config, task_of(run)
    assert task is not None
    inputs, m = config["inputs"] or task.pairs, config["m"]
    if isinstance(m, int):
        doublings = task.factor.bit_length() - 1 if task.kind == "super_resolution" else 1
        m = [m] * ((config["levels"] or doublings) if config["select"] == "hierarchical" else 1)
    rounds = math.ceil(run.steps / (config["reassign_every"] * math.ceil(inputs / config["batch"])))
    return rounds * inputs * sum(m)


def estimate(
    runs: Iterable[RunConfig], device: torch.device, threads: int, minutes: float | None = None, gpus: int = 1
) -> str:
    """A table of what these trainings cost, as text: a row for each method, and for each task of a conditional one.

    threads: of one training (training.threads).  minutes: also print how many steps of each row take so long.
    gpus: of the machine, one training on each.
    """
    torch.set_num_threads(1)  # process time would include the waiting of other threads
    rows: dict[str, list[RunConfig]] = {}
    for run in runs:
        rows.setdefault(run.method if run.task is None else f"{run.method}, {run.dataset}", []).append(run)
    width = max(18, *map(len, rows))
    unit = "GPU-hours" if device.type == "cuda" else "CPU-hours"
    lines = [f"{'method':<{width}} trainings {'steps':>11} {'s a step':>9} {'candidates':>13} {'s each':>9} {unit:>11}"]
    lines[0] += f" {f'{minutes:g} minutes':>12}" if minutes else ""
    notes, hours = [OMITTED], []
    for name, found in rows.items():
        say(f"timing {name}")
        try:
            timing = time_method(found[0], device)
        except UserError as error:
            notes.append(f"not counted: {name}: {error}")
            continue
        steps, pools = [run.steps for run in found], [candidates(run) for run in found]
        own = [(a * timing.step + b * timing.candidate) / 3600 for a, b in zip(steps, pools, strict=True)]
        hours += own
        work = f"{sum(steps):>11,} {timing.step:>9.3g} {sum(pools):>13,.0f} {timing.candidate:>9.3g}"
        lines.append(f"{name:<{width}} {len(found):>9} {work} {sum(own):>11,.2f}")
        if minutes and own[0]:
            lines[-1] += f" {steps[0] * minutes / 60 / own[0]:>6,.0f} steps"
        if found[0].config.get("schedule") == "paper":
            notes.append(ASSUMED)
    lines.append(f"{'total':<{width}} {len(hours):>9} {sum(hours):>57,.2f}")
    return "\n".join([*lines, "", finish(hours, gpus if device.type == "cuda" else 0, threads), *notes])


def finish(hours: list[float], gpus: int, threads: int) -> str:
    """When trainings of these hours (of one core, or with `gpus` of a GPU) end if they use the whole machine."""
    cores = usable_cpus()
    places, speed = (gpus, 1) if gpus else (max(1, cores // threads), threads)
    jobs = min(places, max(len(hours), 1))
    clock_hours = max(max(hours, default=0.0), sum(hours) / jobs) / min(speed, cores)
    end = datetime.now() + timedelta(hours=clock_hours)
    minutes = math.ceil(clock_hours * 60)
    took = f"{clock_hours:,.1f} hours" if clock_hours >= 2 else f"{minutes} minute{'s' * (minutes != 1)}"
    return f"would be finished at {end:%Y-%m-%d %H:%M}, in {took}, with {jobs} training{'s' * (jobs > 1)} at a time"
