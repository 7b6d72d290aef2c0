"""Training of StyleGAN2 (Karras et al. 2020), shared by MixDL and StyleGAN2 + DiffAugment.

A step of MixDL updates the discriminator, then the generator, each followed by its regulariser when it is due: R1 every
16 steps, the path length every 4.  Each of these parts has a function that draws its numbers; all are drawn before the
first update.  Methods override parts and their draws; `stylegan2_diffaugment.py` has an order of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from methods.api import Latents, Method, Scalars, Streams
from methods.augment import augment, draw, draw_coins, flip
from methods.averaging import moving_average
from methods.stylegan2.losses import descend, gradient_penalty, lazy_adam, path_lengths
from methods.transfer import moved
from networks.stylegan2 import Discriminator, Generator

PATH_MEAN_DECAY = 0.01  # weight of a new mean path length in its running mean (StyleGAN2)

Numbers = dict[str, Any]  # by what they are for: tensors, and what is known without waiting for a GPU


class Codes(NamedTuple):
    """Normal latent codes (n, style_dim); the layers from `crossover` on take the other ones, if there are any."""

    z: Tensor
    other: Tensor | None = None
    crossover: int = 0


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
    augmentation: tuple[Literal["color", "translation", "cutout"], ...] = ()  # DiffAugment (MixDL: docs/paper.md)
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
        numbers = moved(self.draw(step, self.streams.generator("train", step)), self.device)
        real = flip(self.images[numbers["indices"]], numbers["coins"])
        scalars = self.update_discriminator(real, step, numbers["discriminator"])
        if "r1" in numbers:
            scalars |= self.regularise_discriminator(real, step, numbers["r1"])
        scalars |= self.update_generator(step, numbers["generator"])
        if "path" in numbers:
            scalars |= self.regularise_generator(numbers["path"])
        self.average.update_parameters(self.generator)
        return scalars

    def draw(self, step: int, rng: torch.Generator) -> Numbers:
        """All numbers of a step, in the order of its updates."""
        numbers = self.draw_real(step, rng, rest="drop")
        n = len(numbers["indices"])
        numbers["discriminator"] = self.draw_discriminator(n, step, rng)
        if step % self.config.r1_every == 0:
            numbers["r1"] = self.draw_r1(n, step, rng)
        numbers["generator"] = self.draw_generator(step, rng)
        if step % self.config.path_every == 0:
            numbers["path"] = self.draw_path(rng)
        return numbers

    def update_discriminator(self, real: Tensor, step: int, numbers: Numbers) -> Scalars:
        with torch.no_grad():
            fake = self.fakes(numbers)
        logits = self.judge(torch.cat([real, fake]), numbers["view"], parts=2)
        loss = discriminator_loss(*logits.split([len(real), len(fake)]))
        descend(loss, self.discriminator_optimiser)
        return {"d_loss": loss.detach()}

    def update_generator(self, step: int, numbers: Numbers) -> Scalars:
        loss = generator_loss(self.judge(self.fakes(numbers), numbers["view"]))
        descend(loss, self.generator_optimiser)
        return {"g_loss": loss.detach()}

    def regularise_discriminator(self, real: Tensor, step: int, numbers: Numbers) -> Scalars:
        """R1 on the logits that this step uses for real images."""
        real = real.detach().requires_grad_()
        penalty = gradient_penalty(self.judge_real(real, step, numbers), real)
        descend(self.config.r1_weight / 2 * self.config.r1_every * penalty, self.discriminator_optimiser)
        return {"r1": penalty.detach()}

    def regularise_generator(self, numbers: Numbers) -> Scalars:
        """Path length (section 3.2): a step in w should change the image by the same amount everywhere."""
        config, styles = self.config, self.styles(numbers["codes"])
        images, _ = self.generator.synthesise(styles, numbers["noise"])
        lengths = path_lengths(images, styles, numbers["direction"])
        mean = self.mean_path_length.lerp(lengths.mean(), PATH_MEAN_DECAY)
        penalty = (lengths - mean).square().mean()
        descend(config.path_weight * config.path_every * penalty, self.generator_optimiser)
        self.mean_path_length = mean.detach()
        return {"path_length": lengths.mean().detach()}

    def judge_real(self, real: Tensor, step: int, numbers: Numbers) -> Tensor:
        """The logits of real images to which R1 applies."""
        return self.judge(real, numbers["view"])

    def judge(self, images: Tensor, view: Any, parts: int = 1) -> Tensor:
        """Logits (n, 1) of the augmented images; parts: see `Discriminator.forward`."""
        return self.discriminator(augment(images, view), parts)

    def fakes(self, numbers: Numbers) -> Tensor:
        return self.generator.synthesise(self.styles(numbers["codes"]), numbers["noise"])[0]

    def styles(self, codes: Codes) -> Tensor:
        """(n, n_styles, style_dim): of one code, or of another from a layer on."""
        styles = self.generator.broadcast(self.generator.mapping(codes.z))
        if codes.other is None:
            return styles
        other = self.generator.broadcast(self.generator.mapping(codes.other))
        return torch.cat([styles[:, : codes.crossover], other[:, codes.crossover :]], dim=1)

    # What a step draws ------------------------------------------------------------------------------------------

    def draw_real(self, step: int, rng: torch.Generator, rest: Literal["drop", "fill"]) -> Numbers:
        indices = self.draw_minibatch(step, self.config.batch, rest)
        return {"indices": indices, "coins": draw_coins(len(indices), rng) if self.config.flip else None}

    def draw_discriminator(self, n: int, step: int, rng: torch.Generator) -> Numbers:
        """n: real images, and as many generated ones."""
        return {**self.draw_fakes(n, rng), "view": self.draw_view(2 * n, rng)}

    def draw_r1(self, n: int, step: int, rng: torch.Generator) -> Numbers:
        return {"view": self.draw_view(n, rng)}

    def draw_generator(self, step: int, rng: torch.Generator) -> Numbers:
        return {**self.draw_fakes(self.config.batch, rng), "view": self.draw_view(self.config.batch, rng)}

    def draw_path(self, rng: torch.Generator) -> Numbers:
        n = max(1, self.config.batch // self.config.path_batch_shrink)
        direction = n, self.channels, self.resolution, self.resolution
        return {**self.draw_fakes(n, rng), "direction": torch.randn(direction, generator=rng)}

    def draw_fakes(self, n: int, rng: torch.Generator) -> Numbers:
        return {"codes": self.draw_codes(n, rng), "noise": self.draw_noise(n, rng)}

    def draw_codes(self, n: int, rng: torch.Generator) -> Codes:
        """With style mixing: mostly two codes in an image, below and above a random layer."""
        z = self.draw_z(n, rng)
        if torch.rand((), generator=rng) >= self.config.style_mixing:
            return Codes(z)
        return Codes(z, self.draw_z(n, rng), int(torch.randint(1, self.generator.n_styles, (), generator=rng)))

    def draw_z(self, n: int, rng: torch.Generator) -> Tensor:
        """(n, style_dim)"""
        return torch.randn(n, self.config.style_dim, generator=rng)

    def draw_noise(self, n: int, rng: torch.Generator) -> dict[str, Tensor]:
        """Fresh noise maps for each styled convolution."""
        return {name: torch.randn(n, *shape, generator=rng) for name, shape in self.generator.noise_shapes.items()}

    def draw_view(self, n: int, rng: torch.Generator) -> Any:
        """How the discriminator sees n images: what `judge` needs."""
        return draw(n, self.resolution, self.config.augmentation, rng)

    # Sampling and state -----------------------------------------------------------------------------------------

    def latents(self, n: int, generator: torch.Generator) -> Latents:
        """z: (n, style_dim).  noise: a map for each styled convolution."""
        return Latents(*moved((self.draw_z(n, generator), self.draw_noise(n, generator)), self.device))

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
