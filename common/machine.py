"""What differs between machines and operating systems."""

from __future__ import annotations

import os


def usable_cpus() -> int:
    """How many CPUs this process may use: those of its affinity, or all where the system has none (macOS)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
