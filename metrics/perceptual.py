"""LPIPS between all images of a set, and the two numbers made from it: intra-cluster LPIPS and mode distance."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from common.console import Progress
from methods.api import to_float
from networks.lpips import LPIPS
from training.protocols import check_side

MEMORY = 2**28  # floats of the embeddings kept at a time (1 GiB)


@torch.inference_mode()
def lpips_matrix(images: NDArray[np.uint8], lpips: LPIPS, upsample: int, batch: int = 32) -> NDArray[np.float32]:
    """(n, n) LPIPS between images (n, H, W, 3) enlarged `upsample` times, on the device of `lpips`.

    Each image passes through the network once if all embeddings fit into `MEMORY`; otherwise they are computed again
    for each pair of tiles.  Raises `UserError` for images that are too small for the network.
    """
    check_side(images.shape[1], lpips.net, upsample)
    width = embed(images[:1], lpips, upsample, batch).shape[1]
    tile = max(MEMORY // width // 2, 1)
    starts = range(0, len(images), tile if len(images) > 2 * tile else 2 * tile)
    parts = [slice(start, start + starts.step) for start in starts]
    matrix = np.zeros((len(images), len(images)), np.float32)
    with Progress(len(parts) * (len(parts) + 1) // 2, "LPIPS between images") as progress:
        for index, rows in enumerate(parts):
            here = embed(images[rows], lpips, upsample, batch)
            for columns in parts[index:]:
                there = here if columns == rows else embed(images[columns], lpips, upsample, batch)
                squared = here.square().sum(1)[:, None] + there.square().sum(1) - 2 * here @ there.T
                matrix[rows, columns] = squared.clamp(min=0).cpu().numpy()
                matrix[columns, rows] = matrix[rows, columns].T
                progress.advance()
    np.fill_diagonal(matrix, 0)
    return matrix


@torch.inference_mode()
def embed(images: NDArray[np.uint8], lpips: LPIPS, upsample: int, batch: int = 32) -> Tensor:
    """(n, D) vectors whose squared distances are LPIPS, of images (n, H, W, 3), on the device of `lpips`."""
    pieces = []
    for part in torch.from_numpy(np.ascontiguousarray(images)).split(batch):
        pieces.append(lpips.embed(enlarged(to_float(part).to(lpips.shift.device), upsample)))
    return torch.cat(pieces)


def enlarged(images: Tensor, upsample: int) -> Tensor:
    """Images (n, C, H, W) with `upsample` times their sides."""
    if upsample == 1:
        return images
    return F.interpolate(images, scale_factor=upsample, mode="bilinear", align_corners=False)


def intra_cluster(to_real: NDArray[Any], among: NDArray[Any]) -> float | None:
    """Intra-cluster LPIPS (Ojha et al. 2021, arXiv:2104.06820): the mean distance of samples with one nearest image.

    Averaged over training images that are the nearest one of at least two samples; 0 for copies, None if there are
    none.  to_real: (n, m), samples to training images.  among: (n, n), between samples.
    """
    nearest = to_real.argmin(axis=1)
    means = []
    for image in np.unique(nearest):
        members = np.flatnonzero(nearest == image)
        if len(members) > 1:
            pairs = among[np.ix_(members, members)][np.triu_indices(len(members), k=1)]
            means.append(float(pairs.mean()))
    return float(np.mean(means)) if means else None


def mode_distance(to_real: NDArray[Any]) -> float:
    """The mean over training images of the distance to the nearest sample; low also for copies.  to_real: (n, m)."""
    return float(to_real.min(axis=0).mean())
