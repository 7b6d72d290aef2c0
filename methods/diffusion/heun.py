"""Heun's second-order integration of a probability-flow equation from noise to an image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from torch import Tensor


def heun(slope: Callable[[Tensor, float], Tensor], x: Tensor, times: Sequence[float]) -> Tensor:
    """x at the last of `times`, given x at the first.  slope(x, t): dx/dt.

    The last step is Euler's: at the image's end, a field learnt from few images has no limit.  N times need 2N - 3
    evaluations.
    """
    for now, then in pairwise(times):
        first = slope(x, now)
        if then == times[-1]:
            return x + (then - now) * first
        second = slope(x + (then - now) * first, then)
        x = x + (then - now) * (first + second) / 2
    return x
