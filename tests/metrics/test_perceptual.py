"""LPIPS between all images, mode distance and intra-cluster LPIPS."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from common.console import UserError
from methods.api import to_float
from metrics import perceptual
from metrics.perceptual import intra_cluster, lpips_matrix, mode_distance
from networks.lpips import LPIPS, SMALLEST
from training.protocols import LPIPS_SMALLEST


@pytest.mark.parametrize("memory", [2**28, 1], ids=["at once", "in tiles of one image"])
def test_every_pair_has_its_lpips(memory: int, lpips_weights: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perceptual, "MEMORY", memory)
    images = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
    lpips = LPIPS("alex")
    matrix = lpips_matrix(images, lpips, upsample=2, batch=2)
    large = torch.nn.functional.interpolate(to_float(torch.from_numpy(images)), scale_factor=2, mode="bilinear")
    expected = torch.stack([lpips(large, large[[index] * 5]) for index in range(5)])
    np.testing.assert_allclose(matrix, expected, rtol=1e-4, atol=1e-6)
    with pytest.raises(UserError, match=r"needs 31 pixels, .* raise metrics.backtracking.upsample"):
        lpips_matrix(images[:, :16, :16], lpips, upsample=1)


def test_presets_know_the_smallest_sizes_of_lpips() -> None:
    assert LPIPS_SMALLEST == SMALLEST


def test_intra_cluster_averages_over_groups_of_at_least_two() -> None:
    """Samples 0, 1, 2 belong to the first image, 3, 4 to the second, 5 alone to the third, none to the fourth."""
    to_real = np.full((6, 4), 9.0)
    to_real[np.arange(6), [0, 0, 0, 1, 1, 2]] = 1
    among = np.zeros((6, 6))
    for i, j, distance in ((0, 1, 1.0), (0, 2, 2), (1, 2, 3), (3, 4, 5), (0, 5, 100), (2, 3, 100)):
        among[i, j] = among[j, i] = distance
    assert intra_cluster(to_real, among) == pytest.approx((2 + 5) / 2)
    assert intra_cluster(to_real[[0, 3, 5]], among[np.ix_([0, 3, 5], [0, 3, 5])]) is None


def test_mode_distance_is_per_training_image() -> None:
    """Per sample it would be 0.5, and a collapsed model would look good."""
    assert mode_distance(np.array([[0.5, 4.0], [0.5, 3.0]])) == pytest.approx((0.5 + 3) / 2)
