"""Improved precision and recall (Kynkäänniemi et al. 2019, arXiv:1904.06991), density and coverage (Naeem et al. 2020).

A real image's neighbourhood is the ball around its features that reaches its k-th nearest real neighbour.  Precision is
the share of fakes inside any such ball, recall the share of real images inside any ball around a fake.  A collapsed
generator therefore has high precision and low recall.  Argument order is (real, fake).
"""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from typing import Any

from numpy.typing import NDArray

from metrics.features import checked_pair
from metrics.protocols import PrecisionRecall

METRICS = ("precision", "recall", "density", "coverage")


def precision_recall(real: NDArray[Any], fake: NDArray[Any], k: int) -> dict[str, float]:
    """Precision, recall, density and coverage of features (n, d) and (m, d), computed by the prdc package.

    Its n x m float32 distances take 100 MB each at 5,000 samples, so nothing is gained by a blocked rewrite.
    Raises `UserError` for NaN, for dimensions that differ and for sets smaller than k + 2.
    """
    from prdc import compute_prdc

    checked_pair(real, fake, least=k + 2)
    with redirect_stdout(io.StringIO()):  # it prints the counts; standard output is kept for results
        values = compute_prdc(real_features=real, fake_features=fake, nearest_k=k)
    return {name: float(values[name]) for name in METRICS}


def rows(real: NDArray[Any], fake: NDArray[Any], protocol: PrecisionRecall) -> list[dict[str, Any]]:
    """The four numbers as rows of a metrics file, of all real images and the protocol's first `n_fake` fakes."""
    fake = fake[: protocol.n_fake]
    counts = {"n_real": len(real), "n_fake": len(fake)}
    return [
        {"metric": name, "value": value, "protocol": str(protocol), **counts}
        for name, value in precision_recall(real, fake, protocol.k).items()
    ]
