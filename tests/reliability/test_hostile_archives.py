"""Archives made to harm: a sentence, nothing outside the target, nothing in it, and less than 512 MiB of memory.

Limits of data/archive.py: MAX_MEMBERS, MAX_DIRECTORY_BYTES (zip), MAX_HEADER_BYTES (one member of a tar),
MAX_PATH_BYTES, MAX_IMAGE_BYTES, MAX_TOTAL_BYTES, MAX_UNPACKED_BYTES.  That each holds, and what is refused for where it
leads (`..`, absolute paths, drives, links, devices), is in tests/data/test_archive.py; here they meet real sizes.
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
from tests.reliability.confined import confined, snapshot

MOST = 512  # MiB
LITTLE = 100  # MiB, for a tar, whose headers are looked at one by one


@pytest.fixture
def refused(tmp_path: Path, tally) -> Callable[..., None]:
    """`refused(bytes, reason)`: extracting from them says so in one line, and changes nothing anywhere."""
    (tmp_path / "target").mkdir()

    def check(content: bytes, reason: str, most: float = MOST) -> None:
        path, target = tmp_path / "hostile", tmp_path / "target"
        path.write_bytes(content)
        before = snapshot(tmp_path)
        with tally.input("archive"):
            call = f"archive.extract_images(Path({str(path)!r}), Path({str(target)!r}), 1)"
            outcome = confined(call, allowed=2 * MOST)
            assert reason in outcome.said
            assert outcome.said.isprintable()
            assert outcome.mebibytes < most
            assert snapshot(tmp_path) == before

    return check


def zip_of(entries: Iterable[tuple[bytes, bytes, int, int]]) -> bytes:
    """Entries (name, packed bytes, method, flags); the directory says what it likes of them."""
    body, directory, count = io.BytesIO(), io.BytesIO(), 0
    for name, packed, method, flags in entries:
        offset = body.tell()
        common = struct.pack("<HHHHHIIIHH", 20, flags, method, 0, 33, 0, len(packed), 2**31 - 1, len(name), 0)
        body.write(b"PK\3\4" + common + name + packed)
        directory.write(b"PK\1\2\24\0" + common + struct.pack("<HHHII", 0, 0, 0, 0, offset) + name)
        count += 1
    end = struct.pack("<HHHHIIH", 0, 0, count % 2**16, count % 2**16, directory.tell(), body.tell(), 0)
    return body.getvalue() + directory.getvalue() + b"PK\5\6" + end


def directory_of(count: int) -> bytes:
    """A zip archive of so many entries, all of which are one file."""
    common = struct.pack("<HHHHHIIIHH", 20, 0, 0, 0, 33, 0, 0, 0, 8, 0)
    entry = b"PK\1\2\24\0" + common + struct.pack("<HHHII", 0, 0, 0, 0, 0)
    directory = b"".join(entry + b"%07d." % index for index in range(count))
    return directory + b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, count % 2**16, count % 2**16, len(directory), 0, 0)


def tar_header(name: str, kind: bytes = tarfile.REGTYPE, size: int = 0) -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT)


def padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % 512)


def pax(records: bytes, kind: bytes = tarfile.XHDTYPE) -> bytes:
    return tar_header("x", kind, len(records)) + padded(records)


def record(key: str, value: str) -> bytes:
    length = len(f" {key}={value}\n")
    total = length + len(str(length + len(str(length))))
    return f"{total} {key}={value}\n".encode()


def repeated(unit: bytes, times: int) -> bytes:
    """Gzipped, without the whole ever being in memory."""
    stream = io.BytesIO()
    with gzip.GzipFile(fileobj=stream, mode="wb", compresslevel=1) as file:
        for _ in range(times // 1000):
            file.write(unit * 1000)
    return stream.getvalue()


def test_zip_of_a_million_entries(refused) -> None:
    refused(directory_of(1_000_000), "longer headers")


@pytest.mark.long
def test_zip_of_as_many_entries_as_its_directory_may_have(refused) -> None:
    """As small as entries get: the most memory that the limit on bytes allows."""
    count = archive.MAX_DIRECTORY_BYTES // 54 - 1
    assert count > archive.MAX_MEMBERS
    refused(directory_of(count), "more than 200000 members")


@pytest.mark.long
def test_tar_of_a_million_entries(refused) -> None:
    refused(repeated(tar_header("a.jpg"), 1_000_000), "more than 200000 members", LITTLE)


def test_tar_whose_every_entry_has_a_long_header(refused) -> None:
    """140 MB of records: tarfile alone would keep them all."""
    refused(repeated(pax(record("k", "v" * 14_000)) + tar_header("a.jpg"), 10_000), "no single folder", LITTLE)


def test_tar_whose_global_headers_add_up(refused) -> None:
    units = (pax(record(f"k{index}", "v" * 14_000), tarfile.XGLTYPE) + tar_header("a") for index in range(10_000))
    refused(gzip.compress(b"".join(units), 1), "no images", LITTLE)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_headers_about_headers(refused, kind: bytes) -> None:
    refused(pax(record("k", "v"), kind) * 5000 + tar_header("a.jpg"), "longer headers")


def test_header_of_a_negative_size(refused) -> None:
    """Python's tarfile goes back to it for ever."""
    refused(pax(record("size", "-1536")) + tar_header("a.jpg"), "stored in an unusual way")


def test_sparse_file_with_an_endless_map(refused) -> None:
    block = (struct.pack("12s12s", b"1" * 11, b"1" * 11) * 21).ljust(504, b"\0") + b"\1" + bytes(7)
    first = bytearray(tar_header("a.jpg", tarfile.GNUTYPE_SPARSE))
    first[482] = 1  # the map goes on in the next block
    first[148:156] = b"%06o\0 " % (256 + sum(first[:148]) + sum(first[156:]))
    refused(bytes(first) + block * 2000, "longer headers")


def test_sparse_map_of_the_third_kind_that_breaks_off(refused) -> None:
    records = record("GNU.sparse.major", "1") + record("GNU.sparse.minor", "0")
    whole = tar_header("b") + pax(records) + tar_header("a.jpg", size=512) + padded(b"99999999")
    refused(whole, "the archive is damaged")


def test_folders_with_endless_names(refused) -> None:
    """Each folder's name is kept while images are counted: a thousand bytes at most."""
    refused(pax(record("path", "d/" * 600 + "a.jpg")) + tar_header("a"), "a name that cannot be used")


@pytest.mark.parametrize(("method", "pack"), [(zipfile.ZIP_BZIP2, bz2.compress), (zipfile.ZIP_LZMA, None), (93, bytes)])
def test_zip_packed_by_what_unpacks_without_limit(refused, method: int, pack) -> None:
    """256 MiB of zeros in 200 bytes of bzip2 come out of one read."""
    if pack is None:
        filters = [{"id": lzma.FILTER_LZMA1}]
        packed = b"\x09\4\5\0\x5d\0\0\x80\0" + lzma.compress(bytes(2**26), lzma.FORMAT_RAW, filters=filters)
    else:
        packed = pack(bytes(2**28 if method == zipfile.ZIP_BZIP2 else 10))
    refused(zip_of([(b"a.jpg", packed, method, 0)]), "packed by a method other than deflate")


@pytest.mark.parametrize("pack", [bz2.compress, lzma.compress])
def test_tar_compressed_by_what_unpacks_without_limit(refused, pack) -> None:
    refused(pack(tar_header("a.jpg") + bytes(2**20)), "neither a zip nor a tar")


def test_image_that_unpacks_to_more_than_64_mib(refused) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.jpg", bytes(2**28))
    refused(stream.getvalue(), f"'a.jpg' is larger than {archive.MAX_IMAGE_BYTES} bytes")


def test_file_of_a_tar_that_promises_an_exabyte(refused) -> None:
    refused(tar_header("a.jpg", size=2**60), "members or 68719476736 bytes")


def test_archive_that_contains_itself_many_times(refused) -> None:
    """Fifty archives of fifty archives: one level is opened, and the images of the second are not there."""
    content = zip_of([(b"a.jpg", b"x", 0, 0)])
    for _ in range(2):
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as file:
            for index in range(50):
                file.writestr(f"{index}.zip", content)
        content = stream.getvalue()
    refused(content, "no images")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (zip_of([(b"\xff\xfe.jpg", b"x", 0, 0x800)]), "damaged"),  # said to be UTF-8
        (zip_of([(b"a.jpg", b"x", 0, 0)])[31:], "damaged"),  # without its first bytes
        (zip_of([(b"a.jpg", b"x", 0, 1)]), "encrypted"),
        (zip_of([(b"a.jpg", b"x", 0, 0)]).replace(b"PK\1\2\24\0\24", b"PK\1\2\24\0\xff"), "zip file version"),
        (zip_of([(b"a.zip", b"PK\5\6", 0, 0)]), "damaged"),
        (gzip.compress(tar_header("a.jpg", size=100_000) + b"x" * 50_000)[:-4], "damaged"),
        (gzip.compress(b"no tar"), "neither a zip nor a tar"),
        (b"\x1f\x8b", "neither a zip nor a tar"),
    ],
)
def test_damage_that_zipfile_and_tarfile_have_no_word_for(tmp_path: Path, tally, content: bytes, reason: str) -> None:
    (tmp_path / "a").write_bytes(content)
    (tmp_path / "target").mkdir()
    with tally.input("archive"), pytest.raises(archive.SourceError, match=reason):
        archive.extract_images(tmp_path / "a", tmp_path / "target", 1)


@pytest.mark.parametrize(
    "name", ["-rf.jpg", "--help.jpg", "ünï ☃ 图.jpg", "$(touch x).jpg", "{0}.jpg", "a b'\".jpg", "C:.jpg"[1:]]
)
def test_odd_names_come_out_as_they_are(tmp_path: Path, tally, name: str) -> None:
    (tmp_path / "target").mkdir()
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr(f"set/{name}", b"x")
    before = snapshot(tmp_path)
    with tally.input("archive"):
        archive.extract_images(tmp_path / "a.zip", tmp_path / "target", 1)
        assert snapshot(tmp_path) == before | {f"target/{name}": b"x"}
