"""DiffAugment: the ranges of its transformations, their independence between images, and their gradient."""

from __future__ import annotations

import pytest
import torch

from methods.augment import augment, color, cutout, random_flip, translation

N = 400  # enough draws that a range is seen to within a few percent


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(n: int = N, size: int = 16) -> torch.Tensor:
    return torch.rand(n, 3, size, size, generator=generator(1)) * 2 - 1


def assert_covers(values: torch.Tensor, low: float, high: float, slack: float = 0.03) -> None:
    """All within [low, high] (to rounding), and both ends nearly reached."""
    margin = slack * (high - low)
    assert low - 1e-4 <= values.min() <= low + margin
    assert high - margin <= values.max() <= high + 1e-4


def test_brightness_is_a_shift_of_up_to_a_half():
    """Of uniform grey only brightness is left: the other two scale differences, of which there are none."""
    shifts = color(torch.zeros(N, 3, 4, 4), generator())
    assert torch.allclose(shifts, shifts[:, :1, :1, :1].expand_as(shifts), atol=1e-6)
    assert_covers(shifts[:, 0, 0, 0], -0.5, 0.5)


def test_contrast_scales_differences_by_a_half_to_three_halves():
    """Of a grey image (equal channels) saturation leaves everything as it is."""
    grey = noise()[:, :1].expand(-1, 3, -1, -1)
    ratio = color(grey, generator()).std(dim=(1, 2, 3)) / grey.std(dim=(1, 2, 3))
    assert_covers(ratio, 0.5, 1.5)


def test_saturation_scales_colour_differences_by_zero_to_two():
    """The contrast factor, seen in the grey part, is divided out."""
    images = noise()
    changed = color(images, generator())

    def parts(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        grey = x.mean(dim=1, keepdim=True)
        return (x - grey).flatten(1).std(dim=1), grey.flatten(1).std(dim=1)

    (colour_before, grey_before), (colour_after, grey_after) = parts(images), parts(changed)
    assert_covers((colour_after / colour_before) / (grey_after / grey_before), 0, 2)


def test_translation_moves_by_up_to_an_eighth_and_pads_with_zeros():
    """Every image is found again as its original shifted by (dy, dx), with zeros where nothing came in."""
    size, reach = 16, 2
    images = noise(size=size).abs() + 1
    seen = set()
    for before, after in zip(images, translation(images, generator()), strict=True):
        rows, columns = after[0].any(dim=1).nonzero().flatten(), after[0].any(dim=0).nonzero().flatten()
        dy = int(rows[0]) or int(rows[-1]) - (size - 1)
        dx = int(columns[0]) or int(columns[-1]) - (size - 1)
        seen.add((dy, dx))
        expected = torch.zeros_like(before)
        target = [slice(max(d, 0), size + min(d, 0)) for d in (dy, dx)]
        source = [slice(max(-d, 0), size + min(-d, 0)) for d in (dy, dx)]
        expected[:, target[0], target[1]] = before[:, source[0], source[1]]
        assert torch.equal(after, expected)
    assert seen == {(dy, dx) for dy in range(-reach, reach + 1) for dx in range(-reach, reach + 1)}


def test_cutout_erases_half_the_side_or_less_at_the_border():
    size = 16
    erased = cutout(torch.ones(N, 3, size, size), generator())[:, 0] == 0
    heights, widths = erased.any(dim=2).sum(dim=1), erased.any(dim=1).sum(dim=1)
    assert torch.equal(erased.sum(dim=(1, 2)), heights * widths)  # a rectangle
    for sides in (heights, widths):
        assert sides.min() == size // 4 and sides.max() == size // 2


def test_flip_mirrors_half_of_the_images():
    images = noise()
    flipped = (random_flip(images, generator()) == images.flip(3)).all(dim=(1, 2, 3))
    kept = (random_flip(images, generator()) == images).all(dim=(1, 2, 3))
    assert torch.equal(flipped, ~kept)
    assert 0.4 < flipped.float().mean() < 0.6


@pytest.mark.parametrize("policy", [["color"], ["translation"], ["cutout"], ["color", "translation", "cutout"]])
def test_deterministic_by_generator_and_differentiable(policy):
    """Same generator state, same result; the gradient reaches the pixels that are still visible, and is finite."""
    images = noise(8).requires_grad_()
    result = augment(images, policy, generator(3))
    assert torch.equal(result, augment(images, policy, generator(3)))
    assert not torch.equal(result, augment(images, policy, generator(4)))
    result.square().sum().backward()
    assert images.grad.isfinite().all()
    assert (images.grad != 0).flatten(1).any(dim=1).all()


def test_empty_policy_changes_nothing():
    images = noise(2)
    assert torch.equal(augment(images, [], generator()), images)
