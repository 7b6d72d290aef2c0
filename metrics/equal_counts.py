"""Metrics that depend on the number of samples, with as many samples as real images: the mean of 20 draws."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metrics.precision_recall import NAMES, precision_recall
from metrics.rows import Row, metric_rows, not_computed
from metrics.vendi import cosine_similarity, vendi
from training.protocols import DRAWS, VENDI, PrecisionRecall


def draws(n: int, samples: NDArray[Any], generator: np.random.Generator) -> Iterator[NDArray[Any]]:
    """`DRAWS` times n of the samples without replacement; once all of them if there are exactly n."""
    for _ in range(DRAWS if len(samples) > n else 1):
        yield samples[generator.permutation(len(samples))[:n]]


def mean_of_draws(
    measure: Callable[[NDArray[Any]], dict[str, float]],
    n: int,
    samples: NDArray[Any],
    generator: np.random.Generator,
) -> dict[str, float]:
    """The mean of each number that `measure` gives for n of the samples, of which there are at least n."""
    measured = [measure(drawn) for drawn in draws(n, samples, generator)]
    return {name: float(np.mean([values[name] for values in measured])) for name in measured[0]}


def precision_recall_rows(
    real: NDArray[Any], fake: NDArray[Any], protocol: PrecisionRecall, generator: np.random.Generator
) -> list[Row]:
    """Precision, recall, density and coverage as rows of a metrics file, or the reason why there are none."""
    if reason := protocol.why_not(len(real), "real images") or _too_few(real, fake):
        return not_computed(NAMES, protocol.equal_counts, reason, len(real), len(fake))
    means = mean_of_draws(lambda drawn: precision_recall(real, drawn, protocol.k), len(real), fake, generator)
    return metric_rows(means, protocol.equal_counts, len(real), len(real))


def vendi_rows(real: NDArray[Any], fake: NDArray[Any], generator: np.random.Generator) -> list[Row]:
    """The Vendi score as rows of a metrics file, or the reason why there is none.

    Its largest value is the number of samples, so that sets of one size can be compared; the control of real images
    has the value of the training set.
    """
    if reason := _too_few(real, fake):
        return not_computed(["vendi"], VENDI, reason, len(real), len(fake))
    means = mean_of_draws(lambda drawn: {"vendi": vendi(cosine_similarity(drawn))}, len(real), fake, generator)
    return metric_rows(means, VENDI, len(real), len(real))


def _too_few(real: NDArray[Any], fake: NDArray[Any]) -> str | None:
    few = len(fake) < len(real)
    return f"needs as many samples as real images, and {len(fake)} are fewer than {len(real)}" if few else None
