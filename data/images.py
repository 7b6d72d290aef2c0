"""Decode an image file to RGB (formats, orientation, limits; data/colour.py: colours), and resize it."""

from __future__ import annotations

import unicodedata
import warnings
from pathlib import Path

from PIL import Image, ImageFile, ImageOps

from common.console import say
from data.colour import BadColour, eight_bits, to_srgb

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF")
FORMAT_NAMES = "JPEG, PNG, WebP, BMP or TIFF"
JOINERS = "\u200c\u200d"  # between letters of Persian and parts of emoji
MAX_IMAGE_BYTES = 64 * 2**20  # of a file: some decoders read the whole file first
MIN_SIDE = 16  # pixels; smaller images have too little detail to learn from
MAX_PIXELS = 2**26  # 8192 x 8192, far above any set here: decompression bombs are refused by their header
MAX_RATIO = 100  # of the sides: a longer strip would be huge when its shorter side is enlarged
RESIZE = "PIL bilinear with antialiasing, shorter side to the resolution, then centre crop"


class BadImage(Exception):
    """A file cannot be used as an image.  The caller adds what to do and the file name (`list_images` names it)."""


def list_images(folder: Path) -> list[Path]:
    """The image files of a folder by suffix, in lexicographic order of their names; hidden files do not count.

    Raises `BadImage` as `list_files` does.
    """
    return list_files(folder, SUFFIXES)


def list_files(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """The visible files of a folder with these suffixes, in lexicographic order of their names.

    Raises `BadImage` for names that are not `usable_name`, and for pipes, broken links and link loops.
    """
    visible = (path for path in folder.iterdir() if not path.name.startswith(".") and not path.is_dir())
    found = sorted((path for path in visible if path.suffix.lower() in suffixes), key=lambda path: path.name)
    for path in found:
        if not usable_name(path.name):
            raise BadImage(f"the file {path.name!a} has a name that cannot be used; rename it")
        if not path.is_file():
            raise BadImage(f"{path.name} is not a regular file, or is a broken link; remove it")
    return found


def usable_name(text: str) -> bool:
    """Has a name or path no control characters, line ends or invalid UTF-8?

    Unlike `str.isprintable`, it allows unusual spaces, which macOS writes into the names of screenshots, and joiners.
    """
    refused = ("Cc", "Cf", "Cs", "Zl", "Zp")
    return all(unicodedata.category(sign) not in refused or sign in JOINERS for sign in text)


def decode(path: Path, depth: int | None = None, notes: list[str] | None = None) -> Image.Image:
    """Decode a JPEG, PNG, WebP, BMP or TIFF file to an upright RGB image in sRGB; transparency becomes white.

    Only the first frame of an animation or page of a TIFF is used.  depth: how many bits the values of a 16-bit file
    have (8 to 16).  What had to be assumed is appended to `notes`; without a list, it is printed.  Raises `BadImage`.
    """
    assumed: list[str] = [] if notes is None else notes
    try:
        size = path.stat().st_size
        if size == 0:
            raise BadImage("is empty (0 bytes)")
        if size > MAX_IMAGE_BYTES:
            raise BadImage(f"has {size} bytes, more than the limit of {MAX_IMAGE_BYTES}")
        with warnings.catch_warnings(action="ignore"), _opened(path) as file:  # of odd metadata
            refuse_size(*file.size)
            file.load()
            image = eight_bits(file, lambda: _opened(path), depth, assumed)
            decoded = to_srgb(ImageOps.exif_transpose(image), assumed)
    except BadImage:
        raise
    except BadColour as error:
        raise BadImage(str(error)) from None
    except Image.DecompressionBombError:
        raise BadImage(f"has more pixels than the limit of {MAX_PIXELS}") from None
    except Image.UnidentifiedImageError:
        raise BadImage(f"is not a {FORMAT_NAMES} image, or of a kind that cannot be read") from None
    except Exception as error:  # damaged files make the decoders raise OSError, SyntaxError, ValueError, struct.error
        raise BadImage(f"is damaged or truncated ({' '.join(str(error).split()) or type(error).__name__})") from None
    if notes is None:
        for note in assumed:
            say(f"note: {path.name} {note}")
    return decoded


def _opened(path: Path) -> ImageFile.ImageFile:
    with warnings.catch_warnings(action="ignore"):  # of decompression bombs and odd metadata
        image = Image.open(path, formats=FORMATS)
    image.filename = ""  # or Pillow maps an uncompressed TIFF into memory, with sides swapped if the camera was turned
    return image


def refuse_size(width: int, height: int) -> None:
    """Raise `BadImage` for more than MAX_PIXELS pixels, and for a side below MIN_SIDE or 1 / MAX_RATIO of the other."""
    if width * height > MAX_PIXELS:
        raise BadImage(f"has {width}x{height} pixels, more than the limit of {MAX_PIXELS}")
    if min(width, height) < MIN_SIDE:
        raise BadImage(f"is {width}x{height} pixels, but each side must have at least {MIN_SIDE}")
    if max(width, height) > MAX_RATIO * min(width, height):
        raise BadImage(f"is {width}x{height} pixels: one side is more than {MAX_RATIO} times as long as the other")


def to_square(image: Image.Image, resolution: int, filter: Image.Resampling = Image.Resampling.BILINEAR) -> Image.Image:
    """What torchvision's Resize(resolution) and CenterCrop(resolution) do to a PIL image, as in the official code."""
    width, height = image.size
    shorter = min(width, height)
    if shorter != resolution:
        width, height = resolution * width // shorter, resolution * height // shorter
        image = image.resize((width, height), filter)
    left, top = round((width - resolution) / 2), round((height - resolution) / 2)
    return image.crop((left, top, left + resolution, top + resolution))
