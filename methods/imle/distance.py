"""The distance d(x, y) = LPIPS + 0.1 MSE that the IMLE family trains on and compares samples by.

It is computed through an embedding whose squared Euclidean distance *is* d.  The training images are therefore embedded
once, a training step runs the perceptual network on generated images only, and the nearest sample is the one whose
embedding is nearest.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from common.console import UserError
from networks.lpips import LPIPS, SMALLEST


class Distance:
    """d(x, y) = lpips_weight * LPIPS(x, y) + mse_weight * mean((x - y)^2) of images in [-1, 1].

    upsample: images are enlarged by this factor (bilinear) before LPIPS: AlexNet's strides leave little of 32 pixels.
    With lpips_weight 0 the distance is that of the original IMLE (Li & Malik 2018) and `embed` needs no LPIPS.
    """

    def __init__(
        self,
        device: torch.device | str,
        net: Literal["vgg", "alex"] = "vgg",
        upsample: int = 1,
        lpips_weight: float = 1.0,
        mse_weight: float = 0.1,
    ) -> None:
        self.device, self.net, self.upsample = device, net, upsample
        self.lpips_weight, self.mse_weight = lpips_weight, mse_weight

    @cached_property
    def perceptual(self) -> LPIPS:
        """Loaded at the first use: sampling and describing a method need no weights of LPIPS."""
        return LPIPS(self.net).to(self.device)

    def enlarge(self, images: Tensor) -> Tensor:
        side = images.shape[-1] * self.upsample
        if side < SMALLEST[self.net]:
            raise UserError(
                f"`perceptual_upsample: {self.upsample}` gives LPIPS images of {side} pixels a side, "
                f"but {self.net} needs {SMALLEST[self.net]}: raise it"
            )
        if self.upsample == 1:
            return images
        return F.interpolate(images, scale_factor=self.upsample, mode="bilinear", align_corners=False)

    def layers(self, images: Tensor) -> list[Tensor]:
        """LPIPS's five weighted feature maps, each (n, c, h, w), not divided by their number of positions."""
        return self.perceptual.layers(self.enlarge(images))

    def embed(self, images: Tensor) -> Tensor:
        """(n, D) with |embed(x) - embed(y)|^2 = d(x, y); gradients flow to the images."""
        return torch.cat(self.parts(images), dim=1)

    def parts(self, images: Tensor) -> list[Tensor]:
        """What `embed` joins: the pixels and each of LPIPS's layers, (n, D_i), in memory of their own."""
        pixels = images.flatten(1)
        parts = [pixels * (self.mse_weight / pixels.shape[1]) ** 0.5]
        if self.lpips_weight:
            for layer in self.layers(images):
                positions = layer.shape[2] * layer.shape[3]
                parts.append(layer.flatten(1) / positions**0.5 * self.lpips_weight**0.5)
        return parts


def squared_distances(first: Tensor, second: Tensor) -> Tensor:
    """Row by row: (n, D) and (n, D) to (n,)."""
    return (first - second).square().sum(dim=1)


class TargetEmbeddings:
    """`embed` of the training images: computed once if they fit into `budget` bytes, else anew at every use.

    100 images of 256 px under VGG take 3.1 GiB (8.2 million values each); 32 px under AlexNet, 14 MB.
    """

    def __init__(
        self, images: Tensor, embed: Callable[[Tensor], Tensor], budget: float = math.inf, batch: int = 16
    ) -> None:
        self.images, self.embed, self.budget, self.batch = images, embed, budget, batch

    def __getitem__(self, index: Tensor) -> Tensor:
        if self.fits:
            return self.cached[index]
        with torch.no_grad():
            return self.embed(self.images[index])

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
