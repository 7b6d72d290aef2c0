"""The training images at the size of one level of a generator, and distances to them."""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from methods.imle.distance import Distance, DistanceConfig, Targets
from networks.lpips import SMALLEST


class Goal:
    """d(images, targets) as the IMLE family computes it, at the size of one level."""

    def __init__(self, images: Tensor, side: int, config: DistanceConfig, weights: Tensor | None = None) -> None:
        """images: (n, channels, H, W); they are averaged by area to `side`.

        weights: (n, 1, H, W), by which the squared differences of pixels and features are multiplied, in [0, 1].
        A level that is too small for LPIPS is enlarged for it by the smallest factor that suffices.
        """
        enlargement = max(config.perceptual_upsample, -(-SMALLEST[config.perceptual] // side))
        self.distance = Distance(replace(config, perceptual_upsample=enlargement), images.device)
        self.weights = None if weights is None else _averaged(weights, side)
        targets = _averaged(images, side)
        if self.weights is not None:
            targets = torch.cat([targets, self.weights], dim=1)
        self.targets = Targets(targets, self.embed, config.target_cache_gib * 2**30)

    def distances(self, images: Tensor, indices: Tensor) -> Tensor:
        """d(image, target i) for each of these images and indices, (n,); gradients flow to the images."""
        if self.weights is not None:
            images = torch.cat([images, self.weights[indices]], dim=1)
        return (self.embed(images) - self.targets[indices]).square().sum(dim=1)

    def embed(self, images: Tensor) -> Tensor:
        """The embedding of the distance; of images with weights as their last channel, each value times their root."""
        if self.weights is None:
            return self.distance.embed(images)
        config, pixels, weights = self.distance.config, images[:, :-1], images[:, -1:]
        parts = [pixels * (config.mse_weight / pixels[0].numel()) ** 0.5]
        if config.lpips_weight:
            for layer in self.distance.layers(pixels):
                parts.append(layer * (config.lpips_weight / layer[0, 0].numel()) ** 0.5)
        return torch.cat(
            [(part * F.adaptive_avg_pool2d(weights, part.shape[2:]).sqrt()).flatten(1) for part in parts], dim=1
        )


def _averaged(images: Tensor, side: int) -> Tensor:
    return images if images.shape[-1] == side else F.adaptive_avg_pool2d(images, side)
