"""FastGAN's training step equals one derived here from its description, and samples do not depend on their batch."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from methods.api import Streams
from methods.fastgan import FastGAN
from tests.methods.reference import Adam, Average, assert_parameters, augment, random_flip

TINY = {"nz": 8, "ngf": 2, "ndf": 2, "decoder_width": 4, "batch": 4, "bn_latents": 60, "perceptual": "alex"}


def mean_difference(x: Tensor, y: Tensor) -> Tensor:
    """In place of LPIPS (n,), so that no weights are needed."""
    return (x - y).abs().mean(dim=(1, 2, 3))


def build(**changes: object) -> FastGAN:
    images = torch.rand(6, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    streams = Streams(0, "toy", "fastgan", "full")
    with streams.seeded("initialisation"):
        method = FastGAN(FastGAN.Config(**(TINY | changes)), 32, 3, images, streams)
    method.lpips = mean_difference
    return method


class Reference:
    """The official step at 32 px: networks copied from `method`, losses and updates written out."""

    def __init__(self, method: FastGAN) -> None:
        self.method = method
        self.generator, self.discriminator = copy.deepcopy(method.generator), copy.deepcopy(method.discriminator)
        self.generator_adam = Adam(self.generator, lr=2e-4, betas=(0.5, 0.999))
        self.discriminator_adam = Adam(self.discriminator, lr=2e-4, betas=(0.5, 0.999))
        self.average = Average(method.sampler(), 0.999)

    def step(self, step: int) -> dict[str, float]:
        rng = self.method.streams.generator("train", step)
        images = self.method.images[self.method.minibatch(step, 4, rest="fill")]
        real = augment(random_flip(images, rng), ("color", "translation"), rng)
        z = torch.randn(len(real), 8, generator=rng)
        noise = {
            name: torch.randn(len(real), *shape, generator=rng) for name, shape in self.generator.noise_shapes.items()
        }
        fake, fake_small = (augment(each, ("color", "translation"), rng) for each in self.generator(z, noise))

        small = real[:, :, ::2, ::2]  # nearest neighbour to 16 px, of the augmented image
        features = self.discriminator.features(real, small)
        judged_real = self.discriminator.logits(features)
        judged_fake = self.discriminator(fake.detach(), fake_small.detach())
        margins = [0.8 + 0.2 * torch.rand(len(real), 50, generator=rng) for _ in range(2)]  # of reals, of fakes
        hinge = (margins[0] - judged_real).relu().mean() + (margins[1] + judged_fake).relu().mean()
        part = int(torch.randint(4, (), generator=rng))
        row, column = 16 * (part // 2), 16 * (part % 2)
        targets = (small, small, real[:, :, row : row + 16, column : column + 16])
        reconstruction = torch.zeros(())
        for decoded, target in zip(self.discriminator.reconstruct(features, part), targets, strict=True):
            large = [F.interpolate(each, 32, mode="bilinear") for each in (decoded, target)]
            reconstruction = reconstruction + mean_difference(*large).sum()  # over the batch and over the pairs
        self.discriminator_adam.descend(hinge + reconstruction)

        fooled = -self.discriminator(fake, fake_small).mean()
        self.generator_adam.descend(fooled)
        self.average.update(self.generator)
        return {"d_loss": hinge.item(), "g_loss": fooled.item(), "reconstruction": reconstruction.item()}


def test_five_steps_equal_the_derived_ones(float64: None) -> None:
    """Losses, both networks, BatchNorm statistics and the average; the noise weights, zero at first, are not."""
    method = build()
    for name, parameter in method.generator.named_parameters():
        if name.endswith("noise_weight"):
            nn.init.constant_(parameter, 0.5)
    reference = Reference(method)
    for step in range(5):
        assert method.train_step(step) == pytest.approx(reference.step(step), rel=1e-10)
    assert_parameters(method.generator, list(reference.generator.parameters()), "generator")
    assert_parameters(method.discriminator, list(reference.discriminator.parameters()), "discriminator")
    assert_parameters(method.sampler(), reference.average.values, "average")
    for ours, theirs in zip(method.sampler().buffers(), reference.generator.buffers(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-11)


def test_frozen_samples_resemble_those_of_training_mode() -> None:
    """Recomputed statistics replace the batch statistics that the official code samples with; stale ones do not."""
    method = build(learning_rate=2e-3)
    for step in range(12):
        method.train_step(step)
    latents = method.latents(64, torch.Generator().manual_seed(1))
    with torch.no_grad():
        stale = method.generate(latents)
        method.freeze()
        frozen = method.generate(latents)
        reference = copy.deepcopy(method.sampler()).train()(latents.z, latents.noise)[0]
    assert (frozen - reference).abs().mean() < 0.3 * (stale - reference).abs().mean()


def test_sampling_needs_no_lpips_weights() -> None:
    """LPIPS is loaded by training alone: `describe` runs before anything was fetched."""
    method = build()
    del method.lpips
    method.freeze()
    method.generate(method.latents(2, torch.Generator()))
    assert "lpips" not in vars(method)
