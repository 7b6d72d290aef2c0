"""Whatever bytes the readers of images, archives and samples get, they give a sound result or one sentence.

The files are generated, most of them nearly valid.  The short form tries `SHORT` of them per reader, always the same;
the long form (`--stress`) `LONG`.
"""

from __future__ import annotations

import functools
import gzip
import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from common.console import UserError
from data.archive import MAX_TOTAL_BYTES, SourceError, extract_images
from data.external import read_samples
from data.images import MAX_PIXELS, MIN_SIDE, BadImage, decode
from tests.files import encoded, png

SHORT, LONG = 100, 5000
LONGEST = 4000  # characters of a sentence, which may quote one value of the file
SIZES = [0, 1, 15, 16, 17, 255, 3000, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1]

pytestmark = pytest.mark.filterwarnings("ignore")  # of Pillow and zipfile, about the very damage that is meant


@pytest.fixture
def fuzz(stress: bool, tally) -> Callable[..., None]:
    """`fuzz(reader, strategy, check)` runs `check` on as many drawn values as the form of the test wants."""

    def run(reader: str, strategy: st.SearchStrategy[Any], check: Callable[[Any], None]) -> None:
        @settings(
            max_examples=LONG if stress else SHORT,
            derandomize=True,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(strategy)
        def case(drawn: Any) -> None:
            with tally.input(reader):
                check(drawn)

        case()

    return run


def is_sentence(error: Exception) -> bool:
    return 0 < len(str(error)) < LONGEST and len(str(error).splitlines()) == 1


# Damage to the bytes of a sound file


@st.composite
def damaged(draw: st.DrawFn, whole: st.SearchStrategy[bytes]) -> bytes:
    """A sound file with bytes changed, cut off, put in, taken from another one, or as it was."""
    content = bytearray(draw(whole))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, max(len(content) - 1, 0)))
        match draw(st.sampled_from(["change", "cut", "insert", "splice", "number"])):
            case "change":
                content[at : at + 1] = bytes([draw(st.integers(0, 255))])
            case "cut":
                del content[at:]
            case "insert":
                content[at:at] = draw(st.binary(min_size=1, max_size=20))
            case "splice":
                other = draw(whole)
                content[at:] = other[draw(st.integers(0, len(other))) :]
            case "number":
                order = draw(st.sampled_from("<>"))
                content[at : at + 4] = struct.pack(f"{order}I", draw(st.sampled_from(SIZES)))
    return bytes(content)


# Images


@functools.cache
def sound_images() -> list[bytes]:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 18, 4), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 8
    ways: list[tuple[str, str, dict[str, Any]]] = [
        ("RGB", "png", {"exif": exif}),
        ("RGBA", "png", {}),
        ("P", "png", {"transparency": 3}),
        ("LA", "png", {}),
        ("1", "png", {}),
        ("RGB", "jpeg", {"exif": exif}),
        ("CMYK", "jpeg", {"progressive": True}),
        ("L", "jpeg", {}),
        ("RGBA", "webp", {"lossless": True, "exif": exif}),
        ("RGB", "webp", {}),
        ("RGB", "webp", {"save_all": True, "append_images": [noise.convert("RGB").rotate(90)]}),
        ("RGB", "gif", {}),
    ]
    deep = encoded(Image.fromarray(np.full((16, 16), 60_000, np.uint16)))
    return [*(encoded(noise.convert(mode), kind, **options) for mode, kind, options in ways), deep]


@st.composite
def assembled_png(draw: st.DrawFn) -> bytes:
    """Chunks of any kind and order, their checksums right, under a header of any numbers."""
    sizes, small = st.sampled_from(SIZES), st.integers(0, 17)
    head = struct.pack(">II5B", draw(sizes), draw(sizes), *(draw(small) for _ in range(5)))
    kinds = st.sampled_from([b"IDAT", b"PLTE", b"tRNS", b"iCCP", b"zTXt", b"iTXt", b"eXIf", b"acTL", b"fcTL", b"IHDR"])
    contents = st.one_of(st.binary(max_size=60), st.binary(max_size=400).map(zlib.compress))
    return png((b"IHDR", head), *draw(st.lists(st.tuples(kinds, contents), max_size=6)), (b"IEND", b""))


MAGIC = st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"RIFF\xff\xff\0\0WEBPVP8 ", b"GIF89a"])


def test_images(tmp_path: Path, fuzz) -> None:
    path = tmp_path / "a.png"

    def check(content: bytes) -> None:
        path.write_bytes(content)
        try:
            image = decode(path)
        except BadImage as error:
            assert is_sentence(error), error
        else:
            assert image.mode == "RGB" and min(image.size) >= MIN_SIDE
            assert image.width * image.height <= MAX_PIXELS
            assert len(image.tobytes()) == image.width * image.height * 3

    noise = st.tuples(MAGIC, st.binary(max_size=300)).map(b"".join)
    fuzz("image", st.one_of(damaged(st.sampled_from(sound_images())), assembled_png(), noise), check)


# Archives

PARTS = st.one_of(
    st.sampled_from(
        ["a", "set", "..", ".", "", "C:", "con", "-rf", "\\", "~", "é", "\x00", "\n", "n" * 300, "{x}", " "]
    ),
    st.text(max_size=4),
)
ENDS = st.sampled_from(["", ".jpg", ".PNG", "/1.jpg", "/2.jpg", "/", "/.hidden.png", ".zip", ".tar.gz", "/x.tgz"])
NAMES = st.tuples(st.lists(PARTS, max_size=4).map("/".join), ENDS).map("".join)
KINDS = st.sampled_from([*([tarfile.REGTYPE] * 6), *(bytes([kind]) for kind in b"\01234567ASLKxgX")])
CONTENTS = st.one_of(st.binary(max_size=40), st.just(bytes(100_000)))


@st.composite
def zips(draw: st.DrawFn, contents: st.SearchStrategy[bytes] = CONTENTS) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", allowZip64=True) as file:
        for name in draw(st.lists(NAMES, max_size=5, unique=True)):
            entry = zipfile.ZipInfo(name.encode("utf-8", "replace").decode())
            entry.compress_type = draw(st.sampled_from([0, 8, 8, 12, 14]))
            entry.external_attr = draw(st.sampled_from([0, 0, 0o100644, 0o120777, 0o060644, 0o040755])) << 16
            file.writestr(entry, draw(contents))
    return stream.getvalue()


@st.composite
def tars(draw: st.DrawFn, contents: st.SearchStrategy[bytes] = CONTENTS) -> bytes:
    stream = io.BytesIO()
    for name in draw(st.lists(NAMES, max_size=5)):
        content = draw(contents)
        info = tarfile.TarInfo(name.encode("utf-8", "replace").decode())
        info.type, info.linkname = draw(KINDS), draw(st.sampled_from(["", "/etc/passwd", "../../x"]))
        info.size = draw(st.one_of(st.just(len(content)), st.sampled_from([*SIZES, 2**60, -512])))
        keys = st.sampled_from(["path", "size", "GNU.sparse.major", "GNU.sparse.map", "GNU.sparse.size", "hdrcharset"])
        info.pax_headers = draw(
            st.dictionaries(keys, st.sampled_from(["1", "-512", "0,9", "../x", "BINARY"]), max_size=2)
        )
        form = draw(st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]))
        stream.write(info.tobuf(form, errors="replace") + content + bytes(-len(content) % 512))
    stream.write(bytes(draw(st.sampled_from([0, 512, 1024]))))
    return stream.getvalue()


ARCHIVES = st.one_of(zips(), tars(), tars().map(functools.partial(gzip.compress, compresslevel=1)))
NESTED = st.one_of(zips(ARCHIVES), tars(ARCHIVES))


def test_archives(tmp_path: Path, fuzz) -> None:
    """Only files, only in the target, and as many as were asked for or a sentence."""
    path, target = tmp_path / "outer" / "a", tmp_path / "outer" / "target"
    target.mkdir(parents=True)

    def check(drawn: tuple[bytes, int, list[str], bool]) -> None:
        content, count, folders, bundle = drawn
        path.write_bytes(content)
        try:
            extract_images(path, target, count, folders, bundle)
        except SourceError as error:
            assert is_sentence(error), error
        else:
            assert len(list(target.iterdir())) == count
        assert {found.name for found in tmp_path.iterdir()} == {"outer"}
        assert {found.name for found in path.parent.iterdir()} == {"a", "target"}
        assert path.read_bytes() == content
        for found in target.iterdir():
            assert found.is_file() and not found.is_symlink() and not found.name.startswith(".")
            assert found.stat().st_size < MAX_TOTAL_BYTES
            found.unlink()

    folders = st.lists(st.sampled_from(["set", "a", "a/set"]), max_size=2)
    files = st.one_of(ARCHIVES, NESTED, damaged(ARCHIVES), damaged(NESTED))
    fuzz("archive", st.tuples(files, st.integers(0, 3), folders, st.booleans()), check)


# Samples of baselines trained elsewhere


@st.composite
def npz(draw: st.DrawFn) -> bytes:
    """An array whose header says one thing and whose bytes another, in an archive."""
    shape = tuple(draw(st.lists(st.sampled_from([0, 1, 2, 3, 16, 20, 2**20, 2**40, -1]), min_size=2, max_size=4)))
    shape = draw(st.sampled_from([shape, (2, 16, 16, 3), (2**20, 2**20, 2**20, 3), (2**50, 16, 16, 3)]))
    kind = draw(st.sampled_from(["|u1", "|u1", "|u1", "<f8", "|O", "|V0", "<U9", "[('a', '|u1')]", "nonsense"]))
    header = f"{{'descr': {kind!r}, 'fortran_order': {draw(st.booleans())}, 'shape': {shape}, }}"
    header = draw(st.sampled_from([header, header, header, "(" * 500, "-" * 5000 + "1", "{}", "[]", "'x'"]))
    version = draw(st.sampled_from([(1, 0), (2, 0), (3, 0), (9, 9)]))
    packed = header.encode().ljust(118) + b"\n"
    size = struct.pack("<H" if version == (1, 0) else "<I", len(packed))
    array = b"\x93NUMPY" + bytes(version) + size + packed + bytes(draw(st.sampled_from([0, 100, 768, 1536, 5000])))
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", draw(st.sampled_from([0, 8, 14]))) as file:
        file.writestr(draw(st.sampled_from(["images.npy", "arr_0.npy", "images", "x.npy"])), array)
    return stream.getvalue()


def test_external_samples(tmp_path: Path, fuzz) -> None:
    path = tmp_path / "a.npz"
    stream = io.BytesIO()
    np.savez_compressed(stream, images=np.zeros((3, 20, 16, 3), np.uint8))

    def check(content: bytes) -> None:
        path.write_bytes(content)
        try:
            images = read_samples(tmp_path, 16)
        except UserError as error:
            assert is_sentence(error), error
        else:
            assert images.dtype == np.uint8 and images.shape[1:] == (16, 16, 3) and len(images) > 0

    fuzz("external samples", st.one_of(npz(), damaged(st.just(stream.getvalue())), damaged(npz()), ARCHIVES), check)
