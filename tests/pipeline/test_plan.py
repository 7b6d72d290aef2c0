"""`snakemake plan`, and what a preset that needs a GPU says without one; neither needs anything to be fetched."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]


def snakemake(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    command = ["snakemake", *arguments]
    return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The code alone, and `needs_gpu`: the smoke preset as long as the paper's, for a GPU."""
    target = tmp_path_factory.mktemp("plan") / "project"
    made = ["raw", "prepared", "manual", "external", "results", "state", "tests"]
    shutil.copytree(ROOT, target, ignore=shutil.ignore_patterns(".*", "__pycache__", *made))
    overlay = {"training": {"require_gpu": True}, "methods": {"adaptive_imle": {"steps": 500_000}}}
    (target / "config/needs_gpu.yaml").write_text(json.dumps(overlay))
    return target


@pytest.fixture(scope="module")
def planned(project: Path) -> str:
    done = snakemake(project, "plan", "--cores", "1", "--configfile", "config/smoke.yaml")
    assert done.returncode == 0, done.stderr
    return done.stdout


def job_counts(table: str) -> dict[str, int]:
    """Jobs by rule, from lines that begin with a rule (and perhaps a method) and a number."""
    counts: dict[str, int] = {}
    for rule, count in re.findall(r"^([a-z_]+)(?: \w+)? +(\d+)(?: .*)?$", table, flags=re.MULTILINE):
        counts[rule] = counts.get(rule, 0) + int(count)
    return counts


def test_the_plan_counts_the_jobs_of_a_dry_run(project: Path, planned: str) -> None:
    dry = snakemake(project, "--dry-run", "--quiet", "rules", "--cores", "1", "--configfile", "config/smoke.yaml")
    statistics, _ = dry.stdout.split("total", 1)  # printed twice
    expected = job_counts(statistics)
    expected = {rule: count for rule, count in expected.items() if rule not in ("all", "figures", "tables")}  # no files
    assert expected["train"] == 10
    counts = job_counts(planned)
    assert counts.pop("total") == sum(expected.values())
    assert counts == expected


def test_the_plan_says_what_it_rests_on(project: Path, planned: str) -> None:
    assert re.search(r"^train fastgan +2 .* 6 steps, [\d.]+ s per step \(\d+ timed\)$", planned, flags=re.MULTILINE)
    assert "note: lpips_alex is not fetched: timed with random weights" in planned
    assert "note: inception is not fetched: timed with random weights" in planned
    written = json.loads((project / "results/smoke/plan.json").read_text())
    assert written["clock_hours"] > 0
    assert {"adaptive_imle", "vanilla_imle", "fastgan", "mixdl", "inception"} == written["measured"].keys()


def test_the_plan_fetches_and_trains_nothing(project: Path, planned: str) -> None:
    assert not (project / "data/raw").exists()
    assert not (project / "state").exists()
    assert {path.name for path in (project / "results/smoke").iterdir()} == {"logs", "plan.json"}


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_preset_that_needs_a_gpu_is_refused_before_anything_is_fetched(project: Path) -> None:
    configuration = ("--configfile", "config/smoke.yaml", "config/needs_gpu.yaml")
    done = snakemake(project, "--cores", "2", *configuration)
    assert done.returncode != 0
    [sentence] = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "there is no GPU: on this CPU, adaptive_imle on openmoji_faces alone" in sentence
    assert re.search(r"would take about [\d.,]+ CPU-hours \([\d.]+ s per step\)", sentence)
    assert sentence.endswith("snakemake --cores all --configfile config/demo.yaml")
    assert "Traceback" not in done.stderr
    assert not (project / "data/raw").exists()
    # The folder is not left locked, and what needs no GPU goes on.
    after = snakemake(project, "results/smoke/rendering.json", "--cores", "1", *configuration)
    assert after.returncode == 0, after.stderr
