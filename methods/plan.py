"""What a preset will cost: the jobs that Snakemake has yet to run, times what was measured on this machine.

Counted are training, sampling, features and backtracking, and of every job the start of its process.
"""

from __future__ import annotations

import heapq
import time
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import PurePath
from typing import Any, NamedTuple

from data.console import UserError, say
from data.load import dataset_info
from data.split import split
from methods.calibrate import in_child, searched_images, time_features, time_method, training_seconds
from methods.device import pick_device
from methods.discover import method_info
from methods.provenance import hardware
from methods.settings import run_settings
from methods.state import KEPT
from metrics.protocols import FEATURE_NETWORKS, Backtracking

Job = tuple[str, PurePath]  # its rule and its first output
COLUMNS = ("jobs", "hours", "disk_gib")


class Cost(NamedTuple):
    """Of one job.  line: of the table; seconds: of one core on a CPU, else of the GPU; disk: bytes that stay."""

    line: str
    seconds: float = 0.0
    disk: int = 0
    basis: str = ""


def pending_jobs(summary: str, outputs: dict[str, int]) -> list[Job]:
    """The jobs that `snakemake --summary` lists as pending; outputs: how many files a job of each rule makes."""
    if not summary.startswith("output_file"):
        raise UserError("snakemake --summary failed: its own message stands in the log of this rule")
    files = defaultdict(list)
    for row in summary.splitlines()[1:]:
        file, _, rule, *_, state = row.split("\t")
        files[rule].append((PurePath(file), state == "update pending"))
    return [(rule, file) for rule, found in files.items() for file, pending in found[:: outputs[rule]] if pending]


class Estimator:
    """Costs of jobs; what a cost rests on is measured when it is first asked for."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.config, self.device = config, pick_device("auto")
        self.startup = time.process_time()  # this process has imported what a job imports
        self.measured: dict[str, dict[str, Any]] = {}

    def cost(self, job: Job) -> Cost:
        rule, file = job
        try:
            cost = self._cost(rule, file.parts[2:])
        except UserError as error:
            cost = Cost(rule, basis=f"not counted: {error}")
        return cost._replace(seconds=cost.seconds + self.startup)

    def _cost(self, rule: str, parts: Sequence[str]) -> Cost:
        """parts: of the path of the job's first output, below results/<preset>/ or data/prepared/."""
        sampling, pixels = self.config["sampling"], 3 * self.config["resolution"] ** 2
        match (rule, *parts):
            case "prepare", _, dataset, _:
                return Cost(rule, disk=dataset_info(dataset).count * pixels)
            case "train", _, dataset, method, seed, part, _ if method_info(method).trains:
                return self._training(dataset, method, int(seed.removeprefix("seed")), part)
            case "train", *_:
                return Cost("train controls")
            case "sample", _, _, method, _:
                n = sampling["n"] + sampling["interpolation_rows"] * sampling["interpolation_steps"]
                if not method_info(method).trains:
                    return Cost("sample controls", disk=n * pixels)
                timing = self._method(method)["sample"]
                return Cost(f"sample {method}", n * timing["seconds"], n * pixels, per("image", timing))
            case (("sample_features" | "real_features"), _, network, dataset, *_):
                n = sampling["n"] if rule == "sample_features" else dataset_info(dataset).count
                timing, size = self._features(network)["feature"], 4 * n * FEATURE_NETWORKS[network]
                return Cost(f"{rule} {network}", n * timing["seconds"], size, per("image", timing))
            case "backtrack", _, dataset, method, *_:
                protocol = Backtracking.parse(self.config["metrics"]["backtracking"])
                timing, targets = self._method(method)["backtracked"], images_in(dataset, "heldout")
                steps = targets * protocol.restarts * protocol.steps
                return Cost(f"backtrack {method}", steps * timing["seconds"], 2 * targets * pixels, per("step", timing))
        return Cost(rule)

    def _training(self, dataset: str, method: str, seed: int, part: str) -> Cost:
        run, measured = run_settings(self.config, dataset, method, seed, part), self._method(method)
        n = images_in(dataset, part)
        basis = f"{run['steps']:,} steps, {per('step', measured['step'])}"
        if searched := searched_images(run, n):
            basis += f"; {searched:,} searched, {per('image', measured['searched'])}"
        disk = KEPT * measured["state_bytes"] + 2 * measured["model_bytes"]  # in state/, and copied to results/
        return Cost(f"train {method}", training_seconds(run, n, measured), disk, basis)

    def _method(self, method: str) -> dict[str, Any]:
        run = run_settings(self.config, self.config["datasets"][0], method, self.config["seeds"][0], "full")
        return self._measure(method, time_method, run, self.device.type, self.config["metrics"]["backtracking"])

    def _features(self, network: str) -> dict[str, Any]:
        return self._measure(network, time_features, network, self.config["resolution"], self.device.type)

    def _measure(self, name: str, function: Any, *arguments: Any) -> dict[str, Any]:
        if name not in self.measured:
            say(f"timing {name}")
            try:
                self.measured[name] = in_child(function, *arguments)
            except UserError as error:
                self.measured[name] = {"failed": f"{name} {error}"}
        if "failed" in self.measured[name]:
            raise UserError(self.measured[name]["failed"])
        return self.measured[name]


def images_in(dataset: str, part: str) -> int:
    info = dataset_info(dataset)
    parts = split(info.count, info.split, dataset)
    return {"full": info.count, "train90": len(parts["train"]), "heldout": len(parts["heldout"])}[part]


def per(unit: str, timing: dict[str, float]) -> str:
    return f"{timing['seconds']:.3g} s per {unit} ({timing['repetitions']} timed)"


def makespan(seconds: list[float], slots: int) -> float:
    """When the last job ends, if each of `slots` takes the longest job left whenever it is free."""
    free = [0.0] * slots
    for length in sorted(seconds, reverse=True):
        heapq.heapreplace(free, free[0] + length)
    return max(free)


def plan(config: dict[str, Any], jobs: list[Job], cores: int, gpus: int) -> dict[str, Any]:
    """The whole estimate, as plain values.  cores, gpus: what Snakemake may use."""
    estimator = Estimator(config)
    lines: dict[str, list[Cost]] = defaultdict(list)
    for cost in map(estimator.cost, jobs):
        lines[cost.line].append(cost)
    table = [
        {
            "line": line,
            "jobs": len(costs),
            "hours": sum(cost.seconds for cost in costs) / 3600,
            "disk_gib": sum(cost.disk for cost in costs) / 2**30,
            "basis": max((cost.basis for cost in costs), key=len),
        }
        for line, costs in lines.items()
    ]
    table.sort(key=lambda row: -row["hours"])
    on_gpu, used = estimator.device.type == "cuda", min(config["training"]["threads"], cores)
    # The threads of a job are taken to share its work evenly.
    slots, speed = (gpus, 1) if on_gpu else (cores // used, used)
    clock = makespan([cost.seconds / speed for costs in lines.values() for cost in costs], slots)
    measured = estimator.measured
    notes = {note for entry in measured.values() for note in entry.get("notes", [])}
    if config["training"]["require_gpu"] and not on_gpu:
        notes.add("without a GPU these trainings refuse to begin (training.require_gpu)")
    return {
        "preset": config["preset"],
        "unit": "GPU-hours" if on_gpu else "CPU-hours",
        "hardware": hardware(estimator.device),
        "lines": [*table, {"line": "total", **{key: sum(row[key] for row in table) for key in COLUMNS}, "basis": ""}],
        "memory_mb": max((entry.get("peak_memory_mb", 0) for entry in measured.values()), default=0),
        "memory_mb_reserved": config["training"]["memory_mb"],
        "jobs_at_a_time": slots,
        "clock_hours": clock / 3600,
        "finish": f"{datetime.now() + timedelta(seconds=clock):%Y-%m-%d %H:%M}",
        "notes": sorted(notes),
        "measured": measured,
    }


def render(found: dict[str, Any]) -> str:
    """The estimate as text."""
    machine, memory, reserved = found["hardware"], found["memory_mb"] / 1024, found["memory_mb_reserved"] / 1024
    basis = "core, CPU time" if found["unit"] == "CPU-hours" else "GPU"
    rows = [
        f"{row['line']:<28} {row['jobs']:>5} {row['hours']:>12,.2f} {row['disk_gib']:>9,.2f}  {row['basis']}".rstrip()
        for row in found["lines"]
    ]
    hours = found["clock_hours"]
    duration = f"{hours / 24:,.0f} days" if hours >= 48 else f"{int(hours)} h {hours % 1 * 60:02.0f} min"
    return "\n".join(
        [
            f"Preset {found['preset']}: the jobs still to run, measured on {machine['gpu'] or machine['cpu']}",
            "",
            f"{'job':<28} {'jobs':>5} {found['unit']:>12} {'disk GiB':>9}  measured: seconds of one {basis}",
            *rows,
            "",
            f"memory  {memory:.1f} GiB in one job as timed here; {reserved:.1f} GiB reserved (training.memory_mb)",
            f"finish  {found['finish']}, in {duration}, with --cores all (jobs at a time: {found['jobs_at_a_time']})",
            "omitted: downloads, and what metrics, tables and figures take beyond the start of their processes",
            *(f"note: {note}" for note in found["notes"]),
        ]
    )
