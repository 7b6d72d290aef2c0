"""The Vendi score counts different items."""

from __future__ import annotations

import numpy as np
import pytest

from metrics.vendi import cosine_similarity, vendi


def test_three_pairs_of_equal_points_count_three() -> None:
    """Value of vendi-score 0.0.3 for the kernel exp(-|a - b|)."""
    points = np.array([0.0, 0, 10, 10, 20, 20])
    assert vendi(np.exp(-np.abs(points[:, None] - points))) == pytest.approx(2.999999995877713, abs=1e-12)


def test_cosines_of_features() -> None:
    """Orthogonal rows all count, whatever their lengths; equal rows count once; a row of zeros breaks nothing."""
    rows = np.linalg.qr(np.random.RandomState(0).randn(9, 7))[0].T * np.arange(1, 8)[:, None]
    assert vendi(cosine_similarity(rows)) == pytest.approx(7)
    assert vendi(cosine_similarity(np.repeat(rows[:1], 5, axis=0))) == pytest.approx(1)
    assert vendi(cosine_similarity(np.vstack([rows, np.zeros(9)]))) == pytest.approx(8)
