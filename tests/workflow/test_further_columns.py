"""Copy rate, equal counts and diversity in the tables: their columns, intervals, notes and warnings."""

from __future__ import annotations

import json
from collections.abc import Callable

import pandas as pd
import pytest

from tests.workflow.conftest import N_REAL, set_value, without
from workflow.rendering import notation, published, report, tables
from workflow.rendering.results import DUPLICATES

EQUAL = "inception-k5-nreal-d20"
LPIPS = "lpips-alex-x2"
# metric, protocol, value of seed 0
FURTHER = (
    ("copy_rate", "pixels32", 0.125),
    ("recall", EQUAL, 0.66),
    ("density", EQUAL, 1.1),
    ("coverage", EQUAL, 0.9),
    ("vendi", "inception-cosine-nreal-d20", 12.0),
    ("intra_lpips", LPIPS, 0.2),
    ("mode_distance", LPIPS, 0.3),
)


@pytest.fixture
def further(build: Callable[..., tables.Table]) -> Callable[..., tables.Table]:
    """Table `number` of results that have the further metrics; `change` edits them."""

    def table(
        number: int, change: Callable[[pd.DataFrame], pd.DataFrame] = lambda frame: frame, **changes: object
    ) -> tables.Table:
        return build(number, lambda frame: change(with_further(frame)), **changes)

    return table


def with_further(frame: pd.DataFrame) -> pd.DataFrame:
    """Also precision and recall of the real halves."""
    cells = frame[(frame["metric"] == "fid")]
    parts = [cells.assign(metric=metric, protocol=protocol, value=value) for metric, protocol, value in FURTHER]
    halves = cells[cells["method"] == "floor"].assign(metric="precision", protocol="inception-k5-n24", value=0.8)
    return pd.concat([frame, *parts, halves], ignore_index=True)


def ids(table: tables.Table) -> list[str]:
    return [metric.id for metric in table.metrics]


def test_results_of_earlier_versions_keep_their_tables(build, make):
    assert [ids(build(number)) for number in (1, 2, 3)] == [
        ["fid", "lpips_backtracking"],
        ["precision", "recall"],
        ["fid", "precision", "recall"],
    ]
    assert tables.filled(make()) == [1, 2, 3]


def test_the_copy_rate_stands_beside_every_fid_with_its_interval(further, make):
    """Two seeds of 24 samples, 3 copies each: Wilson's interval of 6 in 48."""
    for number in (1, 3):
        assert ids(further(number))[:2] == ["fid", "copy_rate"]
    beside = published.build(make(with_further)).set_index(["dataset", "method", "metric"])["copies"]
    assert beside["dots", "FastGAN", "FID ↓"] == "0.125"
    assert "copies" not in published.build(make())
    cell = further(1).cells["adaptive_imle", "dots", "copy_rate"]
    assert cell.text == "0.125"
    assert cell.interval == pytest.approx((0.0586, 0.2470), abs=1e-4)
    assert "in pixels at 32 × 32" in further(1).caption


def test_recall_by_two_counts_and_of_the_real_halves(further):
    table = further(2)
    assert ids(table) == ["precision", "recall", "recall_equal", "density", "coverage"]
    assert table.cells["adaptive_imle", "dots", "recall"].text == "0.69"
    assert table.cells["adaptive_imle", "dots", "recall_equal"].text == "0.66"
    last = table.rows[-1]
    assert (last.title, table.cells["floor", "dots", "precision"].text) == ("Real halves", "0.80")
    assert "the real halves are not ranked" in table.caption
    assert not [key for key in table.best if key[2] == "density"], "more density is not better"


def test_a_density_above_1_2_is_named_in_the_caption(further):
    collapse = set_value(1.6, "metric == 'density' and method in ['fastgan', 'control_real'] and dataset == 'dots'")
    assert "sign of collapse: FastGAN on dots (1.60)." in further(2, collapse).caption
    assert "collapse" not in further(2).caption


def test_metrics_of_fewer_samples_than_fid_takes_are_not_marked(further):
    """Intra-LPIPS and mode distance take as many samples as precision and recall."""
    table = further(4, sampling={"n": 50})
    assert table.marks["fastgan", "dots", "intra_lpips"] == []


def test_what_cannot_be_computed_says_why(further):
    table = further(4, without("method == 'mixdl' and metric in ['intra_lpips', 'vendi']"))
    assert ids(table) == ["vendi", "intra_lpips", "mode_distance"]
    assert (
        table.cells["mixdl", "dots", "vendi"].reason
        == "n/a (there are fewer samples than real images, or too few images for k)"
    )
    assert table.cells["mixdl", "dots", "intra_lpips"].reason == "n/a (no two samples have the same nearest image)"
    assert "| MixDL | none | n/a" in notation.markdown(table)


def test_the_report_names_near_duplicates(make):
    results = make(with_further)
    path = results.prepared / "dots/manifest.json"
    images = [{"file": f"{index}.png"} for index in range(N_REAL)]
    changed = results.folder.parent / "prepared/dots/manifest.json"
    changed.parent.mkdir(parents=True)
    changed.write_text(json.dumps({**json.loads(path.read_text()), "images": images}))
    here = type(results)(results.folder, changed.parents[1])
    file = results.folder / DUPLICATES.format(dataset="dots")
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"near_duplicates": [[1, 7], [2, 30]]}))
    assert "takes for one image: 1.png and 7.png; 2.png and 30.png." in report.page(here)
