"""Taking the images of one folder out of a zip or tar archive that nobody vouches for."""

from __future__ import annotations

import gzip
import io
import math
import stat
import tarfile
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Any

from data.images import MAX_IMAGE_BYTES, SUFFIXES

ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz")
MAX_MEMBERS = 200_000
MAX_UNPACKED_BYTES = 64 * 2**30  # promised by the headers of all members, wanted or not
MAX_TOTAL_BYTES = 4 * 2**30  # that come out of the wanted images, and out of the archives inside the archive
MAX_HEADER_BYTES = 2**14  # of one member of a tar archive, with all that precedes it
MAX_DIRECTORY_BYTES = 2**24  # of a zip archive, which is read whole
MAX_NAME_BYTES = 255  # what file systems take
MAX_PATH_BYTES = 1024
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # zipfile would unpack a block of any other whole: 4 KB to 4 GB
BLOCK = 2**20
MAX_LISTED = 20  # folders named where the layout is unknown


class SourceError(Exception):
    """Why one source cannot give what is asked of it; the next source may."""


class UnknownLayout(SourceError):
    """A sound archive in which the set cannot be told: to be kept, since its user can."""


@dataclass(frozen=True)
class Member:
    name: str
    size: int  # bytes, as its header promises
    plain: bool  # a file or folder; not a link, device or pipe
    folder: bool
    opener: Callable[[], IO[bytes] | None]

    def open(self) -> IO[bytes]:
        """Its bytes, of a file.  Raises `SourceError`."""
        with explained():
            stream = self.opener()
        assert stream is not None  # only files are read
        return stream


def extract_images(archive: Path, target: Path, count: int, folders: Sequence[str] = (), bundle: bool = False) -> None:
    """Write the `count` images of one set flat into `target`, bytes unchanged; no archive leads anywhere else.

    The set is what lies below one of `folders`, tried in order and wherever they lie in the archive:
    `100-shot-dog/img` also matches `bundle/100-shot-dog/img/1.jpg`.  An archive that is no `bundle` holds one set only,
    so that, failing this, all its images count.  If a place has more than `count` images, its one folder with exactly
    `count` is taken.  Archives inside the archive are opened (one level) and count as folders of their name.

    Raises `UnknownLayout` listing the folders found, and `SourceError` for a file that is no archive, for an archive
    with a member that is a link or a device or would lie outside the target, for two images of one name, and beyond
    the limits above.
    """
    found = Counter(str(path.parent) for path, _ in images(archive, target))
    wanted = choose(found, count, folders, bundle)
    total = 0
    for path, member in images(archive, target):
        if str(path.parent) not in wanted:
            continue
        content = read_limited(member)
        total += len(content)
        if total > MAX_TOTAL_BYTES:
            raise SourceError(f"the archive has more than {MAX_TOTAL_BYTES} bytes of images")
        if (target / path.name).exists():
            raise UnknownLayout(f"the archive has two images named {path.name}")
        (target / path.name).write_bytes(content)


def choose(found: Counter[str], count: int, folders: Sequence[str], bundle: bool) -> list[str]:
    """The folders, out of {folder: images in it}, that together are the set."""
    places = [[place for place in found if f"/{name}/".lower() in f"/{place}/".lower()] for name in folders]
    for places_of_set in places if bundle else [*places, list(found)]:
        if sum(found[place] for place in places_of_set) == count:
            return places_of_set
        exact = [place for place in places_of_set if found[place] == count]
        if len(exact) == 1:
            return exact
    known = f"folder {' or '.join(folders)} with {count} images" if folders else f"folder with {count} images"
    listed = [f"{place} ({number})" for place, number in found.most_common(MAX_LISTED)]
    more = f" and {len(found) - MAX_LISTED} more" if len(found) > MAX_LISTED else ""
    raise UnknownLayout(f"the archive has no single {known}; it has {', '.join(listed) or 'no images'}{more}")


def images(archive: Path, scratch: Path) -> Iterator[tuple[PurePosixPath, Member]]:
    unpacked = 0
    for position, member in enumerate(unfolded(archive, scratch)):
        unpacked += member.size
        if position >= MAX_MEMBERS or unpacked > MAX_UNPACKED_BYTES:
            raise SourceError(f"the archive has more than {MAX_MEMBERS} members or {MAX_UNPACKED_BYTES} bytes")
        path = PurePosixPath(member.name)
        if not member.folder and path.suffix.lower() in SUFFIXES and not path.name.startswith("."):
            yield path, member


def unfolded(archive: Path, scratch: Path) -> Iterator[Member]:
    """Every member, each safe; an archive among them is followed by its own members, as if in a folder of its name."""
    room = MAX_TOTAL_BYTES
    for member in members(archive):
        refuse_unsafe(member)
        yield member
        stem = next((member.name[: -len(end)] for end in ARCHIVE_SUFFIXES if member.name.lower().endswith(end)), None)
        if stem is None or member.folder or PurePosixPath(stem).name.startswith("."):
            continue
        with tempfile.NamedTemporaryFile(dir=scratch, prefix=".") as copy:
            room -= copy_limited(member, copy, room)
            with explained():
                if not (is_tar(Path(copy.name)) or zipfile.is_zipfile(copy.name)):
                    continue  # in name only, such as a pointer that git-lfs left
            for inner in members(Path(copy.name)):
                refuse_unsafe(inner)
                yield replace(inner, name=f"{stem}/{inner.name}")


def members(archive: Path) -> Iterator[Member]:
    """Every member of a zip or tar archive, which may be gzipped.  Raises `SourceError` if it is neither or damaged."""
    with explained():
        if is_tar(archive):  # first: a tar that ends in a zip looks like that zip
            yield from tar_members(archive)
        elif zipfile.is_zipfile(archive):
            yield from zip_members(archive)
        else:
            raise SourceError("it is neither a zip nor a tar archive")


@contextmanager
def explained() -> Iterator[None]:
    """Give what zipfile, tarfile and the decompressors raise for damaged archives, which is of any type, a sentence."""
    try:
        yield
    except SourceError:
        raise
    except OSError as error:
        if error.filename:  # the archive itself cannot be opened
            raise
        raise SourceError(f"the archive is damaged ({error})") from None
    except RuntimeError as error:  # encrypted, of a later version of the format, or with headers about headers
        raise SourceError(f"the archive cannot be unpacked ({error})") from None
    except Exception as error:
        raise SourceError(f"the archive is damaged ({' '.join(str(error).split()) or type(error).__name__})") from None


class Metered:
    """A file that gives `room` bytes and no more: what is read as headers is kept in memory, whatever its size."""

    def __init__(self, file: IO[bytes], room: float) -> None:
        self.file, self.room = file, room

    def read(self, size: int = -1) -> bytes:
        content = self.file.read(self.room + 1 if size < 0 else min(size, self.room + 1))
        self.room -= len(content)
        if self.room < 0:
            raise SourceError("the archive has longer headers than any set of images needs")
        return content

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


def is_tar(archive: Path) -> bool:
    with unzipped(archive) as file:
        try:
            tarfile.open(fileobj=Metered(file, MAX_HEADER_BYTES), mode="r:").close()
        except SourceError:
            raise
        except Exception:  # what tarfile and gzip raise for bytes that are no header is of any type
            return False
    return True


def unzipped(archive: Path) -> IO[bytes]:
    with open(archive, "rb") as file:
        gzipped = file.read(2) == b"\x1f\x8b"
    return gzip.open(archive) if gzipped else open(archive, "rb")


def tar_members(archive: Path) -> Iterator[Member]:
    with unzipped(archive) as raw:
        meter = Metered(raw, MAX_HEADER_BYTES)
        with tarfile.open(fileobj=meter, mode="r:") as file:
            while (info := file.next()) is not None:
                if info.size < 0 or info.issparse():
                    raise SourceError(f"the archive has a member that is stored in an unusual way: {info.name!a}")
                meter.room = math.inf
                plain = info.isreg() or info.isdir()
                yield Member(info.name, info.size, plain, info.isdir(), partial(file.extractfile, info))
                meter.room = MAX_HEADER_BYTES
                file.members.clear()  # else all headers would stay in memory
                file.pax_headers.clear()


def zip_members(archive: Path) -> Iterator[Member]:
    with open(archive, "rb") as raw:
        meter = Metered(raw, MAX_DIRECTORY_BYTES)
        with zipfile.ZipFile(meter) as file:
            meter.room = math.inf
            for entry in file.infolist():
                kind = stat.S_IFMT(entry.external_attr >> 16)  # 0 when packed on a system without Unix modes
                plain = kind in (0, stat.S_IFREG, stat.S_IFDIR)
                yield Member(entry.filename, entry.file_size, plain, entry.is_dir(), partial(opened, file, entry))


def opened(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> IO[bytes]:
    if entry.compress_type not in METHODS:
        raise SourceError(f"{entry.filename!r} is packed by a method other than deflate; pack the archive anew")
    return archive.open(entry)


def refuse_unsafe(member: Member) -> None:
    path = PureWindowsPath(member.name)  # also knows / and, besides, drives and backslashes
    if path.anchor or ".." in path.parts:
        raise SourceError(f"the archive names a file outside its folder: {member.name!r}")
    usable = member.name.isprintable() and len(member.name.encode()) <= MAX_PATH_BYTES
    if not usable or any(len(part.encode()) > MAX_NAME_BYTES for part in path.parts):
        raise SourceError(f"the archive has a name that cannot be used: {ascii(member.name)[:80]}")
    if not member.plain:
        raise SourceError(f"the archive holds a link or device: {member.name!r}")


def copy_limited(member: Member, copy: IO[bytes], limit: int) -> int:
    """Copy a member out, however much or little its header promises; returns its bytes."""
    for block in blocks(member):
        copy.write(block)
        if copy.tell() > limit:
            raise SourceError(f"the archives inside the archive have more than {MAX_TOTAL_BYTES} bytes")
    copy.flush()
    return copy.tell()


def read_limited(member: Member) -> bytes:
    """The member's bytes, however much or little its header promises."""
    content = io.BytesIO()
    for block in blocks(member):
        content.write(block)
        if content.tell() > MAX_IMAGE_BYTES:
            raise SourceError(f"{member.name!r} is larger than {MAX_IMAGE_BYTES} bytes")
    return content.getvalue()


def blocks(member: Member) -> Iterator[bytes]:
    with explained(), member.open() as stream:
        while block := stream.read(BLOCK):
            yield block
