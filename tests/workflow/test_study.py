"""The study has the settings of the best trials, and the presets that show them have the same (docs/protocol.md)."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import pandas as pd
import pytest

from training.config import Preset, read_preset

TRIALS = Path(__file__).parents[2] / "results/reference/tuning"
MOST_COPIES = 0.05
STUDY_SECONDS, FIELD_SECONDS = 960, 240
TUNED = ["adaptive_imle", "adaptive_imle-paper", "vanilla_imle", "rs_imle", "fastgan", "mixdl", "stylegan2", "edm"]
preset = cache(read_preset)


@cache
def metric(name: str) -> pd.Series:
    frame = pd.read_csv(TRIALS / "metrics.csv")
    protocol = {"fid": "inception-clean", "copy_rate": "pixels32"}[name]
    return frame[(frame["metric"] == name) & (frame["protocol"] == protocol)].set_index("method")["value"]


def winner(row: str) -> str:
    """The trial with the lowest FID among those with a copy rate of at most 5 %."""
    trials = [f"{row}{'_' if '-' in row else '-'}{number}" for number in range(1, 9)]
    return min((trial for trial in trials if metric("copy_rate")[trial] <= MOST_COPIES), key=metric("fid").__getitem__)


def settings(name: str, method: str) -> dict[str, object]:
    """All fields of a row, defaults included."""
    found: Preset = preset(name)
    return found.run(found.datasets[0], method, 0, "full").config


@pytest.mark.parametrize("row", TUNED)
def test_the_study_has_the_settings_of_the_best_trial_and_equal_time(row):
    best = winner(row)
    assert settings("study", row) == settings("tuning", best)
    [path] = (TRIALS / "runs").glob(f"*/{best}/seed0/full/run.json")
    run = json.loads(path.read_text())
    expected = run["steps"] * STUDY_SECONDS / run["processor_seconds"]
    # The trials' seconds vary by a fifth on a shared machine, and Algorithm 1 searches more rarely as it goes on.
    assert expected * 0.8 < preset("study").methods[row].steps < expected * (1.5 if row.endswith("paper") else 1.25)


@pytest.mark.parametrize("row", [row for row in TUNED if "-" not in row])
def test_the_field_has_them_too_for_a_quarter_of_the_time(row):
    assert settings("field", row) == settings("study", row)
    share = preset("field").methods[row].steps / preset("study").methods[row].steps
    assert share == pytest.approx(FIELD_SECONDS / STUDY_SECONDS, rel=0.03)


def test_equal_steps_change_nothing_but_the_schedule():
    rows = preset("study").methods
    equal, adaptive = settings("study", "vanilla_imle-equal_steps"), settings("study", "adaptive_imle")
    assert rows["vanilla_imle-equal_steps"].steps == rows["adaptive_imle"].steps
    assert {key for key in equal if equal[key] != adaptive.get(key)} <= {"reassign_every"}


@pytest.mark.parametrize("name", ["factors", "crowding"])
def test_changes_of_one_setting_start_from_the_study(name):
    assert settings(name, "adaptive_imle") == settings("study", "adaptive_imle")


def test_rejection_changes_epsilon_alone():
    rejecting, plain = settings("crowding", "rs_imle-rejecting"), settings("study", "rs_imle")
    assert {key for key in plain if plain[key] != rejecting[key]} == {"epsilon"}
