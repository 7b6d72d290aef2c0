"""One process at a time owns a saved state: a lock, and a token for file systems whose locks do nothing.

On some shared file systems, a lock holds only within one host, or not at all.  There, two processes can both get it;
the one that wrote the file last is the owner, and the other one finds that out before it saves.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
import uuid
from pathlib import Path
from typing import Any, TextIO

from common.console import UserError, say
from common.files import take_lock
from common.machine import batch_job, host

POLL_SECONDS = 5.0
SAY_AGAIN = 600.0  # seconds between two lines about the same wait


class Ownership:
    """The lock of a state folder, held until `close`."""

    def __init__(self, folder: Path, wait: float = 0.0) -> None:
        """Raises `UserError` naming the owner if it still holds the lock after `wait` seconds."""
        self._lock, self._path = lock(folder, wait), folder / "lock"
        job = batch_job()
        mine = {"host": host(), "pid": os.getpid(), "job": job and job.id, "cancel": job and job.cancel}
        self._token = json.dumps({**mine, "token": uuid.uuid4().hex})
        self._lock.truncate(0)
        self._lock.write(self._token)
        self._lock.flush()
        os.fsync(self._lock.fileno())  # other hosts see it only then

    def check(self) -> None:
        """Raises `UserError` if another process has become the owner."""
        if self._path.read_text() != self._token:
            raise UserError(
                f"{owner(self._path)} has taken over {self._path.parent}, and this process stops without saving: "
                "locks do not work on this file system, see docs/cluster.md"
            )

    def close(self) -> None:
        self._lock.close()


def lock(folder: Path, wait: float = 0.0) -> TextIO:
    """The open and locked file of a state folder.  Waits for its owner, at most `wait` seconds, and logs that.

    Raises `UserError` naming the owner if it is still there.
    """
    path = folder / "lock"
    handle = path.open("a+")
    began, said = time.monotonic(), -SAY_AGAIN
    while not _locked(handle):
        waited = time.monotonic() - began
        if waited >= wait:
            handle.close()
            raise UserError(f"{owner(path)} is training in {folder}; wait for it, or stop it with: {_stop(path)}")
        if waited - said >= SAY_AGAIN:
            say(f"{owner(path)} is training in {folder}; waiting for it, at most {wait / 3600:.1f} hours")
            said = waited
        time.sleep(POLL_SECONDS)
    return handle


def _locked(handle: TextIO) -> bool:
    try:
        take_lock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def owner(path: Path) -> str:
    """Who wrote a lock file, in words: `process 13696 on node7 (job 1072)`."""
    found = _read(path)
    job = f" (job {found['job']})" if found.get("job") else ""
    return f"process {found.get('pid', 'unknown')} on {found.get('host', 'an unknown host')}{job}"


def _stop(path: Path) -> str:
    """The command that stops the owner."""
    found = _read(path)
    if found.get("cancel"):
        return str(found["cancel"])
    kill = f"kill {found.get('pid', 'unknown')}"
    return kill if found.get("host") == host() else f"ssh {found.get('host', 'HOST')} {kill}"


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except ValueError:  # between truncating and writing
        return {}
    return found if isinstance(found, dict) else {}
