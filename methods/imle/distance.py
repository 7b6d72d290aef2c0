"""The distance d(x, y) = LPIPS + 0.1 MSE that the IMLE family trains on and compares samples by.

It is computed through an embedding whose squared Euclidean distance *is* d.  So the training images are embedded once,
a training step runs the perceptual network only on generated images, and the nearest sample is the one with the nearest
embedding.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from common.console import UserError
from networks.lpips import LPIPS, SMALLEST


@dataclass(frozen=True)
class DistanceConfig:
    """Defaults are the official code's (AdaIMLE 4f785e1)."""

    perceptual: Literal["vgg", "alex"] = "vgg"
    perceptual_upsample: int = 1  # factor by which images are enlarged for LPIPS; 2 for AlexNet at 32 px
    lpips_weight: float = 1.0  # 0: the pixel distance of Li & Malik (2018); a projected search still uses LPIPS
    mse_weight: float = 0.1
    target_cache_gib: float = 4.0  # embeddings of the training images are kept if they fit into this


class Distance:
    """d(x, y) = lpips_weight * LPIPS(x, y) + mse_weight * mean((x - y)^2) of images in [-1, 1]."""

    def __init__(self, config: DistanceConfig, device: torch.device) -> None:
        self.config, self.device = config, device

    @cached_property
    def perceptual(self) -> LPIPS:
        """Loaded at the first use, because sampling and `describe` need no weights of LPIPS."""
        return LPIPS(self.config.perceptual).to(self.device)

    def embed(self, images: Tensor) -> Tensor:
        """(n, C, H, W) to (n, D) with |embed(x) - embed(y)|^2 = d(x, y); gradients flow to the images."""
        return torch.cat(self.parts(images), dim=1)

    def parts(self, images: Tensor) -> list[Tensor]:
        """The parts that `embed` concatenates: the pixels and each LPIPS layer, (n, D_i), none a view of another."""
        pixels = images.flatten(1)
        parts = [pixels * (self.config.mse_weight / pixels.shape[1]) ** 0.5]
        if self.config.lpips_weight:
            for layer in self.layers(images):
                positions = layer.shape[2] * layer.shape[3]
                parts.append(layer.flatten(1) / positions**0.5 * self.config.lpips_weight**0.5)
        return parts

    def layers(self, images: Tensor) -> list[Tensor]:
        """LPIPS's five weighted feature maps, each (n, c, h, w), not divided by their number of positions."""
        return self.perceptual.layers(self.enlarge(images))

    def enlarge(self, images: Tensor) -> Tensor:
        """Bilinear enlargement by `perceptual_upsample`: AlexNet's strides make 32 px images very small."""
        net, factor = self.config.perceptual, self.config.perceptual_upsample
        side = images.shape[-1] * factor
        if side < SMALLEST[net]:
            raise UserError(
                f"`perceptual_upsample: {factor}` gives LPIPS images of {side} pixels a side, but {net} needs "
                f"{SMALLEST[net]}: raise it"
            )
        if factor == 1:
            return images
        return F.interpolate(images, scale_factor=factor, mode="bilinear", align_corners=False)


class Targets:
    """The embedded training images: computed once if they fit into `budget` bytes, otherwise at every use.

    100 images of 256 px under VGG take 3.1 GiB (8.2 million values each); 32 px under AlexNet, 14 MB.
    """

    def __init__(
        self, images: Tensor, embed: Callable[[Tensor], Tensor], budget: float = math.inf, batch: int = 16
    ) -> None:
        self.images, self.embed, self.budget, self.batch = images, embed, budget, batch

    def __getitem__(self, indices: Tensor) -> Tensor:
        if self.fits:
            return self.cached[indices]
        with torch.no_grad():
            return self.embed(self.images[indices])

    @cached_property
    def size(self) -> int:
        """Bytes of all embeddings together."""
        with torch.no_grad():
            return self.embed(self.images[:1]).numel() * 4 * len(self.images)

    @property
    def fits(self) -> bool:
        return self.size <= self.budget

    @cached_property
    def cached(self) -> Tensor:
        """(n, D).  Raises UserError if that exceeds the budget."""
        if not self.fits:
            raise UserError(
                f"`search: exact` keeps the embeddings of all {len(self.images)} images, {self.size / 2**30:.1f} GiB: "
                "raise `target_cache_gib` or set `search: sketch`"
            )
        with torch.no_grad():
            return torch.cat([self.embed(images) for images in self.images.split(self.batch)])
