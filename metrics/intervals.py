"""The interval of a share.  It is not in metrics/statistics.py, because importing pandas and scipy.stats takes a
second."""

from __future__ import annotations

from math import sqrt
from statistics import NormalDist

ALPHA = 0.05


def wilson(successes: int, n: int) -> tuple[float, float]:
    """The 95% interval of Wilson (1927) of a share, which is meaningful for shares of 0 and 1 too."""
    z, share = NormalDist().inv_cdf(1 - ALPHA / 2), successes / n
    scale = 1 + z**2 / n
    centre = (share + z**2 / (2 * n)) / scale
    half = z * sqrt(share * (1 - share) / n + z**2 / (4 * n**2)) / scale
    return centre - half if successes else 0.0, centre + half if successes < n else 1.0
