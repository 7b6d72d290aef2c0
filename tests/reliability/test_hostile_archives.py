"""Hostile archives: a sentence, nothing outside the target, nothing in it, and less than 512 MiB of memory.

What is refused for where it leads (`..`, absolute paths, drives, links, devices), and that each limit holds, is in
tests/data/test_archive.py; here the limits meet real sizes.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from data import archive
from tests.files import zipped
from tests.reliability.confined import confined, snapshot

MOST = 512  # MiB


@pytest.fixture
def refused(tmp_path: Path, tally) -> Callable[..., None]:
    """`refused(bytes, reason)`: extracting from them says so in one line, and changes nothing anywhere."""
    (tmp_path / "target").mkdir()

    def check(content: bytes, reason: str) -> None:
        path, target = tmp_path / "hostile", tmp_path / "target"
        path.write_bytes(content)
        before = snapshot(tmp_path)
        with tally.input("archive"):
            call = f"archive.extract_images(Path({str(path)!r}), Path({str(target)!r}), 1)"
            outcome = confined(call, allowed=2 * MOST)
            assert reason in outcome.said
            assert outcome.mebibytes < MOST
            assert snapshot(tmp_path) == before

    return check


def zip_of(entries: Iterable[tuple[bytes, bytes, int, int]]) -> bytes:
    """Entries (name, packed bytes, method, flags) of any content, each of which claims to unpack to 2 GiB."""
    body, directory, count = io.BytesIO(), io.BytesIO(), 0
    for name, packed, method, flags in entries:
        offset = body.tell()
        common = struct.pack("<HHHHHIIIHH", 20, flags, method, 0, 33, 0, len(packed), 2**31 - 1, len(name), 0)
        body.write(b"PK\3\4" + common + name + packed)
        directory.write(b"PK\1\2\24\0" + common + struct.pack("<HHHII", 0, 0, 0, 0, offset) + name)
        count += 1
    end = struct.pack("<HHHHIIH", 0, 0, count % 2**16, count % 2**16, directory.tell(), body.tell(), 0)
    return body.getvalue() + directory.getvalue() + b"PK\5\6" + end


def tar_header(name: str, kind: bytes = tarfile.REGTYPE, size: int = 0) -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT)


def pax(records: bytes, kind: bytes = tarfile.XHDTYPE) -> bytes:
    return tar_header("x", kind, len(records)) + records + bytes(-len(records) % 512)


def record(key: str, value: str) -> bytes:
    length = len(f" {key}={value}\n")
    total = length + len(str(length + len(str(length))))
    return f"{total} {key}={value}\n".encode()


def sparse() -> bytes:
    """A file whose map of holes goes on for a megabyte."""
    block = (struct.pack("12s12s", b"1" * 11, b"1" * 11) * 21).ljust(504, b"\0") + b"\1" + bytes(7)
    first = bytearray(tar_header("a.jpg", tarfile.GNUTYPE_SPARSE))
    first[482] = 1  # the map goes on in the next block
    first[148:156] = b"%06o\0 " % (256 + sum(first[:148]) + sum(first[156:]))
    return bytes(first) + block * 2000


def packed_zeros(method: int) -> bytes:
    """A zip whose one file unpacks to 64 MiB in one read, from 60 bytes of bzip2."""
    if method == zipfile.ZIP_BZIP2:
        return zip_of([(b"a.jpg", bz2.compress(bytes(2**26)), method, 0)])
    filters = [{"id": lzma.FILTER_LZMA1}]
    head = b"\x09\4\5\0\x5d\0\0\x80\0"
    return zip_of([(b"a.jpg", head + lzma.compress(bytes(2**26), lzma.FORMAT_RAW, filters=filters), method, 0)])


def tar_of_zeros() -> bytes:
    return tar_header("a.jpg", size=2**27) + bytes(2**27)


def sparse_1_0() -> bytes:
    """A file whose map of holes breaks off."""
    records = record("GNU.sparse.major", "1") + record("GNU.sparse.minor", "0")
    return tar_header("b") + pax(records) + tar_header("a.jpg", size=512) + b"99999999" + bytes(504)


COUNT = archive.MAX_MEMBERS + 1
MANY, UNUSUAL, DAMAGED, LARGE = "more than 200000 members", "stored in an unusual way", "is damaged", "is too large"
HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "many members of a zip": (lambda: zip_of((b"%07d." % index, b"", 0, 0) for index in range(COUNT)), MANY),
    "pax about pax": (lambda: pax(record("k", "v")) * 5000 + tar_header("a.jpg"), DAMAGED),
    "global about global": (lambda: pax(record("k", "v"), tarfile.XGLTYPE) * 5000 + tar_header("a.jpg"), DAMAGED),
    "name of a name": (lambda: pax(b"x", tarfile.GNUTYPE_LONGNAME) * 5000 + tar_header("a.jpg"), DAMAGED),
    "negative size": (lambda: pax(record("size", "-1536")) + tar_header("a.jpg"), UNUSUAL),  # tarfile seeks back to it
    "sparse": (sparse, DAMAGED),
    "sparse 1.0": (sparse_1_0, DAMAGED),
    "exabyte": (lambda: tar_header("a.jpg", size=2**60), DAMAGED),
    "gigabyte": (lambda: gzip.compress(tar_header("a.jpg", size=2**30) + bytes(2**24)), DAMAGED),
    "zip of bzip2": (lambda: packed_zeros(zipfile.ZIP_BZIP2), UNUSUAL),
    "zip of LZMA": (lambda: packed_zeros(zipfile.ZIP_LZMA), UNUSUAL),
    "unknown method": (lambda: zip_of([(b"a.jpg", b"x", 93, 0)]), UNUSUAL),
    "zip bomb": (lambda: zipped({"a.jpg": bytes(2**27)}), LARGE),
    "tar.gz bomb": (lambda: gzip.compress(tar_of_zeros(), 1), LARGE),
    "tar.bz2 bomb": (lambda: bz2.compress(tar_of_zeros(), 1), LARGE),
    "tar.xz bomb": (lambda: lzma.compress(tar_of_zeros(), preset=0), LARGE),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_archive_is_refused(refused, name: str) -> None:
    make, reason = HOSTILE[name]
    refused(make(), reason)


@pytest.mark.long
def test_many_members_of_a_tar(refused) -> None:
    refused(gzip.compress(tar_header("a.jpg") * COUNT, 1), MANY)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (zip_of([(b"\xff\xfe.jpg", b"x", 0, 0x800)]), "damaged"),  # said to be UTF-8
        (zip_of([(b"a.jpg", b"x", 0, 0)])[31:], "damaged"),  # without its first bytes
        (zip_of([(b"a.jpg", b"x", 0, 1)]), "encrypted"),
        (zip_of([(b"a.jpg", b"x", 0, 0)]).replace(b"PK\1\2\24\0\24", b"PK\1\2\24\0\xff"), "zip file version"),
        (zip_of([(b"a.zip", b"PK\5\6", 0, 0)]), "damaged"),
        (gzip.compress(tar_header("a.jpg", size=100_000) + b"x" * 50_000)[:-4], "damaged"),
        (gzip.compress(b"no tar", mtime=0), "neither a zip nor a tar"),
        (b"\x1f\x8b", "neither a zip nor a tar|damaged"),
    ],
)
def test_damage_of_which_zipfile_and_tarfile_raise_anything(tmp_path, tally, content: bytes, reason: str) -> None:
    (tmp_path / "a").write_bytes(content)
    (tmp_path / "target").mkdir()
    with tally.input("archive"), pytest.raises(archive.SourceError, match=reason):
        archive.extract_images(tmp_path / "a", tmp_path / "target", 1)


@pytest.mark.parametrize(
    "name", ["-rf.jpg", "--help.jpg", "ünï ☃ 图.jpg", "$(touch x).jpg", "{0}.jpg", "a b'\".jpg", ":.jpg"]
)
def test_odd_names_come_out_as_they_are(tmp_path: Path, tally, name: str) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "a.zip").write_bytes(zipped({f"set/{name}": b"x"}))
    before = snapshot(tmp_path)
    with tally.input("archive"):
        archive.extract_images(tmp_path / "a.zip", tmp_path / "target", 1)
        assert snapshot(tmp_path) == before | {f"target/{name}": b"x"}
