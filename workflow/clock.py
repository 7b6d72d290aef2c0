"""Files dated in the future, as a clock that was set back leaves them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from data.console import say

TOLERANCE = 60  # seconds: a file server's clock may be a little ahead
TRACKED = ("data", "methods", "metrics", "results", "workflow")  # where the rules' inputs and outputs lie


def redate(folders: Iterable[str] = TRACKED) -> int:
    """Date every file from the future now, in the order that these files had; return how many there were.

    Snakemake would fail each job that reads such a file, until the clock has caught up, and would take what was made
    from it meanwhile for out of date.  Links are left alone, and files that this user may not touch.
    """
    now = time.time_ns()
    dates = {path: path.lstat().st_mtime_ns for folder in folders for path in _files(folder)}
    late = sorted(
        (path for path, date in dates.items() if date > now + TOLERANCE * 10**9), key=lambda path: dates[path]
    )
    for rank, path in enumerate(late):
        date = now - (len(late) - rank) * 1000
        with suppress(OSError):
            os.utime(path, ns=(date, date))
    if late:
        say(f"note: {len(late)} files, {late[-1]} among them, were dated in the future and are now dated today")
    return len(late)


def _files(folder: str) -> Iterable[Path]:
    for root, _, names in os.walk(folder):
        yield from (path for path in (Path(root, name) for name in names) if path.is_file() and not path.is_symlink())
