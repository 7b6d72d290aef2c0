"""Metrics of several answers to one input: how different they are, and how near to right answers.

Diversity alone says nothing, because noise is diverse: it is read beside the distance to the truth and consistency.

Shapes throughout: n inputs, k answers drawn for each, a right answers known for each.  LPIPS is the squared distance of
embeddings (networks/lpips.py): `drawn` (n, k, D) of the answers, `right` (n, a, D) of the right ones.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

SIGMA = 0.2  # of FwV
WINDOW = 11  # pixels a side of SSIM's window


def between(drawn: Tensor, right: Tensor) -> Tensor:
    """LPIPS from every drawn to every right answer of the same input, (n, k, a)."""
    # Without a matrix product, which would round the small distances of images that are almost equal.
    return torch.cdist(drawn, right, compute_mode="donot_use_mm_for_euclid_dist").square()


def diversity(drawn: Tensor) -> Tensor:
    """Mean LPIPS between two different answers to the same input, () ; 0 for a single answer."""
    k = drawn.shape[1]
    centred = drawn - drawn.mean(dim=1, keepdim=True)
    # The sum of all k^2 squared distances is 2 k times that of the deviations from the mean; k (k - 1) are of pairs.
    return 2 * centred.square().sum(dim=(1, 2)).mean() / max(k - 1, 1)


def best_of_k(scores: Tensor, higher: bool = False) -> Tensor:
    """The mean over inputs of the best answer's score, (); scores: (n, k).  higher: larger scores are better."""
    return (scores.amax(dim=1) if higher else scores.amin(dim=1)).mean()


def recall_distance(distances: Tensor) -> Tensor:
    """The mean over right answers of the distance to the nearest drawn one, (); distances: (n, k, a)."""
    return distances.amin(dim=1).mean()


def precision_distance(distances: Tensor) -> Tensor:
    """The mean over drawn answers of the distance to the nearest right one, (); distances: (n, k, a)."""
    return distances.amin(dim=2).mean()


def fwv(drawn: Tensor, distances: Tensor) -> Tensor:
    """Faithfulness-weighted variance, (): the variance of the embeddings, counted near right answers only.

    The mean over inputs and answers of exp(-L / (2 SIGMA^2)) |phi - mean phi|^2, with L the LPIPS to the nearest right
    answer.  The idea is that of Peng and Li 2020 (arXiv 2011.01926); kernel and mean are this benchmark's, so values
    are not comparable with theirs.
    """
    deviations = (drawn - drawn.mean(dim=1, keepdim=True)).square().sum(dim=2)
    return (torch.exp(-distances.amin(dim=2) / (2 * SIGMA**2)) * deviations).mean()


def psnr(drawn: Tensor, truth: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in decibels, (n, k); drawn: (n, k, C, H, W) in 0..255, truth: (n, C, H, W).

    100 for equal images, whose ratio is infinite.
    """
    error = (drawn - truth[:, None]).square().mean(dim=(2, 3, 4))
    return (10 * torch.log10(255**2 / error)).clamp(max=100)


def ssim(drawn: Tensor, truth: Tensor) -> Tensor:
    """Structural similarity (Wang et al. 2004) with its Gaussian window, in the mean over channels: (n, k).

    drawn: (n, k, C, H, W) in 0..255, truth: (n, C, H, W); H and W at least WINDOW.
    """
    x = drawn.flatten(0, 1)
    y = truth.repeat_interleave(drawn.shape[1], dim=0)
    offsets = torch.arange(-(WINDOW // 2), WINDOW // 2 + 1, device=x.device, dtype=x.dtype)
    window = torch.exp(-offsets.square() / (2 * 1.5**2))
    window = (window / window.sum()).outer(window / window.sum())

    def blurred(images: Tensor) -> Tensor:
        channels = images.shape[1]
        return F.conv2d(images, window.expand(channels, 1, WINDOW, WINDOW), groups=channels)

    mean_x, mean_y = blurred(x), blurred(y)
    var_x, var_y = blurred(x * x) - mean_x**2, blurred(y * y) - mean_y**2
    cov = blurred(x * y) - mean_x * mean_y
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    similarity = (2 * mean_x * mean_y + c1) * (2 * cov + c2) / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))
    return similarity.mean(dim=(1, 2, 3)).view(drawn.shape[:2])


def consistency(drawn: Tensor, conditions: Tensor) -> Tensor:
    """Root mean squared difference, in 0..255, of the shrunk answers and the input, (): the mean over all answers.

    drawn: (n, k, C, H, W) and conditions: (n, C, h, w), both in 0..255; h divides H.  Shrinking is the area average.
    """
    shrunk = F.avg_pool2d(drawn.flatten(0, 1), drawn.shape[-1] // conditions.shape[-1]).unflatten(0, drawn.shape[:2])
    return (shrunk - conditions[:, None]).square().mean(dim=(2, 3, 4)).sqrt().mean()


def modes(drawn: Tensor, answers: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
    """Which right answer each drawn one is, by its mean colour inside a mask, and whether it counts: (n, k) each.

    It counts if its colour is nearer to that answer's than half the distance from there to the next answer's.
    drawn: (n, k, C, H, W), answers: (n, a, C, H, W), inside: bool (n, H, W) with at least one pixel for each input.
    """
    mask = inside[:, None, None].to(drawn.dtype)
    colours, known = ((x * mask).sum(dim=(3, 4)) / mask.sum(dim=(3, 4)) for x in (drawn, answers))
    distance, nearest = torch.cdist(colours, known).min(dim=2)
    apart = torch.cdist(known, known)
    apart.diagonal(dim1=1, dim2=2).fill_(torch.inf)
    return nearest, distance < apart.amin(dim=2).gather(1, nearest) / 2


def mode_coverage(nearest: Tensor, counts: Tensor, a: int) -> Tensor:
    """The share of the a right answers that at least one counting answer is, in the mean over inputs, ()."""
    hit = F.one_hot(nearest, a) * counts[..., None]
    return hit.amax(dim=1).float().mean()
