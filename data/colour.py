"""An opened picture as 8-bit sRGB: its depth, colour profile and transparency.

Colour profiles are converted by LittleCMS (PIL.ImageCms), relative colorimetric with black point compensation.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageFile

ORIENTATION = 0x0112  # the EXIF tag
PHOTOMETRIC, WHITE_IS_ZERO = 262, 0  # a tag of TIFF that Pillow ignores at 16 bits, and its value for inverted grey
BITS, PLANES, SEPARATE = 258, 284, 2  # two tags of TIFF, and the value of PLANES for all red values first
NARROW = 2**14  # 16-bit values that stay below this use at most a quarter of their range
DARK = "is a 16-bit picture"  # the beginnings of two notes
UNUSED_PROFILE = "has a colour profile that cannot be used"
DEPTHS = (8, 10, 12, 14)  # usual depths of cameras and scanners whose values are stored in 16 bits
MODES = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV")
GREY = ("1", "L", "LA", "La")
# Pillow reads only the upper byte of a 16-bit colour.  Read in the other byte order, the same file gives the lower one.
NATIVE, FOREIGN = ("L", "B") if sys.byteorder == "little" else ("B", "L")
LOWER_BYTE = {
    f"{mode};16{order}": f"{mode};16{other}"
    for mode in ("RGB", "RGBA", "RGBX")
    for order, other in (("L", "B"), ("B", "L"), ("N", FOREIGN))
}


class BadColour(Exception):
    """The values of a picture cannot be understood.  The caller adds the file name."""


def to_srgb(image: Image.Image, notes: list[str]) -> Image.Image:
    """An 8-bit picture as RGB: its colour profile applied, transparency composited on white.

    notes: what had to be assumed about its colours is appended.  Raises `BadColour`.
    """
    if image.mode not in MODES:
        raise BadColour(f"has values of a kind that cannot be read ({image.mode}); save it as 8-bit RGB")
    profile = image.info.get("icc_profile")
    if not image.has_transparency_data:
        return _apply(profile, image, notes) if profile else image.convert("RGB")
    layer = image.convert("RGBA")
    if profile:
        colours = layer.getchannel("R") if image.mode in GREY else layer.convert("RGB")
        alpha = layer.getchannel("A")
        layer = _apply(profile, colours, notes)
        layer.putalpha(alpha)
    return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")


def _apply(profile: bytes, image: Image.Image, notes: list[str]) -> Image.Image:
    """An opaque picture as sRGB.  A profile that cannot be used is ignored, with a note."""
    mode = "L" if image.mode in GREY else "CMYK" if image.mode == "CMYK" else "RGB"
    try:
        if mode == "L" and _space(profile) == "RGB":
            mode = "RGB"
        transform = _transform(profile, mode)
    except (ImageCms.PyCMSError, OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        notes.append(f"{UNUSED_PROFILE} ({reason}); its colours are read as sRGB")
        return image.convert("RGB")
    image = image.convert(mode)
    if transform is None:
        return image
    # In place where possible: a picture of the largest size takes 256 MiB.
    converted = ImageCms.applyTransform(image, transform, inPlace=mode == "RGB")
    return image if converted is None else converted


def _space(profile: bytes) -> str:
    return ImageCms.ImageCmsProfile(io.BytesIO(profile)).profile.xcolor_space.strip()


@lru_cache(maxsize=8)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """The conversion of this mode to sRGB; None if the profile is sRGB to one level: pixels stay as they are."""
    transform = ImageCms.buildTransform(
        ImageCms.ImageCmsProfile(io.BytesIO(profile)),
        ImageCms.createProfile("sRGB"),
        mode,
        "RGB",
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    if mode == "RGB":
        levels = np.arange(0, 256, 15, dtype=np.uint8)
        colours = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(levels.size, -1, 3)
        converted = ImageCms.applyTransform(Image.fromarray(colours), transform)
        assert converted is not None  # it is None only in place
        if np.abs(np.asarray(converted).astype(int) - colours).max() <= 1:
            return None
    return transform


def eight_bits(
    image: Image.Image, reopen: Callable[[], ImageFile.ImageFile], depth: int | None, notes: list[str]
) -> Image.Image:
    """A loaded picture with 16-bit values, scaled to 8 bits; any other picture as it is.

    reopen: opens the same file again, not loaded.  depth: how many of the 16 bits are used (None: all of them, with a
    note if the values are suspiciously small).  Raises `BadColour` for values that do not fit the depth.
    """
    values = _values(image, reopen, depth)
    if values is None:
        return image
    colours = values[..., :-1] if values.shape[2] in (2, 4) else values
    peak = int(colours.max())
    if depth is not None and peak >= 2**depth:
        raise BadColour(f"holds the value {peak}, but {2**depth - 1} is the largest of `depth: {depth}`")
    if depth is None and 0 < peak < NARROW:
        likely = next(bits for bits in DEPTHS if peak < 2**bits)
        notes.append(
            f"{DARK} without a value above {2**likely - 1} (`depth: {likely}`), so it becomes dark; save it with 8 bits"
        )
    pixels = _scaled(colours, depth or 16)
    if getattr(image, "tag_v2", {}).get(PHOTOMETRIC) == WHITE_IS_ZERO:
        pixels = 255 - pixels
    if colours is not values:  # alpha may have the depth of the colours, or the whole range
        alpha = values[..., -1:]
        pixels = np.concatenate([pixels, _scaled(alpha, depth if depth and alpha.max() < 2**depth else 16)], axis=-1)
    elif (transparent := image.info.get("transparency")) is not None:
        opaque = (values != np.asarray(transparent, np.uint16)).any(axis=-1, keepdims=True)
        pixels = np.concatenate([pixels, opaque * np.uint8(255)], axis=-1)
    result = Image.fromarray(pixels.squeeze(-1) if pixels.shape[2] == 1 else pixels)
    if profile := image.info.get("icc_profile"):
        result.info["icc_profile"] = profile
    if orientation := image.getexif().get(ORIENTATION):
        result.getexif()[ORIENTATION] = orientation
    return result


def _scaled(values: NDArray[np.uint16], depth: int) -> NDArray[np.uint8]:
    """Values of `depth` bits as 8 bits; 16 bits are divided by 257."""
    table = (np.arange(2**depth) * 255 // (2**depth - 1)).astype(np.uint8)
    return table[values]


def _values(
    image: Image.Image, reopen: Callable[[], ImageFile.ImageFile], depth: int | None
) -> NDArray[np.uint16] | None:
    """The values of a picture of 16 bits, (height, width, channels); None if it has 8 bits.

    Alpha, if any, is the last of two or four channels.
    """
    if image.mode.startswith("I"):
        values = np.asarray(image)
        if values.min() < 0 or values.max() >= 2**16:
            raise BadColour("has values outside 0 to 65535; save it with 8 or 16 bits")
        return values.astype(np.uint16)[..., None]
    with reopen() as other:
        raw = raw_mode(other)
        if raw == "LA;16B":  # four bytes a pixel: grey and alpha, each high and low
            _set_raw_mode(other, "RGBA")
            return np.asarray(other).view(">u2").astype(np.uint16)
        if raw not in LOWER_BYTE and ";16" in raw and image.format == "TIFF" and depth not in (None, 16):
            raise BadColour(f"stores 16-bit colours as {raw}, of which only 8 bits can be read; save it as 16-bit RGB")
        if _has_deep_planes(image):
            raise BadColour("stores 16-bit colours in separate planes, which cannot be read; save it as 16-bit PNG")
        if raw not in LOWER_BYTE:
            return None
        _set_raw_mode(other, LOWER_BYTE[raw])
        values = np.asarray(image).astype(np.uint16)
        values <<= 8
        values |= np.asarray(other)
        return values


def _has_deep_planes(image: Image.Image) -> bool:
    """Is it a TIFF of separate planes with more than 8 bits?  Pillow takes each byte of those for a value."""
    tags = getattr(image, "tag_v2", {})
    return tags.get(PLANES) == SEPARATE and max(tags.get(BITS, (8,))) > 8


def raw_mode(image: ImageFile.ImageFile) -> str:
    """How the file stores pixels, in Pillow's words; empty if unknown."""
    args = image.tile[0].args if image.tile else ""
    return args if isinstance(args, str) else str(args[0]) if args else ""


def _set_raw_mode(image: ImageFile.ImageFile, raw: str) -> None:
    image.tile = [
        tile._replace(args=raw if isinstance(tile.args, str) else (raw, *(tile.args or ())[1:])) for tile in image.tile
    ]
