"""Every format ends as the same upright 8-bit RGB pixels, and every unusable file says why."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import networks.torchvision_compat  # noqa: F401  (must come before torchvision)
from data.images import MAX_PIXELS, BadImage, decode, list_images, to_square


def gradient(height: int = 24, width: int = 32) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 // (width - 1), y * 255 // (height - 1), (x + y) * 2], axis=-1).astype(np.uint8)


@pytest.mark.parametrize("name", ["a.png", "a.webp"])
def test_lossless_formats_give_the_exact_pixels(tmp_path: Path, name: str) -> None:
    Image.fromarray(gradient()).save(tmp_path / name, lossless=True)
    assert np.array_equal(decode(tmp_path / name), gradient())


def test_jpeg_gives_nearly_the_pixels(tmp_path: Path) -> None:
    Image.fromarray(gradient()).save(tmp_path / "a.jpg", quality=95)
    assert np.abs(np.asarray(decode(tmp_path / "a.jpg"), int) - gradient()).mean() < 3  # levels of 255


def test_format_is_told_by_content_not_by_suffix(tmp_path: Path) -> None:
    Image.fromarray(gradient()).save(tmp_path / "a.jpg", format="png")
    assert np.array_equal(decode(tmp_path / "a.jpg"), gradient())


def test_greyscale_fills_three_equal_channels(tmp_path: Path) -> None:
    Image.fromarray(gradient()[..., 0]).save(tmp_path / "a.png")
    assert np.array_equal(decode(tmp_path / "a.png"), np.repeat(gradient()[..., :1], 3, axis=-1))


def test_sixteen_bit_greyscale_is_scaled_not_clipped(tmp_path: Path) -> None:
    Image.fromarray(gradient()[..., 0].astype(np.uint16) * 257).save(tmp_path / "a.png")
    assert np.array_equal(np.asarray(decode(tmp_path / "a.png"))[..., 0], gradient()[..., 0])


def test_palette_is_looked_up(tmp_path: Path) -> None:
    image = Image.fromarray(gradient()).quantize(16)
    image.save(tmp_path / "a.png")
    assert np.array_equal(decode(tmp_path / "a.png"), image.convert("RGB"))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "RGB"])
def test_transparency_becomes_white(tmp_path: Path, mode: str) -> None:
    """Left half transparent, right half black and opaque, in each way that PNG can say so."""
    if mode in ("P", "RGB"):
        clear = (255, 0, 0)
        image = Image.new("RGB", (32, 32), clear)
        image.paste((0, 0, 0), (16, 0, 32, 32))
        key: object = clear
        if mode == "P":
            image = image.quantize(2)
            key = image.getpixel((0, 0))
        image.save(tmp_path / "a.png", transparency=key)
    else:
        image = Image.new(mode, (32, 32))
        image.paste((0, 0, 0, 255) if mode == "RGBA" else (0, 255), (16, 0, 32, 32))
        image.save(tmp_path / "a.png")
    decoded = np.asarray(decode(tmp_path / "a.png"))
    assert (decoded[:, :16] == 255).all()
    assert (decoded[:, 16:] == 0).all()


def test_half_transparency_is_blended(tmp_path: Path) -> None:
    Image.new("RGBA", (16, 16), (0, 0, 0, 128)).save(tmp_path / "a.png")
    assert np.unique(decode(tmp_path / "a.png")).tolist() == [127]


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 270 degrees to view
    Image.fromarray(gradient()).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(decode(tmp_path / "a.png"), np.rot90(gradient(), k=-1))


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / "a.jpg", quality=100)
    red, green, blue = np.asarray(decode(tmp_path / "a.jpg"))[8, 8]
    assert red > 250 and green < 5 and blue < 5


def test_of_an_animation_the_first_frame_is_taken(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:], lossless=True)
    assert np.asarray(decode(tmp_path / "a.webp"))[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_truncated_file_is_refused(tmp_path: Path, suffix: str, share: float) -> None:
    whole = tmp_path / f"whole.{suffix}"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(whole)
    content = whole.read_bytes()
    whole.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(BadImage, match=r"damaged or truncated|not a JPEG"):
        decode(whole)


@pytest.mark.parametrize(
    ("content", "reason"), [(b"", "empty"), (b"<html>quota exceeded</html>", "not a JPEG, PNG or WebP")]
)
def test_what_is_no_image_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(BadImage, match=reason):
        decode(tmp_path / "a.png")


def test_other_formats_are_refused(tmp_path: Path) -> None:
    Image.fromarray(gradient()).save(tmp_path / "a.png", format="gif")
    with pytest.raises(BadImage, match="not a JPEG, PNG or WebP"):
        decode(tmp_path / "a.png")


def test_too_small_image_is_refused(tmp_path: Path) -> None:
    Image.new("RGB", (40, 15)).save(tmp_path / "a.png")
    with pytest.raises(BadImage, match="40x15 pixels"):
        decode(tmp_path / "a.png")


@pytest.mark.parametrize("side", [8193, 12_000, 60_000])
def test_bomb_is_refused_from_its_header(tmp_path: Path, side: int) -> None:
    """Below, between and above Pillow's own warning and error; the header alone is there, so nothing was decoded."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    body = b"".join(
        struct.pack(">I", len(chunk)) + kind + chunk + struct.pack(">I", zlib.crc32(kind + chunk))
        for kind, chunk in chunks
    )
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    with pytest.raises(BadImage, match=str(MAX_PIXELS)):
        decode(tmp_path / "a.png")


def test_listing_takes_images_by_suffix_in_lexicographic_order(tmp_path: Path) -> None:
    for name in ["2.png", "10.PNG", "a.jpeg", ".hidden.png", "notes.txt"]:
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    assert [path.name for path in list_images(tmp_path)] == ["10.PNG", "2.png", "a.jpeg"]


@pytest.mark.parametrize(("height", "width"), [(50, 50), (70, 51), (33, 90), (20, 20), (37, 32), (32, 32)])
def test_resizing_equals_torchvision(height: int, width: int) -> None:
    """Bit for bit Resize(32) followed by CenterCrop(32), enlarging and shrinking."""
    from torchvision.transforms import CenterCrop, Compose, Resize

    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))
    expected = Compose([Resize(32), CenterCrop(32)])(image)
    assert np.array_equal(to_square(image, 32), expected)
