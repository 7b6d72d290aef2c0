"""Differentiable augmentation (Zhao et al. 2020, "Differentiable Augmentation for Data-Efficient GAN Training").

Real and generated images pass through the same random transformations before the discriminator, and gradients flow
back through them to the generator.  Images are (n, channels, height, width) in [-1, 1]; every image draws its own
parameters, from a CPU generator.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

SHIFT = 1 / 8  # largest translation, as a share of the image
CUT = 1 / 2  # side of the erased square, as a share of the image


def augment(images: Tensor, policy: Sequence[str], generator: torch.Generator) -> Tensor:
    """Apply the named transformations ("color", "translation", "cutout") in order.

    Raises KeyError on another name.  An empty policy returns the images as they are.
    """
    for name in policy:
        images = POLICIES[name](images, generator)
    return images


def color(images: Tensor, generator: torch.Generator) -> Tensor:
    """Brightness +U(-0.5, 0.5), then saturation xU(0, 2), then contrast xU(0.5, 1.5)."""
    images = images + _uniform(images, -0.5, 0.5, generator)
    grey = images.mean(dim=1, keepdim=True)
    images = grey + (images - grey) * _uniform(images, 0, 2, generator)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return mean + (images - mean) * _uniform(images, 0.5, 1.5, generator)


def translation(images: Tensor, generator: torch.Generator) -> Tensor:
    """Shift by up to an eighth of the image along each axis; new pixels are zero (mid-grey)."""
    height, width = images.shape[2:]
    reach_y, reach_x = round(height * SHIFT), round(width * SHIFT)
    padded = F.pad(images, (reach_x, reach_x, reach_y, reach_y))
    rows = torch.arange(height, device=images.device) + _integers(images, 2 * reach_y + 1, generator)
    columns = torch.arange(width, device=images.device) + _integers(images, 2 * reach_x + 1, generator)
    item = torch.arange(len(images), device=images.device)[:, None, None]
    return padded.permute(0, 2, 3, 1)[item, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def cutout(images: Tensor, generator: torch.Generator) -> Tensor:
    """Erase to zero a square of half the image's side, centred anywhere, so possibly half outside."""
    height, width = images.shape[2:]
    rows = _hit(images, height, generator)[:, :, None]
    columns = _hit(images, width, generator)[:, None, :]
    return images * ~(rows & columns).unsqueeze(1)


POLICIES = {"color": color, "translation": translation, "cutout": cutout}


def random_flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror each image left to right with probability 1/2.  Only for real images: not part of DiffAugment."""
    return torch.where(_uniform(images, 0, 1, generator) < 0.5, images.flip(3), images)


def _hit(images: Tensor, length: int, generator: torch.Generator) -> Tensor:
    """(n, length): which positions along one axis lie inside a randomly centred cut."""
    cut = round(length * CUT)
    start = _integers(images, length + 1, generator) - cut // 2
    position = torch.arange(length, device=images.device)
    return (position >= start) & (position < start + cut)


def _uniform(images: Tensor, low: float, high: float, generator: torch.Generator) -> Tensor:
    return (low + (high - low) * torch.rand(len(images), 1, 1, 1, generator=generator)).to(images.device)


def _integers(images: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """(n, 1) integers from 0 to count - 1."""
    return torch.randint(count, (len(images), 1), generator=generator).to(images.device)
