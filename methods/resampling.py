"""Affine transformations of images, as StyleGAN2-ADA resamples them (Karras et al. 2020, appendix B)."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

# The low-pass filter of the wavelet sym6 (Daubechies 1992).  Its shifts by two are orthogonal, so that doubling with
# it and halving with its mirror image gives the picture back.
SYM6 = (
    *(0.015404109327027373, 0.0034907120842174702, -0.11799011114819057, -0.048311742585633),
    *(0.4910559419267466, 0.787641141030194, 0.3379294217276218, -0.07263752278646252),
    *(-0.021060292512300564, 0.04472490177066578, 0.0017677118642428036, -0.007800708325034148),
)
DELAY = 5  # the tap that stands for the pixel itself
REACH = 3  # pixels beyond a pixel that the filter reads, in doubling as in halving


class Plan(NamedTuple):
    """Where the pixels of n images come from: what `transform` needs, so that it need not look into a GPU's memory."""

    copied: Tensor  # images whose pixels are copied, (a,)
    pixels: Tensor  # x and y of each of their pixels, (a, 2, side, side)
    warped: Tensor  # images that are resampled, (n - a,)
    margins: tuple[int, int, int, int]  # by which these are enlarged
    grid: Tensor  # for `grid_sample`, (n - a, 2 side + 10, 2 side + 10, 2)
    order: Tensor  # of all images, among the copied and then the warped ones, (n,)
    lowpass: Tensor  # the filter, with sum 1


def plan(matrix: Tensor, side: int) -> Plan:
    """Each pixel is taken from the place that the matrix (n, 3, 3; on the CPU) names.

    Flips, quarter turns and whole-pixel shifts copy pixels, as "blitting" should; only other images are resampled.
    (The original resamples all, with a filter that is not quite symmetric.)
    """
    whole = ((matrix - matrix.round()).abs() < 1e-5).flatten(1).all(dim=1)
    copied, warped = whole.nonzero().flatten(), (~whole).nonzero().flatten()
    beyond = margins(matrix[warped], side) if len(warped) else (0, 0, 0, 0)
    taps = torch.tensor(SYM6, dtype=torch.float64)
    return Plan(
        copied,
        sources(matrix[copied], side),
        warped,
        beyond,
        sampling_grid(matrix[warped], side, beyond),
        torch.cat([copied, warped]).argsort(),
        (taps / taps.sum()).to(matrix),
    )


def transform(images: Tensor, plan: Plan) -> Tensor:
    """Images (n, c, side, side) with the pixels of the plan, whose tensors are on the device of the images."""
    parts = [copy(images[plan.copied], plan.pixels)]
    if len(plan.warped):
        parts.append(warp(images[plan.warped], plan))
    return torch.cat(parts)[plan.order]


def sources(matrix: Tensor, side: int) -> Tensor:
    """(n, 2, side, side): x and y of the pixels that matrices from pixel to pixel name.

    Beyond its edges, the image is reflected.
    """
    centre = (side - 1) / 2
    pixels = torch.arange(side) - centre
    indices = (places(matrix, pixels) + centre).round().long().abs()
    return side - 1 - (side - 1 - indices).abs()


def copy(images: Tensor, pixels: Tensor) -> Tensor:
    x, y = pixels.unbind(dim=1)
    item = torch.arange(len(images), device=images.device)[:, None, None]
    return images.permute(0, 2, 3, 1)[item, y, x].permute(0, 3, 1, 2)


def sampling_grid(matrix: Tensor, side: int, beyond: tuple[int, int, int, int]) -> Tensor:
    """The places of any matrices in the doubled image, for `warp`.  beyond: see `margins`."""
    centre, (left, right, top, bottom) = (side - 1) / 2, beyond
    # For its pixel i, the second filter reads the places i - DELAY / 2, i - DELAY / 2 + 1 / 2, and so on.
    taps = (torch.arange(2 * side + len(SYM6) - 2) - DELAY) / 2 - centre
    indices = 2 * (places(matrix, taps) + torch.tensor([left + centre, top + centre]).view(1, 2, 1, 1))
    sides = 2 * torch.tensor([left + side + right, top + side + bottom])
    return (2 * indices.permute(0, 2, 3, 1) + 1) / sides - 1


def warp(images: Tensor, plan: Plan) -> Tensor:
    """Bilinear interpolation between pixels of the doubled image, then halving.

    Beyond its edges, the image is reflected as far as the matrices reach (once), and zero from there.
    """
    taps = plan.lowpass.to(images)
    doubled = double(F.pad(images, plan.margins, mode="reflect"), taps)
    grid = plan.grid.to(images)
    sampled = F.grid_sample(doubled, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return halve(sampled, taps)


def places(matrix: Tensor, positions: Tensor) -> Tensor:
    """(n, 2, k, k): x and y, from the centre of the image, where (n, 3, 3) leads from k x k positions (k,)."""
    rows = matrix[:, :2, :, None, None]
    return rows[:, :, 0] * positions + rows[:, :, 1] * positions[:, None] + rows[:, :, 2]


def margins(matrix: Tensor, side: int) -> tuple[int, int, int, int]:
    """Pixels left, right, above and below an image that some image of the batch needs; at most side - 1.

    What the filters reach counts, so that no image depends on what the others need.
    """
    centre = (side - 1) / 2
    outer = centre + REACH
    corners = torch.tensor([[x, y, 1.0] for x in (-outer, outer) for y in (-outer, outer)]).T
    x, y = (matrix @ corners.to(matrix))[:, :2].unbind(dim=1)
    beyond = [math.ceil(extent.max().item() + REACH - centre) for extent in (-x, x, -y, y)]
    left, right, top, bottom = (min(max(margin, 0), side - 1) for margin in beyond)
    return left, right, top, bottom


def double(images: Tensor, lowpass: Tensor) -> Tensor:
    """(n, c, h, w) -> (n, c, 2 h, 2 w): pixel i becomes number 2 i, between zeros, and the low-pass filter follows."""
    taps = lowpass * 2
    x = images.flatten(0, 1).unsqueeze(1)
    x = F.conv_transpose2d(x, taps.view(1, 1, -1, 1), stride=(2, 1), padding=(DELAY, 0))
    x = F.conv_transpose2d(x, taps.view(1, 1, 1, -1), stride=(1, 2), padding=(0, DELAY))
    return x.view(*images.shape[:2], *x.shape[2:])


def halve(images: Tensor, lowpass: Tensor) -> Tensor:
    """(n, c, 2 h + 10, 2 w + 10) -> (n, c, h, w): the mirrored filter, then every second pixel."""
    x = images.flatten(0, 1).unsqueeze(1)
    x = F.conv2d(x, lowpass.view(1, 1, -1, 1), stride=(2, 1))
    x = F.conv2d(x, lowpass.view(1, 1, 1, -1), stride=(1, 2))
    return x.view(*images.shape[:2], *x.shape[2:])
