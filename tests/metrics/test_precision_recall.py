"""Precision, recall, density and coverage equal the prdc package's."""

from __future__ import annotations

import numpy as np
import pytest

from metrics import precision_recall as precision_recall_module
from metrics.precision_recall import precision_recall, rows
from training.protocols import PrecisionRecall


def cloud(n: int, seed: int, spread: float = 1.0) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=(n, 8)) * spread).astype(np.float32)


@pytest.mark.parametrize(("tile", "k"), [(7, 3), (64, 5), (1000, 5)])
def test_equals_prdc_whatever_the_tile(tile: int, k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every digit of all four, on clouds far from the origin, where careless sums of squares would lose them."""
    from prdc import compute_prdc

    monkeypatch.setattr(precision_recall_module, "TILE", tile)
    real, fake = cloud(150, 1) + 40, cloud(220, 2, spread=1.1) + 40
    fake[:20] = real[:20]  # memorised: distances of exactly 0
    assert precision_recall(real, fake, k) == pytest.approx(compute_prdc(real, fake, k), abs=1e-15)


def test_points_on_the_edge_of_a_ball_are_outside() -> None:
    """As in prdc; on a grid, many are."""
    from prdc import compute_prdc

    real, fake = np.random.default_rng(0).integers(0, 40, (2, 60, 1)).astype(float)
    assert precision_recall(real, fake, 5) == pytest.approx(compute_prdc(real, fake, 5), abs=1e-15)


@pytest.mark.parametrize(("k", "expected"), [(1, (0.75, 1, 1.25, 1)), (2, (0.75, 1, 1.125, 1))])
def test_points_on_a_line(k: int, expected: tuple[float, ...]) -> None:
    """Values of prdc 0.2, which can be counted by hand."""
    real, fake = np.array([[0.0], [1], [3], [7], [15]]), np.array([[0.25], [2], [8], [40]])
    assert tuple(precision_recall(real, fake, k).values()) == expected


def test_five_copies_of_each_real_point() -> None:
    """Values of prdc 0.2; distances rounded to float32 would give 1.085 instead of 1.0976."""
    state = np.random.RandomState(0)
    real, _ = state.randn(100, 16), state.randn(500, 16)
    features = real.astype(np.float32)
    assert set(precision_recall(features, np.repeat(features, 5, axis=0), 5).values()) == {1.0}
    jittered = np.tile(real, (5, 1)) + 1e-6 * state.randn(500, 16)
    assert precision_recall(real, jittered, 5)["density"] == pytest.approx(1.0976)


def test_rows_take_the_first_n_fakes_of_the_protocol() -> None:
    real, fake = cloud(30, 1), cloud(80, 2)
    measured = rows(real, fake, PrecisionRecall("inception", 3, 50))
    expected = precision_recall(real, fake[:50], 3)
    assert {row["metric"]: row["value"] for row in measured} == expected
    assert {(row["n_real"], row["n_fake"], row["protocol"]) for row in measured} == {(30, 50, "inception-k3-n50")}
