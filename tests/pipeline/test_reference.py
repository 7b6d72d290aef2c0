"""`snakemake --configfile config/reference.yaml`: the committed tables, without torch or a network."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from workflow.rendering import answers, published, stamp, tables
from workflow.rendering.results import Results

ROOT = Path(__file__).resolve().parents[2]
PRESETS = yaml.safe_load((ROOT / "config/reference.yaml").read_text())["reference"]
CONFIGS = {name: json.loads((ROOT / "results/reference" / name / "config.json").read_text()) for name in PRESETS}
TWO = ["demo", "multimodal"]  # are rendered; `verify` compares the tables of all with the numbers
WITH_DATASETS = [name for name, config in CONFIGS.items() if config["datasets"]]
ENVIRONMENT = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
HEAVY = ("torch", "torchvision", "lpips", "cleanfid", "prdc", "sklearn", "safetensors")


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory, no_network: tuple[str, ...]) -> tuple[Path, str]:
    """A clone's files, no data, in which the command has run; and what Snakemake said."""
    folder = tmp_path_factory.mktemp("reference")
    blocked = folder / "blocked"
    for name in HEAVY:
        (blocked / name).mkdir(parents=True)
        (blocked / name / "__init__.py").write_text(f"raise ImportError('{name} is not installed here')\n")
    project = folder / "project"
    made = ("raw", "prepared", "manual", "external", "results", "state", "tests")
    shutil.copytree(ROOT, project, ignore=shutil.ignore_patterns(".*", "__pycache__", *made))
    for name in ("reference", "community"):
        shutil.copytree(ROOT / "results" / name, project / "results" / name)
    (project / "config/two.yaml").write_text(f"reference: {TWO}\n")
    environment = {**ENVIRONMENT, "PYTHONPATH": str(blocked)}
    command = [*no_network, "snakemake", "--cores", "1", "--configfile", "config/two.yaml"]
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return project, done.stdout + done.stderr


def test_only_rendering_is_done(rendered: tuple[Path, str]) -> None:
    jobs = dict(re.findall(r"^(\w+) +(\d+)$", rendered[1], re.MULTILINE))
    assert jobs == {"render": "2", "all": "1", "total": "3"}
    for preset in TWO:
        assert (rendered[0] / "results/rendered" / preset / "report.html").stat().st_size > 10_000


@pytest.mark.parametrize("preset", WITH_DATASETS)
def test_published_numbers_are_the_committed_ones(preset: str, tmp_path: Path) -> None:
    kept = ROOT / "results/reference" / preset
    published.write(Results(kept, kept / "prepared"), tmp_path / "published.csv", tmp_path / "published.md")
    one, other = (
        pd.read_csv(folder / "published.csv").drop(columns="sources") for folder in (kept / "tables", tmp_path)
    )
    assert one.equals(other)


def test_curves_are_the_committed_ones(rendered: tuple[Path, str]) -> None:
    kept, made = ROOT / "results/reference/demo", rendered[0] / "results/rendered/demo"
    assert (kept / "figures/curves.png").read_bytes() == (made / "figures/curves.png").read_bytes()


@pytest.mark.parametrize("preset", PRESETS)
def test_committed_numbers_claim_the_present_sources_only_with_their_hash(preset: str) -> None:
    """After an edit of a method: run snakemake with config/reference.yaml and copy the tables from results/rendered."""
    folder = ROOT / "results/reference" / preset
    results = Results(folder, folder / "prepared")
    changed = {record["method"] for record in results.runs if stamp.sources_changed(record)}
    claims = set()
    if preset in WITH_DATASETS:
        published = pd.read_csv(folder / "tables/published.csv")
        claims |= set(published.loc[published["sources"] == "present", "method"])
    for number in tables.filled(results):
        if stamp.PRESENT in (folder / f"tables/table{number}.md").read_text():
            claims |= {row.title for row in tables.build(number, results).rows}
    for name in answers.filled(results.preset):
        if stamp.PRESENT in (folder / f"tables/{name}.md").read_text():
            claims |= {row.title for row in results.answerers}
    assert not claims & {row.title for row in (*results.rows, *results.answerers) if row.id in changed}


def test_verify_lists_every_committed_run(rendered: tuple[Path, str]) -> None:
    command = ["snakemake", "--cores", "1", "verify", "--configfile", "config/reference.yaml"]
    done = subprocess.run(command, cwd=rendered[0], env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    listed = re.findall(r"^results/.*: commit [0-9a-f]{7}.*, sources (present|changed since)$", done.stdout, re.M)
    complete = [*ROOT.glob("results/reference/*/config.json"), *ROOT.glob("results/community/*/config.json")]
    assert len(listed) == sum(len([*path.parent.rglob("run.json")]) for path in complete)
