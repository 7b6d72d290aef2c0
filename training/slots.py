"""Share GPUs between jobs: one job per GPU, or as many as the configuration allows (training.runs_per_gpu).

No torch here.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from common.console import say
from common.machine import batch_job, host

RUNS_PER_GPU = "RUNS_PER_GPU"  # environment variable, set by the workflow from training.runs_per_gpu
POLL_SECONDS = 5.0
held: list[TextIO] = []  # kept open, and so locked, until this process ends


def visible_gpus(count: int) -> list[str]:
    """A name of each of the `count` GPUs that torch sees, as CUDA_VISIBLE_DEVICES takes it.

    It is the UUID where `nvidia-smi` gives it: in two containers, the index 0 can be two GPUs, and one GPU have two.
    """
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = [part.strip() for part in listed.split(",")][:count] if listed else [str(index) for index in range(count)]
    uuids = _uuids()
    return [uuids.get(name, name) for name in names]


def _uuids() -> dict[str, str]:
    """The UUID of each index, as CUDA counts; nothing where it may count in another order than nvidia-smi.

    By default CUDA begins with the fastest GPU, so the two orders are surely the same only if all are of one kind.
    """
    command = ["nvidia-smi", "--query-gpu=index,uuid,name", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return {}
    gpus = [line.split(", ", 2) for line in done.stdout.splitlines() if line.count(", ") >= 2]
    same = len({name for _, _, name in gpus}) < 2 or os.environ.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID"
    return {index: uuid for index, uuid, _ in gpus} if same else {}


def slots_folder() -> Path:
    """Where the slots of this user on this host are; of this job, if a batch system gave it GPUs of its own."""
    job = batch_job()
    parts = ["few-shot-gpu-slots", str(os.getuid()), host(), *([job.id] if job else [])]
    return Path(tempfile.gettempdir(), "-".join(parts))


def take(gpus: Sequence[str], per_gpu: int, folder: Path | None = None) -> None:
    """Claim one of `per_gpu` slots of one of `gpus` until this process ends, and make only that GPU visible to it.

    A slot is a locked file, so it is free again when its process ends or is killed.  GPUs with fewer jobs come first.
    Call this before the first use of CUDA, which reads CUDA_VISIBLE_DEVICES once.
    """
    folder = folder or slots_folder()
    folder.mkdir(exist_ok=True)
    places = [(gpu, folder / f"{gpu}-{index}".replace("/", "_")) for index in range(per_gpu) for gpu in gpus]
    waiting = False
    while True:
        for gpu, path in places:
            if handle := _locked(path):
                held.append(handle)
                os.environ["CUDA_VISIBLE_DEVICES"] = gpu
                return
        if not waiting:
            owners = ", ".join(path.read_text() or "unknown" for _, path in places)
            say(f"every GPU slot is taken (by processes {owners}); waiting for one (training.runs_per_gpu: {per_gpu})")
            waiting = True
        time.sleep(POLL_SECONDS)


def _locked(path: Path) -> TextIO | None:
    handle = path.open("a+")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.close()
        return None
    handle.truncate(0)
    handle.write(str(os.getpid()))
    handle.flush()
    return handle
