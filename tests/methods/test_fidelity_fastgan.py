"""FastGAN's training step beside its description: losses with numbers worked out by hand, what each network is shown,
where noise enters, how the average moves.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from methods.api import Latents, Streams
from methods.fastgan import FastGAN
from networks.fastgan import Features, GatedConv, Generator, noise_name, quadrant

TINY = {"nz": 8, "ngf": 2, "ndf": 2, "decoder_width": 4, "batch": 4, "perceptual": "alex"}


def sum_of_differences(images: Tensor, targets: Tensor) -> Tensor:
    """In place of LPIPS: a number for each pair, easy to sum by hand."""
    return (images - targets).abs().mean(dim=(1, 2, 3))


def build(n: int = 4, **changes: Any) -> FastGAN:
    torch.manual_seed(0)
    images = torch.rand(n, 3, 32, 32) * 2 - 1
    method = FastGAN(FastGAN.Config(**{**TINY, **changes}), 32, 3, images, Streams(0, "toy", "fastgan", "full"))
    method.lpips = sum_of_differences
    return method


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Scripted(nn.Module):
    """A discriminator that answers what it was told to, and reconstructs zeros."""

    def __init__(self, real: list[list[float]], fake: list[list[float]]) -> None:
        super().__init__()
        self.real, self.fake = torch.tensor(real), torch.tensor(fake)
        self.parts: list[int] = []

    def features(self, images: Tensor, small: Tensor) -> Features:
        return Features(images, images, small)

    def logits(self, features: Features) -> Tensor:
        return self.real

    def reconstruct(self, features: Features, part: int) -> tuple[Tensor, ...]:
        self.parts.append(part)
        return tuple(torch.zeros(2, 3, 16, 16) for _ in range(3))

    def forward(self, images: Tensor, small: Tensor) -> Tensor:
        return self.fake


# Losses ---------------------------------------------------------------------------------------------------------------


def test_hinge_and_reconstruction_of_two_images_by_hand():
    """Margins fixed at 1.
    Reals:  ReLU(1 - logit) of 0.5, 2, -1, 1: 0.5, 0, 2, 0, mean 0.625.
    Fakes:  ReLU(1 + logit) of -2, 0.5, 1, -1: 0, 1.5, 2, 0, mean 0.875.
    Reconstructions, all zero, of two images of 0.25 and -0.5: 0.75 for the whole, for the small path's whole, and for
    the quadrant, summed: 2.25.  Averaged over the batch it would be 1.125, over all pairs 0.375.
    """
    method = build(n=2, margin=(1.0, 1.0))
    method.discriminator = Scripted([[0.5, 2.0], [-1.0, 1.0]], [[-2.0, 0.5], [1.0, -1.0]])
    real = torch.tensor([0.25, -0.5]).view(2, 1, 1, 1).expand(2, 3, 32, 32)
    hinge, reconstruction = method._discriminator_losses(real, [real, real], rng())
    assert hinge.item() == pytest.approx(0.625 + 0.875)
    assert reconstruction.item() == pytest.approx(2.25)


def test_margins_are_uniform_between_four_fifths_and_one_for_reals_and_fakes_alike():
    """Mean 0.9, standard deviation 0.2 / sqrt(12); at logits 0 each half of the loss is the mean of its margins."""
    method = build(n=2)
    generator = rng()
    margins = torch.stack([method._hinge(torch.zeros(1), generator) for _ in range(3000)])
    assert margins.mean().item() == pytest.approx(0.9, abs=0.005)
    assert margins.std().item() == pytest.approx(0.2 / 12**0.5, rel=0.05)
    assert margins.min() >= 0.8 and margins.max() <= 1

    method.discriminator = Scripted([[0.0] * 1000] * 2, [[0.0] * 1000] * 2)
    real = torch.zeros(2, 3, 32, 32)
    hinge, _ = method._discriminator_losses(real, [real, real], generator)
    assert hinge.item() == pytest.approx(1.8, abs=0.015)
    method.discriminator = Scripted([[1.0] * 1000] * 2, [[0.0] * 1000] * 2)  # no margin of a real exceeds 1
    hinge, _ = method._discriminator_losses(real, [real, real], generator)
    assert hinge.item() == pytest.approx(0.9, abs=0.01)


def test_quadrants_are_drawn_uniformly_one_a_batch():
    method = build(n=2)
    method.discriminator = Scripted([[0.0]] * 2, [[0.0]] * 2)
    method._perceptual_distance = lambda images, targets: torch.zeros(())
    real, generator = torch.zeros(2, 3, 32, 32), rng()
    for _ in range(400):
        method._discriminator_losses(real, [real, real], generator)
    counts = torch.bincount(torch.tensor(method.discriminator.parts))
    assert counts.tolist() == pytest.approx([100] * 4, abs=5 * 8.7)  # five standard deviations of such a count


def test_discriminator_descends_on_hinge_plus_reconstruction_with_equal_weights_in_one_step(monkeypatch):
    """Losses 2p and 5p: a gradient of 7 at the only step."""
    method = build()
    parameter = next(method.discriminator.parameters())
    gradients = []
    monkeypatch.setattr(method, "_discriminator_losses", lambda *_: (2 * parameter.sum(), 5 * parameter.sum()))
    step = method.discriminator_optimiser.step
    monkeypatch.setattr(
        method.discriminator_optimiser, "step", lambda: gradients.append(parameter.grad.clone()) or step()
    )
    method.train_step(0)
    (gradient,) = gradients
    assert torch.equal(gradient, torch.full_like(gradient, 7.0))


def test_scalars_are_the_losses_of_what_the_networks_said(monkeypatch):
    """Three judgements a step: of reals, of fakes for D, of fakes for G, whose loss is minus the mean of all logits."""
    method = build(margin=(1.0, 1.0))
    said = []
    logits = method.discriminator.logits
    monkeypatch.setattr(method.discriminator, "logits", lambda features: said.append(logits(features)) or said[-1])
    scalars = method.train_step(0)
    real, fake, fooled = said
    assert all(each.shape == (4, 50) for each in said)
    assert scalars["d_loss"] == pytest.approx(((1 - real).relu().mean() + (1 + fake).relu().mean()).item(), rel=1e-5)
    assert scalars["g_loss"] == pytest.approx(-fooled.mean().item(), rel=1e-5)


# What each network is shown -------------------------------------------------------------------------------------------


def test_reals_and_both_fakes_are_augmented_and_the_small_real_is_made_of_the_augmented_one(monkeypatch):
    """DiffAugment runs on reals and on the two fake resolutions separately, each with draws of its own."""
    method = build()
    made, shown, states = [], [], []
    augmented, features = method._augmented, method.discriminator.features

    def augment(images: Tensor, generator: torch.Generator) -> Tensor:
        states.append(generator.get_state())
        made.append(augmented(images, generator))
        assert not torch.equal(made[-1], images)
        return made[-1]

    monkeypatch.setattr(method, "_augmented", augment)
    monkeypatch.setattr(method.discriminator, "features", lambda *pair: shown.append(pair) or features(*pair))
    method.train_step(0)

    real, fake, fake_small = made
    assert [each.shape[-1] for each in made] == [32, 32, 16]
    assert len({tuple(state.tolist()) for state in states}) == 3
    expected = [(real, real[:, :, ::2, ::2]), (fake, fake_small), (fake, fake_small)]
    for pair, images in zip(shown, expected, strict=True):
        assert all(torch.equal(one, other) for one, other in zip(pair, images, strict=True))
    assert [pair[0].requires_grad for pair in shown] == [False, False, True]  # D's step does not reach G


def test_decoders_run_on_reals_alone_from_their_three_sources():
    """Last features, the small path's, and an 8 x 8 quadrant of the 16 x 16 features that matches the target's."""
    method = build()
    seen: dict[str, list[Tensor]] = {"decoder": [], "small_decoder": [], "part_decoder": []}
    for name, inputs in seen.items():
        getattr(method.discriminator, name).register_forward_pre_hook(lambda _, x, into=inputs: into.append(x[0]))
    method.train_step(0)
    assert {name: [tuple(x.shape) for x in inputs] for name, inputs in seen.items()} == {
        "decoder": [(4, 16, 8, 8)],  # 8 ndf
        "small_decoder": [(4, 8, 8, 8)],  # 4 ndf
        "part_decoder": [(4, 8, 8, 8)],
    }
    features = Features(torch.randn(2, 8, 16, 16), torch.randn(2, 16, 8, 8), torch.randn(2, 8, 8, 8))
    for part in range(4):
        method.discriminator.reconstruct(features, part)
        assert torch.equal(seen["decoder"][-1], features.last)
        assert torch.equal(seen["small_decoder"][-1], features.small)
        assert torch.equal(seen["part_decoder"][-1], quadrant(features.middle, part))


# Noise ----------------------------------------------------------------------------------------------------------------


def test_noise_enters_twice_at_8_32_and_128_pixels_before_batch_normalisation():
    """One scalar weight a convolution, at first 0; the simple blocks (16, 64, 256 px) have none."""
    torch.manual_seed(0)
    generator = Generator(256, nz=4, ngf=2)
    sides = (8, 32, 128)
    assert generator.noise_shapes == {noise_name(side, i): (1, side, side) for side in sides for i in range(2)}
    noise = {name: torch.randn(2, *shape) for name, shape in generator.noise_shapes.items()}
    found: list[tuple[str, GatedConv, list[Tensor]]] = []
    for size, block in generator.blocks.items():
        for position, layer in enumerate(block):
            assert isinstance(layer, GatedConv)
            if layer.noise_weight is None:
                assert size in ("16", "64", "256")
                continue
            assert layer.noise_weight.shape == (1,) and layer.noise_weight.item() == 0
            nn.init.constant_(layer.noise_weight, 0.5 + position)
            steps: list[Tensor] = []
            layer.conv.register_forward_hook(lambda _, inputs, output, into=steps: into.append(output))
            layer.norm.register_forward_pre_hook(lambda _, inputs, into=steps: into.append(inputs[0]))
            found.append((noise_name(int(size), position), layer, steps))
    generator(torch.randn(2, 4), noise)
    assert [name for name, _, _ in found] == list(noise)
    for name, layer, (convolved, normalised) in found:
        assert torch.allclose(normalised, convolved + layer.noise_weight * noise[name], atol=1e-6)


def test_training_draws_fresh_standard_normal_maps_and_evaluation_keeps_those_of_its_latents():
    method = build(n=12, batch=12)
    for name, parameter in [*method.generator.named_parameters(), *method.average.module.named_parameters()]:
        if name.endswith("noise_weight"):
            nn.init.constant_(parameter, 1.0)
    seen: list[tuple[Tensor, dict[str, Tensor]]] = []
    method.generator.register_forward_pre_hook(lambda _, arguments: seen.append(arguments))
    for step in range(2):
        method.train_step(step)
    (z, noise), (later_z, later_noise) = seen
    assert not torch.equal(z, later_z)
    assert z.std().item() == pytest.approx(1, abs=0.25)
    for name, maps in noise.items():
        assert maps.mean().item() == pytest.approx(0, abs=0.15) and maps.std().item() == pytest.approx(1, abs=0.1)
        assert not torch.equal(maps, later_noise[name])
        assert not torch.equal(maps[0], maps[1])

    method.freeze()
    latents = method.latents(2, rng(1))
    other = Latents(latents.z, method.latents(2, rng(2)).noise)
    assert torch.equal(method.generate(latents), method.generate(latents))
    assert not torch.allclose(method.generate(latents), method.generate(other), atol=1e-3)


# Average --------------------------------------------------------------------------------------------------------------


def test_average_moves_by_a_thousandth_at_every_step():
    """Parameters: 0.999 of what they were and 0.001 of the generator's; decay by default.  Buffers: the generator's."""
    method = build(learning_rate=0.05)
    method.train_step(0)
    for step in range(1, 4):
        before = copy.deepcopy(list(method.sampler().parameters()))
        method.train_step(step)
        for old, average, model in zip(
            before, method.sampler().parameters(), method.generator.parameters(), strict=True
        ):
            assert torch.allclose(average, 0.999 * old + 0.001 * model, atol=1e-7)
        assert any(not torch.allclose(a, m) for a, m in zip(before, method.generator.parameters(), strict=True))
        for ours, models in zip(method.sampler().buffers(), method.generator.buffers(), strict=True):
            assert torch.equal(ours, models)
