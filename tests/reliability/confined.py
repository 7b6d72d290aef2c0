"""Hostile input is read in a Python of its own with a limit of memory, and the memory that it took is measured."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MIB = 2**20
PROGRAM = """
import json, resource, sys
from pathlib import Path
from common.console import UserError
from data import archive, external, images
import PIL.JpegImagePlugin, PIL.PngImagePlugin, PIL.WebPImagePlugin

def kibibytes(key):  # not ru_maxrss, which a process inherits from the one that started it
    return int(Path("/proc/self/status").read_text().partition(key + ":")[2].split()[0])

allowed = kibibytes("VmSize") * 1024 + {allowed}
resource.setrlimit(resource.RLIMIT_AS, (allowed, allowed))
before = kibibytes("VmHWM")
try:
    said = str({call})
except (images.BadImage, archive.SourceError, UserError) as error:
    said = str(error)
print(json.dumps([said, (kibibytes("VmHWM") - before) / 1024]))
"""


@dataclass(frozen=True)
class Outcome:
    said: str  # the result as text, or the one sentence
    mebibytes: float  # that the call added to the most memory the process had


def confined(call: str, allowed: int = 4096, seconds: float = 120) -> Outcome:
    """What the expression `call` gives if it can take `allowed` MiB at most.  Fails on any other exception."""
    program = PROGRAM.format(call=call, allowed=allowed * MIB)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=seconds
    )
    assert done.returncode == 0, done.stderr
    outcome = Outcome(*json.loads(done.stdout.splitlines()[-1]))
    assert outcome.said.isprintable()
    return outcome


def snapshot(folder: Path) -> dict[str, bytes | None]:
    """Everything below a folder, by path, links not followed."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() and not path.is_symlink() else None
        for path in folder.rglob("*")
    }
