"""Only what nothing refers to is superseded, and nothing is removed unless asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.files import write_json
from data.load import data_hash
from tests.training.conftest import toy_preset, toy_run
from training.checkpoint import RunState
from training.config import RunConfig
from training.identity import claim, run_identity
from training.prune import prune, survey

pytestmark = pytest.mark.usefixtures("workplace")


def save(run: RunConfig) -> Path:
    """A state as a training leaves it; returns its folder."""
    images = np.load("data/prepared/16/openmoji_faces/images.npy")
    identity = run_identity(run, data_hash(images), "cpu")
    with RunState(Path("state", identity["run_hash"])) as state:
        claim(state.folder, run, identity)
        state.save(3, {"value": 1}, {})
    return state.folder


def verdicts(preset: Any) -> dict[Path, tuple[str, str]]:
    return {saved.folder: (saved.kept, saved.why) for saved in survey(preset)}


def test_a_run_that_the_configuration_no_longer_asks_for_is_superseded_with_the_reason() -> None:
    current, old = save(toy_run()), save(toy_run(steps=5))
    assert verdicts(toy_preset()) == {current: ("current", ""), old: ("", "steps is 5 there and 12 here")}
    alone = toy_preset().model_copy(update={"methods": {"control_real": toy_preset().methods["control_real"]}})
    assert verdicts(alone)[current][0].startswith("unfinished, though not in this configuration")
    (current / "run.json").touch()
    assert verdicts(alone)[current] == ("", "no longer in the configuration")


def test_nothing_is_removed_unless_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    current, old = save(toy_run()), save(toy_run(steps=5))
    prune(toy_preset(), delete=False)
    assert old.exists()
    shown = capsys.readouterr()
    assert "superseded: steps is 5 there and 12 here" in shown.out
    assert "1 of 2 saved states superseded" in shown.err
    assert "nothing was removed" in shown.err
    prune(toy_preset(), delete=True)
    assert current.exists()
    assert not old.exists()


def test_what_others_need_is_kept() -> None:
    shown = save(toy_run(steps=5))
    write_json("results/toy/runs/openmoji_faces/mixdl/seed0/full/run.json", {"run_hash": shown.name})
    other = save(RunConfig(**{**vars(toy_run(steps=4)), "preset": "paper"}))
    held = save(toy_run(steps=3))
    Path("state/0123").mkdir()
    with RunState(held):
        found = {folder: kept for folder, (kept, _) in verdicts(toy_preset()).items()}
    assert found[shown] == "used in results/"
    assert found[other] == "belongs to the preset paper"
    assert "is training in" in found[held]
    assert found[Path("state/0123")].startswith("cannot be checked")
