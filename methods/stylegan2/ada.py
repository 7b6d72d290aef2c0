"""The augmentations of StyleGAN2-ADA (Karras et al. 2020, "Training GANs with Limited Data", appendix B; "bgc").

Each transformation falls on each image with its own chance p, and each image draws its own parameters.  All geometric
transformations of an image are one matrix, applied once; all changes of colour are another.  The result can be
differentiated twice, as R1 requires.
"""

from __future__ import annotations

import math
from collections.abc import Collection

import torch
import torch.nn.functional as F
from torch import Tensor

BLIT = ("flip", "turn", "shift")
GEOMETRY = ("scale", "rotate", "stretch", "move")
COLOUR = ("brightness", "contrast", "invert", "hue", "saturation")
ALL = BLIT + GEOMETRY + COLOUR

# The low-pass filter of the wavelet sym6 (Daubechies 1992).  Its shifts by two are orthogonal, so that doubling with
# it and halving with its mirror image gives the picture back.
SYM6 = (
    *(0.015404109327027373, 0.0034907120842174702, -0.11799011114819057, -0.048311742585633),
    *(0.4910559419267466, 0.787641141030194, 0.3379294217276218, -0.07263752278646252),
    *(-0.021060292512300564, 0.04472490177066578, 0.0017677118642428036, -0.007800708325034148),
)
DELAY = 5  # the tap that stands for the pixel itself
REACH = 6  # pixels beyond a sample that the two filters read


def adaptive_augment(images: Tensor, p: float, rng: torch.Generator, kinds: Collection[str] = ALL) -> Tensor:
    """Transform images (n, 3, side, side) in [-1, 1]; p: the chance of each transformation.

    kinds: the transformations that may happen.  With p = 0 the images come back as they are, and nothing is drawn.
    """
    if p <= 0:
        return images
    draws = Draws(len(images), p, kinds, rng)
    images = transform(images, geometry(draws, images.shape[3]))
    return recolour(images, colours(draws))


class Draws:
    """The random numbers of one batch: two buffers, read one row after the other.

    p, kinds: see `adaptive_augment`.
    """

    def __init__(self, n: int, p: float, kinds: Collection[str], rng: torch.Generator) -> None:
        self.n, self.p, self.kinds = n, p, kinds
        self._uniform = iter(torch.rand(21, n, generator=rng))
        self._normal = iter(torch.randn(7, n, generator=rng))

    def uniform(self) -> Tensor:
        """(n,), in [0, 1)"""
        return next(self._uniform)

    def normal(self) -> Tensor:
        """(n,), standard normal"""
        return next(self._normal)

    def sometimes(self, kind: str, value: Tensor, neutral: float, p: float | None = None) -> Tensor:
        """`value` for the images on which the transformation `kind` falls, `neutral` for the others: (..., n)."""
        chance = (self.p if p is None else p) if kind in self.kinds else 0.0
        return torch.where(self.uniform() < chance, value, neutral)


# Geometry -------------------------------------------------------------------------------------------------------


def geometry(draws: Draws, side: int) -> Tensor:
    """(n, 3, 3): from a pixel of the result to its place in the image, (x, y, 1) from the centre, in pixels."""
    mirror = draws.sometimes("flip", 1 - 2 * (draws.uniform() * 2).floor(), 1.0)
    matrix = scaling(mirror, torch.ones_like(mirror))
    matrix = matrix @ rotation(draws.sometimes("turn", (draws.uniform() * 4).floor() * (math.pi / 2), 0.0))
    reach = torch.stack([draws.uniform(), draws.uniform()]) / 4 - 1 / 8
    matrix = matrix @ translation((draws.sometimes("shift", reach, 0.0) * side).round())

    scale = draws.sometimes("scale", (draws.normal() * 0.2).exp2(), 1.0)
    matrix = matrix @ scaling(scale, scale)
    once = 1 - math.sqrt(1 - min(draws.p, 1.0))  # of two rotations: at least one with chance p
    matrix = matrix @ rotation(draws.sometimes("rotate", (draws.uniform() * 2 - 1) * math.pi, 0.0, once))
    stretch = draws.sometimes("stretch", (draws.normal() * 0.2).exp2(), 1.0)
    matrix = matrix @ scaling(stretch, 1 / stretch)
    matrix = matrix @ rotation(draws.sometimes("rotate", (draws.uniform() * 2 - 1) * math.pi, 0.0, once))
    reach = torch.stack([draws.normal(), draws.normal()]) / 8
    return matrix @ translation(draws.sometimes("move", reach, 0.0) * side)


def scaling(x: Tensor, y: Tensor) -> Tensor:
    """(n,), (n,): factors -> (n, 3, 3)"""
    return torch.diag_embed(torch.stack([x, y, torch.ones_like(x)], dim=1))


def rotation(angle: Tensor) -> Tensor:
    """(n,), radians -> (n, 3, 3)"""
    cos, sin = angle.cos(), angle.sin()
    matrix = scaling(cos, cos)
    matrix[:, 0, 1], matrix[:, 1, 0] = -sin, sin
    return matrix


def translation(by: Tensor) -> Tensor:
    """(2, n), x and y -> (n, 3, 3)"""
    matrix = torch.eye(3).repeat(by.shape[1], 1, 1)
    matrix[:, :2, 2] = by.T
    return matrix


def transform(images: Tensor, matrix: Tensor) -> Tensor:
    """Images (n, c, side, side), each pixel taken from the place that the matrix (n, 3, 3; on the CPU) names.

    Where only blits fell, pixels are copied; the other images are resampled.
    """
    whole = ((matrix - matrix.round()).abs() < 1e-5).flatten(1).all(dim=1)
    copied, warped = whole.nonzero().flatten(), (~whole).nonzero().flatten()
    parts = [copy(images[copied], matrix[copied])]
    if len(warped):
        parts.append(warp(images[warped], matrix[warped]))
    return torch.cat(parts)[torch.cat([copied, warped]).argsort()]


def copy(images: Tensor, matrix: Tensor) -> Tensor:
    """By matrices that lead from pixel to pixel.  Beyond its edges, the image is reflected."""
    side = images.shape[3]
    centre = (side - 1) / 2
    pixels = torch.arange(side) - centre
    indices = (places(matrix, pixels) + centre).round().long().abs()
    x, y = (side - 1 - (side - 1 - indices).abs()).to(images.device).unbind(dim=1)
    item = torch.arange(len(images), device=images.device)[:, None, None]
    return images.permute(0, 2, 3, 1)[item, y, x].permute(0, 3, 1, 2)


def warp(images: Tensor, matrix: Tensor) -> Tensor:
    """By any matrices: bilinear interpolation between pixels of the doubled image, then halving.

    Beyond its edges, the image is reflected as far as the matrices reach (once), and zero from there.
    """
    side = images.shape[3]
    centre = (side - 1) / 2
    left, right, top, bottom = margins(matrix, side)
    doubled = double(F.pad(images, (left, right, top, bottom), mode="reflect"))
    # For its pixel i, the second filter reads the places i - DELAY / 2, i - DELAY / 2 + 1 / 2, and so on.
    taps = (torch.arange(2 * side + len(SYM6) - 2) - DELAY) / 2 - centre
    indices = 2 * (places(matrix, taps) + torch.tensor([left + centre, top + centre]).view(1, 2, 1, 1))
    sides = torch.tensor([doubled.shape[3], doubled.shape[2]])
    grid = (2 * indices.permute(0, 2, 3, 1) + 1) / sides - 1
    sampled = F.grid_sample(doubled, grid.to(doubled), mode="bilinear", padding_mode="zeros", align_corners=False)
    return halve(sampled)


def places(matrix: Tensor, positions: Tensor) -> Tensor:
    """(n, 2, k, k): x and y, from the centre of the image, where (n, 3, 3) leads from k x k positions (k,)."""
    rows = matrix[:, :2, :, None, None]
    return rows[:, :, 0] * positions + rows[:, :, 1] * positions[:, None] + rows[:, :, 2]


def margins(matrix: Tensor, side: int) -> tuple[int, int, int, int]:
    """Pixels left, right, above and below an image that some image of the batch needs; at most side - 1."""
    centre = (side - 1) / 2
    corners = torch.tensor([[x, y, 1.0] for x in (-centre, centre) for y in (-centre, centre)]).T
    x, y = (matrix @ corners.to(matrix))[:, :2].unbind(dim=1)
    beyond = [math.ceil(extent.max().item() + REACH - centre) for extent in (-x, x, -y, y)]
    left, right, top, bottom = (min(max(margin, 0), side - 1) for margin in beyond)
    return left, right, top, bottom


def double(images: Tensor) -> Tensor:
    """(n, c, h, w) -> (n, c, 2 h, 2 w): pixel i becomes number 2 i, between zeros, and the low-pass filter follows."""
    taps = lowpass(images) * 2
    x = images.flatten(0, 1).unsqueeze(1)
    x = F.conv_transpose2d(x, taps.view(1, 1, -1, 1), stride=(2, 1), padding=(DELAY, 0))
    x = F.conv_transpose2d(x, taps.view(1, 1, 1, -1), stride=(1, 2), padding=(0, DELAY))
    return x.view(*images.shape[:2], *x.shape[2:])


def halve(images: Tensor) -> Tensor:
    """(n, c, 2 h + 10, 2 w + 10) -> (n, c, h, w): the mirrored filter, then every second pixel."""
    taps = lowpass(images)
    x = images.flatten(0, 1).unsqueeze(1)
    x = F.conv2d(x, taps.view(1, 1, -1, 1), stride=(2, 1))
    x = F.conv2d(x, taps.view(1, 1, 1, -1), stride=(1, 2))
    return x.view(*images.shape[:2], *x.shape[2:])


def lowpass(like: Tensor) -> Tensor:
    """The filter with sum 1, in the type and on the device of `like`."""
    taps = torch.tensor(SYM6, dtype=torch.float64)
    return (taps / taps.sum()).to(like)


# Colour ---------------------------------------------------------------------------------------------------------


def colours(draws: Draws) -> Tensor:
    """(n, 4, 4): from (red, green, blue, 1) to the new colour."""
    n, identity = draws.n, torch.eye(4)
    grey = torch.tensor([1.0, 1.0, 1.0, 0.0]) / math.sqrt(3)
    along = torch.outer(grey, grey)  # projection onto the axis of greys

    brightness = draws.sometimes("brightness", draws.normal() * 0.2, 0.0)
    matrix = identity.repeat(n, 1, 1)
    matrix[:, :3, 3] = brightness[:, None]
    contrast = draws.sometimes("contrast", (draws.normal() * 0.5).exp2(), 1.0)
    matrix = torch.diag_embed(torch.stack([contrast, contrast, contrast, torch.ones(n)], dim=1)) @ matrix
    invert = draws.sometimes("invert", (draws.uniform() * 2).floor(), 0.0)
    matrix = (identity - 2 * along * invert.view(n, 1, 1)) @ matrix
    hue = draws.sometimes("hue", (draws.uniform() * 2 - 1) * math.pi, 0.0)
    matrix = hue_rotation(hue) @ matrix
    saturation = draws.sometimes("saturation", draws.normal().exp2(), 1.0)
    return (along + (identity - along) * saturation.view(n, 1, 1)) @ matrix


def hue_rotation(angle: Tensor) -> Tensor:
    """(n,), radians -> (n, 4, 4): rotation of colours about the axis of greys."""
    a = 1 / math.sqrt(3)
    cross = torch.tensor([[0.0, -a, a, 0.0], [a, 0.0, -a, 0.0], [-a, a, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    angle = angle.view(-1, 1, 1)
    return torch.eye(4) + angle.sin() * cross + (1 - angle.cos()) * (cross @ cross)


def recolour(images: Tensor, matrix: Tensor) -> Tensor:
    """images (n, 3, h, w), matrix (n, 4, 4)"""
    matrix = matrix.to(images)
    return (matrix[:, :3, :3] @ images.flatten(2) + matrix[:, :3, 3:]).view_as(images)
