"""The first screen: the best method for each question, what can be said about the next one, and warnings."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from tests.workflow.conftest import set_value, without
from workflow.rendering import report, tables
from workflow.rendering.analysis import Analysis
from workflow.rendering.checks import checks
from workflow.rendering.contents import ALL
from workflow.rendering.winners import winners


def found(results):
    table = tables.build(ALL, results)
    return {metric.id: dict(zip(table.datasets, shown, strict=True)) for metric, _, shown in winners(table, results)}


def test_the_best_method_stands_with_its_uncertainty_and_its_lead(make):
    shown = found(make())
    fid = shown["fid"]["dots"]
    assert (fid.titles, fid.value) == (["Adaptive IMLE"], "81.0 ± 1.4")
    assert fid.verdict == "Ahead of Vanilla IMLE by 15.0: too few values to tell them apart (p cannot be below 0.33)."
    assert shown["precision"]["dots"].titles == ["FastGAN"], "higher is better"
    assert shown["precision"]["rings"].verdict == "Equal to all digits shown."
    assert shown["lpips_backtracking"]["rings"] is None


def test_backtracking_is_tested_over_the_same_images(make):
    """Adaptive IMLE is nearer on each of the six images by 0.05: all signs agree, in 2 of 64 patterns."""
    verdict = found(make())["lpips_backtracking"]["dots"].verdict
    assert verdict.startswith("Ahead of Vanilla IMLE by 0.050") and verdict.endswith("told apart (p = 0.031).")


def test_one_seed_gives_no_verdict(make):
    shown = found(make(lambda frame: frame[frame["seed"] == 0], seeds=[0]))
    assert shown["fid"]["dots"].verdict == "Ahead of Vanilla IMLE by 15.0. One seed: the order may be chance."


def test_samples_made_elsewhere_are_one_run_beside_several_seeds(make):
    verdict = found(make(set_value(70.0, "method == 'fake_clr'")))["fid"]["dots"].verdict
    assert verdict == "Ahead of Adaptive IMLE by 11.0. One run of fake_clr: the order may be chance."


def test_fewer_samples_than_the_preset_takes_are_not_ranked(make):
    """Neither bold, nor best on the first screen, nor in ranks and statistics."""

    def edit(frame):
        mine = frame["method"] == "fake_clr"
        return frame.assign(value=frame["value"].mask(mine, 0.1), n_fake=frame["n_fake"].mask(mine, 10))

    results = make(edit)
    table = tables.build(ALL, results)
    assert not [key for key in table.best if key[0] == "fake_clr"]
    assert found(results)["fid"]["dots"].titles == ["Adaptive IMLE"]
    for _, heads, ranks in report.heat(table):
        assert dict(ranks)["fake_clr"][heads.index("FID ↓")] is None
    assert "fake_clr" not in Analysis(results).means.columns


def warnings(results):
    return [check.sentence for check in checks(results, tables.build(ALL, results)) if check.severity == "warning"]


def test_short_budget_and_few_seeds_are_warned_of(make):
    assert [text.partition(".")[0] for text in warnings(make())] == [
        "Numbers of 2 seeds: no interval over seeds can be given",
        "These are not the paper’s numbers",
    ]


@pytest.mark.parametrize(
    ("metric", "protocol", "sentence"),
    [
        ("copy_rate", "pixels32", "MixDL on dots: 40% of the samples are copies of training images"),
        ("density", "inception-k5-nreal-d20", "MixDL on dots: density 3.00. The samples crowd together"),
    ],
)
def test_copies_and_collapse_are_warned_of(make, metric, protocol, sentence):
    value = {"copy_rate": 0.4, "density": 3.0}[metric]

    def edit(frame):
        rows = frame[(frame["metric"] == "fid") & (frame["dataset"] == "dots")]
        values = rows["method"].map(lambda method: value if method == "mixdl" else 0.01)
        return pd.concat([frame, rows.assign(metric=metric, protocol=protocol, value=values)])

    told = warnings(make(edit))
    assert [text for text in told if text.startswith(sentence)], told
    assert not any(text.startswith("FastGAN on dots") for text in told)


def test_seeds_that_the_preset_leaves_out_are_not_missing(make):
    skip = [{"split": "train90", "seeds": [1], "reason": "one is enough"}]
    one = without("split == 'train90' and seed == 1")
    for changes, missing in (({}, True), ({"skip": skip}, False)):
        results = make(one, **changes)
        names = [check.name for check in checks(results, tables.build(ALL, results))]
        assert any(name.startswith("Seeds of LPIPS") for name in names) == missing


def test_copies_of_one_seed_are_not_told_apart(make):
    """Two Wilson intervals say what other samples of these networks would give, not what other trainings would."""

    def edit(frame):
        rows = frame[(frame["metric"] == "fid") & (frame["seed"] == 0)]
        values = rows["method"].map(lambda method: 0.0 if method == "mixdl" else 0.9)
        return pd.concat([frame, rows.assign(metric="copy_rate", protocol="pixels32", value=values)])

    assert found(make(edit))["copy_rate"]["dots"].verdict.endswith("One seed: the order may be chance.")


def test_a_run_on_two_kinds_of_device_is_warned_of(make):
    results = make()
    path = results.folder / "runs/dots/mixdl/seed0/full/run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "mixed_devices": "trained on A and B"}))
    assert "MixDL on dots, seed 0: trained on A and B." in warnings(results)


def test_noise_that_is_not_the_worst_is_warned_of(make):
    edit = set_value(50.0, "method == 'control_noise' and metric == 'fid' and dataset == 'dots'")
    assert "On dots, a method has a higher FID than noise." in warnings(make(edit))
