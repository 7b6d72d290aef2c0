"""Rarity of the colours of an image's classes, by which rare appearances are trained on more (arXiv 1811.12373).

For each class: the mean colour of its pixels in every image that has it, a density of these colours over the images,
and the rarity r = 1 / density of an image's own colour.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import gaussian_kde
from torch import Tensor

from common.console import UserError

LEAST = 68  # images that a class needs for a density (the authors' number)
PRESENT = 1.0  # pixels that a class must have in an image, counting shares


def rarities(images: Tensor, layouts: Tensor) -> NDArray[np.float64]:
    """r of each image and class, (n, classes); NaN where the image lacks the class, or the class has no density.

    images: (n, 3, H, W) in [-1, 1].  layouts: the share of each class in every pixel, (n, classes, H, W).
    A class has no density if too few images have it, or if its colour does not vary.
    """
    pixels = torch.einsum("nchw,nkhw->nkc", (images.cpu().double() + 1) * 127.5, layouts.cpu().double())
    sizes = layouts.cpu().double().sum(dim=(2, 3))
    colours = (pixels / sizes.clamp(min=1e-9).unsqueeze(2)).numpy()
    present = (sizes >= PRESENT).numpy()
    found = np.full(present.shape, np.nan)
    for place in range(present.shape[1]):
        has = present[:, place]
        if has.sum() >= LEAST:
            try:
                density = gaussian_kde(colours[has, place].T)  # Scott's bandwidth
                found[has, place] = 1 / density(colours[has, place].T)
            except np.linalg.LinAlgError:  # the colours lie in a plane
                continue
    if np.isnan(found).all():
        raise UserError(
            f"`rebalance`: no class of the layouts is in at least {LEAST} images with varying colours; set "
            "`rebalance: none`"
        )
    return found


def probabilities(rarity: NDArray[np.float64], classes: Sequence[int]) -> Tensor:
    """For each of these classes, or for all with a density, the chance of every image: (classes, n), rows sum to 1.

    Raises `UserError` for a class without a density.
    """
    usable = [place for place in range(rarity.shape[1]) if not np.isnan(rarity[:, place]).all()]
    if strange := [place for place in classes if place not in usable]:
        raise UserError(f"`rebalance_classes`: class {strange[0]} has no density; those that have one: {usable}")
    weights = np.nan_to_num(rarity[:, list(classes or usable)].T)
    return torch.from_numpy(weights / weights.sum(axis=1, keepdims=True))


def loss_weights(rarity: NDArray[np.float64], layouts: Tensor) -> Tensor:
    """The weight of each pixel, (n, 1, H, W) in [0, 1]: r of its class, divided by the largest r of the image.

    Classes without a density weigh 1.
    """
    largest = np.nanmax(np.where(np.isnan(rarity).all(axis=1, keepdims=True), 1.0, rarity), axis=1, keepdims=True)
    weights = np.nan_to_num(rarity / largest, nan=1.0)
    return torch.einsum("nk,nkhw->nhw", torch.from_numpy(weights).to(layouts), layouts).unsqueeze(1).clamp(0, 1)
