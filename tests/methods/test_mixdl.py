"""MixDL: its loss functions by hand, its schedule, and what its networks receive."""

from __future__ import annotations

import math

import pytest
import torch

from methods.api import Latents, Streams
from methods.mixdl import MixDL, cosine_similarities, dirichlet, distance_loss, lazy_adam, path_lengths

RESOLUTION = 16
TINY = {"style_dim": 8, "mapping_depth": 2, "channel_base": 128, "channel_max": 8}


def make(n: int = 6, **changes) -> MixDL:
    torch.manual_seed(0)
    images = torch.rand(n, 3, RESOLUTION, RESOLUTION) * 2 - 1
    return MixDL(MixDL.Config(**{**TINY, **changes}), RESOLUTION, 3, images, Streams(0, "toy", "mixdl", "full"))


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# Loss functions -------------------------------------------------------------------------------------------------


def test_distance_loss_by_hand():
    """2x2: KL divergences of softmax targets from softmax similarities, averaged over all four entries."""
    coefficients = torch.tensor([[1.0, 0.0], [0.5, 0.5]])
    similarities = torch.tensor([[0.0, 0.0], [1.0, 0.0]])
    high = math.e / (math.e + 1)  # softmax of (1, 0)
    first = high * math.log(high / 0.5) + (1 - high) * math.log((1 - high) / 0.5)
    second = 0.5 * math.log(0.5 / high) + 0.5 * math.log(0.5 / (1 - high))
    assert distance_loss(similarities, coefficients).item() == pytest.approx((first + second) / 4, rel=1e-5)


def test_distance_loss_is_zero_where_similarities_equal_coefficients_up_to_a_constant():
    coefficients = dirichlet(4, rng())
    assert distance_loss(coefficients + 3, coefficients).item() == pytest.approx(0, abs=1e-6)
    assert distance_loss(-coefficients, coefficients) > 1e-3


def test_cosine_similarities_by_hand():
    mixed, unmixed = torch.tensor([[1.0, 1.0]]), torch.tensor([[2.0, 0.0], [0.0, -3.0], [4.0, 4.0]])
    expected = torch.tensor([[0.5**0.5, -(0.5**0.5), 1.0]])
    assert torch.allclose(cosine_similarities(mixed, unmixed), expected)


def test_dirichlet_rows_are_uniform_on_the_simplex():
    """Rows sum to 1; for Dirichlet(1, ..., 1) of dimension n the mean is 1/n, the variance (n - 1) / (n^2 (n + 1))."""
    draws = torch.cat([dirichlet(4, rng(seed)) for seed in range(2000)])
    assert torch.allclose(draws.sum(dim=1), torch.ones(len(draws)), atol=1e-6)
    assert (draws >= 0).all()
    assert torch.allclose(draws.mean(dim=0), torch.full((4,), 1 / 4), atol=0.01)
    assert torch.allclose(draws.var(dim=0), torch.full((4,), 3 / 80), atol=0.003)


def test_path_length_of_a_linear_generator_is_its_slope():
    """image = s * (sum of styles), n_styles = 1: the gradient of <image, 1> / side is s * pixels / side everywhere."""
    styles = torch.randn(3, 1, 4, requires_grad=True)
    images = 2.0 * styles.sum(dim=(1, 2)).view(3, 1, 1, 1).expand(3, 1, 8, 8)
    lengths = path_lengths(images, styles, torch.ones(3, 1, 8, 8))
    gradient = 2.0 * 64 / 8  # of each of the four components of the style
    assert torch.allclose(lengths, torch.full((3,), gradient * 4**0.5))


def test_lazy_adam_lowers_rate_and_betas():
    group = lazy_adam([torch.nn.Linear(1, 1)], lr=0.002, every=4).param_groups[0]
    assert group["lr"] == pytest.approx(0.002 * 4 / 5)
    assert group["betas"] == pytest.approx((0.0, 0.99 ** (4 / 5)))


# Schedule -------------------------------------------------------------------------------------------------------


def test_defaults_are_the_official_constants():
    config = MixDL.Config()
    assert config.ema_decay == pytest.approx(0.99778, abs=1e-5)
    assert (config.r1_weight, config.r1_every, config.path_weight, config.path_every) == (10, 16, 2, 4)
    assert (config.generator_distance, config.discriminator_distance) == (1000, 1)
    assert not config.augmentation


def test_regularisers_and_mixup_fire_when_due():
    """R1 every 16 steps, path length every 4, distances every other step from the first on."""
    method = make()
    scalars = [method.train_step(step) for step in range(18)]
    assert [step for step, each in enumerate(scalars) if "r1" in each] == [0, 16]
    assert [step for step, each in enumerate(scalars) if "path_length" in each] == [0, 4, 8, 12, 16]
    for name in ("d_distance", "g_distance"):
        assert [step for step, each in enumerate(scalars) if name in each] == list(range(0, 18, 2))
    assert all({"d_loss", "g_loss"} <= each.keys() for each in scalars)


@pytest.mark.parametrize(("phase", "whole_image"), [(0, False), (1, True)])
def test_phase_decides_what_r1_sees(phase, whole_image, monkeypatch):
    """Phase 0: patches, as in the last published version; phase 1: whole images, as in the first."""
    method = make(mixup_phase=phase)
    seen = []
    original = method._judge

    def judge(images, tap, rng, parts=1):
        if images.requires_grad and images.is_leaf:  # the real images of R1
            seen.append(tap)
        return original(images, tap, rng, parts)

    monkeypatch.setattr(method, "_judge", judge)
    method.train_step(0)
    assert len(seen) == 1
    assert (seen[0] is None) == whole_image


def test_all_four_patch_heads_are_drawn():
    method, generator = make(), rng()
    assert {method._draw_tap(True, generator) for _ in range(100)} == {0, 1, 2, 3}
    assert method._draw_tap(False, generator) is None


# Draws ----------------------------------------------------------------------------------------------------------


def test_style_mixing_gives_an_image_two_codes_at_the_stated_rate():
    method, generator = make(), rng()
    crossovers = []
    for _ in range(300):
        styles = method._draw_styles(2, generator)
        changes = (styles[0, 1:] != styles[0, :-1]).any(dim=1).nonzero().flatten().tolist()
        assert len(changes) <= 1
        crossovers += changes
    assert len(crossovers) / 300 == pytest.approx(0.9, abs=0.05)
    assert set(crossovers) == set(range(method.generator.n_styles - 1))


def test_generator_distance_compares_each_mixed_image_by_one_inner_layer():
    """Layers that must not be used hold NaN, which would show in the result."""
    method = make(batch=3)
    features = [torch.randn(6, 2, 4, 4) for _ in range(5)]
    for outer in (0, -1):
        features[outer][:] = torch.nan
    rows = method._similarities(features, rng())
    assert rows.shape == (3, 3)
    candidates = [cosine_similarities(*features[layer].flatten(1).chunk(2)) for layer in (1, 2, 3)]
    for index, row in enumerate(rows):
        assert any(torch.allclose(row, candidate[index]) for candidate in candidates)


def test_mixed_images_are_judged_by_patches_and_ordinary_ones_whole():
    method = make()
    images = torch.randn(4, 3, RESOLUTION, RESOLUTION)
    assert method._judge(images, None, rng()).shape == (4, 1)
    assert [tuple(method._judge(images, tap, rng()).shape[1:]) for tap in range(4)] == [
        (1, 16, 16),
        (1, 8, 8),
        (1, 8, 8),
        (1, 4, 4),
    ]


# The contract, as far as it concerns this method in particular --------------------------------------------------


@torch.no_grad()
def test_generate_does_not_depend_on_the_batch():
    method = make()
    latents = method.latents(5, rng())
    together = method.generate(latents)
    alone = torch.cat([method.generate(latents[i : i + 1]) for i in range(5)])
    assert together.shape == (5, 3, RESOLUTION, RESOLUTION)
    assert (together - alone).abs().max() <= 1e-5


def test_gradients_flow_to_z_and_leave_the_averaged_generator_alone():
    method = make()
    latents = method.latents(2, rng())
    z = latents.z.clone().requires_grad_()
    method.generate(Latents(z, latents.noise)).square().sum().backward()
    assert (z.grad.abs().sum(dim=1) > 0).all()
    assert all(parameter.grad is None for parameter in method.sampler().parameters())


def test_generator_update_leaves_the_discriminator_as_it_was():
    method = make()
    before = {name: value.clone() for name, value in method.discriminator.state_dict().items()}
    for mixup in (True, False):
        method._update_generator(mixup, rng())
    assert all(torch.equal(value, before[name]) for name, value in method.discriminator.state_dict().items())
    assert all(parameter.grad is None for parameter in method.discriminator.parameters())


def test_resumed_run_continues_to_the_same_bits():
    """Through a mixup step, an ordinary one, R1 and path length; the mean path length included."""
    straight, first = make(), make()
    for step in range(18):
        straight.train_step(step)
    for step in range(5):
        first.train_step(step)
    resumed = make()
    resumed.load_state_dict(first.state_dict())
    for step in range(5, 18):
        resumed.train_step(step)
    for role, network in straight.networks().items():
        for name, value in network.state_dict().items():
            assert torch.equal(resumed.networks()[role].state_dict()[name], value), (role, name)
    for name, value in straight.sampler().state_dict().items():
        assert torch.equal(resumed.sampler().state_dict()[name], value), name
    assert straight.mean_path_length > 0
    assert torch.equal(resumed.mean_path_length, straight.mean_path_length)


@pytest.mark.parametrize("n", [1, 5])
def test_sets_that_do_not_fill_a_batch_train(n):
    method = make(n=n)
    for step in range(4):
        assert all(math.isfinite(value) for value in method.train_step(step).values())
