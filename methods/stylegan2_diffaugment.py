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

from methods.api import Scalars, Streams
from methods.augment import flip
from methods.stylegan2.ada import adaptive_augment, draw_adaptive
from methods.stylegan2.adaptive import Controller
from methods.stylegan2.family import Numbers, StyleGAN2Config, StyleGAN2Family, discriminator_loss, generator_loss
from methods.stylegan2.lecam import LeCam
from methods.stylegan2.losses import descend, gradient_penalty
from methods.transfer import moved


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
        r1_every: int = 4  # as usually described; the released loop also has a mode without this interval (1)
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
        numbers = moved(self.draw(step, rng), self.device)
        fake, scalars = self.improve_generator(numbers["generator"])
        if "path" in numbers:
            scalars |= self.regularise_generator(numbers["path"])
        real = flip(self.images[numbers["indices"]], numbers["coins"])
        if config.apa:
            real = torch.where(numbers["deceived"], fake, real)
        scalars |= self.update_discriminator(real, step, numbers["discriminator"])
        if not config.joint_r1 and step % config.r1_every == 0:  # drawn here, because p may have changed
            r1 = moved(self.draw_r1(len(real), step, rng), self.device)
            scalars |= self.regularise_discriminator(real, step, r1)
        self.average.multi_avg_fn = get_ema_multi_avg_fn(self.decay(step))
        self.average.update_parameters(self.generator)
        return scalars

    def draw(self, step: int, rng: torch.Generator) -> Numbers:
        """All numbers of a step but those of a separate R1."""
        config = self.config
        numbers: Numbers = {"generator": self.draw_generator(step, rng)}
        if config.path_weight and step % config.path_every == 0:
            numbers["path"] = self.draw_path(rng)
        numbers |= self.draw_real(step, rng, rest="fill")
        if config.apa:
            numbers["deceived"] = draw_deceived(config.batch, self.controller.p, rng)
        return numbers | {"discriminator": self.draw_discriminator(config.batch, step, rng)}

    def improve_generator(self, numbers: Numbers) -> tuple[Tensor, Scalars]:
        """Update the generator; also returns the images by which it was judged."""
        fake = self.fakes(numbers)
        loss = generator_loss(self.judge(fake, numbers["view"]))
        descend(loss, self.generator_optimiser)
        return fake.detach(), {"g_loss": loss.detach()}

    def update_discriminator(self, real: Tensor, step: int, numbers: Numbers) -> Scalars:
        config = self.config
        with torch.no_grad():
            fake = self.fakes(numbers)
        penalised = config.joint_r1 and step % config.r1_every == 0
        real = real.detach().requires_grad_(penalised)
        real_logits, fake_logits = self.judge(torch.cat([real, fake]), numbers["view"], parts=2).chunk(2)
        loss = discriminator_loss(real_logits, fake_logits)
        scalars: Scalars = {"d_loss": loss.detach()}
        if config.lecam:
            loss = loss + config.lecam * self.lecam.penalty(step, real_logits, fake_logits)
        if penalised:
            r1 = gradient_penalty(real_logits, real)
            loss = loss + config.r1_weight / 2 * config.r1_every * r1
            scalars["r1"] = r1.detach()
        descend(loss, self.discriminator_optimiser)
        if config.augment == "ada" or config.apa:
            self.controller.observe(step, real_logits)
            scalars["augment_p"] = self.controller.p
        return scalars

    def judge(self, images: Tensor, view: Any, parts: int = 1) -> Tensor:
        if self.config.augment == "ada":
            return self.discriminator(adaptive_augment(images, view), parts)
        return super().judge(images, view, parts)

    def draw_view(self, n: int, rng: torch.Generator) -> Any:
        match self.config.augment:
            case "ada":
                return draw_adaptive(n, self.resolution, self.controller.p, rng)
            case "diffaugment":
                return super().draw_view(n, rng)
            case _:
                return []

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


def draw_deceived(n: int, p: float, rng: torch.Generator) -> Tensor:
    """APA: which real images give their places to generated ones, each with chance p: (n, 1, 1, 1)."""
    return torch.rand(n, 1, 1, 1, generator=rng) < p
