"""Two ways to the same result, timed in turn: how often is ours faster, and how much memory does each take?

Each side lives in a process of its own, so that its peak memory is its own; the sides take turns, so that a machine
that slows down slows down both.  Before anything is timed, their results are compared.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Benchmark:
    """What is compared.  All functions stand at the top level of a module, since other processes import them.

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
        sides = [Side(self.setup, function, threads) for function in (self.ours, self.theirs)]
        try:
            results = [side.run() for side in sides]
            self.check(results[0][2], results[1][2])
            seconds: list[list[float]] = [[], []]
            for _ in range(repetitions):
                for side, found in zip(sides, seconds, strict=True):
                    taken, _, _ = side.run()
                    found.append(taken)
            memory = [side.run()[1] for side in sides]
        finally:
            for side in sides:
                side.stop()
        ours, theirs = (median(found) for found in seconds)
        return [Row(self.name, theirs / ours, ours, theirs, "s", self.against, repetitions, *memory)]


class Side:
    """A process that holds the input and runs one side of a benchmark when asked to."""

    def __init__(self, setup: Callable[[], Any], function: Callable[[Any], Any], threads: int) -> None:
        os.environ |= {name: str(threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}  # read at import
        context = multiprocessing.get_context("spawn")
        self.pipe, other = context.Pipe()
        self.process = context.Process(target=_serve, args=(other, setup, function, threads))
        self.process.start()

    def run(self) -> tuple[float, float, Any]:
        """Seconds, MiB of peak memory beyond the input's, and the result."""
        self.pipe.send("run")
        answer = self.pipe.recv()
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def stop(self) -> None:
        self.process.terminate()


def _serve(pipe: Connection, setup: Callable[[], Any], function: Callable[[Any], Any], threads: int) -> None:
    import torch

    torch.set_num_threads(threads)
    try:
        given = setup()
        while pipe.recv():
            before = _forget_peak()
            began = time.perf_counter()
            result = function(given)
            pipe.send((time.perf_counter() - began, _memory_mb("VmHWM") - before, result))
    except Exception as error:  # what went wrong belongs to whoever waits at the other end
        pipe.send(error)


def _forget_peak() -> float:
    """Start the peak anew (proc(5), clear_refs) from the memory in use, which is returned in MiB."""
    with suppress(AttributeError):  # where the C library is not glibc, what it keeps for later counts as in use
        ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return _memory_mb("VmRSS")


def _memory_mb(key: str) -> float:
    status = Path("/proc/self/status").read_text()
    return int(re.search(rf"{key}:\s+(\d+) kB", status)[1]) / 1024  # type: ignore[index]


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
class Measurement:
    """A comparison of something else than seconds.  measure: does it, in this process."""

    name: str
    measure: Callable[[], list[Row]]

    def rows(self, repetitions: int, threads: int) -> list[Row]:
        import torch

        torch.set_num_threads(threads)
        return self.measure()
