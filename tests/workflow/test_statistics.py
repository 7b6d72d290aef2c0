"""statistics.csv and statistics.md of a made-up benchmark with two datasets and two seeds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.workflow.conftest import config, run_record, without
from workflow.rendering import report, statistics, tables
from workflow.rendering.analysis import Analysis, rows


def written(results: Any, folder: Path) -> tuple[pd.DataFrame, str]:
    csv, md = folder / "statistics.csv", folder / "statistics.md"
    statistics.write(results, csv, md)
    return pd.read_csv(csv), md.read_text(encoding="utf-8")


def test_every_method_is_compared_with_the_reference_on_every_dataset_it_ran_on(make, tmp_path):
    table, text = written(make(), tmp_path)
    runs = table[table["analysis"] == "runs"].set_index(["dataset", "method"])
    assert set(runs["against"]) == {"adaptive_imle"}
    assert set(runs.loc["dots"].index) == {"vanilla_imle", "fastgan", "mixdl", "fake_clr"}
    assert set(runs.loc["rings"].index) == {"vanilla_imle", "fake_clr"}
    assert runs.loc[("dots", "vanilla_imle"), "estimate"] == pytest.approx(15)
    assert "reference method Adaptive IMLE" in text


def test_two_seeds_and_two_datasets_cannot_be_significant_and_the_text_says_so(make, tmp_path):
    table, text = written(make(), tmp_path)
    assert "The smallest possible p is 0.33: with so few values nothing can be significant" in text
    assert "With 2 datasets nothing can be significant; at least 7 are needed" in text
    assert table.loc[table["analysis"] == "runs", "low"].isna().all(), "no interval from two seeds"


@pytest.mark.parametrize(
    ("missing", "counted"),
    [
        ("method == 'fake_clr'", "Seeds: 2;"),
        ("seed == 1", "Seeds: 1 of 2;"),
        ("seed == 1 and method == 'mixdl'", "Seeds: 2, of some methods 1;"),
    ],
)
def test_the_text_counts_the_seeds_that_were_measured(make, tmp_path, missing, counted):
    assert counted in written(make(without(missing)), tmp_path)[1]


def test_the_runs_of_all_datasets_are_tested_together(make, tmp_path):
    """FastGAN and MixDL have numbers on dots alone, the samples made elsewhere a single run."""
    table, text = written(make(), tmp_path)
    found = table[table["analysis"] == "runs of all datasets"].set_index("method")
    assert set(found.index) == {"vanilla_imle"}
    assert found.loc["vanilla_imle", "p"] == pytest.approx(2 / 36)
    assert found.loc["vanilla_imle", "n"] == "4 and 4"
    assert "The smallest possible p is 0.056: with so few values nothing can be significant" in text


def test_parts_of_one_dataset_are_no_independent_datasets(make, tmp_path):
    table, text = written(make(metrics=config()["metrics"] | {"full_set": "dots"}), tmp_path)
    assert not set(table["analysis"]) & {
        "runs of all datasets",
        "datasets",
        "average rank",
        "Friedman chi-square",
        "Iman-Davenport F",
    }
    assert "There are no ranks and tests over datasets, because these are parts of one." in text


def test_checkpoints_are_compared_after_equal_shares_of_the_training(make, tmp_path):
    results = make(training={"checkpoints": [0.1]})
    row = {"dataset": "dots", "seed": 0, "split": "full", "seconds": 9.0, "processor_seconds": 9.0}
    row["run_hash"] = run_record("dots", "adaptive_imle")["run_hash"]
    row |= {"metric": "fid", "protocol": "inception-clean", "n_fake": 500}
    values = {("adaptive_imle", 150): 90, ("mixdl", 150): 80, ("adaptive_imle", 1500): 60, ("mixdl", 1500): 75}
    table = pd.DataFrame([{**row, "method": name, "step": step, "value": fid} for (name, step), fid in values.items()])
    table.to_csv(results.folder / "learning.csv", index=False)
    found, text = written(results, tmp_path)
    found = found[found["analysis"] == "checkpoints"]
    assert found[["method", "share", "estimate"]].values.tolist() == [["mixdl", 0.1, -10], ["mixdl", 1, 15]]
    assert "| dots | MixDL | -10 | 15 |" in " ".join(text.split()), "a crossing shows as a change of sign"


def test_images_of_backtracking_are_paired(make, tmp_path):
    table, _ = written(make(), tmp_path)
    paired = table[(table["analysis"] == "backtracking images") & (table["method"] == "vanilla_imle")].iloc[0]
    assert (paired["estimate"], paired["n"]) == (pytest.approx(0.05), "6")
    assert paired["p"] == paired["smallest_p"] == pytest.approx(2 / 64)


def test_a_method_without_a_number_has_the_worst_rank(make):
    found = Analysis(make()).ranks
    assert found["mixdl"] == (3 + 4.5) / 2, "third on dots; tied with FastGAN for the last two places on rings"
    assert found["adaptive_imle"] == 1


def test_the_controls_are_the_ends_of_the_scale_and_are_not_ranked(make, tmp_path):
    table, _ = written(make(), tmp_path)
    scores = table[table["analysis"] == "scaled score"].set_index("method")["estimate"]
    assert set(scores.index) == {"adaptive_imle", "vanilla_imle", "fastgan", "mixdl", "fake_clr"}
    fid = lambda seed: 110 + 2 * seed  # noqa: E731
    noise = 450 + 1  # the mean of two seeds
    assert scores["fastgan"] == pytest.approx(sum((noise - fid(seed)) / (noise - 22) for seed in (0, 1)) / 2, rel=1e-5)


def test_one_dataset_gives_no_ranks_and_the_text_says_why(make, tmp_path):
    one = without("dataset == 'rings'")
    table, text = written(make(one, datasets=["dots"], skip=[], tables={"ablation_datasets": []}), tmp_path)
    assert "Average ranks need at least two datasets." in text
    assert not table["analysis"].str.contains("rank").any()


def test_another_primary_metric_and_reference(make, tmp_path):
    chosen = {"metric": "recall", "reference": "mixdl", "test": "nemenyi"}
    table, text = written(make(statistics=chosen), tmp_path)
    assert "primary metric Recall ↑" in text
    assert set(table["against"].dropna()) == {"mixdl"}
    assert Analysis(make(statistics=chosen)).ranks["adaptive_imle"] == 1, "the highest recall is the best"


def test_methods_are_compared_on_the_datasets_that_both_have(make, tmp_path):
    """FastGAN has dots alone and Adaptive IMLE rings alone, after the edit: there is nothing to compare."""
    table, _ = written(make(without("method == 'adaptive_imle' and dataset == 'dots'")), tmp_path)
    improved = table[table["analysis"] == "probability of improvement"].set_index("method")
    assert set(improved.index) == {"vanilla_imle", "fake_clr"}
    assert improved.loc["vanilla_imle", ["estimate", "n"]].tolist() == [0, "2"]


def test_a_reference_without_a_number_is_not_replaced(make, tmp_path):
    missing = without("method == 'adaptive_imle'")
    table, text = written(make(missing, statistics={"reference": "adaptive_imle"}), tmp_path)
    assert "reference method Adaptive IMLE (without a number: nothing is compared with it)" in text
    assert table["against"].isna().all()


def test_a_number_that_could_not_be_computed_is_no_number(make):
    def unknown(frame: pd.DataFrame) -> pd.DataFrame:
        mine = (frame["method"] == "fake_clr") & (frame["metric"] == "fid")
        return frame.assign(value=frame["value"].mask(mine), reason="too few samples")

    assert "fake_clr" not in Analysis(make(unknown)).means.columns


def test_a_preset_without_any_number_has_empty_statistics(make):
    assert rows(Analysis(make(without("metric != 'precision'")))) == []


def test_the_report_ranks_a_method_without_a_number_last(make):
    """MixDL and FastGAN have no number of `rings`: they share the worst rank there, as in statistics.md."""
    results = make()
    mean, dots, rings = report.heat(tables.build(1, results))
    fid = [{title: ranks[0] for title, ranks in rows} for _, _, rows in (mean, dots, rings)]
    ours = Analysis(results).ranks
    assert fid[0] == {row.title: ours[row.id] for row in results.ranked}
    assert fid[1]["MixDL"] == 3 and fid[2]["MixDL"] is None
