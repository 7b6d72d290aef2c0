"""A saved state has one owner, who is named with the command that stops it, also where locks do nothing."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch

from common.console import UserError
from common.machine import host
from tests.conftest import ROOT
from training import ownership
from training.checkpoint import RunState

HOLD = "import sys; from training.ownership import Ownership; from pathlib import Path\n"
HOLD += "held = Ownership(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
STATE = {"weight": torch.zeros(2)}


@pytest.mark.parametrize(
    ("variable", "named", "stop"),
    [
        ("NONE", "", "kill {pid}"),
        ("SLURM_JOB_ID", " \\(job 1072\\)", "scancel 1072"),
        ("LSB_JOBID", ".*", "bkill 1072"),
    ],
)
def test_a_second_process_is_refused_and_told_how_to_stop_the_owner(
    variable: str, named: str, stop: str, tmp_path: Path
) -> None:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    holder = subprocess.Popen(command, cwd=ROOT, env={**os.environ, variable: "1072"}, text=True, **pipes)
    try:
        assert holder.stdout.readline().strip() == "held"
        who = f"process {holder.pid} on {host()}{named} is training in"
        with pytest.raises(UserError, match=f"{who} .*; wait for it, or stop it with: {stop.format(pid=holder.pid)}$"):
            RunState(tmp_path)
    finally:
        holder.communicate("")
    RunState(tmp_path).close()


def test_a_job_waits_for_the_owner_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ownership, "POLL_SECONDS", 0.01)
    first = RunState(tmp_path)
    with pytest.raises(UserError, match="wait for it"):
        RunState(tmp_path, wait=0.05)
    threading.Timer(0.2, first.close).start()
    RunState(tmp_path, wait=60).close()
    assert capsys.readouterr().err.count("waiting for it, at most") == 2  # once by each, however often they looked


@pytest.mark.parametrize("error", [None, errno.ENOSYS, errno.ENOLCK])
def test_where_locks_do_nothing_only_the_last_owner_saves(
    error: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(file: object, operation: int) -> None:
        if error:
            raise OSError(error, os.strerror(error))

    monkeypatch.setattr(fcntl, "flock", flock)
    with RunState(tmp_path) as first, RunState(tmp_path) as second:
        second.save(2, STATE, {})
        with pytest.raises(UserError, match=r"has taken over .*, and this process stops without saving"):
            first.save(1, STATE, {})
        assert [path.stem for path in tmp_path.glob("0*.json")] == ["000000002"]
        second.save(3, STATE, {})
