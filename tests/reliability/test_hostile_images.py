"""Images made to harm: a sentence or a sound picture, within 2 GiB for one image, whatever its header promises.

Limits: MAX_PIXELS (2^26) and MAX_IMAGE_BYTES (64 MiB of file) of data/images.py.  What else can be wrong with an image
(truncated, CMYK, 16-bit, animated, too small, no image) is in tests/data/test_images.py.
"""

from __future__ import annotations

import functools
import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.images import MAX_IMAGE_BYTES, BadImage, decode, list_images
from tests.reliability.confined import confined

SIDE = 8192  # squared, MAX_PIXELS
MOST = 2048  # MiB, for the largest picture that is accepted
LEAST = 64  # MiB, for one that is refused


def webp(width: int, height: int, frames: int) -> bytes:
    """An animation on a canvas of any size, each of whose frames has 16 x 16 pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return kind + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)

    still = io.BytesIO()
    Image.new("RGB", (16, 16)).save(still, "webp", lossless=True)
    canvas = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    place = bytes(6) + (15).to_bytes(3, "little") * 2 + (100).to_bytes(3, "little") + b"\0"
    body = b"WEBP" + chunk(b"VP8X", b"\2\0\0\0" + canvas) + chunk(b"ANIM", bytes(6))
    body += chunk(b"ANMF", place + still.getvalue()[12:]) * frames
    return b"RIFF" + struct.pack("<I", len(body)) + body


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    packed = (struct.pack(">I", len(c)) + kind + c + struct.pack(">I", zlib.crc32(kind + c)) for kind, c in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


@functools.cache
def zeros() -> bytes:
    """256 MiB, compressed a thousandfold."""
    return zlib.compress(bytes(2**28))


def header(width: int, height: int, colour: int = 2) -> tuple[bytes, bytes]:
    return b"IHDR", struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)


def refused(path: Path, tally) -> str:
    """The sentence; it came without the memory that the picture asks for."""
    with tally.input("image"):
        outcome = confined(f"images.decode(Path({str(path)!r})).size")
        assert outcome.mebibytes < LEAST, outcome
        assert outcome.said and "\n" not in outcome.said
    return outcome.said


def test_animation_on_a_huge_canvas_is_refused_before_a_frame_is_drawn(tmp_path: Path, tally) -> None:
    (tmp_path / "a.webp").write_bytes(webp(16383, 16383, 1))
    assert "more pixels than the limit" in refused(tmp_path / "a.webp", tally)


def test_of_a_million_frames_one_is_decoded(tmp_path: Path, tally) -> None:
    """46 MB of frames: the decoder reads the file, but draws the first frame alone."""
    (tmp_path / "a.webp").write_bytes(webp(16, 16, 1_000_000))
    with tally.input("image"):
        outcome = confined(f"images.decode(Path({str(tmp_path / 'a.webp')!r})).size", seconds=60)
        assert outcome.said == "(16, 16)"
        assert outcome.mebibytes < 512


def test_file_larger_than_64_mib_is_refused_unread(tmp_path: Path, tally) -> None:
    """A gigabyte of a WebP's chunk, which Pillow would read whole; the file is sparse."""
    path = tmp_path / "a.webp"
    path.write_bytes(webp(64, 64, 1))
    os.truncate(path, 2**30)
    assert refused(path, tally) == f"has {2**30} bytes, more than the limit of {MAX_IMAGE_BYTES}"


@pytest.mark.parametrize("kind", [b"iTXt", b"zTXt", b"iCCP"])
def test_compressed_text_in_a_png_does_not_unfold(tmp_path: Path, tally, kind: bytes) -> None:
    """256 MiB of text behind 256 KiB, in each of the chunks that PNG compresses."""
    content = {b"iTXt": b"k\0\1\0\0\0", b"zTXt": b"k\0\0", b"iCCP": b"k\0\0"}[kind] + zeros()
    (tmp_path / "a.png").write_bytes(
        png(header(16, 16), (kind, content), (b"IDAT", zlib.compress(b"")), (b"IEND", b""))
    )
    assert "is damaged or truncated" in refused(tmp_path / "a.png", tally)


def test_pixels_beyond_what_the_header_promises_are_not_unpacked(tmp_path: Path, tally) -> None:
    """16 x 16 pixels whose compressed data hold 256 MiB."""
    (tmp_path / "a.png").write_bytes(png(header(16, 16), (b"IDAT", zeros()), (b"IEND", b"")))
    with tally.input("image"):
        outcome = confined(f"images.decode(Path({str(tmp_path / 'a.png')!r})).size")
        assert outcome.mebibytes < LEAST, outcome


LARGEST = {
    "palette with transparency.png": lambda path: Image.new("P", (SIDE, SIDE)).save(path, transparency=0),
    "RGBA on its side.png": lambda path: Image.new("RGBA", (SIDE, SIDE)).save(path, exif=turned(), compress_level=1),
    "16-bit.png": lambda path: Image.fromarray(np.zeros((SIDE, SIDE), np.uint16)).save(path, compress_level=1),
    "CMYK.jpg": lambda path: Image.new("CMYK", (SIDE, SIDE)).save(path),
    "progressive.jpg": lambda path: Image.new("RGB", (SIDE, SIDE)).save(path, progressive=True),
    "animation.webp": lambda path: path.write_bytes(webp(SIDE, SIDE, 1)),
    "transparent.webp": lambda path: Image.new("RGBA", (SIDE, SIDE)).save(path, lossless=True, method=0),
}


def turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


@pytest.mark.parametrize(
    "name", [name if index == 0 else pytest.param(name, marks=pytest.mark.long) for index, name in enumerate(LARGEST)]
)
def test_largest_picture_takes_less_than_2_gib(tmp_path: Path, tally, name: str) -> None:
    """Exactly MAX_PIXELS in a file of some kilobytes."""
    LARGEST[name](tmp_path / name)
    with tally.input("image"):
        outcome = confined(f"images.decode(Path({str(tmp_path / name)!r})).size")
        assert outcome.said == f"({SIDE}, {SIDE})"
        assert outcome.mebibytes < MOST


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1", "I;16"])
@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_one_pixel_is_refused_in_every_kind(tmp_path: Path, tally, mode: str, suffix: str) -> None:
    try:
        Image.new(mode, (1, 1)).save(tmp_path / f"a.{suffix}")
    except OSError:
        Image.new("L", (1, 1)).save(tmp_path / f"a.{suffix}")  # a mode that this format lacks
    with tally.input("image"), pytest.raises(BadImage, match="is 1x1 pixels, but each side must have at least 16"):
        decode(tmp_path / f"a.{suffix}")


ODD = [
    "-rf.png",
    "--out=x.png",
    "ünï ☃ 图.png",
    "$(touch x).png",
    "{wildcard}.png",
    "a;b'\"c.png",
    "*.png",
    "n" * 200 + ".png",
]


def test_odd_names_are_listed_and_read(tmp_path: Path, tally) -> None:
    for name in ODD:
        Image.new("RGB", (16, 16)).save(tmp_path / name)
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


def loop(path: Path) -> None:
    path.symlink_to(path)


def circle(path: Path) -> None:
    path.symlink_to(path.with_name("b.png"))
    path.with_name("b.png").symlink_to(path)


def dangling(path: Path) -> None:
    path.symlink_to("/no/such/file.png")


@pytest.mark.parametrize("make", [loop, circle, dangling, os.mkfifo])
def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path: Path, tally, make) -> None:
    make(tmp_path / "a.png")
    with tally.input("folder"), pytest.raises(BadImage, match=r"a\.png is no file or a link that leads nowhere"):
        list_images(tmp_path)


def test_folder_that_contains_itself_is_listed_once(tmp_path: Path, tally) -> None:
    (tmp_path / "again.png").symlink_to(tmp_path, target_is_directory=True)
    Image.new("RGB", (16, 16)).save(tmp_path / "a.png")
    with tally.input("folder"):
        assert [path.name for path in list_images(tmp_path)] == ["a.png"]
