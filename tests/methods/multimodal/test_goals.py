"""The distance to the targets of a level: that of the IMLE family, weighted if asked."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from methods.imle.distance import Distance, DistanceConfig
from methods.multimodal.goals import Goal

pytestmark = pytest.mark.usefixtures("lpips_weights")

CONFIG = DistanceConfig(perceptual="alex", perceptual_upsample=2, mse_weight=1.0)


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_at_full_size_it_is_the_distance_of_the_family(images: torch.Tensor) -> None:
    indices = torch.tensor([2, 0])
    distance = Distance(CONFIG, images.device)
    expected = (distance.embed(images[:2]) - distance.embed(images[indices])).square().sum(1)
    torch.testing.assert_close(Goal(images, 32, CONFIG).distances(images[:2], indices), expected)


def test_targets_of_a_small_level_are_area_averages(images: torch.Tensor) -> None:
    goal = Goal(images, 8, CONFIG)
    small = F.avg_pool2d(images, 4)
    found = goal.distances(small, torch.arange(4))
    assert found.max() < 1e-9
    assert goal.distances(small[[1]], torch.tensor([0])) > 0.01


def test_weights_of_one_change_nothing_and_weights_of_zero_hide_a_part(images: torch.Tensor) -> None:
    samples, indices = images.flip(0), torch.arange(4)
    plain = Goal(images, 32, CONFIG).distances(samples, indices)
    torch.testing.assert_close(Goal(images, 32, CONFIG, torch.ones(4, 1, 32, 32)).distances(samples, indices), plain)
    halves = [torch.zeros(4, 1, 32, 32), torch.zeros(4, 1, 32, 32)]
    halves[0][..., :16], halves[1][..., 16:] = 1, 1
    parts = [Goal(images, 32, CONFIG, half).distances(samples, indices) for half in halves]
    torch.testing.assert_close(parts[0] + parts[1], plain, rtol=1e-4, atol=1e-6)
    changed = samples.clone()
    changed[..., 16:] = 0  # only pixels count here: features have wide fields of view
    pixels = DistanceConfig(lpips_weight=0.0, mse_weight=1.0)
    assert torch.equal(
        Goal(images, 32, pixels, halves[0]).distances(changed, indices),
        Goal(images, 32, pixels, halves[0]).distances(samples, indices),
    )
