"""Label maps: pictures in which each class has a colour, and the share of each class in a pixel of a smaller image."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from data.images import BadImage, to_square

Palette = Mapping[str, tuple[int, int, int] | None]  # the colour of each class; None: all other colours


def classes_of(pixels: NDArray[np.uint8], palette: Palette) -> NDArray[np.uint8]:
    """The class of each pixel as its place in the palette: uint8 (H, W, 3) to uint8 (H, W).

    Raises `BadImage` for a colour that the palette does not have, unless it has a class of all other colours.
    """
    codes = _codes(pixels)
    known = [None if colour is None else int(_codes(np.array(colour))) for colour in palette.values()]
    classes = np.full(codes.shape, known.index(None) if None in known else len(known), np.uint8)
    for place, code in enumerate(known):
        if code is not None:
            classes[codes == code] = place
    if (strange := classes == len(known)).any():
        colour = ", ".join(map(str, pixels[strange][0].tolist()))
        raise BadImage(
            f"has the colour ({colour}) in {strange.mean():.1%} of its pixels, which the palette does not have (label "
            "maps must be lossless, and not resized by interpolation)"
        )
    return classes


def _codes(pixels: NDArray[np.generic]) -> NDArray[np.int64]:
    return pixels.astype(np.int64) @ np.array([65536, 256, 1])


def shares(classes: NDArray[np.uint8], n: int, resolution: int) -> NDArray[np.uint8]:
    """The share of each of n classes in every pixel of the smaller square, in units of 1/255.

    uint8 (H, W) to uint8 (resolution, resolution, n), cut and averaged by area as the image is resized.
    """
    masks = (Image.fromarray(np.where(classes == place, 255, 0).astype(np.uint8)) for place in range(n))
    return np.stack([np.asarray(to_square(mask, resolution, Image.Resampling.BOX)) for mask in masks], axis=2)
