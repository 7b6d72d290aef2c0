"""Share GPUs between jobs: one job per GPU, or as many as the configuration allows (training.runs_per_gpu).

No torch here.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from common.console import say

RUNS_PER_GPU = "RUNS_PER_GPU"  # environment variable, set by the workflow from training.runs_per_gpu
POLL_SECONDS = 5.0
held: list[TextIO] = []  # kept open, and so locked, until this process ends


def visible_gpus(count: int) -> list[str]:
    """What CUDA_VISIBLE_DEVICES calls each of the `count` GPUs that torch sees."""
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    return [part.strip() for part in listed.split(",")][:count] if listed else [str(index) for index in range(count)]


def take(gpus: Sequence[str], per_gpu: int, folder: Path | None = None) -> None:
    """Claim one of `per_gpu` slots of one of `gpus` until this process ends, and make only that GPU visible to it.

    A slot is a locked file, so it is free again when its process ends or is killed.  GPUs with fewer jobs come first.
    Call this before the first use of CUDA, which reads CUDA_VISIBLE_DEVICES once.
    """
    folder = folder or Path(tempfile.gettempdir(), f"few-shot-gpu-slots-{os.getuid()}")
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
