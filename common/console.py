"""Console output of every command: one-sentence errors, progress, plain logs."""

from __future__ import annotations

import argparse
import atexit
import gc
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from tqdm import tqdm


class UserError(Exception):
    """An error that the user can fix.  Its text names the file or key and says what to do."""


def run(main: Callable[[], None]) -> None:
    """Run a command line.  A `UserError` or a full disk ends it with one sentence and code 1, Ctrl-C with code 130."""
    collect_garbage_rarely()
    with explained():
        main()


def collect_garbage_rarely() -> None:
    """Start and end faster: by default, Python goes through all objects again and again while modules are imported, and
    once more at its end.  With torch's 2,000 modules, that is a third of the processor time of an import."""
    gc.set_threshold(5000)  # new objects between two searches; 700 before Python 3.13
    atexit.register(gc.freeze)  # leave them to the operating system


@contextmanager
def explained() -> Iterator[None]:
    """End the process with one sentence instead of a traceback for errors that the user can fix."""
    try:
        yield
    except UserError as error:
        sys.exit(f"error: {error}")
    except BrokenPipeError:  # the reader has enough, as in `... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(128 + signal.SIGPIPE)
    except OSError as error:
        # Permission denied, no space left, read-only file system: not bugs; the user can fix them.
        sys.exit(f"error: {error.strerror or error}{f': {error.filename}' if error.filename else ''}")
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


@contextmanager
def script(log: str) -> Iterator[None]:
    """Run a Snakemake `script:`: everything it prints goes to the rule's log; errors end it as in `run`."""
    collect_garbage_rarely()
    with open(log, "w", encoding="utf-8") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    with explained():
        yield


def command(
    commands: Any, name: str, act: Callable[[argparse.Namespace], None], summary: str, examples: str
) -> argparse.ArgumentParser:
    """Add a command to the subparsers of a command line; `act` runs it, given the parsed arguments."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=summary,
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(act=act)
    return parser


def positive(text: str) -> int:
    """The type of an argument that is a whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", required=True, help="a preset's name or file (demo means config/demo.yaml)")


def add_threads(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--threads", type=positive, default=1, help="CPU threads (default: 1)")


def add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto, the GPU if any)")


class Progress:
    """A tqdm bar with the remaining time on a terminal; in a log, one plain line every `every` seconds.

    >>> with Progress(total=1000, label="train") as progress:
    ...     progress.advance(note="loss 0.31")
    """

    def __init__(self, total: int, label: str, initial: int = 0, every: float = 10.0) -> None:
        self.total, self.label, self.done, self.initial, self.every = total, label, initial, initial, every
        self.started = self.last_line = time.monotonic()
        self.bar = tqdm(total=total, initial=initial, desc=label, leave=False) if sys.stderr.isatty() else None

    def advance(self, count: int = 1, note: str = "") -> None:
        self.done += count
        if self.bar is not None:
            with suppress(OSError):  # the terminal was closed, which is no reason to lose work
                self.bar.set_postfix_str(note, refresh=False)
                self.bar.update(count)
        elif time.monotonic() - self.last_line >= self.every or self.done == self.total:
            self.last_line = time.monotonic()
            say(f"{self.label} {self.done}/{self.total}, {self._eta()} left{', ' + note if note else ''}")

    def _eta(self) -> str:
        rate = (self.done - self.initial) / max(time.monotonic() - self.started, 1e-9)
        seconds = int((self.total - self.done) / max(rate, 1e-9))
        return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            with suppress(OSError):
                self.bar.close()


def say(message: str) -> None:
    """One line to standard error, at once (standard output is kept for results)."""
    tqdm.write(message, file=sys.stderr)
    sys.stderr.flush()
