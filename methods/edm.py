"""EDM (Karras et al. 2022, "Elucidating the Design Space of Diffusion-Based Generative Models", arXiv 2206.00364).

A denoiser D(x, s) estimates the image in x = image + s noise.  A sample starts as pure noise and follows the
probability-flow equation dx/ds = (x - D(x, s)) / s down to s = 0.  With n training images the exact minimiser of the
loss draws only these images, so a low FID may mean that the network has learnt them by heart.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from methods.diffusion.family import Diffusion, DiffusionConfig, Network
from methods.diffusion.heun import heun

SIGMA_DATA = 0.5  # standard deviation of the images, in [-1, 1]
LOG_MEAN, LOG_STD = -1.2, 1.2  # of ln s in training
SIGMA_MAX, SIGMA_MIN, RHO = 80.0, 0.002, 7.0  # noise levels of the sampler


class EDM(Diffusion):
    """A preconditioned denoiser, trained over log-normal noise levels and sampled by Heun's method.

    The latent code is the starting noise, as large as the image: see `Diffusion` for why it is not backtracked.
    """

    name = "edm"
    title = "EDM"

    @dataclass(frozen=True)
    class Config(DiffusionConfig):
        sampler_steps: int = 40  # EDM at 64 px; 18 at 32 px.  N steps are 2N - 1 evaluations of the network

    config: Config

    def loss(self, network: Network, images: Tensor, level: Tensor, noise: Tensor) -> Tensor:
        """Weighted squared error (equation 2), summed over an image and averaged over the batch."""
        sigma = (LOG_MEAN + LOG_STD * level).exp()
        weight = (sigma**2 + SIGMA_DATA**2) / (sigma * SIGMA_DATA) ** 2
        error = denoise(network, images + sigma * noise, sigma) - images
        return (weight * error**2).sum(dim=(1, 2, 3)).mean()

    def integrate(self, network: Network, noise: Tensor) -> Tensor:
        def slope(x: Tensor, sigma: float) -> Tensor:
            return (x - denoise(network, x, x.new_full((len(x), 1, 1, 1), sigma))) / sigma

        return heun(slope, SIGMA_MAX * noise, noise_levels(self.config.sampler_steps))


def denoise(network: Network, x: Tensor, sigma: Tensor) -> Tensor:
    """D(x, s), in the precision of x (n, C, R, R), with the network in float32.  sigma: (n, 1, 1, 1)."""
    variance = sigma**2 + SIGMA_DATA**2
    output = network((x / variance.sqrt()).float(), (sigma.log() / 4).flatten().float())
    return SIGMA_DATA**2 / variance * x + sigma * SIGMA_DATA / variance.sqrt() * output.to(x)


def noise_levels(steps: int) -> list[float]:
    """From SIGMA_MAX to SIGMA_MIN, evenly spaced in s^(1/RHO), then 0 (equation 5)."""
    ends = SIGMA_MAX ** (1 / RHO), SIGMA_MIN ** (1 / RHO)
    return [*(torch.linspace(*ends, steps, dtype=torch.float64) ** RHO).tolist(), 0.0]
