"""The trainings of Figure 1: vanilla and Adaptive IMLE on one tight and one wide cluster of points in the plane.

A point of the plane is an image of one pixel with two channels.  Both methods are the benchmark's own classes with
their generator (at one pixel it is a modulated MLP), and d is the squared Euclidean distance.  They have the same
points, initial weights, mini-batches, pools and constants; only the schedule differs.

A data point is *covered* by a set of generated samples if one of them lies within half the distance to the nearest
other data point.  So the required distance depends on the cluster, and no sample counts for two points.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from common.console import Progress
from common.files import atomic_path, write_text
from methods.adaptive_imle import AdaptiveIMLE
from methods.api import Streams
from methods.imle.family import IMLE
from methods.vanilla_imle import VanillaIMLE

# The paper's example (Section 3): as many points in either cluster, of very different variance.
POINTS = 10  # a cluster: few shots, and few enough to tell apart in a small panel
CLUSTERS = {"tight": ((-0.6, -0.3), 0.05), "wide": ((0.4, 0.0), 0.25)}  # centre, standard deviation

SHARED: dict[str, Any] = {
    # A generator of 2,854 parameters for 20 points: neither method is short of capacity.
    "blocks": "1x2",
    "width": 32,
    "latent_dim": 8,
    "mapping_depth": 2,
    # d = 2 * mean over two channels: the squared Euclidean distance, for which the search is exact.
    "lpips_weight": 0.0,
    "mse_weight": 2.0,
    "search": "exact",
    # m: ten candidates per point.  The released code has 100, which would take too long for a live figure.
    "pool_size": 200,
    "pool_batch": 200,
    # The paper's batch, optimiser (with Adam's own defaults for what the paper does not state) and unperturbed latents.
    "batch": 4,
    "optimizer": "adam",
    "learning_rate": 1e-3,
    "betas": (0.9, 0.999),
    "weight_decay": 0.0,
    "warmup_steps": 0,
    "latent_perturbation": 0.0,
}
# Rows of the figure.  Adaptive IMLE as in the paper: Algorithm 1 with its delta.  Vanilla IMLE with its default K.
METHODS: dict[type[IMLE], dict[str, Any]] = {VanillaIMLE: {}, AdaptiveIMLE: {"schedule": "paper", "delta": 0.9}}

SEEDS = (0, 1, 2)  # each draws its own points and weights; the first is shown
# The four epochs of the figure, in even ratios.  All come right before a reassignment of vanilla IMLE, its best moment.
SNAPSHOTS = (10, 30, 80, 200)
EVERY = 10  # epochs from one measurement to the next
SAMPLES = 1000  # samples in a set, as many as for the paper's precision and recall
DRAWS = 10  # sets of samples; a coverage is the mean over them

Row = dict[str, Any]
Arrays = dict[str, np.ndarray]


def build(method: type[IMLE], seed: int) -> IMLE:
    streams = Streams(seed, "figure1", "imle", "full")  # the same streams for either method
    with streams.seeded("init"):
        return method(method.Config(**SHARED, **METHODS[method]), 1, 2, points(streams)[:, :, None, None], streams)


def points(streams: Streams) -> Tensor:
    """The data, (2 POINTS, 2), one cluster after the other."""
    shapes = torch.randn(len(CLUSTERS), POINTS, 2, generator=streams.generator("points"))
    clusters = zip(shapes, CLUSTERS.values(), strict=True)
    return torch.cat([torch.tensor(centre) + deviation * shape for shape, (centre, deviation) in clusters])


def radii(data: Tensor) -> Tensor:
    """Of each point (n, 2), half its distance to the nearest other one."""
    return torch.cdist(data, data).fill_diagonal_(torch.inf).amin(dim=1) / 2


def epochs(imle: IMLE, last: int) -> Iterator[int]:
    """Train one epoch at a time; yields the number of finished epochs."""
    steps = -(-len(imle.images) // imle.config.batch)
    for epoch in range(last):
        for step in range(epoch * steps, (epoch + 1) * steps):
            imle.train_step(step)
        yield epoch + 1


@torch.no_grad()
def fresh_samples(imle: IMLE) -> Tensor:
    """(DRAWS, SAMPLES, 2), from the same latents at every call."""
    latents = imle.latents(DRAWS * SAMPLES, imle.streams.generator("evaluation"))
    return imle.generate(latents).reshape(DRAWS, SAMPLES, 2)


def measure(imle: IMLE, samples: Tensor) -> tuple[list[Row], Tensor]:
    """Coverage and mean distance to the nearest sample, by cluster; and which points each draw covers (DRAWS, n)."""
    data = imle.images.flatten(1)
    distance = torch.cdist(data.expand(DRAWS, -1, -1), samples).amin(dim=2)
    covered = distance < radii(data)
    rows = []
    for number, cluster in enumerate(CLUSTERS):
        members = slice(number * POINTS, (number + 1) * POINTS)
        means = covered[:, members].float().mean().item(), distance[:, members].mean().item()
        rows.append({"cluster": cluster, "coverage": means[0], "distance": means[1]})
    return rows, covered


@torch.no_grad()
def snapshot(imle: IMLE, samples: Tensor, covered: Tensor) -> Arrays:
    """The contents of a panel: samples of the first draw, the points that they cover, and each T(z_sigma(i))."""
    assigned = imle.generate(imle.assigned).flatten(1)
    return {"samples": samples[0].numpy(), "covered": covered[0].numpy(), "assigned": assigned.numpy()}


def race(seeds: Sequence[int] = SEEDS, snapshots: Sequence[int] = SNAPSHOTS) -> tuple[pd.DataFrame, Arrays]:
    """Train both methods with each seed.  Returns all measurements, and the first seed's snapshots, stacked by epoch.

    Arrays: points (n, 2), epochs (4,), and METHOD_samples (4, SAMPLES, 2), METHOD_covered, METHOD_assigned.
    """
    torch.set_num_threads(1)  # more threads do not speed up such small matrices
    rows: list[Row] = []
    arrays: Arrays = {"epochs": np.array(snapshots)}
    with Progress(total=len(METHODS) * len(seeds), label="toy trainings") as progress:
        for method in METHODS:
            for seed in seeds:
                imle, shown = build(method, seed), []
                for epoch in epochs(imle, snapshots[-1]):
                    if epoch % EVERY and epoch not in snapshots:
                        continue
                    samples = fresh_samples(imle)
                    measured, covered = measure(imle, samples)
                    about = {"method": method.name, "seed": seed, "epoch": epoch, "pools": imle.search.count}
                    rows += [about | row for row in measured]
                    if seed == seeds[0] and epoch in snapshots:
                        shown.append(snapshot(imle, samples, covered))
                if shown:
                    arrays["points"] = imle.images.flatten(1).numpy()
                    arrays |= {f"{method.name}_{key}": np.stack([panel[key] for panel in shown]) for key in shown[0]}
                progress.advance()
    return pd.DataFrame(rows), arrays


def write(coverage: Path | str, samples: Path | str) -> None:
    """Train, and write all measurements as CSV and the contents of the figure's panels as NPZ."""
    measured, arrays = race()
    write_text(coverage, measured.to_csv(index=False, float_format="%.5f"))
    with atomic_path(samples) as temporary:
        np.savez_compressed(temporary, allow_pickle=False, **arrays)
