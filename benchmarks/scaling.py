"""What more costs: a search with more candidates, and Snakemake with more jobs."""

from __future__ import annotations

import subprocess
import tempfile
import time
from pathlib import Path

import torch
import yaml

from benchmarks.harness import Measurement, Row
from methods.imle.search import nearest

SEEDS = (20, 100)  # of the demo's configuration
CANDIDATES = (10_000, 40_000)
IMAGES = (100, 400)


def candidates_and_images() -> list[Row]:
    """The search alone, without the generation of candidates, in 2,047 dimensions."""

    def seconds(n: int, m: int) -> float:
        targets, candidates = torch.randn(n, 2047), torch.randn(m, 2047)
        began = time.perf_counter()
        nearest(targets, candidates.split(16))
        return time.perf_counter() - began

    seconds(10, 10)  # warms up
    base = seconds(IMAGES[0], CANDIDATES[0])
    more = {
        "four times the candidates": seconds(IMAGES[0], CANDIDATES[1]),
        "four times the images": seconds(IMAGES[1], CANDIDATES[0]),
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
    few, many = found
    return [Row("scaling_jobs", many / few, few, many, "s", f"{SEEDS[1] / SEEDS[0]:g} times the jobs")]


BENCHMARKS = [
    Measurement("scaling_search", candidates_and_images),
    Measurement("scaling_jobs", jobs),
]
