"""The report's charts: what they are drawn from.  That a browser draws them is in test_browser.py."""

from __future__ import annotations

import shutil

import pandas as pd

from tests.workflow.conftest import config, run_record
from workflow.rendering import charts, checkpoints, report
from workflow.rendering.contents import places


def points(*rows, better="lower"):
    frame = pd.DataFrame(rows, columns=["method", "seconds", "value"])
    return frame.assign(dataset="dots", metric="FID", better=better)


def test_no_other_method_beats_one_of_the_front():
    found = points(("a", 30, 5.0), ("b", 10, 9.0), ("c", 20, 9.0), ("d", 40, 6.0), ("e", 10, 12.0))
    assert charts.pareto(found).tolist() == [True, True, False, False, False]
    higher = points(("a", 30, 0.5), ("b", 10, 0.9), ("c", 5, 0.1), better="higher")
    assert charts.pareto(higher).tolist() == [False, True, True]


def test_a_bar_joins_each_largest_group_that_is_not_told_apart():
    """Also of methods that are no neighbours in rank: Wilcoxon's test can tell apart those between them."""

    def alike(*apart: str) -> pd.DataFrame:
        frame = pd.DataFrame(True, index=list("abcd"), columns=list("abcd"))
        for one, other in apart:
            frame.loc[one, other] = frame.loc[other, one] = False
        return frame

    assert charts.cliques(alike("ac", "ad", "bd")) == [["a", "b"], ["b", "c"], ["c", "d"]]
    assert charts.cliques(alike("ab", "bc", "bd", "cd")) == [["a", "c"], ["a", "d"]]
    assert charts.cliques(alike()) == [["a", "b", "c", "d"]]
    assert charts.cliques(alike("ab", "ac", "ad", "bc", "bd", "cd")) == []


def test_learning_curves_are_drawn_from_checkpoints_and_only_from_them(make):
    results, without = make(training={"checkpoints": [0.5]}), make()
    assert charts.learning(report.learning_points(results), {}) is None
    row = {"dataset": "dots", "method": "mixdl", "seed": 0, "split": "full", "step": 750}
    row |= {"seconds": 9.0, "processor_seconds": 7.5, "run_hash": run_record("dots", "mixdl")["run_hash"]}
    row |= {"metric": "fid", "value": 80.0, "protocol": "inception-clean"}
    row["n_fake"] = 500
    others = {**row, "metric": "kid_std"}, {**row, "method": "control_real"}, {**row, "run_hash": "of an earlier run"}
    others += ({**row, "step": 375},)  # a quarter, for which the preset does not ask
    pd.DataFrame([row, {**row, "step": 1500}, *others]).to_csv(results.folder / "learning.csv", index=False)
    curves = report.learning_points(results)
    shutil.copy(results.folder / "learning.csv", without.folder)
    assert report.learning_points(without).empty, "the preset keeps no checkpoints any more"
    assert curves["step"].tolist() == [750, 1500], "neither controls nor what no table shows, nor replaced runs"
    assert curves.iloc[0].tolist() == ["dots", "MixDL", 0, 750, 7.5, "FID ↓ (inception-clean)", 80.0]
    table = checkpoints.checkpoints(results)
    assert checkpoints.samples(table) == "500 samples"
    assert table.loc[table["metric"] == "fid", "share"].tolist() == [0.5, 1.0]
    assert charts.learning(curves, {"MixDL": 4})["params"][1]["bind"]["options"] == ["FID ↓ (inception-clean)"]
    long = charts.learning(pd.concat([curves] * 2501), {"MixDL": 4})
    assert [len(rows) for rows in long["datasets"].values()] == [5002], "more rows than Altair takes by itself"


def test_a_method_looks_alike_in_every_chart_and_preset(make):
    """Whatever else is measured, and in whatever order."""
    first = charts.cost(points(("a", 30, 5.0), ("b", 10, 9.0)), {"b": 1, "a": 0})
    alone = charts.cost(points(("b", 10, 9.0)), {"b": 1, "a": 0})
    scales = [chart["layer"][1]["encoding"]["color"]["scale"] for chart in (first, alone)]
    assert [scale["range"][scale["domain"].index("b")] for scale in scales] == [charts.RANGE[1]] * 2
    full, fewer = places(make().preset), places(make(methods={"mixdl": config()["methods"]["mixdl"]}).preset)
    assert full["mixdl"] == fewer["mixdl"]
