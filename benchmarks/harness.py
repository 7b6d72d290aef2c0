"""Two ways to the same result, timed in turn: how often is ours faster, and how much memory does each take?

Each side has a process of its own, so that its peak memory is its own; the sides take turns, so that a machine that
slows down slows down both.  Their results are compared before anything is timed.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import re
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Row:
    """One line of the report.  ratio: how often ours is better; ours, theirs: what was measured, in `unit`."""

    name: str
    ratio: float
    ours: float
    theirs: float
    unit: str
    against: str
    repetitions: int = 1
    ours_mb: float | None = None  # peak memory beyond the input's, in MiB
    theirs_mb: float | None = None


@dataclass(frozen=True)
class Benchmark:
    """What is compared.  All functions are at the top level of a module, since other processes import them.

    setup: makes the input, the same for both sides.  ours, theirs: from that input to a result.  check: raises if the
    results differ by more than they may.  against: what `theirs` is, in words.
    """

    name: str
    against: str
    setup: Callable[[], Any]
    ours: Callable[[Any], Any]
    theirs: Callable[[Any], Any]
    check: Callable[[Any, Any], None]

    def rows(self, repetitions: int, threads: int) -> list[Row]:
        """Medians over `repetitions`, after one run that warms up and whose results are compared."""
        with ExitStack() as stack:
            sides = [Side(stack, self.setup, function, threads) for function in (self.ours, self.theirs)]
            first = [side.run() for side in sides]
            self.check(first[0].result, first[1].result)
            seconds = [[side.run().seconds for side in sides] for _ in range(repetitions)]
            memory = [side.run().peak_mb for side in sides]
        ours, theirs = (median(found) for found in zip(*seconds, strict=True))
        return [Row(self.name, theirs / ours, ours, theirs, "s", self.against, repetitions, *memory)]


@dataclass(frozen=True)
class Measurement:
    """A comparison of something else than seconds.  measure: does it, in this process."""

    name: str
    measure: Callable[[], list[Row]]

    def rows(self, repetitions: int, threads: int) -> list[Row]:
        import torch

        torch.set_num_threads(threads)
        return self.measure()


@dataclass(frozen=True)
class Run:
    """seconds, peak memory beyond the input's in MiB, and the result."""

    seconds: float
    peak_mb: float
    result: Any


class Side:
    """A process that holds the input and runs one side of a benchmark when asked to."""

    def __init__(
        self, stack: ExitStack, setup: Callable[[], Any], function: Callable[[Any], Any], threads: int
    ) -> None:
        os.environ |= {name: str(threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}  # read at import
        context = multiprocessing.get_context("spawn")
        self.process = stack.enter_context(ProcessPoolExecutor(1, mp_context=context))
        self.arguments = setup, function, threads

    def run(self) -> Run:
        return self.process.submit(_run, *self.arguments).result()


_input: list[Any] = []  # of the process that runs one side


def _run(setup: Callable[[], Any], function: Callable[[Any], Any], threads: int) -> Run:
    if not _input:
        import torch

        torch.set_num_threads(threads)
        _input.append(setup())
    before = _forget_peak()
    began = time.perf_counter()
    result = function(_input[0])
    return Run(time.perf_counter() - began, _memory_mb("VmHWM") - before, result)


def _forget_peak() -> float:
    """Reset the peak (proc(5), clear_refs) to the memory in use, which is returned in MiB."""
    with suppress(AttributeError):  # where the C library is not glibc, what it keeps for later counts as in use
        ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return _memory_mb("VmRSS")


def _memory_mb(key: str) -> float:
    found = re.search(rf"{key}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) / 1024
