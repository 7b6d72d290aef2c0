"""One tidy table of all numbers, refusing whatever would make it ambiguous."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from common.console import UserError
from common.files import write_sealed
from metrics.collect import COLUMNS, collect

HEADER = {"preset": "demo", "dataset": "faces", "method": "fastgan", "seed": 0, "split": "full", "steps": 900}
HEADER["run_hash"] = "abc"
FID = {"metric": "fid", "value": 1 / 3, "protocol": "inception-clean-n200", "n_real": 100, "n_fake": 200}


def metric_file(path: Path, *rows: dict[str, Any], **header: Any) -> Path:
    write_sealed(path, {**HEADER, **header, "rows": list(rows)})
    return path


def image(item: int, value: float = 0.5) -> dict[str, Any]:
    return {"metric": "lpips_backtracking_image", "value": value, "protocol": "lpips-alex-x2-s50-r3", "item": item}


def test_every_number_is_one_row(tmp_path: Path) -> None:
    files = [
        metric_file(tmp_path / "b.json", image(12), image(3), split="train90"),
        metric_file(tmp_path / "fid.json", FID),
        metric_file(tmp_path / "floor.json", FID, method="floor", steps=None, run_hash=None),
    ]
    collect(files, tmp_path / "metrics.csv")
    table = pd.read_csv(tmp_path / "metrics.csv", dtype={"item": "Int64", "steps": "Int64"})
    assert tuple(table.columns) == COLUMNS
    assert list(table.method) == ["fastgan", "fastgan", "fastgan", "floor"]
    fid = table[(table.metric == "fid") & (table.method == "fastgan")].iloc[0]
    assert fid.value == 1 / 3, "no digit is lost"
    assert (fid.n_real, fid.n_fake, fid.steps, fid.run_hash) == (100, 200, 900, "abc")
    assert list(table.item.dropna()) == [3, 12]
    assert pd.isna(table[table.method == "floor"].iloc[0].steps)


def test_the_order_of_the_files_does_not_matter(tmp_path: Path) -> None:
    files = [metric_file(tmp_path / f"{seed}.json", FID, image(seed), seed=seed) for seed in (2, 0, 1)]
    collect(files, tmp_path / "one.csv")
    collect(files[::-1], tmp_path / "two.csv")
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "two.csv").read_bytes()


@pytest.mark.parametrize("value", [float("nan"), None, "3.2", True])
def test_refuses_values_that_are_no_finite_number(value: object, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"fid\.json: fid is"):
        collect([metric_file(tmp_path / "fid.json", {**FID, "value": value})], tmp_path / "metrics.csv")
    assert not (tmp_path / "metrics.csv").exists()


def test_a_number_that_cannot_be_computed_has_a_reason_and_changes_no_other_row(tmp_path: Path) -> None:
    whole = [metric_file(tmp_path / "a.json", FID), metric_file(tmp_path / "b.json", FID, seed=1)]
    collect(whole, tmp_path / "whole.csv")
    none = metric_file(tmp_path / "c.json", {**FID, "value": None, "reason": "one, two"}, method="gan", steps=None)
    collect([*whole, none], tmp_path / "some.csv")
    before, after = ((tmp_path / name).read_text().splitlines() for name in ("whole.csv", "some.csv"))
    assert after[0] == f"{before[0]},reason"
    assert after[1:3] == [f"{line}," for line in before[1:]]
    row = pd.read_csv(tmp_path / "some.csv").iloc[2]
    assert pd.isna(row.value) and (row.method, row.reason, row.n_fake) == ("gan", "one, two", 200)


def test_refuses_two_values_of_one_number(tmp_path: Path) -> None:
    files = [metric_file(tmp_path / name, {**FID, "value": value}) for name, value in (("a.json", 1), ("b.json", 2))]
    with pytest.raises(UserError, match=r"a\.json and .*b\.json both give fid"):
        collect(files, tmp_path / "metrics.csv")
    with pytest.raises(UserError, match="lpips_backtracking_image"):
        collect([metric_file(tmp_path / "a.json", image(3, 0.1), image(3, 0.2))], tmp_path / "metrics.csv")


def test_refuses_mixed_presets(tmp_path: Path) -> None:
    files = [metric_file(tmp_path / "a.json", FID), metric_file(tmp_path / "b.json", FID, preset="paper", seed=1)]
    with pytest.raises(UserError, match=r"a\.json \(demo\) and .*b\.json \(paper\)"):
        collect(files, tmp_path / "metrics.csv")


def test_refuses_files_that_are_no_metric_files(tmp_path: Path) -> None:
    write_sealed(tmp_path / "a.json", {"dataset": "faces"})
    with pytest.raises(UserError, match=r"a\.json is not a metric file: it lacks preset, method"):
        collect([tmp_path / "a.json"], tmp_path / "metrics.csv")
    with pytest.raises(UserError, match=r"lacks rows\.0\.protocol"):
        collect([metric_file(tmp_path / "a.json", {"metric": "fid", "value": 1})], tmp_path / "metrics.csv")
