"""What a folder of samples holds: which files are read, which are not and why, and what spoils a comparison."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from common.console import UserError
from common.hashing import sha256_bytes
from data.colour import GREY
from data.images import FORMAT_NAMES, FORMATS, BadImage, list_files, list_images
from data.supplied import listed, visible

LOSSY_TIFF = ("jpeg", "tiff_jpeg", "webp")  # Pillow's names of compressions


@dataclass(frozen=True)
class Survey:
    """The samples of a folder: `images`, or the one `archive`; left_out: a sentence for each kind of other content."""

    images: list[Path]
    archive: Path | None
    left_out: list[str]


@dataclass
class Originals:
    """What the samples were before they became arrays.

    How many have each (width, height) and each lossy format, how many are grey, and the names of those with each note
    of the decoder.
    """

    grey: int = 0
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    lossy: Counter[str] = field(default_factory=Counter)
    notes: dict[str, list[str]] = field(default_factory=dict)

    def add(self, path: Path, notes: Sequence[str] = ()) -> None:
        """Count an image file, whose content was already decoded once, with these notes."""
        for note in notes:
            self.notes.setdefault(note, []).append(path.name)
        with Image.open(path, formats=FORMATS) as image:
            self.sizes[image.size] += 1
            self.grey += image.mode in GREY or image.mode.startswith("I")
            if name := lossy_format(path, image):
                self.lossy[name] += 1


def survey(folder: Path) -> Survey:
    """List a folder without reading its files.

    Raises `UserError` unless it contains either images or exactly one .npz, and for names that cannot be used.
    """
    if folder.is_file():
        raise UserError(f"{folder} is a file; name the folder that holds it")
    if not folder.is_dir():
        raise UserError(f"{folder} does not exist; name a folder of images, or of one .npz")
    try:
        images, archives = list_images(folder), list_files(folder, (".npz",))
    except BadImage as error:
        raise UserError(f"{folder} cannot be used: {error}") from None
    samples = {*images, *archives}
    left_out = _left_out([path for path in visible(folder) if path not in samples])
    if bool(images) == bool(archives) or len(archives) > 1:
        more = f" ({'; '.join(left_out)})" if left_out else ""
        raise UserError(
            f"{folder} holds {len(images)} images and {len(archives)} .npz files{more}; "
            f"it must hold either {FORMAT_NAMES} images or exactly one .npz"
        )
    return Survey(images, archives[0] if archives else None, left_out)


def _left_out(others: list[Path]) -> list[str]:
    folders = sorted(path.name for path in others if path.is_dir())
    files = sorted(path.name for path in others if not path.is_dir())
    sentences = []
    if folders:
        sentences.append(f"sub-folders are not read: {listed(folders)}; move their samples up")
    if files:
        what = "1 file" if len(files) == 1 else f"{len(files)} files"
        sentences.append(f"{what} of other formats than {FORMAT_NAMES}: {listed(files)}")
    return sentences


def warnings(images: NDArray[np.uint8], originals: Originals) -> list[str]:
    """What makes the numbers of these samples worse or doubtful.

    images: uint8 (n, H, W, 3), resized.  originals: what they were made from.
    """
    resolution, n, sizes = images.shape[1], len(images), originals.sizes
    oblong = [size for size in sizes if size[0] != size[1]]
    small = [size for size in sizes if min(size) < resolution]
    distinct = len({sha256_bytes(image.tobytes()) for image in images})
    found = []
    if len(sizes) > 1:
        found.append(f"the samples have {len(sizes)} sizes: {listed([_text(size) for size, _ in sizes.most_common()])}")
    if oblong:
        found.append(f"{_of(sizes, oblong, n)} are not square: only the centre square is used")
    if small:
        found.append(
            f"{_of(sizes, small, n)} are smaller than {resolution} px and were enlarged: FID is worse than that of "
            f"samples generated at {resolution} px"
        )
    if originals.grey:
        found.append(f"{originals.grey} of {n} samples are files without colour")
    for name, count in originals.lossy.items():
        found.append(f"{count} of {n} samples are {name}: lossy compression alone can double FID; save them as PNG")
    for note, names in originals.notes.items():
        found.append(f"{len(names)} of {n} samples ({listed(names)}): each {note}")
    if distinct == 1 < n:
        found.append(f"all {n} samples are identical")
    elif distinct < n:
        found.append(f"only {distinct} of {n} samples are distinct: the others are identical copies")
    return found


def _of(sizes: Counter[tuple[int, int]], chosen: Sequence[tuple[int, int]], n: int) -> str:
    texts = listed([_text(size) for size in chosen])
    return f"{sum(sizes[size] for size in chosen)} of {n} samples ({texts})"


def _text(size: tuple[int, int]) -> str:
    return "{}x{}".format(*size)


def lossy_format(path: Path, image: Image.Image) -> str:
    """ "JPEG", "lossy WebP" or "lossy TIFF" by the content of the file, whatever its suffix; "" for lossless ones."""
    if image.format in ("JPEG", "MPO"):
        return "JPEG"
    if image.format == "WEBP" and not _lossless_webp(path.read_bytes()):
        return "lossy WebP"
    if image.format == "TIFF" and image.info.get("compression") in LOSSY_TIFF:
        return "lossy TIFF"
    return ""


def _lossless_webp(content: bytes) -> bool:
    """Is the first frame a VP8L chunk?  Chunks are a name, a size and the content, padded to an even length."""
    start = 12  # after "RIFF", the size of the file and "WEBP"
    while start + 8 <= len(content):
        name, size = content[start : start + 4], int.from_bytes(content[start + 4 : start + 8], "little")
        if name in (b"VP8L", b"VP8 "):
            return name == b"VP8L"
        start += 24 if name == b"ANMF" else 8 + size + size % 2  # a frame of an animation has chunks of its own
    return False
