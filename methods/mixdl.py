"""MixDL (Kong et al. 2022, "Few-shot Image Generation with Mixup-based Distance Learning") on StyleGAN2.

With few images, a GAN's latent space becomes a staircase: along a path in it, the image jumps from one training image
to the next.  MixDL trains intermediate codes to give intermediate images.  Every other step it mixes w codes with
random convex coefficients, and pulls the similarities of a mixed image's features with those of the unmixed images
towards these coefficients, in the generator and in the discriminator.  A mixed image need not look real as a whole, so
in these steps the discriminator judges patches.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from methods.api import Streams
from methods.augment import augment
from methods.stylegan2.family import Scalars, StyleGAN2Config, StyleGAN2Family, discriminator_loss, generator_loss
from methods.stylegan2.losses import descend, lazy_adam
from networks.stylegan2 import PatchHeads


class MixDL(StyleGAN2Family):
    """StyleGAN2 with mixup-based distance learning."""

    name = "mixdl"
    title = "MixDL"
    track = "none"
    projects = True

    @dataclass(frozen=True)
    class Config(StyleGAN2Config):
        """Defaults are the official code's (mixdl 668d158)."""

        mixup_every: int = 2  # steps
        mixup_phase: int = 0  # mixup when step % mixup_every is this; first release: 1, R1 then sees whole images
        generator_distance: float = 1000.0  # weights of the two distance terms
        discriminator_distance: float = 1.0

    config: Config

    def __init__(self, config: Config, resolution: int, channels: int, images: Tensor, streams: Streams) -> None:
        super().__init__(config, resolution, channels, images, streams)
        self.heads = PatchHeads(self.discriminator).to(self.device)
        judges = [self.discriminator, self.heads]
        self.discriminator_optimiser = lazy_adam(judges, config.learning_rate, config.r1_every)

    def mixes(self, step: int) -> bool:
        """Is this a mixup step?  The others are StyleGAN2's own."""
        return step % self.config.mixup_every == self.config.mixup_phase

    def update_discriminator(self, real: Tensor, step: int, rng: torch.Generator) -> Scalars:
        if not self.mixes(step):
            return super().update_discriminator(real, step, rng)
        with torch.no_grad():
            coefficients = self._draw_coefficients(rng)
            w = self.draw_w(len(coefficients), rng)
            fakes, _ = self.synthesise(torch.cat([coefficients @ w, w]), rng)
        fake = fakes[: len(w)]
        adversarial = discriminator_loss(self._judge_patches(real, rng), self._judge_patches(fake, rng))
        # Mixed and unmixed images share groups of the minibatch deviation, as in the official code.
        mixed, unmixed = self.discriminator.embed(fakes).chunk(2)
        distance = distance_loss(cosine_similarities(mixed, unmixed), coefficients)
        descend(adversarial + self.config.discriminator_distance * distance, self.discriminator_optimiser)
        return {"d_loss": adversarial.item(), "d_distance": distance.item()}

    def update_generator(self, step: int, rng: torch.Generator) -> Scalars:
        if not self.mixes(step):
            return super().update_generator(step, rng)
        # The distance term has its own latent codes; it shares the coefficients with the adversarial term.
        batch, coefficients = self.config.batch, self._draw_coefficients(rng)
        w, other = self.draw_w(2 * batch, rng).chunk(2)
        images, features = self.synthesise(torch.cat([coefficients @ other, coefficients @ w, w]), rng)
        adversarial = generator_loss(self._judge_patches(images[:batch], rng))
        similarities = self._similarities([maps[batch:] for maps in features], rng)
        distance = distance_loss(similarities, coefficients)
        descend(adversarial + self.config.generator_distance * distance, self.generator_optimiser)
        return {"g_loss": adversarial.item(), "g_distance": distance.item()}

    def judge_real(self, real: Tensor, step: int, rng: torch.Generator) -> Tensor:
        return self._judge_patches(real, rng) if self.mixes(step) else super().judge_real(real, step, rng)

    def _judge_patches(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """One logit for each position of a map, where the discriminator is cut at random."""
        tap = int(torch.randint(len(self.heads), (), generator=rng))
        images = augment(images, self.config.augmentation, rng)
        return self.heads[tap](self.discriminator.patch_features(images, tap))

    def _similarities(self, features: list[Tensor], rng: torch.Generator) -> Tensor:
        """(batch, batch): mixed images, the first half of the features, against unmixed ones, the second half.

        Each mixed image is compared by the features of one random layer, except the first and the last.
        """
        layers = torch.randint(1, len(features) - 1, (self.config.batch,), generator=rng).tolist()
        rows = []
        for index, layer in enumerate(layers):
            mixed, unmixed = features[layer].flatten(1).chunk(2)
            rows.append(cosine_similarities(mixed[index : index + 1], unmixed))
        return torch.cat(rows)

    def _draw_coefficients(self, rng: torch.Generator) -> Tensor:
        """(batch, batch): how much of each latent code goes into each mixed one."""
        return dirichlet(self.config.batch, rng).to(self.device)

    def networks(self) -> dict[str, nn.Module]:
        return super().networks() | {"patch_heads": self.heads}


def dirichlet(n: int, generator: torch.Generator) -> Tensor:
    """(n, n): each row uniform on the simplex, Dirichlet(1, ..., 1): exponential variates, divided by their sum."""
    variates = torch.empty(n, n).exponential_(generator=generator)
    return variates / variates.sum(dim=1, keepdim=True)


def cosine_similarities(mixed: Tensor, unmixed: Tensor) -> Tensor:
    """(k, d), (n, d) -> (k, n)"""
    return F.normalize(mixed, dim=1) @ F.normalize(unmixed, dim=1).T


def distance_loss(similarities: Tensor, coefficients: Tensor) -> Tensor:
    """KL(softmax(coefficients) || softmax(similarities)), over rows, averaged over all n x n entries.

    As in the official code, the target is the softmax of the mixing coefficients, not the coefficients, and therefore
    rather flat.  Because of the mean over entries, the loss is 1/n of the mean divergence of a row.
    """
    target = coefficients.softmax(dim=1)
    return (target * (target.log() - similarities.log_softmax(dim=1))).mean()
