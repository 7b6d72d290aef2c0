"""FID equals clean-fid's own distance in both shapes of the problem; KID is unbiased."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from common.console import UserError
from metrics import fid


def features(n: int, d: int, seed: int, shift: float = 0.0) -> np.ndarray:
    """Correlated, non-negative, skewed: more like Inception's than white noise is."""
    generator = np.random.default_rng(seed)
    mixing = np.random.default_rng(1000).normal(size=(d, d)) / np.sqrt(d)
    return np.abs(generator.normal(size=(n, d)) @ mixing + shift).astype(np.float32)


@pytest.mark.parametrize(("n", "m"), [(40, 150), (60, 60), (500, 600), (40, 600), (600, 40)])
def test_equals_clean_fid(n: int, m: int) -> None:
    """Within 1e-6 of Tr S1 + Tr S2, with fewer and with more images than the 256 dimensions on either side."""
    import networks.torchvision_compat  # noqa: F401

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchvision's and scipy's deprecations
        from cleanfid.fid import frechet_distance as clean_fid

        real, fake = features(n, 256, seed=1), features(m, 256, seed=2, shift=0.3)
        s1, s2 = (np.cov(x.astype(np.float64), rowvar=False) for x in (real, fake))
        expected = clean_fid(real.mean(axis=0, dtype=float), s1, fake.mean(axis=0, dtype=float), s2)
    assert fid.frechet_distance(real, fake) == pytest.approx(expected, abs=1e-6 * (np.trace(s1) + np.trace(s2)))


def test_kid_is_the_unbiased_estimator_by_its_definition() -> None:
    real, fake = features(7, 16, 1).astype(float), features(9, 16, 2).astype(float)

    def kernel(x: np.ndarray, y: np.ndarray) -> float:
        return (float(x @ y) / 16 + 1) ** 3

    rr = np.mean([kernel(real[i], real[j]) for i in range(7) for j in range(7) if i != j])
    ff = np.mean([kernel(fake[i], fake[j]) for i in range(9) for j in range(9) if i != j])
    rf = np.mean([kernel(x, y) for x in real for y in fake])
    assert fid.polynomial_mmd(real, fake) == pytest.approx(rr + ff - 2 * rf, rel=1e-10)


def test_kid_repeats_with_its_generator_and_clips_the_subset_to_the_smaller_set() -> None:
    real, fake = features(20, 16, 1), features(60, 16, 2)
    one, again = (fid.kid(real, fake, np.random.default_rng(5), subset_size=1000, subsets=10) for _ in range(2))
    assert one == again
    assert one == fid.kid(real, fake, np.random.default_rng(5), subset_size=20, subsets=10)
    assert one != fid.kid(real, fake, np.random.default_rng(6), subset_size=20, subsets=10)


def test_refuses_unusable_features() -> None:
    good = features(10, 4, 1)
    broken = [("NaN", good * np.nan), ("infinite", good + np.inf), ("at least 2", good[:1]), ("at least 2", good[0])]
    for message, bad in [*broken, ("one network", np.ones((10, 5)))]:
        for pair in ((good, bad), (bad, good)):
            with pytest.raises(UserError, match=message):
                fid.frechet_distance(*pair)
            with pytest.raises(UserError, match=message):
                fid.polynomial_mmd(*pair)
