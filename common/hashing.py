"""Content hashes, and the seeds of random streams, which are derived from hashes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any


def sha256_file(path: Path | str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_bytes(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def digest(value: Any) -> str:
    """The sha256 of any JSON value; the order of its keys does not matter."""
    return sha256_bytes(json.dumps(value, sort_keys=True, separators=(",", ":")).encode())


def derive_seed(*parts: object) -> int:
    """The seed of one random stream, derived from its name: (seed, dataset, method, split, purpose, ...).

    Streams with different names are independent.  A seed has 63 bits, the range that torch.Generator accepts.
    """
    return int(digest([str(part) for part in parts])[:16], 16) >> 1
