"""Taking the images of one folder out of a zip or tar archive that nobody vouches for."""

from __future__ import annotations

import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO

from data.images import SUFFIXES

MAX_MEMBERS = 200_000
MAX_IMAGES = 10_000
MAX_IMAGE_BYTES = 64 * 2**20
MAX_TOTAL_BYTES = 4 * 2**30


class SourceError(Exception):
    """Why one source cannot give what is asked of it; the next source may."""


@dataclass(frozen=True)
class Member:
    name: str
    plain: bool  # a file or folder; not a link, device or pipe
    folder: bool
    open: Callable[[], IO[bytes] | None]


def extract_images(archive: Path, folders: list[str] | None, target: Path) -> None:
    """Write the images that lie in one of `folders` (all images if None) flat into `target`, bytes unchanged.

    A folder may lie anywhere in the archive: `100-shot-dog/img` also matches `bundle/100-shot-dog/img/1.jpg`.
    Raises `SourceError` for a file that is no archive, for an archive with a member that is a link or a device or would
    lie outside the target, for two images of one name, and beyond the limits above.
    """
    images, total = 0, 0
    try:
        for position, member in enumerate(members(archive)):
            if position >= MAX_MEMBERS:
                raise SourceError(f"the archive has more than {MAX_MEMBERS} members")
            refuse_unsafe(member)
            path = PurePosixPath(member.name)
            if member.folder or not is_wanted(path, folders):
                continue
            content = read_limited(member)
            images, total = images + 1, total + len(content)
            if images > MAX_IMAGES or total > MAX_TOTAL_BYTES:
                raise SourceError(f"the archive has more than {MAX_IMAGES} images or {MAX_TOTAL_BYTES} bytes of them")
            if (target / path.name).exists():
                raise SourceError(f"the archive has two images named {path.name}")
            (target / path.name).write_bytes(content)
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError) as error:
        raise SourceError(f"the archive is damaged ({error})") from None
    except RuntimeError as error:  # encrypted, or packed with a method that zipfile lacks
        raise SourceError(f"the archive cannot be unpacked ({error})") from None


def members(archive: Path) -> Iterator[Member]:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as file:
            for entry in file.infolist():
                kind = stat.S_IFMT(entry.external_attr >> 16)  # 0 when packed on a system without Unix modes
                plain = kind in (0, stat.S_IFREG, stat.S_IFDIR)
                yield Member(entry.filename, plain, entry.is_dir(), partial(file.open, entry))
    elif tarfile.is_tarfile(archive):
        with tarfile.open(archive) as file:
            for info in file:
                yield Member(info.name, info.isreg() or info.isdir(), info.isdir(), partial(file.extractfile, info))
    else:
        raise SourceError("it is neither a zip nor a tar archive (often a web page with an error or a download quota)")


def refuse_unsafe(member: Member) -> None:
    path = PureWindowsPath(member.name)  # also knows / and, besides, drives and backslashes
    if path.anchor or ".." in path.parts:
        raise SourceError(f"the archive names a file outside its folder: {member.name!r}")
    if not member.plain:
        raise SourceError(f"the archive holds a link or device: {member.name!r}")


def is_wanted(path: PurePosixPath, folders: list[str] | None) -> bool:
    if path.suffix.lower() not in SUFFIXES or path.name.startswith("."):
        return False
    place = f"/{path.parent}/"
    return folders is None or any(f"/{folder}/" in place for folder in folders)


def read_limited(member: Member) -> bytes:
    """The member's bytes, however much or little its header promises."""
    stream = member.open()
    assert stream is not None  # only files are read
    with stream:
        content = stream.read(MAX_IMAGE_BYTES + 1)
    if len(content) > MAX_IMAGE_BYTES:
        raise SourceError(f"{member.name!r} is larger than {MAX_IMAGE_BYTES} bytes")
    return content
