"""MixDL (Kong et al. 2022, "Few-shot Image Generation with Mixup-based Distance Learning") on StyleGAN2.

From a handful of images a GAN learns a staircase: walking through latent space, one training image jumps to the next.
MixDL asks that codes in between give images in between.  Every other iteration it mixes w codes with random convex
coefficients, and pulls the similarities of a mixed image's features with those of the unmixed images towards these
coefficients, in the generator and in the discriminator.  A mixed image as a whole need not look real, so in these
iterations the discriminator judges patches.
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
from networks.stylegan2 import Discriminator, Generator, PatchHeads

PATH_MEAN_DECAY = 0.01  # weight of a new mean path length in its running mean (StyleGAN2)


class MixDL(Method):
    """StyleGAN2 with mixup-based distance learning."""

    name = "mixdl"
    title = "MixDL"

    @dataclass(frozen=True)
    class Config:
        """Defaults are the official code's (mixdl 668d158)."""

        # Networks (networks/stylegan2.py)
        style_dim: int = 512  # size of z and w
        mapping_depth: int = 8  # layers of the mapping network
        channel_base: int = 32768  # a map of r x r has min(channel_max, channel_base // r) channels
        channel_max: int = 512
        noise: bool = True  # a noise map for each convolution; without, a short training shows less speckle
        # Mixup-based distance learning
        mixup_every: int = 2  # iterations
        mixup_phase: int = 0  # mixup when step % mixup_every is this; first release: 1, R1 then sees whole images
        generator_distance: float = 1000.0  # weights of the two distance terms
        discriminator_distance: float = 1.0
        # StyleGAN2's own
        style_mixing: float = 0.9  # probability, in ordinary iterations
        r1_weight: float = 10.0
        r1_every: int = 16  # iterations
        path_weight: float = 2.0
        path_every: int = 4  # iterations
        path_batch_shrink: int = 2  # the path length is measured on batch // this latents
        # Optimisation
        batch: int = 4
        learning_rate: float = 0.002  # Adam, both networks; lowered by the lazy-regularisation ratios
        augmentation: tuple[Literal["color", "translation", "cutout"], ...] = ()  # DiffAugment, in a separate script
        flip: bool = True  # mirror half of the real images
        ema_decay: float = 0.5 ** (32 / 10_000)

    def __init__(self, config: Config, resolution: int, channels: int, images: Tensor, streams: Streams) -> None:
        """Raises `UserError` if the resolution is no power of two or below 16."""
        super().__init__(config, resolution, channels, images, streams)
        widths = {"channel_base": config.channel_base, "channel_max": config.channel_max, "channels": channels}
        self.generator = Generator(resolution, config.style_dim, config.mapping_depth, noise=config.noise, **widths).to(
            self.device
        )
        self.discriminator = Discriminator(resolution, **widths).to(self.device)
        self.heads = PatchHeads(self.discriminator).to(self.device)
        self.average = moving_average(self.generator, config.ema_decay)
        self.generator_optimiser = lazy_adam([self.generator], config.learning_rate, config.path_every)
        self.discriminator_optimiser = lazy_adam(
            [self.discriminator, self.heads], config.learning_rate, config.r1_every
        )
        self.mean_path_length = torch.zeros((), device=self.device)

    # Training ---------------------------------------------------------------------------------------------------

    def train_step(self, step: int) -> dict[str, float]:
        """One update of the discriminator, one of the generator, and those of the regularisers that are due.

        `d_distance` and `g_distance` exist in mixup iterations only; `r1` and `path_length` when they are due.
        """
        config, rng = self.config, self.streams.generator("train", step)
        mixup = step % config.mixup_every == config.mixup_phase
        real = self._real_images(step, rng)
        scalars = self._update_discriminator(real, mixup, rng)
        if step % config.r1_every == 0:
            scalars |= self._regularise_discriminator(real, mixup, rng)
        scalars |= self._update_generator(mixup, rng)
        if step % config.path_every == 0:
            scalars |= self._regularise_generator(rng)
        self.average.update_parameters(self.generator)
        return scalars

    def _update_discriminator(self, real: Tensor, mixup: bool, rng: torch.Generator) -> dict[str, float]:
        with torch.no_grad():
            if mixup:
                coefficients = self._draw_coefficients(rng)
                w = self._draw_w(len(coefficients), rng)
                fakes, _ = self._synthesise(torch.cat([coefficients @ w, w]), rng)
                fake = fakes[: len(w)]
            else:
                fake, _ = self._synthesise(self._draw_styles(len(real), rng), rng)
        logits = self._judge(torch.cat([real, fake]), self._draw_tap(mixup, rng), rng, parts=2)
        real_logits, fake_logits = logits.split([len(real), len(fake)])
        loss = F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()
        scalars = {"d_loss": loss.item()}
        if mixup:
            mixed, unmixed = self.discriminator.embed(fakes, parts=2).chunk(2)
            distance = distance_loss(cosine_similarities(mixed, unmixed), coefficients)
            loss = loss + self.config.discriminator_distance * distance
            scalars["d_distance"] = distance.item()
        descend(loss, self.discriminator_optimiser)
        return scalars

    def _update_generator(self, mixup: bool, rng: torch.Generator) -> dict[str, float]:
        batch = self.config.batch
        if mixup:  # the latent codes of the distance term are not those of the adversarial term, the coefficients are
            coefficients = self._draw_coefficients(rng)
            w, other = self._draw_w(2 * batch, rng).chunk(2)
            images, features = self._synthesise(torch.cat([coefficients @ other, coefficients @ w, w]), rng)
            fake = images[:batch]
        else:
            fake, _ = self._synthesise(self._draw_styles(batch, rng), rng)
        loss = F.softplus(-self._judge(fake, self._draw_tap(mixup, rng), rng)).mean()
        scalars = {"g_loss": loss.item()}
        if mixup:
            similarities = self._similarities([maps[batch:] for maps in features], rng)
            distance = distance_loss(similarities, coefficients)
            loss = loss + self.config.generator_distance * distance
            scalars["g_distance"] = distance.item()
        descend(loss, self.generator_optimiser)
        return scalars

    def _similarities(self, features: list[Tensor], rng: torch.Generator) -> Tensor:
        """(batch, batch): mixed images, the first half of the features, against unmixed ones, the second half.

        Each mixed image is compared by the features of one random layer, any but the first and the last.
        """
        batch = self.config.batch
        layers = torch.randint(1, len(features) - 1, (batch,), generator=rng).tolist()
        rows = []
        for index, layer in enumerate(layers):
            mixed, unmixed = features[layer].flatten(1).chunk(2)
            rows.append(cosine_similarities(mixed[index : index + 1], unmixed))
        return torch.cat(rows)

    def _regularise_discriminator(self, real: Tensor, mixup: bool, rng: torch.Generator) -> dict[str, float]:
        """R1: the squared gradient of the logits at the real images."""
        config = self.config
        real = real.detach().requires_grad_()
        logits = self._judge(real, self._draw_tap(mixup, rng), rng)
        (gradient,) = torch.autograd.grad(logits.sum(), real, create_graph=True)
        penalty = gradient.square().sum(dim=(1, 2, 3)).mean()
        descend(config.r1_weight / 2 * config.r1_every * penalty, self.discriminator_optimiser)
        return {"r1": penalty.item()}

    def _regularise_generator(self, rng: torch.Generator) -> dict[str, float]:
        """Path length (StyleGAN2, section 3.2): a step in w shall change the image equally much everywhere."""
        config = self.config
        styles = self._draw_styles(max(1, config.batch // config.path_batch_shrink), rng)
        images, _ = self._synthesise(styles, rng)
        lengths = path_lengths(images, styles, torch.randn(images.shape, generator=rng).to(self.device))
        mean = self.mean_path_length.lerp(lengths.mean(), PATH_MEAN_DECAY)
        penalty = (lengths - mean).square().mean()
        descend(config.path_weight * config.path_every * penalty, self.generator_optimiser)
        self.mean_path_length = mean.detach()
        return {"path_length": lengths.mean().item()}

    # What an iteration draws ------------------------------------------------------------------------------------

    def _real_images(self, step: int, rng: torch.Generator) -> Tensor:
        images = self.images[self.minibatch(step, self.config.batch)]
        return random_flip(images, rng) if self.config.flip else images

    def _draw_tap(self, mixup: bool, rng: torch.Generator) -> int | None:
        """Where the discriminator is cut to judge patches; None: it judges whole images."""
        return int(torch.randint(len(self.heads), (), generator=rng)) if mixup else None

    def _judge(self, images: Tensor, tap: int | None, rng: torch.Generator, parts: int = 1) -> Tensor:
        """Logits of the (augmented) images, one for each image or one for each position."""
        images = augment(images, self.config.augmentation, rng)
        if tap is None:
            return self.discriminator(images, parts)
        return self.heads[tap](self.discriminator.patch_features(images, tap))

    def _draw_coefficients(self, rng: torch.Generator) -> Tensor:
        """(batch, batch): how much of each latent code goes into each mixed one."""
        return dirichlet(self.config.batch, rng).to(self.device)

    def _draw_w(self, n: int, rng: torch.Generator) -> Tensor:
        """(n, style_dim)"""
        z = torch.randn(n, self.config.style_dim, generator=rng)
        return self.generator.mapping(z.to(self.device))

    def _draw_styles(self, n: int, rng: torch.Generator) -> Tensor:
        """(n, n_styles, style_dim): mostly two w in an image, one below and one above a random layer."""
        styles = self.generator.broadcast(self._draw_w(n, rng))
        if torch.rand((), generator=rng) >= self.config.style_mixing:
            return styles
        other = self.generator.broadcast(self._draw_w(n, rng))
        crossover = int(torch.randint(1, self.generator.n_styles, (), generator=rng))
        return torch.cat([styles[:, :crossover], other[:, crossover:]], dim=1)

    def _synthesise(self, styles: Tensor, rng: torch.Generator) -> tuple[Tensor, list[Tensor]]:
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
        return {"generator": self.generator, "discriminator": self.discriminator, "patch_heads": self.heads}

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


def dirichlet(n: int, generator: torch.Generator) -> Tensor:
    """(n, n): each row uniform on the simplex, Dirichlet(1, ..., 1): exponential variates, divided by their sum."""
    variates = torch.empty(n, n).exponential_(generator=generator)
    return variates / variates.sum(dim=1, keepdim=True)


def cosine_similarities(mixed: Tensor, unmixed: Tensor) -> Tensor:
    """(k, d), (n, d) -> (k, n)"""
    return F.normalize(mixed, dim=1) @ F.normalize(unmixed, dim=1).T


def distance_loss(similarities: Tensor, coefficients: Tensor) -> Tensor:
    """KL(softmax(coefficients) || softmax(similarities)), over rows, averaged over all n x n entries.

    So in the official code: the target is the softmax of the mixing coefficients, not the coefficients, hence rather
    flat; and the mean over entries makes a weight count as 1/n of one on the divergence of a row.
    """
    target = coefficients.softmax(dim=1)
    return (target * (target.log() - similarities.log_softmax(dim=1))).mean()


def path_lengths(images: Tensor, styles: Tensor, noise: Tensor) -> Tensor:
    """(n,): root mean square, over layers, of the gradient of <image, noise> / image side with respect to styles.

    images: (n, channels, h, w), made from styles (n, n_styles, style_dim).  noise: like images, standard normal.
    """
    side = (images.shape[2] * images.shape[3]) ** 0.5
    (gradient,) = torch.autograd.grad((images * noise).sum() / side, styles, create_graph=True)
    return gradient.square().sum(dim=2).mean(dim=1).sqrt()


def lazy_adam(networks: list[nn.Module], lr: float, every: int) -> torch.optim.Adam:
    """Adam(lr, betas 0 and 0.99), corrected for the extra step of a regulariser that runs every so many iterations
    (StyleGAN2, appendix B): rate and betas as if the steps were spread evenly.
    """
    ratio = every / (every + 1)
    parameters = [parameter for network in networks for parameter in network.parameters()]
    return torch.optim.Adam(parameters, lr=lr * ratio, betas=(0.0, 0.99**ratio), fused=True)


def descend(loss: Tensor, optimiser: torch.optim.Optimizer) -> None:
    """One step of the optimiser's own parameters; gradients of the other network are not even computed."""
    optimiser.zero_grad()
    loss.backward(inputs=[parameter for group in optimiser.param_groups for parameter in group["params"]])
    optimiser.step()
