"""With as many samples as real images, coverage means something again."""

from __future__ import annotations

import numpy as np
import pytest

from metrics.diversity import ImageSet, feature_rows
from metrics.equal_counts import precision_recall_rows, vendi_rows
from metrics.fid import frechet_distance
from metrics.precision_recall import precision_recall
from training.protocols import PrecisionRecall
from training.sections import Metrics

PROTOCOL = PrecisionRecall("inception", 5, 1000)


def gaussian(n: int, seed: int, width: float = 1.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, width, (n, 16))


def values(fake: np.ndarray, real: np.ndarray) -> dict[str, float]:
    rows = precision_recall_rows(real, fake, PROTOCOL, np.random.default_rng(0))
    assert {(row["protocol"], row["n_real"], row["n_fake"]) for row in rows} == {("inception-k5-nreal-d20", 100, 100)}
    return {row["metric"]: row["value"] for row in rows}


def test_coverage_has_its_expectation() -> None:
    """1 - prod_(j<k) (N-1-j) / (N+M-1-j): for k 5, 0.971 at 100 against 100, above 0.999 at 100 against 1,000."""
    measured = np.mean([values(gaussian(1000, 10 + i), gaussian(100, i))["coverage"] for i in range(4)])
    assert measured == pytest.approx(0.971, abs=0.015)
    assert precision_recall(gaussian(100, 0), gaussian(1000, 10), 5)["coverage"] > 0.999


def test_a_collapsed_model_is_seen() -> None:
    """Samples 0.6 times as wide: coverage of 1,000 is still 1, but density is far above 1.2 and recall low."""
    real, fake = gaussian(100, 0), gaussian(1000, 1, width=0.6)
    assert precision_recall(real, fake, 5)["coverage"] > 0.99
    measured = values(fake, real)
    assert measured["density"] > 1.2
    assert measured["recall"] < 0.5


def test_draws_are_many_and_of_all_samples() -> None:
    """The first 100 samples are copies, the other 900 far away: draws find ten copies on average."""
    real = gaussian(100, 0)
    measured = values(np.concatenate([real, gaussian(900, 1) + 100]), real)
    assert measured["precision"] == pytest.approx(0.1, abs=0.03)
    assert measured["precision"] * 100 != round(measured["precision"] * 100), "the mean of 20 draws"


def test_all_samples_once_if_there_are_as_many_and_nothing_if_there_are_fewer() -> None:
    real, fake = gaussian(100, 0), gaussian(100, 1)
    assert values(fake, real) == precision_recall(real, fake, 5)
    generator = np.random.default_rng(0)
    for row in precision_recall_rows(real, fake[:99], PROTOCOL, generator) + vendi_rows(real, fake[:99], generator):
        assert row["value"] is None and "99 are fewer than 100" in row["reason"]


def test_protocols_with_other_numbers_of_samples_give_one_row_at_equal_counts() -> None:
    """Two rows of one protocol would count as two seeds in the tables."""
    real, fake = (ImageSet(points[:, :3], {"inception": points}) for points in (gaussian(20, 0), gaussian(60, 1)))
    settings = Metrics(precision_recall=("inception-k3-n60", "inception-k3-n40", "inception-k4-n40"))
    rows = feature_rows(real, fake, settings, 0)
    assert sorted(row["protocol"] for row in rows if row["metric"] == "recall") == [
        *("inception-k3-nreal-d20", "inception-k4-nreal-d20")
    ]


def test_a_further_frechet_distance_is_of_its_own_features() -> None:
    real, fake = (
        ImageSet(first[:, :3], {"inception": first, "dinov2vits14": second})
        for first, second in ((gaussian(20, 0), gaussian(20, 2)), (gaussian(60, 1), gaussian(60, 3) + 1))
    )
    rows = feature_rows(real, fake, Metrics(frechet=("dinov2vits14",)), 0)
    [row] = [row for row in rows if row["metric"] == "fd"]
    expected = frechet_distance(real.features["dinov2vits14"], fake.features["dinov2vits14"])
    assert (row["protocol"], row["value"]) == ("dinov2vits14", expected)
