"""Hostile images: a sentence or a sound picture, within 2 GiB for one image, whatever its header promises.

Limits: MAX_PIXELS (2^26) and MAX_IMAGE_BYTES (64 MiB of file) of data/images.py.  What else can be wrong with an image
is in tests/data/test_images.py.
"""

from __future__ import annotations

import functools
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.images import MAX_IMAGE_BYTES, MAX_PIXELS, BadImage, decode, list_images
from tests import files
from tests.reliability.confined import Outcome, confined

SIDE = 8192  # squared, MAX_PIXELS
MOST = 2048  # MiB, for the largest picture that is accepted
LEAST = 64  # MiB, for one that is refused


def read(path: Path, tally) -> Outcome:
    with tally.input("image"):
        return confined(f"images.decode(Path({str(path)!r})).size", seconds=60)


def webp(width: int, height: int, frames: int) -> bytes:
    """An animation on a canvas of any size, each of whose frames has 16 x 16 pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return kind + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)

    still = files.encoded(Image.new("RGB", (16, 16)), "webp", lossless=True)
    canvas = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    place = bytes(6) + (15).to_bytes(3, "little") * 2 + (100).to_bytes(3, "little") + b"\0"
    body = b"WEBP" + chunk(b"VP8X", b"\2\0\0\0" + canvas) + chunk(b"ANIM", bytes(6))
    body += chunk(b"ANMF", place + still[12:]) * frames
    return b"RIFF" + struct.pack("<I", len(body)) + body


def png(side: int, *chunks: tuple[bytes, bytes], kind: tuple[int, int] = (8, 2)) -> bytes:
    """kind: bits and colour type.  Without chunks, it has no pixels."""
    header = (b"IHDR", struct.pack(">IIBBBBB", side, side, *kind, 0, 0, 0))
    return files.png(header, *chunks, (b"IDAT", zlib.compress(b"")), (b"IEND", b""))


@functools.cache
def zeros() -> bytes:
    """256 MiB, compressed a thousandfold."""
    return zlib.compress(bytes(2**28))


BOMBS = {
    **{f"{side} pixels": lambda side=side: png(side) for side in (8193, 12_000, 60_000)},  # around Pillow's own limits
    "canvas": lambda: webp(16383, 16383, 1),
    "iTXt": lambda: png(16, (b"iTXt", b"k\0\1\0\0\0" + zeros())),
    "zTXt": lambda: png(16, (b"zTXt", b"k\0\0" + zeros())),
    "iCCP": lambda: png(16, (b"iCCP", b"k\0\0" + zeros())),
}


@pytest.mark.parametrize("name", BOMBS)
def test_bomb_is_refused_before_it_is_decoded(tmp_path: Path, tally, name: str) -> None:
    """Too many pixels by the header, or 256 MiB of text in each of the chunks that PNG compresses."""
    (tmp_path / "a").write_bytes(BOMBS[name]())
    outcome = read(tmp_path / "a", tally)
    assert ("damaged or truncated" if len(name) == 4 else str(MAX_PIXELS)) in outcome.said
    assert outcome.mebibytes < LEAST


def test_file_larger_than_64_mib_is_refused_unread(tmp_path: Path, tally) -> None:
    """A gigabyte of a WebP's chunk, which Pillow would read completely; the file is sparse."""
    path = tmp_path / "a.webp"
    path.write_bytes(webp(64, 64, 1))
    os.truncate(path, 2**30)
    outcome = read(path, tally)
    assert outcome.said == f"has {2**30} bytes, more than the limit of {MAX_IMAGE_BYTES}"
    assert outcome.mebibytes < LEAST


@pytest.mark.parametrize(
    ("make", "most"),
    [(lambda: png(16, (b"IDAT", zeros())), LEAST), (lambda: webp(16, 16, 1_000_000), 512)],
    ids=["pixels", "frames"],
)
def test_what_the_header_does_not_promise_is_not_decoded(tmp_path: Path, tally, make, most: int) -> None:
    """16 x 16 pixels whose data hold 256 MiB, and a million frames (46 MB) of which the first is drawn."""
    (tmp_path / "a").write_bytes(make())
    outcome = read(tmp_path / "a", tally)
    assert outcome.said == "(16, 16)"
    assert outcome.mebibytes < most


def turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def deep() -> bytes:
    """SIDE x SIDE pixels of RGBA in 16 bits: 512 MiB."""
    packer, row = zlib.compressobj(1), bytes(1 + 8 * SIDE)
    packed = b"".join(packer.compress(row) for _ in range(SIDE)) + packer.flush()
    return png(SIDE, (b"IDAT", packed), kind=(16, 6))


LARGEST = {
    "palette with transparency.png": lambda path: Image.new("P", (SIDE, SIDE)).save(path, transparency=0),
    "RGBA on its side.png": lambda path: Image.new("RGBA", (SIDE, SIDE)).save(path, exif=turned(), compress_level=1),
    "16-bit.png": lambda path: Image.fromarray(np.zeros((SIDE, SIDE), np.uint16)).save(path, compress_level=1),
    "16-bit RGBA.png": lambda path: path.write_bytes(deep()),
    "profile.png": lambda path: Image.new("RGBA", (SIDE, SIDE)).save(path, icc_profile=files.SWAPPED, compress_level=1),
    "LZW.tif": lambda path: Image.new("RGB", (SIDE, SIDE)).save(path, compression="tiff_lzw"),
    "CMYK.jpg": lambda path: Image.new("CMYK", (SIDE, SIDE)).save(path),
    "progressive.jpg": lambda path: Image.new("RGB", (SIDE, SIDE)).save(path, progressive=True),
    "animation.webp": lambda path: path.write_bytes(webp(SIDE, SIDE, 1)),
    "transparent.webp": lambda path: Image.new("RGBA", (SIDE, SIDE)).save(path, lossless=True, method=0),
}


@pytest.mark.parametrize(
    "name", [name if index == 0 else pytest.param(name, marks=pytest.mark.long) for index, name in enumerate(LARGEST)]
)
def test_largest_picture_takes_less_than_2_gib(tmp_path: Path, tally, name: str) -> None:
    """Exactly MAX_PIXELS in a file of some kilobytes."""
    LARGEST[name](tmp_path / name)
    outcome = read(tmp_path / name, tally)
    assert outcome.said == f"({SIDE}, {SIDE})"
    assert outcome.mebibytes < MOST


ODD = [
    "-rf.png",
    "--out=x.png",
    "ünï ☃ 图.png",
    "$(touch x).png",
    "{a}.png",
    "a;b'\"c.png",
    "*.png",
    "n" * 200 + ".png",
]


def test_odd_names_are_listed_and_read(tmp_path: Path, tally) -> None:
    for name in ODD:
        Image.new("RGB", (16, 16)).save(tmp_path / name)
    (tmp_path / "again.png").symlink_to(tmp_path, target_is_directory=True)  # a folder that contains itself
    with tally.input("folder"):
        assert [path.name for path in list_images(tmp_path)] == sorted(ODD)
        assert all(decode(path).size == (16, 16) for path in list_images(tmp_path))


@pytest.mark.parametrize(
    "name", [b"a\nb.png", b"a\x1b[31m.png", b"\xff\xfe.png", "a\u202eb.png".encode(), b"\xed\xa0\x80.png"]
)
def test_name_that_no_record_can_hold_is_refused(tmp_path: Path, tally, name: bytes) -> None:
    """A line break, a terminal's control sequence, no UTF-8, a reversal of the writing direction, a lone surrogate."""
    with open(os.fsencode(tmp_path) + b"/" + name, "wb"):
        pass
    with tally.input("folder"), pytest.raises(BadImage, match="has a name that cannot be used; rename it") as error:
        list_images(tmp_path)
    assert str(error.value).isprintable()


@pytest.mark.parametrize(
    "make", [lambda path: path.symlink_to(path), lambda path: path.symlink_to("/no/such/file.png"), os.mkfifo]
)
def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path: Path, tally, make) -> None:
    make(tmp_path / "a.png")
    with tally.input("folder"), pytest.raises(BadImage, match=r"a\.png is not a regular file, or is a broken link"):
        list_images(tmp_path)
