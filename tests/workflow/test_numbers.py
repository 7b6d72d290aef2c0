"""From metrics.csv to cells: what is selected, averaged and resampled, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from common.console import UserError
from workflow.scripts import numbers, render
from workflow.scripts.settings import load


def test_deviation_only_with_several_seeds(build):
    cell = build(1).cells["adaptive_imle", "dots", "fid"]
    assert cell.values == (80.0, 82.0) and cell.mean == 81.0
    assert cell.std == pytest.approx(np.sqrt(2)), "sample deviation, n - 1"
    assert render.uncertainty(cell) == ["± 1.4"]

    def first_seed(frame: pd.DataFrame) -> pd.DataFrame:
        return frame[frame["seed"] == 0]

    single = build(1, first_seed, seeds=[0])
    assert single.cells["adaptive_imle", "dots", "fid"].std is None
    assert "±" not in render.markdown(single)
    assert "n = 1: no deviation" in single.caption


def test_not_finite_is_no_number(build):
    def change(frame: pd.DataFrame) -> pd.DataFrame:
        return frame.assign(value=frame["value"].where((frame["method"] != "mixdl") | (frame["metric"] != "fid")))

    table = build(1, change)
    assert table.cells["mixdl", "dots", "fid"].text == "n/a (the value is not a finite number)"


def test_presets_are_never_mixed(build):
    def mix(frame: pd.DataFrame) -> pd.DataFrame:
        frame.loc[frame.index[:3], "preset"] = "paper"
        return frame

    with pytest.raises(UserError, match=r"metrics\.csv holds numbers of preset paper, the settings are those of demo"):
        build(1, mix)


def test_another_protocol_is_refused(build):
    def change(frame: pd.DataFrame) -> pd.DataFrame:
        return frame.assign(protocol=frame["protocol"].replace("inception-k5-n24", "inception-k3-n24"))

    with pytest.raises(UserError, match="precision under inception-k3-n24, the settings ask for inception-k5-n24"):
        build(2, change)


def test_a_number_that_stands_twice_is_refused(build):
    with pytest.raises(UserError, match=r"fid of .* twice"):
        build(1, lambda frame: pd.concat([frame, frame[frame["metric"] == "fid"]]))


def test_bootstrap_is_deterministic_and_covers():
    """Same seed, same bits; the half-width is about 1.96 standard errors (within 10% at n = 400)."""
    scores = np.random.default_rng(1).normal(0.4, 0.1, 400)
    low, high = numbers.bootstrap_interval(scores, seed=5)
    assert (low, high) == numbers.bootstrap_interval(scores, seed=5) != numbers.bootstrap_interval(scores, seed=6)
    assert (high - low) / 2 == pytest.approx(1.96 * scores.std() / 20, rel=0.1)
    assert low < scores.mean() < high


def test_bootstrap_resamples_images_not_seeds(build):
    """Scores of two seeds are averaged per image: the interval of the mean scores, not of twice as many."""
    cell = build(1).cells["adaptive_imle", "dots", "lpips_backtracking"]
    assert cell.items == 6
    assert cell.interval[0] < cell.mean < cell.interval[1]
    assert cell.interval[0] > 0.310 - 0.05 and cell.interval[1] < 0.310 + 0.05


def test_settings_without_a_key_name_it(tmp_path, made_up_settings):
    content = made_up_settings()
    del content["table3"]
    (tmp_path / "settings.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"settings\.json lacks the key 'table3'"):
        load(tmp_path / "settings.json")
