"""The demo's drawings: SVG files of a package, rasterised to the PNG images of a set."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from data.archive import SourceError
from data.colour import to_srgb

RASTER_SIDE = 256  # pixels at which drawings are rasterised: the resolution of the paper's photographs


def rasterise(wheel: Path, folder: str, codepoints: Sequence[str], staged: Path) -> None:
    """Draw <folder>/<code point>.svg of the wheel for each code point, on white, to a PNG file."""
    with zipfile.ZipFile(wheel) as archive:
        for codepoint in expand(codepoints):
            try:
                drawing = archive.read(f"{folder}/{codepoint}.svg").decode("utf-8")
            except KeyError:
                raise SourceError(f"it has no drawing {codepoint}.svg") from None
            draw(drawing).save(staged / f"{codepoint}.png")


def draw(drawing: str) -> Image.Image:
    """An SVG drawing on white, RGB, RASTER_SIDE pixels a side."""
    import resvg_py

    png = resvg_py.svg_to_bytes(svg_string=drawing, width=RASTER_SIDE, height=RASTER_SIDE)
    with Image.open(io.BytesIO(png)) as image:
        return to_srgb(image, [])


def expand(codepoints: Sequence[str]) -> list[str]:
    """["1F400-1F402", "1F980"] -> ["1F400", "1F401", "1F402", "1F980"]."""
    names = []
    for item in codepoints:
        first, _, last = item.partition("-")
        names += [f"{code:04X}" for code in range(int(first, 16), int(last or first, 16) + 1)]
    return names
