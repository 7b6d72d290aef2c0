"""StyleGAN2 with DiffAugment (Zhao et al. 2020, "Differentiable Augmentation for Data-Efficient GAN Training").

With few images, a discriminator learns them by heart.  DiffAugment therefore shows it real and generated images only
after random changes of colour and place.  Three later remedies can be switched on: ADA, which augments as often as the
discriminator's certainty asks for (Karras et al. 2020); APA, which shows it generated images as real ones (Jiang et al.
2021); and LeCam's penalty on its logits (Tseng et al. 2021).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from methods.api import Streams
from methods.augment import augment, random_flip
from methods.stylegan2.ada import adaptive_augment
from methods.stylegan2.adaptive import Controller
from methods.stylegan2.family import Scalars, StyleGAN2Config, StyleGAN2Family, discriminator_loss, generator_loss
from methods.stylegan2.lecam import LeCam
from methods.stylegan2.losses import descend, gradient_penalty


class StyleGAN2(StyleGAN2Family):
    """StyleGAN2 whose discriminator sees augmented images."""

    name = "stylegan2"
    title = "StyleGAN2 + DiffAugment"
    track = "none"

    @dataclass(frozen=True)
    class Config(StyleGAN2Config):
        """Defaults are those of the paper's code, in TensorFlow (data-efficient-gans, run_few_shot.py).

        config/overlays/field.yaml lists those of its port to PyTorch and of StyleGAN2-ADA.
        """

        augment: Literal["none", "diffaugment", "ada"] = "diffaugment"
        augmentation: tuple[Literal["color", "translation", "cutout"], ...] = ("color", "translation", "cutout")
        apa: bool = False
        lecam: float = 0.0  # weight; released scripts for StyleGAN2: 3e-7 (FFHQ, 1,000 images), 1e-6 (CIFAR)
        lecam_start: int = 1000  # steps without the penalty
        # The chance p of ADA and of APA: one controller for both, as in APA's code
        ada_target: float = 0.6  # of the mean sign of the logits of real images
        ada_kimg: float = 500.0  # p moves from 0 to 1 in this many thousand images; ADA's authors also use 100
        ada_every: int = 4  # steps
        # Regularisation
        r1_every: int = 4
        joint_r1: bool = True  # R1 is a term of the loss, as in TensorFlow; false: a step of its own, as in PyTorch
        path_weight: float = 0.0  # off; StyleGAN2's is 2
        # Optimisation
        batch: int = 16
        ema_decay: float = 0.5 ** (16 / 10_000)  # half-life 10,000 images
        ema_start: int = 625  # steps; until then, the average is the generator itself
        ema_ramp: float = 0.0  # the half-life is at most this share of the steps so far; 0: always complete

    config: Config

    def __init__(self, config: Config, resolution: int, channels: int, images: Tensor, streams: Streams) -> None:
        super().__init__(config, resolution, channels, images, streams)
        if not config.path_weight:  # Adam is corrected only for regularisers that take steps of their own
            self.generator_optimiser = self._plain_adam(self.generator)
        if config.joint_r1:
            self.discriminator_optimiser = self._plain_adam(self.discriminator)
        self.controller = Controller(config.ada_target, config.ada_kimg, config.ada_every, config.batch, self.device)
        self.lecam = LeCam(config.lecam_start, self.device)

    def train_step(self, step: int) -> Scalars:
        """One update of the generator, one of the discriminator, and those of the regularisers that are due.

        `augment_p` is the chance of ADA and APA.
        """
        config, rng = self.config, self.streams.generator("train", step)
        fake, scalars = self.improve_generator(rng)
        if config.path_weight and step % config.path_every == 0:
            scalars |= self.regularise_generator(rng)
        real = self.real_images(step, rng)
        if config.apa:
            real = deceive(real, fake, self.controller.p, rng)
        scalars |= self.update_discriminator(real, step, rng)
        if not config.joint_r1 and step % config.r1_every == 0:
            scalars |= self.regularise_discriminator(real, step, rng)
        self.average.multi_avg_fn = get_ema_multi_avg_fn(self.decay(step))
        self.average.update_parameters(self.generator)
        return scalars

    def improve_generator(self, rng: torch.Generator) -> tuple[Tensor, Scalars]:
        """Update the generator; also returns the images by which it was judged."""
        fake, _ = self.synthesise(self.draw_styles(self.config.batch, rng), rng)
        loss = generator_loss(self.judge(fake, rng))
        descend(loss, self.generator_optimiser)
        return fake.detach(), {"g_loss": loss.item()}

    def update_discriminator(self, real: Tensor, step: int, rng: torch.Generator) -> Scalars:
        config = self.config
        with torch.no_grad():
            fake, _ = self.synthesise(self.draw_styles(len(real), rng), rng)
        penalised = config.joint_r1 and step % config.r1_every == 0
        real = real.detach().requires_grad_(penalised)
        real_logits, fake_logits = self.judge(torch.cat([real, fake]), rng, parts=2).chunk(2)
        loss = discriminator_loss(real_logits, fake_logits)
        scalars = {"d_loss": loss.item()}
        if config.lecam:
            loss = loss + config.lecam * self.lecam.penalty(step, real_logits, fake_logits)
        if penalised:
            r1 = gradient_penalty(real_logits, real)
            loss = loss + config.r1_weight / 2 * config.r1_every * r1
            scalars["r1"] = r1.item()
        descend(loss, self.discriminator_optimiser)
        if config.augment == "ada" or config.apa:
            self.controller.observe(step, real_logits)
            scalars["augment_p"] = self.controller.p
        return scalars

    def judge(self, images: Tensor, rng: torch.Generator, parts: int = 1) -> Tensor:
        if self.config.augment == "diffaugment":
            images = augment(images, self.config.augmentation, rng)
        elif self.config.augment == "ada":
            images = adaptive_augment(images, self.controller.p, rng)
        return self.discriminator(images, parts)

    def real_images(self, step: int, rng: torch.Generator) -> Tensor:
        images = self.images[self.minibatch(step, self.config.batch, rest="fill")]
        return random_flip(images, rng) if self.config.flip else images

    def decay(self, step: int) -> float:
        """Of the average of the generator's weights at this step."""
        config = self.config
        if step < config.ema_start:
            return 0.0
        if not config.ema_ramp:
            return config.ema_decay
        half_life = math.log(0.5) / math.log(config.ema_decay)
        return 0.5 ** (1 / max(1e-8, min(half_life, config.ema_ramp * step)))

    def _plain_adam(self, network: torch.nn.Module) -> torch.optim.Adam:
        return torch.optim.Adam(network.parameters(), self.config.learning_rate, betas=(0.0, 0.99), fused=True)

    def _parts(self) -> Iterator[tuple[str, Any]]:
        yield from super()._parts()
        yield "controller", self.controller
        yield "lecam", self.lecam


def deceive(real: Tensor, fake: Tensor, p: float, rng: torch.Generator) -> Tensor:
    """APA: with chance p, a real image gives its place to a generated one.  Both are (n, channels, side, side)."""
    chosen = torch.rand(len(real), 1, 1, 1, generator=rng) < p
    return torch.where(chosen.to(real.device), fake, real)
