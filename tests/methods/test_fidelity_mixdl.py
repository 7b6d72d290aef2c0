"""MixDL's training step beside its description: both updates and both regularisers on numbers worked out by hand."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import methods.mixdl
from methods.api import Latents, Streams
from methods.mixdl import MixDL, dirichlet
from networks.stylegan2 import Discriminator, PatchHeads, StyledConv

TINY = {"style_dim": 8, "mapping_depth": 2, "channel_base": 128, "channel_max": 8}


def build(n: int = 6, **changes: Any) -> MixDL:
    torch.manual_seed(0)
    images = torch.rand(n, 3, 16, 16) * 2 - 1
    return MixDL(MixDL.Config(**{**TINY, **changes}), 16, 3, images, Streams(0, "toy", "mixdl", "full"))


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def losses(monkeypatch) -> list[float]:
    """What would be descended on, in order; nothing is."""
    noted: list[float] = []
    monkeypatch.setattr(methods.mixdl, "descend", lambda loss, optimiser: noted.append(float(loss)))
    return noted


# Two images, two latent codes -----------------------------------------------------------------------------------------

A = torch.tensor([[0.8, 0.2], [0.3, 0.7]])  # mixing coefficients
W = torch.eye(2)  # the unmixed codes; mixed ones are A W = A, and features are the codes themselves
# Row 1.  Cosines of (0.8, 0.2) with the axes: 0.8 and 0.2 over sqrt(0.68): 0.970143, 0.242536.  Softmaxes: of the
#   cosines 0.674280, 0.325720; of the coefficients 0.645656, 0.354344.
#   KL = 0.645656 ln(0.645656 / 0.674280) + 0.354344 ln(0.354344 / 0.325720) = -0.0280073 + 0.0298460 = 0.0018387
# Row 2.  (0.3, 0.7) over sqrt(0.58): 0.393919, 0.919145.  Softmaxes: 0.371631, 0.628369; 0.401312, 0.598688.
#   KL = 0.401312 ln(0.401312 / 0.371631) + 0.598688 ln(0.598688 / 0.628369) = 0.0308362 - 0.0289689 = 0.0018672
# The mean over all four entries, not over the two rows:
DISTANCE = (0.0018387159 + 0.0018672388) / 4
# Logits.  softplus(-1) = 0.313262, softplus(1) = 1.313262, softplus(0) = 0.693147, softplus(2) = 2.126928,
# softplus(-2) = 0.126928.
REAL = (0.3132617 + 1.3132617) / 2  # -log sigmoid of 1 and -1
FAKE = (0.6931472 + 2.1269280) / 2  # -log (1 - sigmoid) of 0 and 2
FOOLED = (0.6931472 + 0.1269280) / 2  # -log sigmoid of 0 and 2


class Script:
    """Replaces what is random or deep in a MixDL of two images, and notes what was synthesised and judged."""

    def __init__(self, method: MixDL, real: Tensor) -> None:
        self.synthesised: list[Tensor] = []
        self.judged: list[tuple[Tensor, int | None]] = []
        self.real, self.other = real, torch.tensor([[5.0, 6.0], [7.0, 9.0]])
        method._draw_coefficients = lambda rng: A
        method._draw_w = lambda n, rng: W if n == 2 else torch.cat([W, self.other])
        method._synthesise, method._judge = self.synthesise, self.judge
        method.discriminator.embed = lambda images, parts: images.flatten(1)

    def synthesise(self, styles: Tensor, rng: torch.Generator) -> tuple[Tensor, list[Tensor]]:
        """Images of 1 x 1 pixels with two channels, the code; features: the code in inner layers, NaN in outer ones."""
        self.synthesised.append(styles)
        outer = torch.full_like(styles, torch.nan)
        return styles[:, :, None, None], [outer, styles, 3 * styles, outer]

    def judge(self, images: Tensor, tap: int | None, rng: torch.Generator, parts: int = 1) -> Tensor:
        self.judged.append((images.flatten(1), tap))
        fake = torch.tensor([[0.0], [2.0]])
        return torch.cat([torch.tensor([[1.0], [-1.0]]), fake]) if len(images) == 4 else fake


def scripted(**changes: Any) -> tuple[MixDL, Script, Tensor]:
    real = torch.tensor([[30.0, 1.0], [40.0, 2.0]])
    method = build(batch=2, style_dim=2, **changes)
    return method, Script(method, real), real[:, :, None, None]


def test_discriminator_of_a_mixup_iteration_by_hand(losses):
    """Logistic loss by patches, of reals and mixed images, plus 1 times the distance term, of the same images."""
    method, script, real = scripted()
    scalars = method._update_discriminator(real, True, rng())
    assert losses == pytest.approx([REAL + FAKE + 1.0 * DISTANCE], abs=2e-6)
    assert scalars["d_distance"] == pytest.approx(DISTANCE, abs=1e-7)
    (codes,), ((images, tap),) = script.synthesised, script.judged
    assert torch.equal(codes, torch.cat([A @ W, W]))  # mixed in w, (B, d), and the unmixed ones beside them
    assert torch.equal(images, torch.cat([script.real, A]))
    assert tap in range(4)


def test_generator_of_a_mixup_iteration_by_hand(losses):
    """Non-saturating loss by patches, plus 1000 times the distance term: the same coefficients, other codes."""
    method, script, _ = scripted()
    scalars = method._update_generator(True, rng())
    assert losses == pytest.approx([FOOLED + 1000.0 * DISTANCE], rel=1e-4)
    assert scalars["g_distance"] == pytest.approx(DISTANCE, abs=1e-7)
    (codes,), ((images, tap),) = script.synthesised, script.judged
    assert torch.equal(codes, torch.cat([A @ script.other, A @ W, W]))
    assert torch.equal(images, A @ script.other)
    assert tap in range(4)


def test_ordinary_iteration_by_hand(losses):
    """Whole images, logistic losses alone; styles are drawn, not mixed."""
    method, script, real = scripted()
    styles = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    method._draw_styles = lambda n, rng: styles
    assert set(method._update_discriminator(real, False, rng())) == {"d_loss"}
    assert set(method._update_generator(False, rng())) == {"g_loss"}
    assert losses == pytest.approx([REAL + FAKE, FOOLED], abs=1e-6)
    assert [tap for _, tap in script.judged] == [None, None]
    assert all(torch.equal(codes, styles) for codes in script.synthesised)


def test_weights_of_the_distance_terms_are_the_configured_ones(losses):
    method, _, real = scripted(generator_distance=10.0, discriminator_distance=100.0)
    method._update_discriminator(real, True, rng())
    method._update_generator(True, rng())
    assert losses == pytest.approx([REAL + FAKE + 100 * DISTANCE, FOOLED + 10 * DISTANCE], rel=1e-5)


def test_dirichlet_is_that_of_concentration_one():
    """n = 4: a coefficient is Beta(1, 3), P(> t) = (1 - t)^3; two of a row have covariance -1 / (n^2 (n + 1)) = -1/80.
    Normalised uniforms, another option of the original, exceed 1/2 in 6 % of cases instead of 12.5 %.
    """
    draws = torch.cat([dirichlet(4, rng(seed)) for seed in range(2500)])
    assert draws.shape == (10_000, 4)
    for t in (0.1, 0.25, 0.5, 0.75):
        assert (draws > t).float().mean().item() == pytest.approx((1 - t) ** 3, abs=0.01)
    covariance = torch.cov(draws.T)
    expected = torch.full((4, 4), -1 / 80) + torch.eye(4) * (3 / 80 + 1 / 80)
    assert torch.allclose(covariance, expected, atol=0.002)
    assert torch.allclose(draws.sum(dim=1), torch.ones(len(draws)))


# Regularisers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mixup", [True, False])
def test_r1_by_hand(losses, mixup):
    """Logits 2 (sum of an image) and 3: gradients of 2 at 768 pixels, 3 at 768.  Squares: 3072 and 6912, mean 4992.
    Descended on: weight 10 / 2, times 16, the steps that it stands for: 80 * 4992.
    """
    method = build(batch=2)
    taps = []

    def judge(images: Tensor, tap: int | None, rng: torch.Generator, parts: int = 1) -> Tensor:
        taps.append(tap)
        logits = torch.tensor([2.0, 3.0]) * images.sum(dim=(1, 2, 3))
        return logits[:, None] if tap is None else logits.view(2, 1, 1, 1).expand(-1, -1, 2, 2) / 4

    method._judge = judge
    scalars = method._regularise_discriminator(method.images[:2], mixup, rng())
    assert scalars["r1"] == pytest.approx(4992, rel=1e-5)
    assert losses == pytest.approx([10 / 2 * 16 * 4992], rel=1e-5)
    assert (taps[0] is None) != mixup


def test_path_length_by_hand(losses, monkeypatch):
    """Lengths 1 and 3, mean 2.  Running mean: 0 + 0.01 * 2 = 0.02, then 0.02 + 0.01 * 1.98 = 0.0398.
    Penalties: (0.98^2 + 2.98^2) / 2 = 4.9204 and (0.9602^2 + 2.9602^2) / 2 = 4.842384; times weight 2, times 4.
    """
    method = build()  # batch 4
    shapes = []

    def lengths(images: Tensor, styles: Tensor, noise: Tensor) -> Tensor:
        shapes.append((len(images), len(styles), noise.std().item()))
        return torch.tensor([1.0, 3.0])

    monkeypatch.setattr(methods.mixdl, "path_lengths", lengths)
    means = []
    for _ in range(2):
        assert method._regularise_generator(rng()) == {"path_length": 2.0}
        means.append(method.mean_path_length.item())
    assert means == pytest.approx([0.02, 0.0398])
    assert losses == pytest.approx([2 * 4 * 4.9204, 2 * 4 * 4.842384], rel=1e-5)
    for images, styles, deviation in shapes:
        assert images == styles == 2  # half of the batch
        assert deviation == pytest.approx(1, abs=0.1)


def test_regularisers_take_steps_of_their_own():
    """Of steps 0 to 4, R1 is due at 0, path length at 0 and 4: 6 steps of D's optimiser, 7 of G's."""
    method = build(r1_every=16, path_every=4)
    for step in range(5):
        method.train_step(step)
    for optimiser, expected in [(method.discriminator_optimiser, 6), (method.generator_optimiser, 7)]:
        assert max(int(state["step"]) for state in optimiser.state_dict()["state"].values()) == expected


# What is drawn --------------------------------------------------------------------------------------------------------


def test_codes_are_mixed_between_images_or_between_layers_never_both():
    """Style mixing belongs to ordinary iterations; in mixup iterations an image has one w for all layers."""
    method = build(style_mixing=1.0)
    seen: list[tuple[int, ...]] = []
    synthesise = method._synthesise
    method._synthesise = lambda styles, rng: seen.append(tuple(styles.shape)) or synthesise(styles, rng)
    method._update_discriminator(method.images[:4], True, rng())
    method._update_generator(True, rng())
    assert seen == [(8, 8), (12, 8)]
    seen.clear()
    method._update_discriminator(method.images[:4], False, rng())
    method._update_generator(False, rng())
    assert seen == [(4, method.generator.n_styles, 8)] * 2


def test_every_synthesis_of_training_has_fresh_noise_and_evaluation_keeps_its_own():
    method = build(n=8)
    seen: list[dict[str, Tensor]] = []
    synthesise = method.generator.synthesise
    method.generator.synthesise = lambda styles, noise: seen.append(noise) or synthesise(styles, noise)
    for step in (0, 1):
        method.train_step(step)
    assert len(seen) == 5  # of D, G and the path length; of D and G
    for name, shape in method.generator.noise_shapes.items():
        maps = [noise[name] for noise in seen]
        assert all(each.shape[1:] == shape for each in maps)
        images = torch.cat(maps).flatten(1)
        assert len(images.unique(dim=0)) == len(images) == 8 + 12 + 2 + 4 + 4
        assert images.std().item() == pytest.approx(1, abs=0.1)

    for conv in method.average.module.convs:
        nn.init.constant_(conv.noise_gain, 1.0)
    latents = method.latents(2, rng(1))
    other = Latents(latents.z, method.latents(2, rng(2)).noise)
    assert torch.equal(method.generate(latents), method.generate(latents))
    assert not torch.allclose(method.generate(latents), method.generate(other), atol=1e-3)


def test_noise_enters_between_the_demodulated_convolution_and_bias_by_one_gain():
    torch.manual_seed(0)
    layer = StyledConv(4, 6, style_dim=5)
    assert layer.noise_gain.tolist() == [0.0]
    nn.init.constant_(layer.noise_gain, 0.7)
    nn.init.normal_(layer.bias)
    x, w, noise = torch.randn(2, 4, 8, 8), torch.randn(2, 5), torch.randn(2, 1, 8, 8)
    before = layer.conv(x, w) + 0.7 * noise + layer.bias
    expected = torch.where(before > 0, before, 0.2 * before) * math.sqrt(2)
    assert torch.allclose(layer(x, w, noise), expected, atol=1e-6)


def test_published_discriminator_is_cut_at_four_maps_of_512_channels_with_a_head_each():
    """Second convolution of the 64-to-32 block, both of the 32-to-16 block, first of the 16-to-8 block."""
    with torch.device("meta"):
        discriminator = Discriminator(256)
        heads = PatchHeads(discriminator)
    block_from = {size: index for index, size in enumerate((256, 128, 64, 32, 16, 8))}
    assert discriminator.taps == [(block_from[64], 1), (block_from[32], 0), (block_from[32], 1), (block_from[16], 0)]
    assert [tuple(head.weight.shape) for head in heads] == [(1, 512, 3, 3)] * 4
    assert all(head.bias is not None for head in heads)  # bias and leaky ReLU come together
    assert tuple(discriminator.projection.weight.shape) == (512, 512)
    assert not discriminator.projection.activate


def test_average_has_the_half_life_of_ten_thousand_images_in_steps_of_32():
    """0.5^(32/10000) = 0.99778 of what it was, at every step, whatever the batch."""
    method = build()
    method.train_step(0)
    before = copy.deepcopy(list(method.sampler().parameters()))
    method.train_step(1)
    decay = 0.5 ** (32 / 10_000)
    for old, average, model in zip(before, method.sampler().parameters(), method.generator.parameters(), strict=True):
        assert torch.allclose(average, decay * old + (1 - decay) * model, atol=1e-6, rtol=1e-6)
