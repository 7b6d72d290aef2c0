"""The random code of a conditional generator: for each level, values for the whole image and maps of noise.

A generator draws an image at each of its levels, coarse to fine.  The code of level l is columns l * global_code and
following of z, and the noise maps named "l".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class CodeShapes:
    """z: columns of z at each level.  noise: the shape of the noise maps by name, without the leading dimension."""

    z: list[int]
    noise: dict[str, tuple[int, int, int]]


def code_shapes(sides: Sequence[int], global_code: int, noise_channels: int) -> CodeShapes:
    """sides: of the noise maps of each level, in pixels."""
    maps = {str(level): (noise_channels, side, side) for level, side in enumerate(sides)} if noise_channels else {}
    return CodeShapes([global_code] * len(sides), maps)


def join(images: Tensor, z: Tensor, noise: Tensor | None) -> Tensor:
    """Images (n, c, h, w) with z (n, d) at every pixel and noise maps (n, k, h, w) as further channels."""
    parts = [images, z[:, :, None, None].expand(-1, -1, *images.shape[2:])]
    return torch.cat(parts if noise is None else [*parts, noise], dim=1)
