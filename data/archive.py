"""Extract the images of one folder from a zip or tar archive, which may be damaged or hostile.

The archive does not choose where files are written: they are read one by one and keep only their base names.
"""

from __future__ import annotations

import stat
import tarfile
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO

from data.images import MAX_IMAGE_BYTES, SUFFIXES

ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz")
MAX_MEMBERS = 200_000
MAX_TOTAL_BYTES = 4 * 2**30  # of the images taken, and of the archives inside the archive
MAX_PATH_BYTES = 1024
MAX_NAME_BYTES = 255  # the limit of file systems
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # with others, zipfile may unpack a block of 4 KB to 4 GB at once
BLOCK = 2**20
MAX_LISTED = 20  # folders named if the layout is unknown


class SourceError(Exception):
    """One source cannot be used; the next one is tried."""


class NoArchive(SourceError):
    """The file is neither a zip nor a tar archive."""


class UnknownLayout(SourceError):
    """The archive is intact, but the program cannot find the set in it; the archive is kept."""


@dataclass(frozen=True)
class Member:
    """One file of an archive."""

    name: str
    opener: Callable[[], IO[bytes] | None]

    def open(self) -> IO[bytes]:
        with as_source_error():
            stream = self.opener()
        assert stream is not None  # tarfile returns None if it is not a regular file
        return stream

    def blocks(self, limit: int) -> Iterator[bytes]:
        """Its bytes.  Raises `SourceError` if there are more than `limit`, whatever size the header states."""
        with as_source_error(), self.open() as stream:
            while block := stream.read(BLOCK):
                limit -= len(block)
                if limit < 0:
                    raise SourceError(f"{self.name!r} in the archive, or all that was unpacked so far, is too large")
                yield block


def extract_images(archive: Path, target: Path, count: int, folders: Sequence[str] = (), bundle: bool = False) -> None:
    """Write the `count` images of one set into `target`, without their folders, bytes unchanged.

    The set is the images below one of `folders`, which are tried in order and match at any depth: `100-shot-dog/img`
    also matches `bundle/100-shot-dog/img/1.jpg`.  If none fits and the archive is not a `bundle` of several sets, all
    its images are tried.  A place with more than `count` images fits if exactly one folder in it has `count`; this
    folder is the set.  Archives inside the archive are opened (one level) and treated as folders of their name.

    Raises `UnknownLayout` listing the folders found, or for two images of one name, and `SourceError` as `members`.
    """
    found = Counter(str(path.parent) for path, _ in _images(archive, target))
    wanted = _choose(found, count, folders, bundle)
    room = MAX_TOTAL_BYTES
    for path, member in _images(archive, target):
        if str(path.parent) in wanted:
            if (target / path.name).exists():
                raise UnknownLayout(f"the archive has two images named {path.name}")
            content = b"".join(member.blocks(min(room, MAX_IMAGE_BYTES)))
            room -= len(content)
            (target / path.name).write_bytes(content)


def _choose(found: Counter[str], count: int, folders: Sequence[str], bundle: bool) -> list[str]:
    """The folders that together are the set.  found: the number of images of each folder."""
    places = [[place for place in found if f"/{name}/".lower() in f"/{place}/".lower()] for name in folders]
    for places_of_set in places if bundle else [*places, list(found)]:
        if sum(found[place] for place in places_of_set) == count:
            return places_of_set
        exact = [place for place in places_of_set if found[place] == count]
        if len(exact) == 1:
            return exact
    known = f"folder {' or '.join(folders)} with {count} images" if folders else f"folder with {count} images"
    listed = [f"{place} ({number})" for place, number in found.most_common(MAX_LISTED)]
    raise UnknownLayout(f"the archive has no single {known}; it has {', '.join(listed) or 'no images'}")


def _images(archive: Path, scratch: Path) -> Iterator[tuple[PurePosixPath, Member]]:
    for member in _unfolded(archive, scratch):
        path = PurePosixPath(member.name)
        if path.suffix.lower() in SUFFIXES and not path.name.startswith("."):
            yield path, member


def _unfolded(archive: Path, scratch: Path) -> Iterator[Member]:
    """The files of an archive; an archive among them gives its own files, as if in a folder of its name."""
    room = MAX_TOTAL_BYTES
    for member in members(archive):
        stem = next((member.name[: -len(end)] for end in ARCHIVE_SUFFIXES if member.name.lower().endswith(end)), None)
        if stem is None:
            yield member
            continue
        with tempfile.NamedTemporaryFile(dir=scratch, prefix=".") as copy:
            copy.writelines(member.blocks(room))
            copy.flush()
            room -= copy.tell()
            with suppress(NoArchive):  # for example a git-lfs pointer
                for inner in members(Path(copy.name)):
                    yield replace(inner, name=f"{stem}/{inner.name}")


def members(archive: Path) -> Iterator[Member]:
    """The files of a zip or tar archive; of a tar, each must be read before the next one.

    Raises `NoArchive`, and `SourceError` for an archive that is damaged, has links, devices, unusable names or paths
    outside its folder, or exceeds the limits above.
    """
    with as_source_error():
        if tarfile.is_tarfile(archive):  # tested first: a tar that ends in a zip also passes as a zip
            yield from _tar_members(archive)
        elif zipfile.is_zipfile(archive):
            yield from _zip_members(archive)
        else:
            raise NoArchive("it is neither a zip nor a tar archive")


def _tar_members(archive: Path) -> Iterator[Member]:
    with tarfile.open(archive) as file:
        for position, info in enumerate(file):
            usual = info.isdir() or (info.isreg() and not info.issparse() and info.size >= 0)
            _refuse_unsafe(position, info.name, usual)
            if info.isreg():
                yield Member(info.name, partial(file.extractfile, info))


def _zip_members(archive: Path) -> Iterator[Member]:
    with zipfile.ZipFile(archive) as file:
        for position, entry in enumerate(file.infolist()):
            mode = stat.S_IFMT(entry.external_attr >> 16)  # 0 when packed on a system without Unix modes
            usual = mode in (0, stat.S_IFREG, stat.S_IFDIR) and entry.compress_type in METHODS
            _refuse_unsafe(position, entry.filename, usual)
            if not entry.is_dir():
                yield Member(entry.filename, partial(file.open, entry))


def _refuse_unsafe(position: int, name: str, usual: bool) -> None:
    """Raise `SourceError` for too many entries, a path outside the folder, and all but plain files and folders."""
    if position >= MAX_MEMBERS:
        raise SourceError(f"the archive has more than {MAX_MEMBERS} members")
    path = PureWindowsPath(name)  # understands drives and backslashes as well as /
    if path.anchor or ".." in path.parts:
        raise SourceError(f"the archive names a file outside its folder: {name!r}")
    printable = name.isprintable() and len(name.encode()) <= MAX_PATH_BYTES
    if not printable or any(len(part.encode()) > MAX_NAME_BYTES for part in path.parts):
        raise SourceError(f"the archive has a name that cannot be used: {ascii(name)[:80]}")
    if not usual:
        raise SourceError(f"the archive holds a link, a device or a file that is stored in an unusual way: {name!r}")


@contextmanager
def as_source_error() -> Iterator[None]:
    """Turn any exception of zipfile, tarfile and the decompressors into a `SourceError`."""
    try:
        yield
    except SourceError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.filename:  # the archive itself cannot be opened
            raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise SourceError(f"the archive is damaged or cannot be unpacked ({reason})") from None
