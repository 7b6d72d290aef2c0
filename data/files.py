"""Files that are either whole or absent, and the hashes that tell one content from another."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from data import bounded_yaml
from data.console import UserError


@contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is synced and renamed to `path`, else removed.

    The temporary file keeps the suffix of `path`, so writers that look at it (numpy, matplotlib) behave.
    Raises `UserError` naming `path` if the disk is full or does not permit it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}.", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
        _sync_folder(path.parent)  # else a power cut can undo the renaming
    except OSError as error:
        reason = error.strerror or error  # numpy's writers give neither a number nor a name
        raise UserError(f"{path} cannot be written ({reason}); make room or set permissions, then run again") from None
    finally:
        temporary.unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Remove what writers that were killed left of unfinished files; for a folder that nobody else writes to now."""
    for path in folder.glob(".*.*"):
        path.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(path: Path | str, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path | str, value: Any) -> None:
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path | str) -> Any:
    """Parse a JSON file.  Raises `UserError` naming the file if it is missing or damaged."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; run snakemake again with the preset's --configfile") from None
    except (ValueError, RecursionError) as error:  # no JSON, no text, a number of thousands of digits; deep nesting
        raise UserError(f"{path} is not valid JSON ({error}); delete it and run again") from None


def write_sealed(path: Path | str, value: dict[str, Any]) -> None:
    """`write_json`, with a digest of everything else in the file, so that `read_sealed` notices any change."""
    write_json(path, {**value, "digest": digest(value)})


def read_sealed(path: Path | str) -> dict[str, Any]:
    """What `write_sealed` wrote.  Raises `UserError` naming the file if it is missing, damaged or edited by hand."""
    value = read_json(path)
    if not isinstance(value, dict) or value.pop("digest", None) != digest(value):
        raise UserError(f"{path} was damaged or edited (its digest does not match); delete it and run again")
    return value


def read_yaml(path: Path | str) -> dict[str, Any]:
    """Parse a YAML file of settings, within the limits of `data.bounded_yaml`.

    Raises `UserError` naming the file if it is missing or damaged, beyond a limit, or holds no keys.
    """
    try:
        if Path(path).exists() and not Path(path).is_file():  # a folder, or a pipe that would be waited for
            raise ValueError("it is not a file")
        with open(path, encoding="utf-8") as file:
            content = bounded_yaml.parse(file.read(bounded_yaml.MAX_CHARACTERS + 1))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise UserError(f"{path} is not valid YAML: {error}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path} is not valid YAML: it has no keys at its top level")
    return content


def sha256_file(path: Path | str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_bytes(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def digest(value: Any) -> str:
    """A hash of any JSON value that does not depend on the order of its keys."""
    return sha256_bytes(json.dumps(value, sort_keys=True, separators=(",", ":")).encode())


def derive_seed(*parts: object) -> int:
    """The seed of one random stream, from what names it: (seed, dataset, method, split, purpose, ...).

    Streams with different names are independent; 63 bits, the range torch.Generator accepts.
    """
    return int(digest([str(part) for part in parts])[:16], 16) >> 1
