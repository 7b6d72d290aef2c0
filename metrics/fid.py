"""Fréchet Inception distance and kernel Inception distance between two sets of features.

FID: Heusel et al. 2017, eq. 6 (arXiv:1706.08500).  KID: Bińkowski et al. 2018, section 4 (arXiv:1801.01401).
Both use only features (metrics/features.py extracts them); argument order is (real, fake) everywhere.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from metrics.features import check_pair
from metrics.rows import Row, metric_rows
from training.protocols import FID

# FID and KID also depend on the numbers of images, which are stored with every value; the name of KID's protocol is
# that of FID, followed by the number of subsets.
KID_SUBSETS = 100  # clean-fid's values
KID_SUBSET_SIZE = 1000
KID = f"{FID}-s{KID_SUBSETS}"
MEMORISED = 0.1  # cosine distance


def frechet_distance(real: NDArray[Any], fake: NDArray[Any]) -> float:
    """|mu_r - mu_f|^2 + Tr(S_r + S_f - 2 (S_r S_f)^(1/2)) of two feature matrices (n, d) and (m, d), in float64.

    With A and B the centred features over sqrt(n - 1), the covariances are A'A and B'B, and the trace of the matrix
    root is the sum of the singular values of A B'.  This is exact, needs no d x d root (d = 2048, 20 s) and stays
    well-conditioned when there are fewer images than dimensions, as usual in few-shot synthesis.

    Raises `UserError` for NaN, for dimensions that differ and for fewer than two images.
    """
    check_pair(real, fake, least=2)
    real, fake = real.astype(np.float64), fake.astype(np.float64)
    gap = real.mean(axis=0) - fake.mean(axis=0)
    a, b = _scaled(real), _scaled(fake)
    if min(len(a), len(b)) > a.shape[1]:
        # More images than dimensions on both sides: the triangular factors have the same covariances and are smaller.
        a, b = (np.asarray(np.linalg.qr(part, mode="r")) for part in (a, b))
    trace_root = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    return max(0.0, float(gap @ gap + np.square(a).sum() + np.square(b).sum() - 2 * trace_root))


def _scaled(features: NDArray[np.float64]) -> NDArray[np.float64]:
    return (features - features.mean(axis=0)) / np.sqrt(len(features) - 1)


def polynomial_mmd(real: NDArray[Any], fake: NDArray[Any]) -> float:
    """Unbiased estimate of the squared MMD with the kernel (x.y / d + 1)^3; may be negative.

    real: (n, d), fake: (m, d), n and m at least 2.
    """
    check_pair(real, fake, least=2)
    real, fake = real.astype(np.float64), fake.astype(np.float64)

    def kernel(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        return (x @ y.T / x.shape[1] + 1) ** 3

    def mean_off_diagonal(gram: NDArray[np.float64]) -> float:
        return (gram.sum() - np.trace(gram)) / (len(gram) * (len(gram) - 1))

    within = mean_off_diagonal(kernel(real, real)) + mean_off_diagonal(kernel(fake, fake))
    return float(within - 2 * kernel(real, fake).mean())


def kid(
    real: NDArray[Any],
    fake: NDArray[Any],
    generator: np.random.Generator,
    subset_size: int = KID_SUBSET_SIZE,
    subsets: int = KID_SUBSETS,
) -> tuple[float, float]:
    """Mean and standard deviation of `polynomial_mmd` over random subsets of both sets.

    A subset holds min(subset_size, n_real, n_fake) images, drawn without replacement.
    """
    check_pair(real, fake, least=2)
    size = min(subset_size, len(real), len(fake))
    values = [
        polynomial_mmd(
            real[generator.choice(len(real), size, replace=False)],
            fake[generator.choice(len(fake), size, replace=False)],
        )
        for _ in range(subsets)
    ]
    return float(np.mean(values)), float(np.std(values))


def mifid(real: NDArray[Any], fake: NDArray[Any]) -> float:
    """Memorisation-informed FID (Bai et al. 2021, arXiv:2106.03062) of features (n, d) and (m, d), as in torchmetrics.

    FID divided by the mean cosine distance of a real image to the nearest fake, if that is below 0.1.
    """
    check_pair(real, fake, least=2)
    unit = [x[x.any(axis=1)] / np.linalg.norm(x[x.any(axis=1)], axis=1, keepdims=True) for x in (real, fake)]
    distance = float((1 - np.abs(unit[0] @ unit[1].T)).min(axis=1).mean())
    divisor = max(distance, 1e-14) if distance < MEMORISED else 1.0
    return frechet_distance(real, fake) / divisor


def halves(real: NDArray[Any], generator: np.random.Generator) -> tuple[NDArray[Any], NDArray[Any]]:
    """A random half of the real features and the rest: their distance is a reference for a few-shot FID.

    FID is biased upwards for small sets, so a score must be compared with that of real images.
    """
    order = generator.permutation(len(real))
    return real[order[: len(real) // 2]], real[order[len(real) // 2 :]]


def rows(real: NDArray[Any], fake: NDArray[Any], generator: np.random.Generator) -> list[Row]:
    """FID and KID as rows of a metrics file."""
    mean, std = kid(real, fake, generator)
    counts = len(real), len(fake)
    return [
        *metric_rows({"fid": frechet_distance(real, fake)}, FID, *counts),
        *metric_rows({"kid": mean, "kid_std": std}, KID, *counts, n=KID_SUBSETS),
    ]
