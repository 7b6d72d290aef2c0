"""A training leaves its files and what they came from, and says what keeps it from doing so."""

from __future__ import annotations

import csv
import math
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path

import pytest
import torch

from common.console import UserError
from common.files import read_json
from common.hashing import sha256_file
from methods.api import Scalars
from methods.mixdl import MixDL
from tests.training.conftest import change_images, toy_preset, toy_run
from training import provenance
from training.config import RunConfig
from training.loop import FILES, Loop, train

OUT = Path("out")


def train_toy(run: RunConfig | None = None, **options: object) -> None:
    train(run or toy_run(), toy_preset().training, OUT, device="cpu", **options)


def test_a_run_leaves_all_its_files_and_its_provenance(workplace: Path) -> None:
    train_toy()
    assert {path.name for path in OUT.iterdir()} == set(FILES)
    run = read_json(OUT / "run.json")
    names = {"git_commit", "git_dirty", "git_error", "version", "versions", "hardware", "config_hash", "data_hash"}
    assert names <= run.keys()
    assert run["versions"]["torch"] == torch.__version__.split("+")[0] or run["versions"]["torch"] == torch.__version__
    assert (run["steps"], run["n_train"], run["dataset_title"], run["config"]["batch"]) == (12, 10, "toy", 2)
    with (OUT / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == [5, 10, 12]
    assert all(float(row["d_loss"]) > 0 for row in rows)


def test_segments_are_recorded_and_other_devices_are_pointed_out(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    step_of = MixDL.train_step
    monkeypatch.setattr(MixDL, "train_step", lambda self, step: {"x": math.nan} if step == 7 else step_of(self, step))
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    with pytest.raises(UserError, match="x became nan"):
        train_toy()
    monkeypatch.setattr(MixDL, "train_step", step_of)
    monkeypatch.setattr(provenance, "cpu_model", lambda: "another CPU")
    monkeypatch.setenv("SLURM_JOB_ID", "2")
    train_toy()
    run = read_json(OUT / "run.json")
    parts = [(part["job"], part["first_step"], part["last_step"]) for part in run["segments"]]
    assert parts == [("1", 0, 5), ("2", 5, 12)]
    assert "another CPU" in run["mixed_devices"]
    assert f"warning: {run['mixed_devices']}" in capsys.readouterr().err


def test_a_finished_run_is_copied_and_a_changed_one_trained_beside_it(workplace: Path) -> None:
    train_toy()
    first = read_json(OUT / "run.json")
    for file in OUT.iterdir():
        file.unlink()
    train_toy()
    assert read_json(OUT / "run.json") == first
    train_toy(toy_run(learning_rate=0.001))
    assert read_json(OUT / "run.json")["run_hash"] != first["run_hash"]
    change_images()
    train_toy()
    assert len({path.name for path in Path("state").iterdir()} | {first["run_hash"]}) == 3


@pytest.mark.parametrize("save_every", [4, 5])
def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_good_state(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, save_every: int
) -> None:
    """Scalars are read for the log, here after step 10, and before a state is saved, here after step 8 or 10."""
    healthy, nan = MixDL.train_step, {"d_loss": torch.tensor(math.nan)}
    monkeypatch.setattr(MixDL, "train_step", lambda self, step: healthy(self, step) | (nan if step == 7 else {}))
    with pytest.raises(UserError, match=r"d_loss became nan at step 8 of mixdl.*last good state is kept"):
        train(toy_run(), toy_preset().training.model_copy(update={"save_every": save_every}), OUT)
    (state,) = Path("state").iterdir()
    assert [path.name for path in state.glob("0*.json")] == [f"{save_every:09d}.json"]
    assert not OUT.exists()


@pytest.fixture
def hung_up(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The terminal is closed during step 7: SIGHUP comes twice, and nothing can be written to it any more."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup may run the tests
    healthy = MixDL.train_step

    def step(self: MixDL, step: int) -> Scalars:
        if step == 7:
            os.kill(os.getpid(), signal.SIGHUP)
            os.kill(os.getpid(), signal.SIGHUP)
        return healthy(self, step)

    def closed(*_: object) -> int:
        raise OSError("Input/output error")

    monkeypatch.setattr(MixDL, "train_step", step)
    monkeypatch.setattr(os, "write", closed)
    monkeypatch.setattr(os, "dup2", lambda *_: 2)
    yield
    signal.signal(signal.SIGHUP, before)


def test_a_closed_terminal_saves_the_state(workplace: Path, hung_up: None) -> None:
    with pytest.raises(SystemExit) as leaving:
        train_toy()
    assert leaving.value.code == 128 + signal.SIGHUP
    (state,) = Path("state").iterdir()
    assert max(state.glob("0*.json")).name == "000000008.json"
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_DFL


def test_under_nohup_a_closed_terminal_stops_nothing(workplace: Path, hung_up: None) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        train_toy()
    finally:
        signal.signal(signal.SIGHUP, before)
    assert (OUT / "run.json").exists()


def test_checkpoints_are_the_weights_that_a_shorter_training_ends_with(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if the training stops in between, and the file of a step is written again."""
    monkeypatch.setattr("time.process_time", partial(next, count()))  # each step takes a second
    intervals = toy_preset().training.model_copy(update={"checkpoints": (0.25, 0.6)})
    step_of = MixDL.train_step
    monkeypatch.setattr(MixDL, "train_step", lambda self, step: {"x": math.nan} if step == 9 else step_of(self, step))
    with pytest.raises(UserError, match="x became nan"):
        train(toy_run(), intervals, OUT)
    monkeypatch.setattr(MixDL, "train_step", step_of)
    train(toy_run(), intervals, OUT)
    run = read_json(OUT / "run.json")
    assert [checkpoint["step"] for checkpoint in run["checkpoints"]] == [3, 7]
    assert [checkpoint["processor_seconds"] for checkpoint in run["checkpoints"]] == [3, 7]
    assert run["processor_seconds"] == 12
    for checkpoint in run["checkpoints"]:
        train(replace(toy_run(), steps=checkpoint["step"]), toy_preset().training, Path("short"))
        short = read_json(Path("short/run.json"))["files"]["model.safetensors"]
        assert sha256_file(OUT / checkpoint["file"]) == short == run["files"][checkpoint["file"]]


def test_a_checkpoint_that_a_finished_run_does_not_have_is_asked_for_in_vain(workplace: Path) -> None:
    train_toy()
    with pytest.raises(UserError, match=r"has no weights of step 6: `training\.checkpoints` was changed"):
        train(toy_run(), toy_preset().training.model_copy(update={"checkpoints": (0.5,)}), OUT)


def test_a_checkpoint_that_a_stopped_training_has_passed_is_refused_before_it_goes_on(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step_of = MixDL.train_step
    monkeypatch.setattr(MixDL, "train_step", lambda self, step: {"x": math.nan} if step == 9 else step_of(self, step))
    with pytest.raises(UserError, match="x became nan"):
        train_toy()
    later = toy_preset().training.model_copy(update={"checkpoints": (0.25,)})
    with pytest.raises(UserError, match=r"has no weights of step 3: `training\.checkpoints` was changed"):
        train(toy_run(), later, OUT)


def test_damaged_weights_of_a_checkpoint_are_not_sealed_again(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only training can make them again; those of the last step are written from the saved state."""
    intervals = toy_preset().training.model_copy(update={"checkpoints": (0.25,)})
    train(toy_run(), intervals, OUT)
    [weights] = Path("state").glob("*/checkpoint_000000003.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    monkeypatch.setattr(Loop, "advance", lambda self: pytest.fail("trained before the weights were looked at"))
    with pytest.raises(UserError, match=r"checkpoint_000000003.safetensors is damaged or missing; delete"):
        train(toy_run(), intervals, OUT)
