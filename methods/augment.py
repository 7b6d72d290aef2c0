"""Differentiable augmentation (Zhao et al. 2020, "Differentiable Augmentation for Data-Efficient GAN Training").

Real and generated images pass through the same random transformations before the discriminator, and gradients flow
back through them to the generator.  Images are (n, channels, height, width) in [-1, 1]; every image has parameters of
its own.  They are drawn by a CPU generator before the images exist, so that a step can move all its numbers together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

SHIFT = 1 / 8  # largest translation, as a share of the image
CUT = 1 / 2  # side of the erased square, as a share of the image

Drawn = list[tuple[str, tuple[Tensor, ...]]]  # names of transformations and their parameters, in order


def draw(n: int, side: int, policy: Sequence[str], generator: torch.Generator) -> Drawn:
    """The parameters of the named transformations ("color", "translation", "cutout") for n square images.

    Raises KeyError on another name.
    """
    return [(name, DRAW[name](n, side, generator)) for name in policy]


def augment(images: Tensor, drawn: Drawn) -> Tensor:
    """Apply the drawn transformations in order.  Without any, the images come back as they are."""
    for name, parameters in drawn:
        images = APPLY[name](images, *parameters)
    return images


def draw_color(n: int, side: int, generator: torch.Generator) -> tuple[Tensor, ...]:
    """Brightness +U(-0.5, 0.5), saturation xU(0, 2) and contrast xU(0.5, 1.5), each (n, 1, 1, 1)."""
    return tuple(_uniform(n, low, high, generator) for low, high in ((-0.5, 0.5), (0, 2), (0.5, 1.5)))


def color(images: Tensor, brightness: Tensor, saturation: Tensor, contrast: Tensor) -> Tensor:
    images = images + brightness
    grey = images.mean(dim=1, keepdim=True)
    images = grey + (images - grey) * saturation
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return mean + (images - mean) * contrast


def draw_translation(n: int, side: int, generator: torch.Generator) -> tuple[Tensor, ...]:
    """Shifts by up to an eighth of the image along each axis, in pixels, (n, 1) each: from 0, the largest backwards."""
    return tuple(torch.randint(2 * round(side * SHIFT) + 1, (n, 1), generator=generator) for _ in range(2))


def translation(images: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """New pixels are zero (mid-grey)."""
    side = images.shape[3]
    reach = round(side * SHIFT)
    padded = F.pad(images, (reach, reach, reach, reach))
    position = torch.arange(side, device=images.device)
    rows, columns = position + down, position + right
    item = torch.arange(len(images), device=images.device)[:, None, None]
    return padded.permute(0, 2, 3, 1)[item, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def draw_cutout(n: int, side: int, generator: torch.Generator) -> tuple[Tensor, ...]:
    """The first row and column of a square of half the image's side, centred anywhere, so possibly half outside."""
    return tuple(torch.randint(side + 1, (n, 1), generator=generator) - round(side * CUT) // 2 for _ in range(2))


def cutout(images: Tensor, top: Tensor, left: Tensor) -> Tensor:
    """Erase the square to zero."""
    side = images.shape[3]
    position = torch.arange(side, device=images.device)
    rows, columns = ((position >= start) & (position < start + round(side * CUT)) for start in (top, left))
    return images * ~(rows[:, :, None] & columns[:, None, :]).unsqueeze(1)


DRAW: dict[str, Callable[[int, int, torch.Generator], tuple[Tensor, ...]]] = {
    "color": draw_color,
    "translation": draw_translation,
    "cutout": draw_cutout,
}
APPLY: dict[str, Callable[..., Tensor]] = {"color": color, "translation": translation, "cutout": cutout}


def draw_coins(n: int, generator: torch.Generator) -> Tensor:
    """(n, 1, 1, 1), in [0, 1): one for each image's flip."""
    return torch.rand(n, 1, 1, 1, generator=generator)


def flip(images: Tensor, coins: Tensor | None) -> Tensor:
    """Mirror each image left to right with probability 1/2.  Only for real images: not part of DiffAugment.

    Without coins, the images come back as they are.
    """
    return images if coins is None else torch.where(coins < 0.5, images.flip(3), images)


def _uniform(n: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(n, 1, 1, 1, generator=generator)
