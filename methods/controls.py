"""Controls: two methods that learn nothing and show the extreme values of every metric."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from methods.api import Latents, Method


class ControlReal(Method):
    """The training images themselves: the values of FID and precision for pure memorisation.

    Images are drawn without replacement, at most n_real of them: duplicates would make the k-nearest-neighbour radii
    of precision and recall zero.
    """

    name = "control_real"
    title = "Training images (control)"
    track = "none"
    trains = False
    backtracks = False

    @dataclass(frozen=True)
    class Config:
        pass

    def latents(self, n: int, generator: torch.Generator) -> Latents:
        """Indices of training images as (min(n, n_train), 1) floats."""
        order = torch.randperm(len(self.images), generator=generator)[:n]
        return Latents(order.float().unsqueeze(1).to(self.device))

    def generate(self, latents: Latents) -> Tensor:
        return self.images[latents.z.squeeze(1).long()]

    def networks(self) -> dict[str, nn.Module]:
        return {}

    def sampler(self) -> nn.Module:
        return nn.Module()

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


class ControlNoise(ControlReal):
    """Uniform noise over the whole intensity range: the worst values of every metric."""

    name = "control_noise"
    title = "Uniform noise (control)"
    track = "none"

    def latents(self, n: int, generator: torch.Generator) -> Latents:
        """The images themselves: uniform in [-1, 1], flattened to (n, channels * resolution^2)."""
        size = self.channels * self.resolution**2
        return Latents((torch.rand(n, size, generator=generator) * 2 - 1).to(self.device))

    def generate(self, latents: Latents) -> Tensor:
        return latents.z.view(-1, self.channels, self.resolution, self.resolution)
