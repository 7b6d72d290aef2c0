"""A saved state is whole or it does not exist, and it has one owner."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from common.console import UserError
from training.checkpoint import RunState


def example(value: float) -> dict:
    weights = torch.full((3, 2), value)
    return {
        "network": {"weight": weights, "tied": weights},
        "optimizer": {"state": {0: {"step": torch.tensor(7.0)}, 1: {}}, "groups": [{"lr": 0.1, "foreach": None}]},
        "ages": torch.arange(4),
        "name": "x",
    }


def test_round_trip_keeps_types_keys_and_bits(tmp_path: Path) -> None:
    with RunState(tmp_path) as state:
        assert state.load("cpu") is None
        state.save(3, example(0.1), {"history": [{"step": 3}]})
        step, loaded, record = state.load("cpu")
    assert (step, record) == (3, {"history": [{"step": 3}]})
    assert torch.equal(loaded["network"]["weight"], torch.full((3, 2), 0.1))
    assert torch.equal(loaded["network"]["tied"], loaded["network"]["weight"])
    assert list(loaded["optimizer"]["state"]) == [0, 1]
    assert loaded["optimizer"]["groups"] == [{"lr": 0.1, "foreach": None}]
    assert loaded["ages"].dtype == torch.int64


def test_two_generations_are_kept(tmp_path: Path) -> None:
    with RunState(tmp_path) as state:
        for step in (1, 2, 3):
            state.save(step, example(step), {})
    assert sorted(p.name for p in tmp_path.glob("0*")) == [
        "000000002.json",
        "000000002.safetensors",
        "000000003.json",
        "000000003.safetensors",
    ]


def test_a_second_process_is_refused_and_told_whose_run_it_is(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from training.checkpoint import RunState\n"
        f"with RunState(Path({str(tmp_path)!r})): print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline().strip() == "held"
        with pytest.raises(UserError, match=f"process {holder.pid} is training in"):
            RunState(tmp_path)
    finally:
        holder.communicate("")
    RunState(tmp_path).close()


def test_what_json_cannot_hold_is_refused_by_name(tmp_path: Path) -> None:
    with RunState(tmp_path) as state, pytest.raises(TypeError, match="/optimizer/bad is a set"):
        state.save(1, {"optimizer": {"bad": {1, 2}}}, {})
