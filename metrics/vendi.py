"""Vendi score (Friedman and Dieng 2023, arXiv:2210.02410): the effective number of different items in a set."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def vendi(similarity: NDArray[Any]) -> float:
    """exp of the entropy of the eigenvalues of K / n: 1 if all items are alike, n if none has anything in common.

    similarity: (n, n), symmetric and positive semidefinite, with ones on the diagonal.
    """
    values = np.linalg.eigvalsh(similarity.astype(np.float64) / len(similarity))
    positive = values[values > 0]  # rounding makes some of the zeros negative
    return float(np.exp(-(positive * np.log(positive)).sum()))


def cosine_similarity(features: NDArray[Any]) -> NDArray[np.float64]:
    """(n, n) cosines of features (n, d); a row of zeros is similar to itself alone."""
    features = features.astype(np.float64)
    length = np.linalg.norm(features, axis=1, keepdims=True)
    unit = features / np.where(length > 0, length, 1)
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, 1)
    return cosines
