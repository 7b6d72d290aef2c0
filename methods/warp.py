"""Affine maps of images without aliasing, as in StyleGAN2-ADA (Karras et al. 2020, appendix B).

The image is extended by reflection, doubled in resolution with the low-pass filter of the sym6 wavelet, resampled
bilinearly and halved with the same filter.  The filter is orthonormal, so the identity returns the image.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

SYM6 = (
    0.015404109327027373,
    0.0034907120842174702,
    -0.11799011114819057,
    -0.048311742585633,
    0.4910559419267466,
    0.787641141030194,
    0.3379294217276218,
    -0.07263752278646252,
    -0.021060292512300564,
    0.04472490177066578,
    0.0017677118642428036,
    -0.007800708325034148,
)
REACH = 5  # doubled pixels that the filter needs on each side


def warp(images: Tensor, inverse: Tensor) -> Tensor:
    """Images (n, channels, side, side) whose pixel at p is the input's at `inverse` p.

    inverse: (n, 3, 3) on the CPU, for homogeneous coordinates (x, y, 1) in pixels from the image's centre, y down.
    """
    n, _, side, _ = images.shape
    margin = margin_of(inverse, side)
    extended = F.pad(images, [margin] * 4, mode="reflect")
    # The grid covers the output and what the filter reaches; both grids run from -1 to 1 over their own image.
    output, given = side + REACH, side + 2 * margin
    to_unit, to_pixels = inverse.new_tensor([2 / given, 2 / given, 1]), inverse.new_tensor([output / 2, output / 2, 1])
    theta = to_unit[:, None] * inverse * to_pixels
    size = [n, 1, 2 * output, 2 * output]
    grid = F.affine_grid(theta[:, :2].to(images.device, images.dtype), size, align_corners=False)
    taps = torch.tensor(SYM6, dtype=torch.float64).to(images)
    taps = taps / taps.sum()
    return halve(F.grid_sample(double(extended, taps), grid, align_corners=False), taps)


def margin_of(inverse: Tensor, side: int) -> int:
    """Pixels by which the images must be extended so that no corner of the output, nor the filter, falls outside."""
    half = (side + REACH) / 2
    corners = torch.tensor([[x, y, 1] for x in (-half, half) for y in (-half, half)], dtype=inverse.dtype)
    farthest = (inverse @ corners.T)[:, :2].abs().max().item()
    return min(side - 1, max(0, math.ceil(farthest - side / 2)) + REACH)


def double(images: Tensor, taps: Tensor) -> Tensor:
    """(n, c, h, w) -> (n, c, 2h, 2w)"""
    taps = 2 * taps  # half of the values between which it interpolates are zeros
    flat = images.flatten(0, 1).unsqueeze(1)
    flat = F.conv_transpose2d(flat, taps.view(1, 1, 1, -1), stride=(1, 2), padding=(0, REACH))
    flat = F.conv_transpose2d(flat, taps.view(1, 1, -1, 1), stride=(2, 1), padding=(REACH, 0))
    return flat.view(*images.shape[:2], *flat.shape[2:])


def halve(images: Tensor, taps: Tensor) -> Tensor:
    """(n, c, 2h + 2 REACH, 2w + 2 REACH) -> (n, c, h, w)"""
    flat = images.flatten(0, 1).unsqueeze(1)
    flat = F.conv2d(flat, taps.view(1, 1, 1, -1), stride=(1, 2))
    flat = F.conv2d(flat, taps.view(1, 1, -1, 1), stride=(2, 1))
    return flat.view(*images.shape[:2], *flat.shape[2:])
