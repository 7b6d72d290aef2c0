"""The jobs of presets with tasks; dry runs."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from tests.pipeline.conftest import ROOT, run_snakemake


def counts(config: Path | str) -> dict[str, int]:
    done = run_snakemake(ROOT, "--dry-run", "--forceall", "--quiet", "rules", config=str(config))
    assert done.returncode == 0, done.stderr
    table = re.findall(r"^(\w+) +(\d+)$", done.stdout + done.stderr, flags=re.MULTILINE)
    return {rule: int(count) for rule, count in table if rule != "total"}


def test_tasks_alone_have_answers_tables_figures_and_a_page_and_no_other_metrics() -> None:
    found = counts("config/multimodal.yaml")
    assert found["train"] == found["answers"] == 4 * 3 + 1  # the last: rebalanced, on the biased layouts
    assert found["answers_of_control"] == 2 * 2 + 2 * 1
    assert found["multimodal"] == found["nn_direction"] == found["collect"] == 1
    assert not found.keys() & {"evaluate", "real_features", "sample_features", "tables", "figures", "report"}


def test_a_preset_may_have_tasks_beside_data_sets(tmp_path: Path) -> None:
    """Then the page of the tasks is beside the report, and neither part has rows of the other."""
    config = yaml.safe_load((ROOT / "config/smoke.yaml").read_text())
    before = counts("config/smoke.yaml")
    config["tasks"] = {"faces": {"kind": "super_resolution", "dataset": "openmoji_faces", "factor": 4}}
    config["methods"]["cond_regression"] = {"steps": 2, "perceptual": "alex", "perceptual_upsample": 2}
    (tmp_path / "mixed.yaml").write_text(yaml.safe_dump(config))
    found = counts(tmp_path / "mixed.yaml")
    added = {"train": 1, "answers": 1, "answers_of_control": 2, "multimodal": 1, "directions": 2, "nn_direction": 1}
    assert {rule: count - before.get(rule, 0) for rule, count in found.items()} == {
        **dict.fromkeys(before, 0),
        **added,
    }
