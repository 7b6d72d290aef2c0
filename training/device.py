"""Choose the device of a job, the CPU or a GPU, and explain what it cannot do."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from common.console import UserError
from common.machine import batch_job
from training import slots
from training.registry import method_info


def pick_device(name: str) -> torch.device:
    """`auto` takes a free slot of any visible GPU and waits for one if necessary; without GPUs it is the CPU.

    Raises `UserError` if a GPU is requested and there is none.
    """
    found = torch.cuda.device_count()
    given = found == 1 and batch_job()  # a batch system gave this one to this job only: there is nothing to wait for
    if name == "auto" and found and not given and not slots.held:
        slots.take(slots.visible_gpus(found), int(os.environ.get(slots.RUNS_PER_GPU, 1)))
    if name == "auto":
        name = "cuda" if found else "cpu"
    if not re.fullmatch(r"cpu|cuda(:\d+)?", name):
        raise UserError(f"--device {name}: expected auto, cpu, cuda or cuda:N")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= found:
        known = f"{found} GPU{'s' * (found > 1)}; use --device cuda:0" if found else "no GPU; use --device cpu"
        known += f" to cuda:{found - 1}" if found > 1 else ""
        raise UserError(f"--device {name}: torch {torch.__version__} sees {known}")
    return device


def device_for(method: str, name: str) -> torch.device:
    """`pick_device` for a job of one method; a control runs no network and leaves the GPUs to others."""
    return pick_device("cpu" if name == "auto" and not method_info(method).trains else name)


def measuring_device(name: str, threads: int) -> torch.device:
    """`pick_device`, with so many CPU threads and full float32 precision (no TF32)."""
    torch.set_num_threads(threads)
    torch.backends.cudnn.allow_tf32 = False
    return pick_device(name)


def check_gpu(name: str = "auto") -> None:
    """Raises `UserError` if a device of this name is no GPU; for trainings that need one (training.require_gpu)."""
    if name == "cpu":
        raise UserError("--device cpu contradicts training.require_gpu of the preset; leave one of them out")
    if name == "auto" and not torch.cuda.device_count():
        raise UserError(
            "training.require_gpu is set, but there is no GPU: `snakemake --cores all plan` estimates the hours on "
            "this CPU; a preset that fits a CPU is config/demo.yaml"
        )


@contextmanager
def memory_advice(what: str, way_out: str) -> Iterator[None]:
    """Turn running out of memory, on the GPU or on the CPU, into a `UserError` that says what to do."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        where = f"GPU memory{_gpu_memory()}" if isinstance(error, torch.OutOfMemoryError) else "memory"
        raise UserError(f"{what} ran out of {where}: {way_out}") from None


def out_of_memory(error: Exception) -> bool:
    """Is this Python's or torch's error of too little memory?  Torch's are `RuntimeError`s."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "DefaultCPUAllocator" in str(error)


@contextmanager
def equal_bits(wanted: bool, device: torch.device) -> Iterator[None]:
    """Let a GPU compute the same bits in every run (training.deterministic); on a CPU, runs do so without this.

    Raises `UserError` if torch has no such version of an operation that the block uses.
    """
    if not wanted or device.type != "cuda":
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it when it is first used
    torch.use_deterministic_algorithms(True)
    try:
        yield
    except RuntimeError as error:
        if found := re.match(r"(\S+) does not have a deterministic implementation", str(error)):
            raise UserError(
                f"training.deterministic is set, but torch {torch.__version__} has no deterministic {found[1]} for "
                "GPUs: remove the key, or train on the CPU"
            ) from None
        raise
    finally:
        torch.use_deterministic_algorithms(False)


def _gpu_memory() -> str:
    free, total = (size / 2**30 for size in torch.cuda.mem_get_info())
    own = torch.cuda.max_memory_reserved() / 2**30
    return f" ({total:.1f} GiB, of which this process had {own:.1f} and {free:.1f} were free)"
