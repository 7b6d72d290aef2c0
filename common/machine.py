"""What differs between machines, operating systems and batch systems."""

from __future__ import annotations

import getpass
import os
import socket
from typing import NamedTuple

BATCH_SYSTEMS = {"SLURM_JOB_ID": "scancel", "PBS_JOBID": "qdel", "LSB_JOBID": "bkill"}  # SLURM, PBS and LSF


class BatchJob(NamedTuple):
    """A job of a batch system.  cancel: the command that ends it."""

    id: str
    cancel: str


def batch_job() -> BatchJob | None:
    """The batch job that this process belongs to, which owns its GPUs and can be cancelled; None outside of one."""
    found = [(os.environ[variable], command) for variable, command in BATCH_SYSTEMS.items() if variable in os.environ]
    return BatchJob(found[0][0], f"{found[0][1]} {found[0][0]}") if found else None


def host() -> str:
    """The name of this machine, without its domain."""
    return socket.gethostname().partition(".")[0]


def usable_cpus() -> int:
    """How many CPUs this process may use: those of its affinity, or all where the system has none (macOS)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def name_user() -> None:
    """Name a user that has only a number, as in `docker run --user 1000`: Snakemake and torch ask for a name."""
    try:
        getpass.getuser()
    except (KeyError, OSError):
        os.environ["LOGNAME"] = f"user{os.getuid()}"
