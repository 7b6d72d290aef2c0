"""Published beside measured: a difference only where both numbers mean the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from data.datasets import dataset_names
from training.config import read_preset
from workflow.rendering import numbers, published
from workflow.rendering.results import Results

VGG, INCEPTION = "vgg16fc2-k3-n1000", "inception-k5-n24"


def rows_for(*protocols: str) -> list[dict[str, Any]]:
    """FID and recall of Adaptive IMLE on Obama, two seeds; recall 0.5 and 1.5 by each of the protocols."""
    common = {"preset": "official", "dataset": "obama", "method": "adaptive_imle", "split": "full", "n_real": 100}
    common |= {"n_fake": 5000, "steps": 500000, "run_hash": "0f3a"}
    return [
        {**common, "seed": seed, "metric": metric, "value": value + seed, "protocol": name}
        for seed in (0, 1)
        for metric, value, name in [("fid", 27.0, "inception-clean"), *(("recall", 0.5, name) for name in protocols)]
    ]


@pytest.fixture
def results(make: Callable[..., Results]) -> Callable[..., Results]:
    def prepare(
        preset: str = "official",
        rows: list[dict[str, Any]] | None = None,
        resolution: int = 256,
        n: int = 5000,
        **changes: Any,
    ) -> Results:
        """changes: of the settings of Adaptive IMLE."""
        frame = pd.DataFrame(rows or rows_for(INCEPTION, VGG)).assign(preset=preset, item=None, n=None)
        entries = {name: entry.model_dump(mode="json") for name, entry in read_preset("official").methods.items()}
        methods = {**entries, "adaptive_imle": entries["adaptive_imle"] | changes}
        keys = {"preset": preset, "resolution": resolution, "methods": methods, "sampling": {"n": n}}
        found = make(lambda _: frame, datasets=["obama"], skip=[], **keys)
        run = found.folder / "runs/obama/adaptive_imle/seed0/full/run.json"
        run.parent.mkdir(parents=True)
        record = {"dataset": "obama", "method": "adaptive_imle", "seed": 0, "split": "full"}
        run.write_text(
            json.dumps(
                {**record, "sources_hash": "0" * 64, "git_commit": "0123456789", "git_dirty": False, "version": "0.4.0"}
            )
        )
        return found

    return prepare


@pytest.fixture
def table(results: Callable[..., Results]) -> Callable[..., pd.DataFrame]:
    def build(*arguments: Any, **options: Any) -> pd.DataFrame:
        found = published.build(results(*arguments, **options))
        return found.astype(object).fillna("").set_index(["method", "metric"])

    return build


def test_an_official_run_is_compared_with_the_icml_value(table) -> None:
    row = table().loc["Adaptive IMLE", "FID ↓"]
    assert (row["ICML 2023"], row["ECCV 2024"], row["delta"]) == ("25.0", "25.0", "+2.5")  # mean of 27 and 28, less 25
    assert (row["measured"], row["n_seeds"]) == ("27.5 ± 0.7", 2)
    assert (row["n_real"], row["n_fake"], row["steps"]) == ("100", "5000", "500000")
    assert row["commit"] == "0123456"


def test_recall_is_measured_by_the_published_protocol_where_it_was(table) -> None:
    row = table().loc["Adaptive IMLE", "Recall ↑"]
    assert (row["protocol"], row["delta"]) == (VGG, "+0.32")  # mean of 0.5 and 1.5, less 0.68


def test_recall_by_another_protocol_is_listed_without_a_difference(table) -> None:
    row = table(rows=rows_for(INCEPTION)).loc["Adaptive IMLE", "Recall ↑"]
    assert (row["protocol"], row["delta"]) == (INCEPTION, "")
    assert row["ICML 2023"] == "0.68"


@pytest.mark.parametrize("changes", [{"preset": "paper"}, {"resolution": 64}, {"steps": 5000}, {"n": 1000}])
def test_a_difference_needs_every_setting_of_the_official_preset(table, changes: dict[str, Any]) -> None:
    """Also where an overlay leaves the name of the preset."""
    rows = table(**changes)
    assert (rows["delta"] == "").all()
    assert rows.loc[("Adaptive IMLE", "FID ↓"), "measured"] == "27.5 ± 0.7"


def test_a_run_that_was_not_made_has_no_difference(table) -> None:
    row = table().loc["FastGAN", "FID ↓"]
    assert (row["ICML 2023"], row["measured"], row["delta"]) == ("41.1", "not run", "")


def test_published_values_name_known_datasets_methods_and_metrics() -> None:
    values = pd.read_csv(published.PUBLISHED, comment="#")
    counts = values["publication"].value_counts().to_dict()
    assert counts == {"NeurIPS 2020": 5, "ICML 2023": 6 * 5 * 2, "ECCV 2024": 9 * 6}
    assert set(counts) == set(published.PUBLICATIONS)
    assert set(values["dataset"]) <= set(dataset_names())
    assert set(values["metric"]) <= set(numbers.METRICS)
    assert not values.duplicated(["publication", "dataset", "method", "metric"]).any()


def test_markdown_says_what_is_comparable_and_leaves_unknown_cells_empty(results) -> None:
    found = results("lite")
    text = published.markdown(published.build(found), found)
    assert "only runs of the official preset are comparable" in text
    assert "nan" not in text.lower()
    assert "None" not in text
