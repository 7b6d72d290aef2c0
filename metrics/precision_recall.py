"""Improved precision and recall (Kynkäänniemi et al. 2019, arXiv:1904.06991), density and coverage (Naeem et al. 2020).

A real image's neighbourhood is the ball around its features that reaches its k-th nearest real neighbour.  Precision is
the share of fakes inside any such ball, recall the share of real images inside any ball around a fake.  A collapsed
generator therefore has high precision and low recall.  Argument order is (real, fake).

The numbers are those of the prdc package.  It stores three full distance matrices; here they are computed in tiles.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from metrics.features import check_pair
from metrics.rows import Row, metric_rows
from training.protocols import PrecisionRecall

NAMES = ("precision", "recall", "density", "coverage")
TILE = 1000  # points on either side of a tile of distances: limits memory, does not change the results


def precision_recall(real: NDArray[Any], fake: NDArray[Any], k: int) -> dict[str, float]:
    """Precision, recall, density and coverage of features (n, d) and (m, d).

    Raises `UserError` for NaN, for dimensions that differ and for sets smaller than k + 2.
    """
    check_pair(real, fake, least=k + 2)
    real_radii, fake_radii = radii(real, k), radii(fake, k)
    balls_around = np.zeros(len(fake), int)  # real balls that a fake lies in
    recalled, covered = np.zeros(len(real), bool), np.zeros(len(real), bool)
    for rows in parts(real):
        for columns in parts(fake):
            distance = distances(real[rows], fake[columns])
            inside = distance < real_radii[rows, None]
            balls_around[columns] += inside.sum(axis=0)
            covered[rows] |= inside.any(axis=1)
            recalled[rows] |= (distance < fake_radii[columns]).any(axis=1)
    return {
        "precision": float((balls_around > 0).mean()),
        "recall": float(recalled.mean()),
        "density": float(balls_around.mean() / k),
        "coverage": float(covered.mean()),
    }


def radii(points: NDArray[Any], k: int) -> NDArray[Any]:
    """The distance (n,) from each point to its k-th nearest neighbour, itself not counted."""
    nearest = np.full((len(points), k + 1), np.inf, np.result_type(points, np.float32))

    def keep(rows: slice, distance: NDArray[Any]) -> None:
        both = np.concatenate([nearest[rows], distance], axis=1)
        both.partition(k, axis=1)
        nearest[rows] = both[:, : k + 1]

    for rows in parts(points):
        for columns in parts(points):
            if columns.start > rows.start:
                distance = distances(points[rows], points[columns])
                keep(rows, distance)
                keep(columns, distance.T)
        among = distances(points[rows], points[rows])
        np.fill_diagonal(among, 0)
        keep(rows, among)
    return nearest.max(axis=1)


def distances(x: NDArray[Any], y: NDArray[Any]) -> NDArray[Any]:
    """Euclidean distances (n, m) between x (n, d) and y (m, d).

    Summed in float64 and rounded to the precision of the points, as scikit-learn does for prdc: |x - y|^2 is a small
    difference of large terms, and a rounding error would move points into or out of a ball.
    """
    precision = np.result_type(x, y, np.float32)
    x, y = x.astype(np.float64), y.astype(np.float64)
    squared = -2 * (x @ y.T)
    squared += np.square(x).sum(axis=1)[:, None]
    squared += np.square(y).sum(axis=1)
    return np.sqrt(np.maximum(squared, 0, out=squared), out=squared).astype(precision)


def parts(points: NDArray[Any]) -> list[slice]:
    return [slice(start, start + TILE) for start in range(0, len(points), TILE)]


def rows(real: NDArray[Any], fake: NDArray[Any], protocol: PrecisionRecall) -> list[Row]:
    """The four numbers as rows of a metrics file, of all real images and the protocol's first `n_fake` fakes."""
    fake = fake[: protocol.n_fake]
    return metric_rows(precision_recall(real, fake, protocol.k), str(protocol), len(real), len(fake))
