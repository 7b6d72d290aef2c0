"""Rare colours of a class: how often their images are drawn, and how much their pixels weigh."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import gaussian_kde

from common.console import UserError
from methods.multimodal.rebalancing import LEAST, loss_weights, probabilities, rarities

RARE = 5  # of these images, the class on the left is blue instead of red


@pytest.fixture
def pairs() -> tuple[torch.Tensor, torch.Tensor]:
    """80 images, (n, 3, 4, 4), and their layouts of three classes; the third class is white and only in the first."""
    rng = torch.Generator().manual_seed(0)
    images = torch.full((80, 3, 4, 4), -1.0)
    images[RARE:, 0, :, :2] = 1
    images[:RARE, 2, :, :2] = 1
    images += 0.1 * torch.randn(80, 3, 1, 1, generator=rng)
    layouts = torch.zeros(80, 3, 4, 4)
    layouts[:, 0, :, :2], layouts[:, 1, :, 2:] = 1, 1
    layouts[0, 2], layouts[0, 0] = layouts[0, 0].clone(), 0
    return images, layouts


def test_rarity_is_the_inverse_density_of_a_class_mean_colour(pairs) -> None:
    images, layouts = pairs
    rarity = rarities(images, layouts)
    colours = ((images[1:, :, 0, 0].double() + 1) * 127.5).numpy().T
    assert rarity[1:, 0] == pytest.approx(1 / gaussian_kde(colours)(colours), rel=1e-4)
    assert (rarity[0, 0] != rarity[0, 0]) and (rarity[:, 2] != rarity[:, 2]).all(), "absent; in too few images"


def test_probabilities_sum_to_one_and_favour_the_rare(pairs) -> None:
    images, layouts = pairs
    chances = probabilities(rarities(images, layouts), [0, 1])
    torch.testing.assert_close(chances.sum(1), torch.ones(2, dtype=torch.float64))
    assert chances[0, 0] == 0, "it lacks the class"
    rare, common = chances[0, 1:RARE].mean(), chances[0, RARE:].mean()
    assert rare > 3 * common
    assert probabilities(rarities(images, layouts), []).shape == (2, 80)
    with pytest.raises(UserError, match=r"`rebalance_classes`: class 2 has no density; those that have one: \[0, 1\]"):
        probabilities(rarities(images, layouts), [2])


def test_the_rarest_class_of_an_image_weighs_one(pairs) -> None:
    images, layouts = pairs
    rarity = rarities(images, layouts)
    weights = loss_weights(rarity, layouts)
    assert weights.shape == (80, 1, 4, 4)
    assert weights.flatten(1).max(1).values.min() > 1 - 1e-6
    left = rarity[1:, 0] / rarity[1:, :2].max(axis=1)
    assert weights[1:, 0, 0, 0].numpy() == pytest.approx(left, rel=1e-5)
    assert (weights[0, 0, :, :2] == 1).all(), "a class without a density"


def test_too_few_images_are_refused(pairs) -> None:
    images, layouts = pairs
    with pytest.raises(UserError, match=f"no class of the layouts is in at least {LEAST} images with varying colours"):
        rarities(images[: LEAST - 1], layouts[: LEAST - 1])
