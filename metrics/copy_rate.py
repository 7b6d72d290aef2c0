"""Copy rate: the share of samples that are copies of a training image.

A sample is a copy if its nearest training image is much nearer than every other one: with d1 the distance to the
nearest image and d2 that to the nearest other image, if d1 / d2 < 1/2.  The rule needs no network and no threshold for
each dataset.  It finds recompressed, blurred, noisy and mirrored copies and spares blends of two images; it misses
copies that are cropped.  The literature on memorisation in diffusion models uses 1/3, a stricter rule.

An image and its mirror image count as one, and so do near-duplicates: otherwise d2 would be small for their copies.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.console import UserError
from metrics.features import check_pair, resize_clean
from metrics.intervals import wilson
from metrics.precision_recall import distances
from metrics.rows import Row, metric_rows
from training.protocols import COPY_SIDE

RATIO = 1 / 2
STRICT_RATIO = 1 / 3  # of the literature
ROUNDING = 1e-5  # distances of equal images are below, those of different 8-bit images above

Matrix = NDArray[Any]


@dataclass(frozen=True)
class Copies:
    """For each of n samples, all arrays (n,).

    ratio: d1 / d2, in [0, 1].  nearest: index of the nearest training image.  mirrored: is its mirror image nearer?
    """

    ratio: NDArray[np.float64]
    nearest: NDArray[np.intp]
    mirrored: NDArray[np.bool_]


def compare(fake: Matrix, mirrored: Matrix, among: Matrix) -> Copies:
    """Compare samples with training images by distances in any space.

    fake, mirrored: (n, m), from samples to training images and to their mirror images.
    among: (m, m), between training images, as `among_images` makes it.
    Raises `UserError` if all training images are near-duplicates of one another.
    """
    groups = group_duplicates(among)
    if groups.max() == 0:
        raise UserError("all training images are near-duplicates of one another, so no sample can be called a copy")
    nearer = np.minimum(fake, mirrored).astype(np.float64)
    nearest = nearer.argmin(axis=1)
    first = nearer.min(axis=1)
    second = np.where(groups[nearest][:, None] == groups, np.inf, nearer).min(axis=1)
    here = np.arange(len(fake))
    return Copies(first / second, nearest, mirrored[here, nearest] < fake[here, nearest])


def among_images(plain: Matrix, mirrored: Matrix) -> Matrix:
    """(m, m) distances between images, the nearer of image and mirror image; infinite on the diagonal."""
    nearer = np.minimum(plain, np.minimum(mirrored, mirrored.T)).astype(np.float64)
    np.fill_diagonal(nearer, np.inf)
    return nearer


def near_duplicates(among: Matrix) -> list[tuple[int, int]]:
    """Pairs of training images nearer than half the median distance of an image to its nearest neighbour."""
    limit = max(np.median(among.min(axis=1)) / 2, ROUNDING)
    return [(int(i), int(j)) for i, j in np.argwhere(among < limit) if i < j]


def group_duplicates(among: Matrix) -> NDArray[np.intp]:
    """(m,) the number of each image's group: near-duplicates, and near-duplicates of these, are one group."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    pairs = np.array(near_duplicates(among), dtype=int).reshape(-1, 2)
    graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=among.shape)
    return np.asarray(connected_components(graph, directed=False)[1])


def pixels(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(n, 3072): images (n, H, W, 3) at 32 x 32 by PIL's antialiased bicubic filter, values in [0, 1]."""
    return np.stack([resize_clean(image, COPY_SIDE).ravel() for image in images]) / np.float32(255)


def mirror(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Images (n, H, W, 3) flipped from left to right."""
    return images[:, :, ::-1]


@dataclass(frozen=True)
class References:
    """The training images in pixel space: their values, those of their mirror images, and distances among them."""

    plain: NDArray[np.float32]
    mirrored: NDArray[np.float32]
    among: Matrix


def references(real: NDArray[np.uint8]) -> References:
    """real: uint8 (m, H, W, 3), at least two."""
    plain, mirrored = pixels(real), pixels(mirror(real))
    check_pair(plain, mirrored, least=2)
    return References(plain, mirrored, among_images(distances(plain, plain), distances(plain, mirrored)))


def rows(copies: Copies, protocol: str, n_real: int) -> list[Row]:
    """Rates, interval and median ratio as rows of a metrics file."""
    values = rates(copies.ratio < RATIO)
    values["copy_rate_third"] = float((copies.ratio < STRICT_RATIO).mean())
    values["copy_ratio_median"] = float(np.median(copies.ratio))
    return metric_rows(values, protocol, n_real, len(copies.ratio))


def rates(is_copy: NDArray[np.bool_]) -> dict[str, float]:
    """The share of copies among samples (n,), with its interval."""
    n, found = len(is_copy), int(is_copy.sum())
    low, high = wilson(found, n)
    return {"copy_rate": found / n, "copy_rate_low": low, "copy_rate_high": high}


def authenticity(real: Matrix, fake: Matrix) -> float:
    """AuthPct (Alaa et al. 2022) in percent: fakes farther from their nearest real image than that from its own.

    real, fake: features (m, d) and (n, d).  With 100 real images it also calls honest images copies; compare it with
    the value of one half of the real images against the other.
    """
    check_pair(real, fake, least=2)
    among = distances(real, real)
    np.fill_diagonal(among, np.inf)
    to_real = distances(fake, real)
    nearest = to_real.argmin(axis=1)
    return float(100 * (to_real.min(axis=1) > among.min(axis=1)[nearest]).mean())
