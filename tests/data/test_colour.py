"""One picture in every depth, mode and colour space that a file can have gives the same pixels to one level."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.images import BadImage, decode
from tests import files
from tests.files import SRGB, SWAPPED

RGB = np.random.default_rng(0).integers(0, 256, (20, 24, 3), dtype=np.uint8)
GREY = RGB[..., :1]
ALPHA = np.broadcast_to(np.where(np.arange(24) < 12, 255, 0)[:, None], GREY.shape).astype(np.uint8)
COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}  # of a PNG, by its channels


def png(path: Path, values: np.ndarray, transparent: np.ndarray | None = None) -> None:
    """A 16-bit PNG of 1 to 4 channels, which Pillow cannot write."""
    height, width, channels = values.shape
    head = struct.pack(">IIBBBBB", width, height, 16, COLOUR_TYPES[channels], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    colour = [] if transparent is None else [(b"tRNS", transparent.astype(">u2").tobytes())]
    path.write_bytes(files.png((b"IHDR", head), *colour, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")))


def tiff(path: Path, values: np.ndarray, order: str, **tags: int) -> None:
    """An uncompressed 16-bit TIFF of 1, 3 or 4 channels in one strip; order: "<" or ">"."""
    height, width, channels = values.shape
    data = values.astype(order + "u2").tobytes()
    bits, place = struct.pack(f"{order}{channels}H", *[16] * channels), 8 + len(data)
    longs = {256: width, 257: height, 273: 8, 278: height, 279: len(data)}
    shorts = {258: 16, 259: 1, 262: 1 if channels == 1 else 2, 277: channels}
    shorts |= {338: 2} if channels == 4 else {}
    shorts |= {int(tag[1:]): value for tag, value in tags.items()}
    entries = {tag: struct.pack(f"{order}HHII", tag, 4, 1, value) for tag, value in longs.items()}
    entries |= {tag: struct.pack(f"{order}HHIHH", tag, 3, 1, value, 0) for tag, value in shorts.items()}
    if channels > 1:
        entries[258] = struct.pack(f"{order}HHII", 258, 3, channels, place)
    directory = struct.pack(order + "H", len(entries)) + b"".join(entries[tag] for tag in sorted(entries)) + bytes(4)
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, place + len(bits))
    path.write_bytes(head + data + bits + directory)


def deep(levels: np.ndarray, depth: int) -> np.ndarray:
    return levels.astype(np.uint32) * (2**depth - 1) // 255


def differ(path: Path, expected: np.ndarray, depth: int | None = None) -> int:
    notes: list[str] = []
    pixels = np.asarray(decode(path, depth, notes)).astype(int)
    assert notes == []
    return int(np.abs(pixels - expected).max())


@pytest.mark.parametrize("depth", [16, 12])
@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("colours", [GREY, RGB], ids=["grey", "RGB"])
def test_sixteen_bits_and_twelve_in_sixteen_give_the_eight_bit_picture(tmp_path, colours, alpha, depth) -> None:
    """Pillow alone clips or drops the lower bits; alpha has the depth of the colours or is full."""
    declared = None if depth == 16 else depth
    values = deep(colours, depth)
    expected = np.where(ALPHA > 0, colours, 255) if alpha else colours
    for opacity in (deep(ALPHA, depth), deep(ALPHA, 16)):
        png(tmp_path / "a.png", np.concatenate([values, opacity], axis=-1) if alpha else values)
        assert differ(tmp_path / "a.png", expected, declared) <= 1
    for order in "<>" if alpha is False or colours is RGB else "":
        tiff(tmp_path / "a.tif", np.concatenate([values, deep(ALPHA, depth)], axis=-1) if alpha else values, order)
        assert differ(tmp_path / "a.tif", expected, declared) <= 1


@pytest.mark.parametrize("colours", [GREY, RGB], ids=["grey", "RGB"])
def test_transparent_colour_of_a_sixteen_bit_png(tmp_path: Path, colours: np.ndarray) -> None:
    same = (colours == colours[3, 4]).all(axis=-1, keepdims=True)
    png(tmp_path / "a.png", deep(colours, 16), deep(colours[3, 4], 16))
    assert differ(tmp_path / "a.png", np.where(same, 255, colours)) == 0


def test_inverted_grey_of_a_tiff(tmp_path: Path) -> None:
    """PhotometricInterpretation 0: white is zero."""
    tiff(tmp_path / "a.tif", deep(255 - GREY, 16), "<", t262=0)
    assert differ(tmp_path / "a.tif", GREY) <= 1


def test_the_camera_turned_with_sixteen_bits(tmp_path: Path) -> None:
    tiff(tmp_path / "a.tif", deep(RGB, 16), "<", t274=6)
    assert differ(tmp_path / "a.tif", np.rot90(RGB, k=-1)) == 0


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "I;16"])
def test_the_camera_turned_without_compression(tmp_path: Path, mode: str) -> None:
    """Pillow would map the file into memory with its sides swapped."""
    image = Image.fromarray(GREY[..., 0]) if mode in ("L", "I;16") else Image.fromarray(RGB).convert(mode)
    if mode == "I;16":
        image = Image.fromarray(deep(GREY[..., 0], 16).astype(np.uint16))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "plain.tif")
    image.save(tmp_path / "turned.tif", exif=exif)
    assert differ(tmp_path / "turned.tif", np.rot90(np.asarray(decode(tmp_path / "plain.tif")), k=-1)) == 0


@pytest.mark.parametrize("colours", [GREY, RGB], ids=["grey", "RGB"])
def test_a_small_part_of_the_range_is_named_with_the_key_to_set(tmp_path: Path, capfd, colours: np.ndarray) -> None:
    png(tmp_path / "a.png", deep(colours, 12))
    assert np.asarray(decode(tmp_path / "a.png")).max() < 16
    assert "a.png is a 16-bit picture without a value above 4095" in (said := capfd.readouterr().err)
    assert "`depth: 12`" in said
    decode(tmp_path / "a.png", 16)  # declared to be dark
    assert capfd.readouterr().err == ""


def test_values_beyond_the_depth_are_refused(tmp_path: Path) -> None:
    png(tmp_path / "a.png", deep(RGB, 14))
    with pytest.raises(BadImage, match=r"holds the value \d{5}, but 4095 is the largest of `depth: 12`"):
        decode(tmp_path / "a.png", 12)


def test_values_that_are_no_levels_are_refused(tmp_path: Path) -> None:
    Image.fromarray(GREY[..., 0].astype(np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(BadImage, match=r"has values of a kind that cannot be read \(F\); save it as 8-bit RGB"):
        decode(tmp_path / "a.tif")


def test_sixteen_bits_in_separate_planes_are_refused(tmp_path: Path) -> None:
    """Pillow reads such a file without an error, and takes each of the two bytes of a value for a value."""
    tiff(tmp_path / "a.tif", deep(RGB, 16), "<", t284=2)
    with pytest.raises(BadImage, match="16-bit colours in separate planes, which cannot be read; save it as 16-bit"):
        decode(tmp_path / "a.tif")


# Colour profiles ------------------------------------------------------------------------------------------------------


def profile(space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    """An ICC profile of version 2 with these tags (specification ICC.1:2001-04, sections 6.1 and 6.2)."""
    place, table, body = 128 + 4 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        content += bytes(-len(content) % 4)
        table += name + struct.pack(">II", place + len(body), len(content))
        body += content
    white = struct.pack(">3i", 63190, 65536, 54061)
    kind = b"prtr" if space == b"CMYK" else b"mntr"
    head = struct.pack(
        ">I4sI4s4s4s12s4s", place + len(body), b"none", 0x02100000, kind, space, connection, b"", b"acsp"
    )
    return (head + bytes(28) + white).ljust(128, b"\0") + table + body


WHITE = b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)
LINEAR_GREY = profile(b"GRAY", b"XYZ ", {b"wtpt": WHITE, b"kTRC": b"curv" + bytes(8)})
RAMP = bytes(range(256))
# A table of two points an axis: no ink is white (L* 100), any full ink is black.
CUBE = b"".join(bytes([0 if ink else 255, 128, 128]) for ink in range(16))
INKS = profile(
    b"CMYK",
    b"Lab ",
    {
        b"wtpt": WHITE,
        b"A2B0": b"mft1\0\0\0\0\4\3\2\0"
        + struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
        + RAMP * 4
        + CUBE
        + RAMP * 3,
    },
)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tif"])
def test_a_profile_with_other_primaries_is_converted(tmp_path: Path, name: str) -> None:
    exact = {"quality": 100, "subsampling": 0} if name == "a.jpg" else {"lossless": True} if name == "a.webp" else {}
    Image.new("RGB", (16, 16), (255, 20, 0)).save(tmp_path / name, icc_profile=SWAPPED, **exact)
    assert differ(tmp_path / name, np.array([0, 20, 255])) <= 2


@pytest.mark.parametrize("mode", ["P", "RGBA"])
def test_so_it_is_with_palette_and_alpha(tmp_path: Path, mode: str) -> None:
    image = Image.new("RGBA", (32, 16), (255, 0, 0, 255))
    image.paste((255, 0, 0, 0), (0, 0, 16, 16))
    image = image if mode == "RGBA" else image.convert("RGB").quantize(2)
    image.save(tmp_path / "a.png", icc_profile=SWAPPED)
    pixels = np.asarray(decode(tmp_path / "a.png"))
    assert pixels[0, 31].tolist() == [0, 0, 255]
    assert pixels[0, 0].tolist() == ([255, 255, 255] if mode == "RGBA" else [0, 0, 255])


def test_srgb_leaves_every_pixel_as_it_is(tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.png", icc_profile=SRGB)
    assert differ(tmp_path / "a.png", RGB) == 0


def test_profiles_of_grey_and_of_inks_are_converted(tmp_path: Path) -> None:
    """Half the light is level 188 of sRGB; without the profile, full cyan would be (0, 255, 255)."""
    Image.new("L", (16, 16), 128).save(tmp_path / "a.png", icc_profile=LINEAR_GREY)
    assert differ(tmp_path / "a.png", np.full(3, 188)) <= 1
    for ink, level in ((0, 255), (255, 0)):
        Image.new("CMYK", (16, 16), (ink, 0, 0, 0)).save(tmp_path / "a.jpg", icc_profile=INKS, quality=100)
        assert differ(tmp_path / "a.jpg", np.full(3, level)) <= 3


@pytest.mark.parametrize("damaged", [b"x" * 500, SWAPPED[:300], LINEAR_GREY], ids=["noise", "cut", "of another mode"])
def test_a_profile_that_cannot_be_used_is_ignored_and_named(tmp_path: Path, damaged: bytes) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.png", icc_profile=damaged)
    notes: list[str] = []
    assert np.array_equal(decode(tmp_path / "a.png", None, notes), RGB)
    [note] = notes
    assert note.startswith("has a colour profile that cannot be used (")
    assert note.endswith("); its colours are read as sRGB")
