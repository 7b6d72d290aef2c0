"""`snakemake --configfile config/reference.yaml`: the committed tables, without torch or a network."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from tests.pipeline.conftest import ROOT, Completed, copy_project, jobs, run_snakemake
from workflow.rendering import stamp, tables
from workflow.rendering.contents import answer_tables
from workflow.rendering.results import Results

PRESETS = yaml.safe_load((ROOT / "config/reference.yaml").read_text())["reference"]
CONFIGS = {name: json.loads((ROOT / "results/reference" / name / "config.json").read_text()) for name in PRESETS}
TWO = ["demo", "multimodal"]  # are rendered; `verify` compares the tables of all with the numbers
WITH_DATASETS = [name for name, config in CONFIGS.items() if config["datasets"]]
HEAVY = ("torch", "torchvision", "lpips", "cleanfid", "prdc", "sklearn", "safetensors")


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory, no_network: tuple[str, ...]) -> tuple[Path, Completed]:
    """A clone's files, no data, in which the command has run; and what Snakemake said."""
    folder = tmp_path_factory.mktemp("reference")
    blocked = folder / "blocked"
    for name in HEAVY:
        (blocked / name).mkdir(parents=True)
        (blocked / name / "__init__.py").write_text(f"raise ImportError('{name} is not installed here')\n")
    project = copy_project(folder / "project", downloads=False)
    for name in ("reference", "community"):
        shutil.copytree(ROOT / "results" / name, project / "results" / name)
    (project / "config/two.yaml").write_text(f"reference: {TWO}\n")
    prefix = (*no_network, "env", f"PYTHONPATH={blocked}")
    return project, run_snakemake(project, prefix=prefix, config="config/two.yaml")


def test_only_rendering_is_done(rendered: tuple[Path, Completed]) -> None:
    assert jobs(rendered[1]) == {"render": 2, "all": 1}
    for preset in TWO:
        assert (rendered[0] / "results/rendered" / preset / "report.html").stat().st_size > 10_000


def test_curves_are_the_committed_ones(rendered: tuple[Path, Completed]) -> None:
    kept, made = ROOT / "results/reference/demo", rendered[0] / "results/rendered/demo"
    one, other = (np.asarray(Image.open(folder / "figures/curves.png")) for folder in (kept, made))
    assert np.array_equal(one, other)


@pytest.mark.parametrize("preset", PRESETS)
def test_committed_numbers_claim_the_present_sources_only_with_their_hash(preset: str) -> None:
    """After an edit of a method: run snakemake with config/reference.yaml and copy the tables from results/rendered."""
    folder = ROOT / "results/reference" / preset
    results = Results(folder, folder / "prepared")
    changed = {record["method"] for record in results.runs if stamp.sources_changed(record)}
    claims = set()
    if preset in WITH_DATASETS and stamp.PRESENT in (folder / "tables/published.md").read_text():
        claims |= {row.title for row in results.ranked}
    for number in tables.filled(results):
        if stamp.PRESENT in (folder / f"tables/table{number}.md").read_text():
            claims |= {row.title for row in tables.build(number, results).rows}
    for name in answer_tables(results.preset):
        if stamp.PRESENT in (folder / f"tables/{name}.md").read_text():
            claims |= {row.title for row in results.answerers}
    assert not claims & {row.title for row in (*results.rows, *results.answerers) if row.id in changed}


def test_verify_lists_every_committed_run(rendered: tuple[Path, Completed]) -> None:
    done = run_snakemake(rendered[0], "verify", config="config/reference.yaml")
    assert done.returncode == 0, done.stderr
    listed = re.findall(r"^results/.*: commit [0-9a-f]{7}.*, sources (present|changed since)$", done.stdout, re.M)
    complete = [*ROOT.glob("results/reference/*/config.json"), *ROOT.glob("results/community/*/config.json")]
    assert len(listed) == sum(len([*path.parent.rglob("run.json")]) for path in complete)
