"""GPU slots are shared between processes: each is given once, and comes back when its process is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from training import slots

HOLD = """
import os, sys
from pathlib import Path
from training import slots
slots.POLL_SECONDS = 0.05
slots.take(["3", "GPU-abc"], 2, Path({folder!r}))
print(os.environ["CUDA_VISIBLE_DEVICES"], flush=True)
sys.stdin.read()
"""


def holder(folder: Path) -> subprocess.Popen[str]:
    code = HOLD.format(folder=str(folder))
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    return subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, text=True, **pipes)


def test_every_slot_is_given_once_and_the_next_run_waits_for_a_killed_one(tmp_path: Path) -> None:
    holders = [holder(tmp_path) for _ in range(4)]
    try:
        gpus = [process.stdout.readline().strip() for process in holders]
        assert sorted(gpus) == ["3", "3", "GPU-abc", "GPU-abc"]
        holders.append(late := holder(tmp_path))
        said = late.stderr.readline()
        assert said.startswith("every GPU slot is taken (by processes ")
        assert all(str(process.pid) in said for process in holders[:4])
        holders[1].send_signal(signal.SIGKILL)
        assert late.stdout.readline().strip() == gpus[1]
    finally:
        for process in holders:
            process.kill()
            process.communicate()


def test_idle_gpus_come_before_second_slots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "held", [])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    given = []
    for _ in range(4):
        slots.take(["0", "1"], 2, tmp_path)
        given.append(os.environ["CUDA_VISIBLE_DEVICES"])
    assert given == ["0", "1", "0", "1"]


def test_gpus_are_told_apart_by_their_uuids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container, the GPU with index 0 can be any of the machine."""
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho '0, GPU-aa, A100'\necho '1, GPU-bb, A100'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert slots.visible_gpus(2) == ["GPU-aa", "GPU-bb"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,GPU-cc,MIG-7")
    assert slots.visible_gpus(3) == ["GPU-bb", "GPU-cc", "MIG-7"]
    program.write_text("#!/bin/sh\necho '0, GPU-aa, T400'\necho '1, GPU-bb, A100'\n")  # CUDA begins with the A100
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert slots.visible_gpus(1) == ["0"]
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    assert slots.visible_gpus(1) == ["GPU-aa"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,GPU-cc,MIG-7")
    program.write_text("#!/bin/sh\nexit 9\n")
    assert slots.visible_gpus(3) == ["1", "GPU-cc", "MIG-7"]
