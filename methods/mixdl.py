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

from methods.api import Scalars, Streams
from methods.augment import augment
from methods.stylegan2.family import Numbers, StyleGAN2Config, StyleGAN2Family, discriminator_loss, generator_loss
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
        mixup_phase: int = 0  # mixup when step % mixup_every is this (below it); first release: 1, R1 sees whole images
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

    def update_discriminator(self, real: Tensor, step: int, numbers: Numbers) -> Scalars:
        if not self.mixes(step):
            return super().update_discriminator(real, step, numbers)
        coefficients = numbers["coefficients"]
        with torch.no_grad():
            w = self.generator.mapping(numbers["z"])
            fakes, _ = self.synthesise(torch.cat([coefficients @ w, w]), numbers)
        of_real = self._judge_patches(real, numbers["real"])
        of_fake = self._judge_patches(fakes[: len(w)], numbers["fake"])
        adversarial = discriminator_loss(of_real, of_fake)
        # Mixed and unmixed images share groups of the minibatch deviation, as in the official code.
        mixed, unmixed = self.discriminator.embed(fakes).chunk(2)
        distance = distance_loss(cosine_similarities(mixed, unmixed), coefficients)
        descend(adversarial + self.config.discriminator_distance * distance, self.discriminator_optimiser)
        return {"d_loss": adversarial.detach(), "d_distance": distance.detach()}

    def update_generator(self, step: int, numbers: Numbers) -> Scalars:
        if not self.mixes(step):
            return super().update_generator(step, numbers)
        # The distance term has its own latent codes; it shares the coefficients with the adversarial term.
        batch, coefficients = self.config.batch, numbers["coefficients"]
        w, other = self.generator.mapping(numbers["z"]).chunk(2)
        images, features = self.synthesise(torch.cat([coefficients @ other, coefficients @ w, w]), numbers)
        adversarial = generator_loss(self._judge_patches(images[:batch], numbers["fake"]))
        similarities = self._similarities([maps[batch:] for maps in features], numbers["layers"])
        distance = distance_loss(similarities, coefficients)
        descend(adversarial + self.config.generator_distance * distance, self.generator_optimiser)
        return {"g_loss": adversarial.detach(), "g_distance": distance.detach()}

    def judge_real(self, real: Tensor, step: int, numbers: Numbers) -> Tensor:
        return self._judge_patches(real, numbers) if self.mixes(step) else super().judge_real(real, step, numbers)

    def synthesise(self, w: Tensor, numbers: Numbers) -> tuple[Tensor, list[Tensor]]:
        """Images and features of w (n, style_dim)."""
        return self.generator.synthesise(self.generator.broadcast(w), numbers["noise"])

    def _judge_patches(self, images: Tensor, numbers: Numbers) -> Tensor:
        """One logit for each position of a map, where the discriminator is cut at random."""
        tap = numbers["tap"]
        return self.heads[tap](self.discriminator.patch_features(augment(images, numbers["view"]), tap))

    def _similarities(self, features: list[Tensor], layers: list[int]) -> Tensor:
        """(batch, batch): mixed images, the first half of the features, against unmixed ones, the second half.

        layers: by whose features each mixed image is compared.
        """
        rows = []
        for index, layer in enumerate(layers):
            mixed, unmixed = features[layer].flatten(1).chunk(2)
            rows.append(cosine_similarities(mixed[index : index + 1], unmixed))
        return torch.cat(rows)

    # What a step draws ------------------------------------------------------------------------------------------

    def draw_discriminator(self, n: int, step: int, rng: torch.Generator) -> Numbers:
        if not self.mixes(step):
            return super().draw_discriminator(n, step, rng)
        mixture = self._draw_mixture(1, rng)
        return {**mixture, "real": self._draw_patches(n, rng), "fake": self._draw_patches(self.config.batch, rng)}

    def draw_r1(self, n: int, step: int, rng: torch.Generator) -> Numbers:
        return self._draw_patches(n, rng) if self.mixes(step) else super().draw_r1(n, step, rng)

    def draw_generator(self, step: int, rng: torch.Generator) -> Numbers:
        """Of each mixed image, the features of one random layer are compared: neither the first nor the last."""
        if not self.mixes(step):
            return super().draw_generator(step, rng)
        batch = self.config.batch
        numbers = {**self._draw_mixture(2, rng), "fake": self._draw_patches(batch, rng)}
        layers = torch.randint(1, len(self.generator.convs) - 1, (batch,), generator=rng)
        return {**numbers, "layers": layers.tolist()}

    def _draw_mixture(self, sets: int, rng: torch.Generator) -> Numbers:
        """How much of each latent code goes into each mixed one, (batch, batch); the codes; noise for all images.

        sets: of codes, each of a batch.
        """
        batch = self.config.batch
        coefficients, z = dirichlet(batch, rng), self.draw_z(sets * batch, rng)
        return {"coefficients": coefficients, "z": z, "noise": self.draw_noise((sets + 1) * batch, rng)}

    def _draw_patches(self, n: int, rng: torch.Generator) -> Numbers:
        tap = int(torch.randint(len(self.heads), (), generator=rng))
        return {"tap": tap, "view": self.draw_view(n, rng)}

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
