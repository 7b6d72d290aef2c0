"""Atomic writes, and readers that name a missing or damaged file."""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

import yaml

from common.console import UserError, say
from common.hashing import digest

TEMPORARY = ".tmp-"  # in the name of every unfinished file
NO_LOCKS = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK)  # what file systems without locks answer, unless they pretend


@contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is synced and renamed to `path`, otherwise removed.

    The temporary file keeps the suffix of `path`, from which numpy and matplotlib choose the format.
    Raises `UserError` naming `path` if the disk is full or the file may not be written.
    """
    path, temporary = Path(path), None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.stem}{TEMPORARY}{uuid4().hex}{path.suffix}")
        temporary.touch(exist_ok=False)
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)  # otherwise a power failure can undo the renaming
    except OSError as error:
        reason = error.strerror or error  # numpy's writers give neither a number nor a name
        raise UserError(f"{path} cannot be written ({reason}); make room or set permissions, then run again") from None
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def take_lock(file: IO[Any], operation: int) -> None:
    """`fcntl.flock`, with a warning where the file system has no locks.  Raises `BlockingIOError` as that does."""
    try:
        fcntl.flock(file, operation)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        say(f"warning: {file.name}: the file system has no locks ({error.strerror}); see docs/cluster.md")


def sweep(folder: Path) -> None:
    """Remove unfinished files of `atomic_path` that a killed process left; no other process may be writing here."""
    for path in folder.glob(f".*{TEMPORARY}*"):
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
    except (ValueError, RecursionError) as error:  # not JSON, not text, a number with thousands of digits; deep nesting
        raise UserError(f"{path} is not valid JSON ({error}); delete it and run again") from None


def write_sealed(path: Path | str, value: dict[str, Any]) -> None:
    """`write_json` with a digest of the content, so that `read_sealed` detects any change."""
    write_json(path, {**value, "digest": digest(value)})


def read_sealed(path: Path | str) -> dict[str, Any]:
    """What `write_sealed` wrote.  Raises `UserError` naming the file if it is missing, damaged or edited by hand."""
    value = read_json(path)
    if not isinstance(value, dict) or value.pop("digest", None) != digest(value):
        raise UserError(f"{path} was damaged or edited (its digest does not match); delete it and run again")
    return value


class _UniqueKeyLoader(yaml.SafeLoader):
    """A safe loader that refuses duplicate keys, of which PyYAML would silently keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        names = [key.value for key in keys]
        for index, key in enumerate(keys):
            if key.value in names[:index]:
                line = key.start_mark.line + 1
                raise yaml.YAMLError(f"the key {key.value!r} occurs twice in one mapping, again in line {line}")
        return super().construct_mapping(node, deep)


def read_yaml(path: Path | str) -> dict[str, Any]:
    """Parse a YAML file of settings.

    Raises `UserError` naming the file if it is missing or damaged, has a duplicate key, or no keys at its top level.
    """
    try:
        with open(path, encoding="utf-8") as file:
            content = yaml.load(file, _UniqueKeyLoader)
    except FileNotFoundError:
        known = ", ".join(sorted(file.name for file in Path(path).parent.glob("*.yaml")))
        raise UserError(f"{path} does not exist" + (f"; its folder holds {known}" if known else "")) from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path} is not valid YAML: it has no keys at its top level")
    return content
