"""From metrics.csv to cells: what is selected, averaged and resampled, and what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from common.console import UserError
from workflow.rendering import notation


def test_deviation_only_with_several_seeds(build):
    cell = build(1).cells["adaptive_imle", "dots", "fid"]
    assert cell.values == (80.0, 82.0) and cell.mean == 81.0
    assert cell.std == pytest.approx(np.sqrt(2)), "sample deviation, n - 1"
    assert cell.uncertainty == ["± 1.4"]

    single = build(1, lambda frame: frame[frame["seed"] == 0], seeds=[0])
    assert single.cells["adaptive_imle", "dots", "fid"].std is None
    assert "±" not in notation.markdown(single)
    assert "n = 1: no deviation" in single.caption


def test_presets_are_never_mixed(build):
    def mix(frame: pd.DataFrame) -> pd.DataFrame:
        frame.loc[frame.index[:3], "preset"] = "paper"
        return frame

    with pytest.raises(UserError, match=r"metrics\.csv holds numbers of preset paper, not of demo"):
        build(1, mix)


def test_another_protocol_is_refused(build):
    def change(frame: pd.DataFrame) -> pd.DataFrame:
        return frame.assign(protocol=frame["protocol"].replace("inception-k5-n24", "inception-k3-n24"))

    with pytest.raises(UserError, match="precision under inception-k3-n24, but the preset asks for inception-k5-n24"):
        build(2, change)


def test_bootstrap_resamples_images_not_seeds(build):
    """Scores of two seeds are averaged per image: the interval of the mean scores, not of twice as many."""
    cell = build(1).cells["adaptive_imle", "dots", "lpips_backtracking"]
    assert cell.items == 6
    assert 0.310 - 0.05 < cell.interval[0] < cell.mean < cell.interval[1] < 0.310 + 0.05


def test_a_damaged_preset_is_named(make):
    results = make(seeds="one")
    with pytest.raises(UserError, match=r"results/config\.json: seeds"):
        assert results.preset
