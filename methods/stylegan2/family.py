"""Training of StyleGAN2 (Karras et al. 2020), shared by MixDL and a plain StyleGAN2.

A step updates the discriminator, then the generator, each followed by its regulariser when it is due: R1 every 16
steps, the path length every 4.  Methods override `update_discriminator`, `update_generator` and `judge_real`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from methods.api import Latents, Method, Streams
from methods.augment import augment, random_flip
from methods.averaging import moving_average
from methods.stylegan2.losses import descend, gradient_penalty, lazy_adam, path_lengths
from networks.stylegan2 import Discriminator, Generator

PATH_MEAN_DECAY = 0.01  # weight of a new mean path length in its running mean (StyleGAN2)

Scalars = dict[str, float]


@dataclass(frozen=True)
class StyleGAN2Config:
    """Defaults are those of MixDL's official code (mixdl 668d158), which are StyleGAN2's except for the batch."""

    # Networks (networks/stylegan2.py)
    style_dim: int = 512  # size of z and w
    mapping_depth: int = 8  # layers of the mapping network
    channel_base: int = 32768  # a map of r x r has min(channel_max, channel_base // r) channels
    channel_max: int = 512
    noise: bool = True  # a noise map for each convolution; without it, a short training gives less speckle
    # Regularisation
    style_mixing: float = 0.9  # probability
    r1_weight: float = 10.0
    r1_every: int = 16  # steps
    path_weight: float = 2.0
    path_every: int = 4  # steps
    path_batch_shrink: int = 2  # the path length is measured on batch // this latents
    # Optimisation
    batch: int = 4
    learning_rate: float = 0.002  # Adam, both networks; lowered by the lazy-regularisation ratios
    augmentation: tuple[Literal["color", "translation", "cutout"], ...] = ()  # DiffAugment, in a separate script
    flip: bool = True  # mirror half of the real images
    ema_decay: float = 0.5 ** (32 / 10_000)


class StyleGAN2Family(Method):
    """StyleGAN2 with the non-saturating logistic loss, lazy regularisation, style mixing and averaged weights."""

    config: StyleGAN2Config
    projects = False  # the discriminator has a layer in which images are compared

    def __init__(
        self, config: StyleGAN2Config, resolution: int, channels: int, images: Tensor, streams: Streams
    ) -> None:
        """Raises `UserError` if the resolution is not a power of two or is below 16."""
        super().__init__(config, resolution, channels, images, streams)
        base, maximum = config.channel_base, config.channel_max
        self.generator = Generator(
            resolution, config.style_dim, config.mapping_depth, base, maximum, channels, config.noise
        ).to(self.device)
        self.discriminator = Discriminator(resolution, base, maximum, channels, self.projects).to(self.device)
        self.average = moving_average(self.generator, config.ema_decay)
        self.generator_optimiser = lazy_adam([self.generator], config.learning_rate, config.path_every)
        self.discriminator_optimiser = lazy_adam([self.discriminator], config.learning_rate, config.r1_every)
        self.mean_path_length = torch.zeros((), device=self.device)

    # Training ---------------------------------------------------------------------------------------------------

    def train_step(self, step: int) -> Scalars:
        """One update of the discriminator, one of the generator, and those of the regularisers that are due.

        `r1` and `path_length` are logged when they are due.
        """
        rng = self.streams.generator("train", step)
        real = self.real_images(step, rng)
        scalars = self.update_discriminator(real, step, rng)
        if step % self.config.r1_every == 0:
            scalars |= self.regularise_discriminator(real, step, rng)
        scalars |= self.update_generator(step, rng)
        if step % self.config.path_every == 0:
            scalars |= self.regularise_generator(rng)
        self.average.update_parameters(self.generator)
        return scalars

    def update_discriminator(self, real: Tensor, step: int, rng: torch.Generator) -> Scalars:
        with torch.no_grad():
            fake, _ = self.synthesise(self.draw_styles(len(real), rng), rng)
        logits = self.judge(torch.cat([real, fake]), rng, parts=2)
        loss = discriminator_loss(*logits.split([len(real), len(fake)]))
        descend(loss, self.discriminator_optimiser)
        return {"d_loss": loss.item()}

    def update_generator(self, step: int, rng: torch.Generator) -> Scalars:
        fake, _ = self.synthesise(self.draw_styles(self.config.batch, rng), rng)
        loss = generator_loss(self.judge(fake, rng))
        descend(loss, self.generator_optimiser)
        return {"g_loss": loss.item()}

    def regularise_discriminator(self, real: Tensor, step: int, rng: torch.Generator) -> Scalars:
        """R1 on the logits that this step uses for real images."""
        real = real.detach().requires_grad_()
        penalty = gradient_penalty(self.judge_real(real, step, rng), real)
        descend(self.config.r1_weight / 2 * self.config.r1_every * penalty, self.discriminator_optimiser)
        return {"r1": penalty.item()}

    def regularise_generator(self, rng: torch.Generator) -> Scalars:
        """Path length (section 3.2): a step in w should change the image by the same amount everywhere."""
        config = self.config
        styles = self.draw_styles(max(1, config.batch // config.path_batch_shrink), rng)
        images, _ = self.synthesise(styles, rng)
        lengths = path_lengths(images, styles, torch.randn(images.shape, generator=rng).to(self.device))
        mean = self.mean_path_length.lerp(lengths.mean(), PATH_MEAN_DECAY)
        penalty = (lengths - mean).square().mean()
        descend(config.path_weight * config.path_every * penalty, self.generator_optimiser)
        self.mean_path_length = mean.detach()
        return {"path_length": lengths.mean().item()}

    def judge_real(self, real: Tensor, step: int, rng: torch.Generator) -> Tensor:
        """The logits of real images to which R1 applies."""
        return self.judge(real, rng)

    def judge(self, images: Tensor, rng: torch.Generator, parts: int = 1) -> Tensor:
        """Logits (n, 1) of the augmented images; parts: see `Discriminator.forward`."""
        return self.discriminator(augment(images, self.config.augmentation, rng), parts)

    # What a step draws ------------------------------------------------------------------------------------------

    def real_images(self, step: int, rng: torch.Generator) -> Tensor:
        images = self.images[self.minibatch(step, self.config.batch, rest="drop")]
        return random_flip(images, rng) if self.config.flip else images

    def draw_w(self, n: int, rng: torch.Generator) -> Tensor:
        """(n, style_dim)"""
        z = torch.randn(n, self.config.style_dim, generator=rng)
        return self.generator.mapping(z.to(self.device))

    def draw_styles(self, n: int, rng: torch.Generator) -> Tensor:
        """(n, n_styles, style_dim), with style mixing: mostly two w in an image, below and above a random layer."""
        styles = self.generator.broadcast(self.draw_w(n, rng))
        if torch.rand((), generator=rng) >= self.config.style_mixing:
            return styles
        other = self.generator.broadcast(self.draw_w(n, rng))
        crossover = int(torch.randint(1, self.generator.n_styles, (), generator=rng))
        return torch.cat([styles[:, :crossover], other[:, crossover:]], dim=1)

    def synthesise(self, styles: Tensor, rng: torch.Generator) -> tuple[Tensor, list[Tensor]]:
        """Images and features, with fresh noise, of styles (n, n_styles, style_dim) or of w (n, style_dim)."""
        if styles.ndim == 2:
            styles = self.generator.broadcast(styles)
        return self.generator.synthesise(styles, self._draw_noise(len(styles), rng))

    def _draw_noise(self, n: int, rng: torch.Generator) -> dict[str, Tensor]:
        shapes = self.generator.noise_shapes
        return {name: torch.randn(n, *shape, generator=rng).to(self.device) for name, shape in shapes.items()}

    # Sampling and state -----------------------------------------------------------------------------------------

    def latents(self, n: int, generator: torch.Generator) -> Latents:
        """z: (n, style_dim).  noise: a map for each styled convolution."""
        z = torch.randn(n, self.config.style_dim, generator=generator).to(self.device)
        return Latents(z, self._draw_noise(n, generator))

    def generate(self, latents: Latents) -> Tensor:
        """From the averaged generator, without truncation."""
        return self.sampler()(latents.z, latents.noise)

    def networks(self) -> dict[str, nn.Module]:
        return {"generator": self.generator, "discriminator": self.discriminator}

    def sampler(self) -> nn.Module:
        return self.average.module

    def state_dict(self) -> dict[str, Any]:
        parts = {name: part.state_dict() for name, part in self._parts()}
        return parts | {"mean_path_length": self.mean_path_length}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, part in self._parts():
            part.load_state_dict(state[name])
        self.mean_path_length = state["mean_path_length"].to(self.device)

    def _parts(self) -> Iterator[tuple[str, Any]]:
        yield from self.networks().items()
        yield "average", self.average
        yield "generator_optimiser", self.generator_optimiser
        yield "discriminator_optimiser", self.discriminator_optimiser


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """The logistic loss, averaged over images (and positions, where there are several logits an image)."""
    return F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()


def generator_loss(fake_logits: Tensor) -> Tensor:
    """The non-saturating logistic loss."""
    return F.softplus(-fake_logits).mean()
