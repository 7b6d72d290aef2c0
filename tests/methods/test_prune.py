"""Only what nothing refers to is superseded, and nothing is removed before somebody says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.files import write_json
from data.load import data_hash
from training.checkpoint import RunState
from training.config import load_config, run_settings
from training.identity import claim, run_identity
from training.prune import prune, survey


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The smoke preset with FastGAN alone, in a folder with the data that it trains on."""
    images = np.zeros((4, 32, 32, 3), np.uint8)
    folder = tmp_path / "data/prepared/32/openmoji_faces"
    folder.mkdir(parents=True)
    np.save(folder / "images.npy", images)
    split = {"train": [0, 1, 2], "heldout": [3]}
    write_json(folder / "manifest.json", {"array_sha256": data_hash(images), "split": split})
    monkeypatch.chdir(tmp_path)
    found = load_config("smoke")
    found["methods"] = {"fastgan": found["methods"]["fastgan"]}
    return found


def save(config: dict[str, Any], **changes: Any) -> Path:
    """A state as a training leaves it; returns its folder.  changes: of the run's settings."""
    settings = run_settings(config, "openmoji_faces", "fastgan", 0, "full") | changes
    images = np.load("data/prepared/32/openmoji_faces/images.npy")
    identity = run_identity(settings, data_hash(images), "cpu")
    with RunState(Path("state", identity["run_hash"])) as state:
        claim(state.folder, settings, identity)
        state.save(3, {"value": 1}, {})
    return state.folder


def test_a_run_that_the_configuration_no_longer_asks_for_is_superseded_and_told_why(config: dict[str, Any]) -> None:
    current, old = save(config), save(config, steps=5)
    verdicts = {saved.folder: (saved.kept, saved.why) for saved in survey(config)}
    assert verdicts == {current: ("current", ""), old: ("", "steps is 5 there and 6 here")}


def test_nothing_is_removed_until_told(config: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    current, old = save(config), save(config, steps=5)
    prune(config, delete=False, command="snakemake prune_now")
    assert old.exists()
    shown = capsys.readouterr()
    assert "superseded: steps is 5 there and 6 here" in shown.out
    assert "1 of 2 saved states superseded" in shown.err
    assert "to remove them: snakemake prune_now" in shown.err
    prune(config, delete=True, command="")
    assert current.exists()
    assert not old.exists()


def test_what_others_need_is_kept(config: dict[str, Any]) -> None:
    shown = save(config, steps=5)
    write_json("results/smoke/runs/openmoji_faces/fastgan/seed0/full/run.json", {"run_hash": shown.name})
    other = save(config, steps=4, preset="paper")
    held = save(config, steps=3)
    Path("state/0123").mkdir()
    with RunState(held):
        found = {saved.folder: saved.kept for saved in survey(config)}
    assert found[shown] == "results/ shows it"
    assert found[other] == "of the preset paper"
    assert "is training in" in found[held]
    assert found[Path("state/0123")].startswith("cannot be told")


def test_a_method_that_left_the_configuration_leaves_its_states(config: dict[str, Any]) -> None:
    old = save(config)
    config["methods"] = {"mixdl": load_config("smoke")["methods"]["mixdl"]}
    [saved] = survey(config)
    assert (saved.folder, saved.kept, saved.why) == (old, "", "no longer in the configuration")
