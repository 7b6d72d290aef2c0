"""Every format ends as the same upright 8-bit RGB pixels, and every unusable file says why.

Hostile images are in tests/reliability/test_hostile_images.py.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import networks.torchvision_compat  # noqa: F401  (must come before torchvision)
from data.images import BadImage, decode, list_images, to_square


def gradient(height: int = 24, width: int = 32) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 // (width - 1), y * 255 // (height - 1), (x + y) * 2], axis=-1).astype(np.uint8)


@pytest.fixture
def decoded(tmp_path: Path):
    """`decoded(image, name, **options)`: the pixels after the image was saved and read back."""

    def run(image: Image.Image, name: str = "a.png", **options: object) -> np.ndarray:
        image.save(tmp_path / name, **options)
        return np.asarray(decode(tmp_path / name))

    return run


GREY = gradient()[..., 0]
PALETTE = Image.fromarray(gradient()).quantize(16)
TURNED = Image.Exif()
TURNED[0x0112] = 6  # the camera was turned: rotate by 270 degrees to view


@pytest.mark.parametrize(
    ("image", "name", "options", "expected"),
    [
        (Image.fromarray(gradient()), "a.png", {}, gradient()),
        (Image.fromarray(gradient()), "a.webp", {"lossless": True}, gradient()),
        (Image.fromarray(gradient()), "a.bmp", {}, gradient()),
        (Image.fromarray(gradient()), "a.tif", {"compression": "tiff_lzw"}, gradient()),
        (Image.fromarray(gradient()), "png-inside.jpg", {"format": "png"}, gradient()),
        (Image.fromarray(gradient()), "a.png", {"exif": TURNED}, np.rot90(gradient(), k=-1)),
        (Image.fromarray(GREY), "a.png", {}, np.stack([GREY] * 3, -1)),
        (Image.fromarray(GREY.astype(np.uint16) * 257), "a.png", {}, np.stack([GREY] * 3, -1)),  # scaled, not clipped
        (PALETTE, "a.png", {}, np.asarray(PALETTE.convert("RGB"))),
        (Image.new("RGBA", (16, 16), (0, 0, 0, 128)), "a.png", {}, np.full((16, 16, 3), 127)),  # blended with white
    ],
    ids=["PNG", "WebP", "BMP", "TIFF", "suffix", "orientation", "greyscale", "16 bits", "palette", "half transparent"],
)
def test_exact_pixels(decoded, image: Image.Image, name: str, options, expected: np.ndarray) -> None:
    assert np.array_equal(decoded(image, name, **options), expected)


def test_jpeg_gives_nearly_the_pixels(decoded) -> None:
    pixels = decoded(Image.fromarray(gradient()), "a.jpg", quality=95)
    assert np.abs(pixels.astype(int) - gradient()).mean() < 3  # levels of 255
    red, green, blue = decoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "a.jpg", quality=100)[8, 8]
    assert red > 250 and green < 5 and blue < 5


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "RGB"])
def test_transparency_becomes_white(decoded, mode: str) -> None:
    """Left half transparent, right half black and opaque, in each way that PNG can express it."""
    if mode in ("P", "RGB"):
        image = Image.new("RGB", (32, 32), (255, 0, 0))
        image.paste((0, 0, 0), (16, 0, 32, 32))
        image = image.quantize(2) if mode == "P" else image
        pixels = decoded(image, transparency=image.getpixel((0, 0)))
    else:
        image = Image.new(mode, (32, 32))
        image.paste((0, 0, 0, 255) if mode == "RGBA" else (0, 255), (16, 0, 32, 32))
        pixels = decoded(image)
    assert (pixels[:, :16] == 255).all() and (pixels[:, 16:] == 0).all()


def test_of_an_animation_the_first_frame_is_taken(decoded) -> None:
    red, blue = (Image.new("RGB", (16, 16), colour) for colour in ("red", "blue"))
    assert decoded(red, "a.webp", save_all=True, append_images=[blue], lossless=True)[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
@pytest.mark.parametrize("share", [0, 0.2, 0.5, 0.9])
def test_truncated_file_is_refused(tmp_path: Path, suffix: str, share: float) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(BadImage, match=r"damaged or truncated|not a JPEG|is empty"):
        decode(path)


@pytest.mark.parametrize(
    ("size", "form", "reason"),
    [
        ((32, 32), "gif", "not a JPEG, PNG, WebP, BMP or TIFF"),
        ((40, 15), "png", "is 40x15 pixels, but each side must have at least 16"),
        ((1601, 16), "png", "is 1601x16 pixels: one side is more than 100 times as long as the other"),
    ],
)
def test_other_format_and_too_few_pixels_are_refused(decoded, size, form: str, reason: str) -> None:
    with pytest.raises(BadImage, match=reason):
        decoded(Image.new("RGB", size), format=form)


def test_listing_takes_images_by_suffix_in_lexicographic_order(tmp_path: Path) -> None:
    for name in ["2.png", "10.PNG", "a.jpeg", "b.TIF", ".hidden.png", "notes.txt"]:
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    assert [path.name for path in list_images(tmp_path)] == ["10.PNG", "2.png", "a.jpeg", "b.TIF"]


@pytest.mark.parametrize(("height", "width"), [(50, 50), (70, 51), (33, 90), (20, 20), (37, 32), (32, 32)])
def test_resizing_equals_torchvision(height: int, width: int) -> None:
    """Bit for bit Resize(32) followed by CenterCrop(32), enlarging and shrinking."""
    from torchvision.transforms import CenterCrop, Compose, Resize

    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))
    assert np.array_equal(to_square(image, 32), Compose([Resize(32), CenterCrop(32)])(image))
