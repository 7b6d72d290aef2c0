"""DiffAugment beside its description: the laws of its parameters, image by image, and its gradient."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.methods.reference import augment, random_flip

N = 4000
ALL = ("color", "translation", "cutout")


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def assert_uniform(values: Tensor, low: float, high: float) -> None:
    """Quartiles within 4 standard errors (0.7 % of N draws each) of a uniform law's, bounds kept."""
    assert values.shape == (N,)
    assert low - 1e-3 <= values.min() and values.max() <= high + 1e-3
    for share in (0.25, 0.5, 0.75):
        assert (values < low + share * (high - low)).float().mean().item() == pytest.approx(share, abs=0.032)


def test_color_factors_are_uniform_and_independent():
    """Two pixels, (1, 0, 0) and (-1, 0, 0).  Brightness b: the mean of all values.  Contrast c: the pixels' grey values
    differ by 2/3 c.  Saturation s: red lies above its pixel's grey by 2/3 s c.
    """
    images = torch.zeros(N, 3, 1, 2)
    images[:, 0, 0, 0], images[:, 0, 0, 1] = 1.0, -1.0
    changed = augment(images, ["color"], rng())
    grey = changed.mean(dim=1)[:, 0]
    brightness = changed.mean(dim=(1, 2, 3))
    contrast = (grey[:, 0] - grey[:, 1]) / (2 / 3)
    saturation = (changed[:, 0, 0, 0] - grey[:, 0]) / (2 / 3) / contrast
    assert_uniform(brightness, -0.5, 0.5)
    assert_uniform(contrast, 0.5, 1.5)
    assert_uniform(saturation, 0.0, 2.0)
    correlation = torch.corrcoef(torch.stack([brightness, contrast, saturation])) - torch.eye(3)
    assert correlation.abs().max() < 0.08  # 5 standard errors


def test_translation_moves_both_axes_by_up_to_an_eighth_and_pads_with_zeros():
    """Every image is found again as its original shifted by (dy, dx)."""
    size, seen = 16, set()
    images = torch.rand(400, 3, size, size, generator=rng(1)) + 1
    for before, after in zip(images, augment(images, ["translation"], rng()), strict=True):
        rows, columns = after[0].any(dim=1).nonzero().flatten(), after[0].any(dim=0).nonzero().flatten()
        dy = int(rows[0]) or int(rows[-1]) - (size - 1)
        dx = int(columns[0]) or int(columns[-1]) - (size - 1)
        seen.add((dy, dx))
        expected = torch.zeros_like(before)
        target = [slice(max(d, 0), size + min(d, 0)) for d in (dy, dx)]
        source = [slice(max(-d, 0), size + min(-d, 0)) for d in (dy, dx)]
        expected[:, target[0], target[1]] = before[:, source[0], source[1]]
        assert torch.equal(after, expected)
    assert seen == {(dy, dx) for dy in range(-2, 3) for dx in range(-2, 3)}


def test_cutout_at_256_pixels_is_a_rectangle_128_wide_around_a_uniform_centre():
    """The centre may be any of 0 to 256: the whole width of 128 is inside for 129 of these 257."""
    erased = augment(torch.ones(400, 1, 256, 256), ["cutout"], rng())[:, 0] == 0
    heights, widths = erased.any(dim=2).sum(dim=1), erased.any(dim=1).sum(dim=1)
    assert torch.equal(erased.sum(dim=(1, 2)), heights * widths)
    for sides in (heights, widths):
        assert 64 <= sides.min() <= 66 and sides.max() == 128
        assert (sides == 128).float().mean().item() == pytest.approx(129 / 257, abs=0.1)  # 4 standard errors
        assert sides.float().mean().item() == pytest.approx((129 * 128 + 2 * sum(range(64, 128))) / 257, rel=0.04)


def test_flip_is_an_image_s_own_coin():
    flipped = random_flip(torch.tensor([0.0, 1.0]).expand(N, 1, 1, 2), rng())[:, 0, 0, 0] == 1
    assert flipped.float().mean().item() == pytest.approx(0.5, abs=0.032)
    assert (flipped[1:] != flipped[:-1]).float().mean().item() == pytest.approx(0.5, abs=0.032)


@pytest.mark.parametrize("name", ALL)
def test_an_image_is_changed_without_regard_to_the_others(name):
    """Other neighbours, same draws: same result.  Equal images are not changed alike."""
    images = torch.randn(6, 3, 16, 16, generator=rng())
    other = images.clone()
    other[1:] = torch.randn(5, 3, 16, 16, generator=rng(1))
    assert torch.equal(augment(images, [name], rng(2))[0], augment(other, [name], rng(2))[0])
    equal = augment(images[:1].expand(6, -1, -1, -1), [name], rng(2))
    assert len(equal.flatten(1).unique(dim=0)) > 3


def test_gradient_is_that_of_finite_differences():
    images = torch.randn(2, 3, 8, 8, generator=rng(), dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: augment(x, ALL, rng(3)).square(), (images,), fast_mode=True)


def test_policy_is_applied_in_its_order_with_the_draws_following_one_another():
    images = torch.randn(4, 3, 16, 16, generator=rng())
    generator = rng(4)
    expected = images
    for name in ALL:
        expected = augment(expected, [name], generator)
    assert torch.equal(augment(images, ALL, rng(4)), expected)
    assert torch.equal(augment(images, (), rng(4)), images)
