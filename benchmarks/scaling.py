"""What more costs: each stage at twice the side, with more candidates, and the plan of a run with more jobs."""

from __future__ import annotations

import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from benchmarks.harness import Measurement, Row

SIDES = (64, 128)
METHODS = ("adaptive_imle", "fastgan", "mixdl")
SEEDS = (20, 100)  # of the demo's configuration
CANDIDATES = (10_000, 40_000)
POINTS = (100, 400)


def resolutions() -> list[Row]:
    """One step of each method of the paper's size, one of its samples, and one image of Inception, on this CPU."""
    from training.calibrate import time_features, time_method

    from training.config import load_config, run_settings

    rows = []
    for name in METHODS:
        found = []
        for side in SIDES:
            run = run_settings(load_config("paper"), "panda", name, 0, "full")
            run |= {"resolution": side, "threads": 1, "config": resized(name, run["config"], side)}
            found.append(time_method(run, "cpu"))
        small, large = (timing["step"]["seconds"] for timing in found)
        rows.append(Row(f"scaling_{name}", large / small, small, large, "s a step", "twice the side"))
    small, large = (time_features("inception", side, "cpu")["feature"]["seconds"] for side in SIDES)
    return [*rows, Row("scaling_inception", large / small, small, large, "s an image", "twice the side")]


def resized(name: str, config: dict[str, Any], side: int) -> dict[str, Any]:
    """The IMLE family's blocks stop at the resolution; the GANs' networks follow it by themselves."""
    if name != "adaptive_imle":
        return config
    from methods.adaptive_imle import AdaptiveIMLE

    entries = AdaptiveIMLE.Config.blocks.split(",")
    kept = [entry for entry in entries if int(entry.replace("m", "x").split("x")[0]) <= side]
    return {**config, "blocks": ",".join(kept)}


def candidates_and_points() -> list[Row]:
    """The search alone, without the generation of candidates, in 2,047 dimensions."""
    import torch

    from methods.imle.search import nearest

    def seconds(n: int, m: int) -> float:
        points, pool = torch.randn(n, 2047), torch.randn(m, 2047)
        began = time.perf_counter()
        nearest(points, pool.split(16))
        return time.perf_counter() - began

    seconds(10, 10)  # warms up
    base = seconds(POINTS[0], CANDIDATES[0])
    more = {
        "four times the candidates": seconds(POINTS[0], CANDIDATES[1]),
        "four times the images": seconds(POINTS[1], CANDIDATES[0]),
    }
    return [Row("scaling_search", value / base, base, value, "s", what) for what, value in more.items()]


def jobs() -> list[Row]:
    """Seconds that Snakemake takes to plan a run, with so many times the seeds of the demo."""
    found = []
    for seeds in SEEDS:
        with tempfile.TemporaryDirectory() as folder:
            config = yaml.safe_load(Path("config/demo.yaml").read_text())
            preset = Path(folder, "many.yaml")
            preset.write_text(yaml.safe_dump({**config, "preset": "many", "seeds": list(range(seeds))}))
            began = time.perf_counter()
            command = ["snakemake", "--dry-run", "--quiet", "--nolock", "--cores", "1", "--configfile", str(preset)]
            subprocess.run(command, check=True, capture_output=True)
            found.append(time.perf_counter() - began)
    return [Row("scaling_jobs", found[1] / found[0], *found, "s", f"{SEEDS[1] / SEEDS[0]:g} times the jobs")]


BENCHMARKS = [
    Measurement("scaling_resolution", resolutions),
    Measurement("scaling_search", candidates_and_points),
    Measurement("scaling_jobs", jobs),
]
