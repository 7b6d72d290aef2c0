"""A saved state is complete or it does not exist; it has one owner; reading it runs no code."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from common.console import UserError
from common.files import read_sealed, write_sealed
from common.hashing import sha256_file
from tests.files import flip
from training.checkpoint import RunState

CPU = torch.device("cpu")


def example(value: float) -> dict[str, Any]:
    return {
        "network": {"weight": torch.full((3, 2), value)},
        "optimizer": {"state": {0: {"step": torch.tensor(7.0)}, 1: {}}, "groups": [{"lr": 0.1, "foreach": None}]},
        "ages": torch.arange(4),
    }


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A folder with the generations of steps 1 to 3, of which two are kept."""
    with RunState(tmp_path / "run") as state:
        for step in (1, 2, 3):
            state.save(step, example(step), {"history": [{"step": step}]})
    return tmp_path / "run"


def load(folder: Path) -> tuple[int, dict[str, Any], dict[str, Any]] | None:
    with RunState(folder) as state:
        return state.load(CPU)


def test_round_trip_keeps_types_keys_and_bits(saved: Path, tmp_path: Path) -> None:
    step, state, record = load(saved)
    assert (step, record) == (3, {"history": [{"step": 3}]})
    assert torch.equal(state["network"]["weight"], torch.full((3, 2), 3.0))
    assert state["optimizer"] == example(3)["optimizer"]
    assert state["ages"].dtype == torch.int64
    assert sorted(path.stem for path in saved.glob("0*.pt")) == ["000000002", "000000003"]
    assert load(tmp_path / "new") is None


@pytest.mark.parametrize("name", ["000000003.pt", "000000003.json"])
def test_a_damaged_newest_generation_is_set_aside_for_the_one_before(saved: Path, name: str) -> None:
    flip(saved / name)
    assert load(saved)[0] == 2
    assert (saved / "000000003.json.damaged").exists()


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), OSError(5, "Input/output error")])
def test_too_little_memory_and_a_failing_disk_set_no_state_aside(
    saved: Path, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise error

    with monkeypatch.context() as patched, pytest.raises(type(error)):
        patched.setattr(torch, "load", refuse)
        load(saved)
    assert load(saved)[0] == 3


def test_a_renamed_folder_has_its_run_and_no_other(saved: Path) -> None:
    moved = saved.rename(saved.with_name("copy"))
    with RunState(moved, run_hash="run") as state:
        assert state.load(CPU)[0] == 3
    with RunState(moved, run_hash="another") as state:
        assert state.load(CPU) is None


class Evil:
    """What pickle would run on loading."""

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, ("import pathlib; pathlib.Path('ran').touch()",)


def test_loading_runs_no_code(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(saved)
    torch.save({"network": Evil()}, saved / "000000003.pt")
    record = read_sealed(saved / "000000003.json")
    write_sealed(saved / "000000003.json", {**record, "sha256": sha256_file(saved / "000000003.pt")})
    assert load(saved)[0] == 2
    assert not (saved / "ran").exists()


def test_a_state_with_nan_is_refused_by_name_and_not_written(saved: Path) -> None:
    with RunState(saved) as state, pytest.raises(UserError, match=r"network/weight holds NaN or infinity at step 4"):
        state.save(4, example(math.nan), {})
    assert load(saved)[0] == 3
