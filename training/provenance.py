"""What is recorded with every run so that it can be repeated: code, versions, hardware."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from common.machine import batch_job, host, usable_cpus
from training.registry import ROOT

PACKAGES = ("torch", "numpy", "scipy", "safetensors", "snakemake")


def git_state() -> dict[str, Any]:
    """Commit of the checkout, whether its code differs from it, and why git gives no commit; each None if not known."""
    try:
        _git("ls-files", "--error-unmatch", "Snakefile")  # fails if only a folder above is a checkout, of other files
        commit = _git("rev-parse", "HEAD")
        changes = _git("status", "--porcelain", "--", "*.py", "*.smk", "*.yaml", "Snakefile")  # untracked files too
    except OSError as error:
        return {"git_commit": None, "git_dirty": None, "git_error": f"git cannot be run: {error.strerror}"}
    except subprocess.CalledProcessError as error:
        reason = error.stderr.replace(str(ROOT), ".").partition("\n")[0]  # without the path, which nobody else has
        return {"git_commit": None, "git_dirty": None, "git_error": reason}
    return {"git_commit": commit, "git_dirty": bool(changes), "git_error": None}


def _git(*arguments: str) -> str:
    return _output("git", *arguments)


def _output(*command: str) -> str:
    english = {**os.environ, "LC_ALL": "C"}
    done = subprocess.run(command, cwd=ROOT, env=english, capture_output=True, text=True, errors="replace", check=True)
    return done.stdout.strip()


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    if torch.version.cuda:
        found |= {"cuda": torch.version.cuda, "cudnn": str(torch.backends.cudnn.version())}
    return found


def hardware(device: torch.device) -> dict[str, Any]:
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return {"cpu": cpu_model(), "cores": usable_cpus(), "gpu": gpu, "threads": torch.get_num_threads()}


def segment(device: torch.device, step: int) -> dict[str, Any]:
    """Where and with which torch the part of a training that begins after `step` runs."""
    parts, job = hardware(device), batch_job()
    where = {"host": host(), "device": parts["gpu"] or parts["cpu"], "job": job and job.id}
    return {**where, "torch": torch.__version__, "first_step": step, "last_step": step}


def mixed_devices(segments: list[dict[str, Any]]) -> str | None:
    """One sentence if the segments of a training ran on different kinds of device or versions of torch, or None."""
    for key, what in (("device", "on"), ("torch", "with torch")):
        kinds = sorted({segment[key] for segment in segments if key in segment})  # no torch before version 0.5
        if len(kinds) > 1:
            return f"trained {what} {' and '.join(kinds)}: a run with one of them alone has other last bits"
    return None


def peak_memory_mb(device: torch.device) -> int:
    """Highest resident memory of this process, or of the GPU's allocator, in MiB."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) >> 20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak >> 20 if sys.platform == "darwin" else peak >> 10  # bytes on macOS, KiB on Linux


def cpu_model() -> str:
    try:
        if sys.platform == "darwin":
            return _output("sysctl", "-n", "machdep.cpu.brand_string")
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    except (OSError, subprocess.CalledProcessError):
        lines = []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
