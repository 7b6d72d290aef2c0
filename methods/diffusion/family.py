"""What EDM and flow matching share: the network, its training on augmented images, and sampling from noise.

A method of the family says which noisy images the network sees and what it should answer (`loss`), and how noise
becomes an image (`integrate`).
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from methods.api import Latents, Method, Scalars, Streams
from methods.diffusion.augment import LABELS, draw, plan
from methods.resampling import transform
from methods.transfer import moved
from networks.edm_unet import UNet

Network = Callable[[Tensor, Tensor], Tensor]  # (x, noise label) -> an answer like x
LARGEST_GRADIENT = 1e5  # EDM: takes the place of an infinite one; NaN becomes 0
AVERAGED_SHARE = 0.05  # EDM: the average's half-life is at most this share of the images seen


@dataclass(frozen=True)
class DiffusionConfig:
    """Training constants are EDM's (Karras et al. 2022, table 7 and its code, NVlabs/edm 008a4e5)."""

    # Network (networks/edm_unet.py): DDPM++ at 256 px; EDM at 32 px has 2-2-2 and at 64 px 1-2-2-2, both 4 blocks
    width: int = 128
    multipliers: tuple[int, ...] = (1, 1, 2, 2, 2, 2)
    blocks: int = 2
    attention: tuple[int, ...] = (16,)  # resolutions
    dropout: float = 0.13
    # Training
    batch: int = 512  # LD-Diffusion, few-shot: 64
    microbatch: int = 64  # images at a time: bounds memory, gradients add up to those of the batch
    learning_rate: float = 1e-3  # Adam; config/overlays/field.yaml: 2e-4, ours
    warmup_steps: int = 19_531  # linear; 10 million images
    augmentation: float = 0.12  # chance of each transformation; 0: none, not even mirroring, and no label
    ema_images: int = 500_000  # half-life of the averaged weights, in images


class Diffusion(Method):
    """A network that is trained to recover images from images with noise, and sampled by integrating from noise.

    No backtracking: the latent code is the starting noise, as large as the image.  The integration can be run
    backwards from any image, so a small reconstruction error would say nothing about the model.
    """

    backtracks = False
    track = "none"

    config: DiffusionConfig

    def __init__(
        self, config: DiffusionConfig, resolution: int, channels: int, images: Tensor, streams: Streams
    ) -> None:
        """Raises `UserError` if the network's levels do not fit the resolution."""
        super().__init__(config, resolution, channels, images, streams)
        self.network = UNet(
            resolution,
            config.width,
            config.multipliers,
            config.blocks,
            config.attention,
            config.dropout,
            channels,
            labels=LABELS if config.augmentation else 0,
        ).to(self.device)
        self.average = copy.deepcopy(self.network).eval().requires_grad_(False)
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=config.learning_rate, fused=True)

    # What a method defines --------------------------------------------------------------------------------------

    def loss(self, network: Network, images: Tensor, level: Tensor, noise: Tensor) -> Tensor:
        """The loss of a batch, a scalar.

        network(x, label): see `UNet`, with augmentation label and dropout given.  images: augmented, (n, C, R, R).
        level (n, 1, 1, 1), from which the method makes its noise level, and noise, like images: standard normal.
        """
        raise NotImplementedError

    def integrate(self, network: Network, noise: Tensor) -> Tensor:
        """Images from standard normal noise, float64 (n, C, R, R)."""
        raise NotImplementedError

    # Training ---------------------------------------------------------------------------------------------------

    def train_step(self, step: int) -> Scalars:
        config, rng = self.config, self.streams.generator("train", step)
        warmup = min(1.0, step / config.warmup_steps) if config.warmup_steps else 1.0
        for group in self.optimiser.param_groups:
            group["lr"] = config.learning_rate * warmup
        indices = self.draw_minibatch(step, config.batch, rest="fill")
        done = draw(len(indices), config.augmentation, rng) if config.augmentation else None
        label = done.label() if done else torch.zeros(len(indices), 0)
        changes = plan(done, self.resolution) if done else None
        # A number for the noise level, and the noise.
        normal = torch.randn(len(indices), 1 + self.images[0].numel(), generator=rng)
        indices, changes, label, normal = moved((indices, changes, label, normal), self.device)
        images = self.images[indices] if changes is None else transform(self.images[indices], changes)
        self.optimiser.zero_grad()
        loss = self.add_gradients(images, label, normal, self.streams.generator("dropout", step, self.device))
        self.descend()
        self.update_average(step)
        return {"loss": loss}

    def add_gradients(self, images: Tensor, label: Tensor, normal: Tensor, dropout: torch.Generator) -> Tensor:
        """Add the gradients of the batch's mean loss, which is returned without its graph."""
        total, size = torch.zeros((), device=self.device), self.config.microbatch
        for part, its_label, its_normal in zip(images.split(size), label.split(size), normal.split(size), strict=True):
            level, noise = its_normal[:, :1, None, None], its_normal[:, 1:].view_as(part)
            network = partial(self.network, label=its_label, rng=dropout)
            loss = self.loss(network, part, level, noise) * (len(part) / len(images))
            loss.backward()
            total += loss.detach()
        return total

    def descend(self) -> None:
        """One optimiser step, with every gradient made finite first."""
        for parameter in self.network.parameters():
            if (gradient := parameter.grad) is not None:
                torch.nan_to_num(gradient, 0.0, LARGEST_GRADIENT, -LARGEST_GRADIENT, out=gradient)
        self.optimiser.step()

    def update_average(self, step: int) -> None:
        """Move the averaged weights; at first quickly, because the half-life grows with the images seen before."""
        half_life = min(self.config.ema_images, AVERAGED_SHARE * step * self.config.batch)
        decay = 0.5 ** (self.config.batch / half_life) if half_life else 0.0
        get_ema_multi_avg_fn(decay)(list(self.average.parameters()), list(self.network.parameters()), step)

    # Sampling and state -----------------------------------------------------------------------------------------

    def latents(self, n: int, generator: torch.Generator) -> Latents:
        """z: the starting noise, (n, channels * resolution^2)."""
        size = self.channels * self.resolution**2
        return Latents(torch.randn(n, size, generator=generator).to(self.device))

    def generate(self, latents: Latents) -> Tensor:
        """From the averaged weights, without further noise.  The integration is in float64, the network is not."""
        noise = latents.z.view(-1, self.channels, self.resolution, self.resolution)
        return self.integrate(self.average, noise.double()).float()

    def networks(self) -> dict[str, nn.Module]:
        return {"unet": self.network}

    def sampler(self) -> nn.Module:
        return self.average

    def state_dict(self) -> dict[str, Any]:
        return {name: part.state_dict() for name, part in self._parts().items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, part in self._parts().items():
            part.load_state_dict(state[name])

    def _parts(self) -> dict[str, Any]:
        return {"network": self.network, "average": self.average, "optimiser": self.optimiser}
