"""Flow matching along straight lines (Lipman et al. 2023; Liu et al. 2023), on EDM's network.

The network estimates the velocity image - noise at x_t = (1 - t) noise + t image.  A sample starts as noise at t = 0
and follows the velocity to t = 1.  As with EDM, the exact minimiser of the loss draws only training images.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from methods.diffusion.family import Diffusion, DiffusionConfig, Network
from methods.diffusion.heun import heun

LABEL_SCALE = 1000.0  # the noise label is this times t


class FlowMatching(Diffusion):
    """A velocity field from noise to images.

    The latent code is the starting noise, as large as the image: see `Diffusion` for why it is not backtracked.
    """

    name = "flow_matching"
    title = "Flow matching"

    @dataclass(frozen=True)
    class Config(DiffusionConfig):
        times: Literal["uniform", "logit_normal"] = "uniform"  # of training, in (0, 1)
        sampler_steps: int = 25  # N steps are 2N - 1 evaluations of the network

    config: Config

    def loss(self, network: Network, images: Tensor, level: Tensor, noise: Tensor) -> Tensor:
        """Mean squared error of the velocity, over pixels and batch."""
        # The distribution function of a standard normal number is uniform.
        t = level.sigmoid() if self.config.times == "logit_normal" else torch.special.ndtr(level)
        velocity = network(torch.lerp(noise, images, t), LABEL_SCALE * t.flatten())
        return (velocity - (images - noise)).square().mean()

    def integrate(self, network: Network, noise: Tensor) -> Tensor:
        def slope(x: Tensor, t: float) -> Tensor:
            label = torch.full((len(x),), LABEL_SCALE * t, device=x.device)
            return network(x.float(), label).to(x)

        steps = self.config.sampler_steps
        return heun(slope, noise, [step / steps for step in range(steps + 1)])
