"""Signals that ask a training to stop: it saves its state after the step in progress."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


@contextmanager
def caught_signals() -> Iterator[list[int]]:
    """Record SIGINT, SIGTERM and SIGHUP (a closed terminal) instead of exiting.

    The second SIGINT or SIGTERM ends the process as usual; shells repeat SIGHUP.  Under nohup, SIGHUP stays ignored.
    """
    caught: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        caught.append(number)
        signal.signal(number, signal.SIG_IGN if number == signal.SIGHUP else previous[number])
        try:
            os.write(2, b"\nsaving the state after this step; repeat to stop at once\n")
        except OSError:  # standard error was the terminal: later messages must not fail, either
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)

    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    previous: dict[int, Any] = {number: signal.signal(number, note) for number in numbers}
    try:
        yield caught
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
