"""FastGAN (Liu et al. 2021): a light GAN whose discriminator is regularised by reconstructing what it sees."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common.console import UserError
from methods.api import Latents, Method, Scalars, Streams
from methods.augment import Drawn, augment, draw, draw_coins, flip
from methods.averaging import moving_average, recompute_batch_statistics
from methods.transfer import moved
from networks.fastgan import RESOLUTIONS, Discriminator, Generator, quadrant, small_size
from networks.lpips import LPIPS

# AlexNet needs at least 31 px: the 16 px reconstructions of a 32 px run are enlarged to this.
SMALLEST_FOR_LPIPS = 32
LOGITS = 50  # of the discriminator, for an image
STATISTICS_BATCH = 50  # latents at a time while BatchNorm statistics are recomputed


class Numbers(NamedTuple):
    """What a step draws, in this order."""

    indices: Tensor  # of the real images
    coins: Tensor | None  # for their flips
    real_view: Drawn  # how they are augmented
    z: Tensor
    noise: dict[str, Tensor]
    fake_views: list[Drawn]  # of the complete and of the small generated images
    margins: list[Tensor]  # u of the hinge, for real and for generated images: one for each logit, a smoothed label
    part: int  # the quadrant that is reconstructed


class FastGAN(Method):
    """Hinge GAN with skip-layer excitation, DiffAugment and a self-supervised discriminator.

    The official code samples in training mode, so an image depends on its batch.  Here BatchNorm uses statistics
    recomputed for the averaged weights instead (`freeze`).
    """

    name = "fastgan"
    title = "FastGAN"
    track = "loss"

    @dataclass(frozen=True)
    class Config:
        nz: int = 256  # official code: size of the latent code
        ngf: int = 64  # official code: unit of the generator's widths
        ndf: int = 64  # official code: unit of the discriminator's widths
        decoder_width: int = 128  # official code: width of the decoders' first feature map
        batch: int = 8  # official code
        learning_rate: float = 2e-4  # official code: Adam, both networks
        betas: tuple[float, float] = (0.5, 0.999)  # official code
        margin: tuple[float, float] = (0.8, 1.0)  # official code: hinge margins are drawn from this range
        augmentation: tuple[Literal["color", "translation", "cutout"], ...] = ("color", "translation")  # official code
        flip: bool = True  # official code: mirror half of the real images
        perceptual: Literal["vgg", "alex"] = "vgg"  # official code: LPIPS network of the reconstruction loss
        ema_decay: float = 0.999  # official code
        bn_latents: int = 1000  # ours: latents from which BatchNorm statistics are recomputed

    def __init__(self, config: Config, resolution: int, channels: int, images: Tensor, streams: Streams) -> None:
        super().__init__(config, resolution, channels, images, streams)
        if resolution not in RESOLUTIONS:
            known = ", ".join(map(str, RESOLUTIONS))
            raise UserError(f"resolution: fastgan cannot draw {resolution} px; set one of {known}")
        self.generator = Generator(resolution, config.nz, config.ngf, channels).to(self.device)
        self.discriminator = Discriminator(resolution, config.ndf, config.decoder_width, channels).to(self.device)
        self.average = moving_average(self.generator, config.ema_decay)
        self.generator_optimiser = self._adam(self.generator)
        self.discriminator_optimiser = self._adam(self.discriminator)

    def train_step(self, step: int) -> Scalars:
        """One step of the discriminator, then one of the generator on the same fakes (section 3)."""
        numbers = moved(self.draw(step), self.device)
        real = augment(flip(self.images[numbers.indices], numbers.coins), numbers.real_view)
        images = self.generator(numbers.z, numbers.noise)
        fake = [augment(each, view) for each, view in zip(images, numbers.fake_views, strict=True)]

        hinge, reconstruction = self._discriminator_losses(real, [each.detach() for each in fake], numbers)
        self.discriminator_optimiser.zero_grad()
        (hinge + reconstruction).backward()
        self.discriminator_optimiser.step()

        generator_loss = -self.discriminator(*fake).mean()
        self.generator_optimiser.zero_grad()
        generator_loss.backward(inputs=list(self.generator.parameters()))
        self.generator_optimiser.step()
        self.average.update_parameters(self.generator)
        scalars = {"d_loss": hinge, "g_loss": generator_loss, "reconstruction": reconstruction}
        return {name: scalar.detach() for name, scalar in scalars.items()}

    def draw(self, step: int) -> Numbers:
        config, rng = self.config, self.streams.generator("train", step)
        indices = self.draw_minibatch(step, config.batch, rest="fill")
        n, policy = len(indices), config.augmentation
        coins = draw_coins(n, rng) if config.flip else None
        real_view = draw(n, self.resolution, policy, rng)
        z, noise = self._draw_latents(n, rng)
        fake_views = [draw(n, side, policy, rng) for side in (self.resolution, small_size(self.resolution))]
        low, high = config.margin
        margins = [low + (high - low) * torch.rand(n, LOGITS, generator=rng) for _ in range(2)]
        part = int(torch.randint(4, (), generator=rng))
        return Numbers(indices, coins, real_view, z, noise, fake_views, margins, part)

    def _discriminator_losses(self, real: Tensor, fake: list[Tensor], numbers: Numbers) -> tuple[Tensor, Tensor]:
        """The two hinge terms, mean of ReLU(u - logit), and the reconstruction of the reals."""
        features = self.discriminator.features(real, self._small(real))
        logits = self.discriminator.logits(features), -self.discriminator(*fake)
        of_real, of_fake = (F.relu(u - each).mean() for u, each in zip(numbers.margins, logits, strict=True))
        targets = [self._small(target) for target in (real, real, quadrant(real, numbers.part))]
        reconstructed = self.discriminator.reconstruct(features, numbers.part)
        return of_real + of_fake, self._perceptual_distance(reconstructed, targets)

    def _perceptual_distance(self, images: tuple[Tensor, ...], targets: list[Tensor]) -> Tensor:
        """LPIPS summed, not averaged, over pairs and batch, as in the official code."""
        pair = [torch.cat(images), torch.cat(targets)]
        if small_size(self.resolution) < SMALLEST_FOR_LPIPS:
            pair = [F.interpolate(batch, SMALLEST_FOR_LPIPS, mode="bilinear") for batch in pair]
        return self.lpips(pair[0], pair[1]).sum()

    @cached_property
    def lpips(self) -> nn.Module:
        """Loaded at the first training step, because nothing else needs its weights."""
        return LPIPS(self.config.perceptual).to(self.device)

    def _small(self, images: Tensor) -> Tensor:
        """Nearest-neighbour resizing to the size of the small image."""
        return F.interpolate(images, small_size(self.resolution))

    def latents(self, n: int, generator: torch.Generator) -> Latents:
        return Latents(*moved(self._draw_latents(n, generator), self.device))

    def _draw_latents(self, n: int, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        z = torch.randn(n, self.config.nz, generator=generator)
        shapes = self.generator.noise_shapes.items()
        return z, {name: torch.randn(n, *shape, generator=generator) for name, shape in shapes}

    def generate(self, latents: Latents) -> Tensor:
        return self.sampler()(latents.z, latents.noise)[0]

    def freeze(self) -> None:
        """Recompute the averaged generator's BatchNorm statistics, always over the same latents."""
        recompute_batch_statistics(self.sampler(), self._statistics_inputs())

    def _statistics_inputs(self) -> Iterator[tuple[Tensor, dict[str, Tensor]]]:
        rng = self.streams.generator("batch statistics")
        for start in range(0, self.config.bn_latents, STATISTICS_BATCH):
            latents = self.latents(min(STATISTICS_BATCH, self.config.bn_latents - start), rng)
            yield latents.z, latents.noise

    def networks(self) -> dict[str, nn.Module]:
        return {"generator": self.generator, "discriminator": self.discriminator}

    def sampler(self) -> nn.Module:
        return self.average.module

    def state_dict(self) -> dict[str, Any]:
        return {name: part.state_dict() for name, part in self._parts().items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, part in self._parts().items():
            part.load_state_dict(state[name])

    def _parts(self) -> dict[str, Any]:
        return {
            "generator": self.generator,
            "discriminator": self.discriminator,
            "average": self.average,
            "generator_optimiser": self.generator_optimiser,
            "discriminator_optimiser": self.discriminator_optimiser,
        }

    def _adam(self, network: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.Adam(network.parameters(), lr=self.config.learning_rate, betas=self.config.betas)
