"""IMLE and a GAN with a 1-nearest-neighbour discriminator: the same training but for the direction of the pairs.

A 1-nearest-neighbour discriminator calls a point real if its nearest neighbour among real and generated points is real.
Against it, a generator moves each sample to its nearest data point.  IMLE moves the nearest sample to each data point
(Li and Malik 2018, arXiv 1809.09087).  `pairs` is the only difference here: generator, initial weights, samples,
distance (squared Euclidean), optimiser and number of pulled samples are equal.  The 1-NN GAN is not a GAN with a
learned discriminator.

Either is trained on points of the plane (a ring of 8 and a grid of 25 clusters) and on the 100 OpenMoji faces, from the
generator's default initialisation, whose samples are all alike, and from one whose samples are spread over the data.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise, product
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from common.console import Progress
from common.files import atomic_path, write_text
from methods.api import Streams, to_float

Direction = Literal["nn_gan", "imle"]
Start = Literal["default", "spread"]
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)
STARTS: tuple[Start, ...] = get_args(Start)

POINTS, DEVIATION = 200, 0.02  # of a set in the plane; of each cluster, along each axis
ON_A_MODE = 3 * DEVIATION  # a sample at most this far from a centre is on its mode
ENOUGH = 20  # samples of 10,000 on a mode that is kept
Row = dict[str, Any]
Arrays = dict[str, np.ndarray]


def pairs(distances: Tensor, direction: Direction) -> tuple[Tensor, Tensor]:
    """Which samples are pulled to which data points: indices of samples and of data points, of equal length.

    distances: (n, m), from each data point to each sample.
    """
    n, m = distances.shape
    if direction == "imle":
        return distances.argmin(dim=1), torch.arange(n)  # for each data point, its nearest sample
    return torch.arange(m), distances.argmin(dim=0)  # for each sample, its nearest data point


@dataclass(frozen=True)
class Task:
    """Data and everything that the two directions share."""

    name: str
    data: Tensor  # (n, D)
    generator: Callable[[], nn.Module]  # codes (k, latent_dim) to samples (k, D)
    latent_dim: int
    samples: int  # m: drawn at once
    steps_per_draw: int  # optimiser steps until the next m samples are drawn and paired
    draws: int
    spread_steps: int  # of the spread start
    batch: int = 20
    learning_rate: float = 1e-3
    measured: int = 10_000  # fresh samples


def fresh(task: Task, generator: nn.Module, seed: int) -> Tensor:
    """Samples (measured, D), from the same codes for every generator of a task and seed."""
    random = Streams(seed, task.name, "nn_direction", "full").generator("evaluation")
    with torch.no_grad():
        return generator(torch.randn(task.measured, task.latent_dim, generator=random))


def train(task: Task, direction: Direction | None, start: Start, seed: int) -> nn.Module:
    """The trained generator; with direction None, as it starts."""
    streams = Streams(seed, task.name, "nn_direction", "full")  # the same for either direction
    with streams.seeded("init"):
        generator = task.generator()
    if start == "spread":
        spread(task, generator, streams)
    optimizer = torch.optim.Adam(generator.parameters(), lr=task.learning_rate, fused=True)
    if direction is None:
        return generator
    for draw in range(task.draws):
        random = streams.generator("draw", draw)
        codes = torch.randn(task.samples, task.latent_dim, generator=random)
        with torch.no_grad():
            distances = torch.cdist(task.data, generator(codes))
        pulled, towards = pairs(distances, direction)
        # As many passes over the pairs as give `steps_per_draw` mini-batches.
        passes = math.ceil(task.steps_per_draw * task.batch / len(pulled))
        order = torch.cat([torch.randperm(len(pulled), generator=random) for _ in range(passes)])
        for batch in order.split(task.batch)[: task.steps_per_draw]:
            descend(optimizer, generator(codes[pulled[batch]]), task.data[towards[batch]])
    return generator


def descend(optimizer: torch.optim.Optimizer, samples: Tensor, targets: Tensor) -> None:
    optimizer.zero_grad()
    F.mse_loss(samples, targets).backward()
    optimizer.step()


def spread(task: Task, generator: nn.Module, streams: Streams) -> None:
    """Train the generator to map codes linearly to a normal distribution with the mean and covariance of the data.

    Of the covariance, only as many principal components as the code has values.
    """
    mean = task.data.mean(dim=0)
    _, deviations, components = torch.linalg.svd(task.data - mean, full_matrices=False)
    linear = deviations[: task.latent_dim, None] * components[: task.latent_dim] / len(task.data) ** 0.5
    optimizer = torch.optim.Adam(generator.parameters(), lr=task.learning_rate, fused=True)
    for step in range(task.spread_steps):
        codes = torch.randn(task.batch, task.latent_dim, generator=streams.generator("spread", step))
        descend(optimizer, generator(codes), mean + codes @ linear)


# The plane ------------------------------------------------------------------------------------------------------

RING = torch.stack([torch.tensor([math.cos(turn), math.sin(turn)]) for turn in torch.arange(8) * math.pi / 4])
GRID = torch.cartesian_prod(torch.linspace(-1, 1, 5), torch.linspace(-1, 1, 5))
CENTRES = {"ring": RING, "grid": GRID}


def plane(name: str, seed: int) -> Task:
    """200 points around the centres of CENTRES[name], the same number around each."""
    noise = torch.randn(POINTS, 2, generator=Streams(seed, name, "nn_direction", "full").generator("points"))
    centres = CENTRES[name].repeat(POINTS // len(CENTRES[name]), 1)
    return Task(name, centres + DEVIATION * noise, partial(perceptron, 2, 64, 2), 2, POINTS, 10, 400, spread_steps=500)


def perceptron(inputs: int, width: int, outputs: int) -> nn.Module:
    """Three hidden layers."""
    sizes = (inputs, width, width, width)
    hidden = [layer for a, b in pairwise(sizes) for layer in (nn.Linear(a, b), nn.LeakyReLU(0.2))]
    return nn.Sequential(*hidden, nn.Linear(width, outputs))


def measure_plane(task: Task, samples: Tensor) -> Row:
    """samples: (k, 2).  Modes kept; shares of data points with a sample within one deviation and of samples on a mode.

    The distances are Euclidean, to the nearest one, in the mean over data points or samples.
    """
    near = torch.cdist(CENTRES[task.name], samples) < ON_A_MODE
    distances = torch.cdist(task.data, samples)
    return {
        "modes": int((near.sum(dim=1) >= ENOUGH).sum()),
        "covered": (distances.amin(dim=1) < DEVIATION).float().mean().item(),
        "on_a_mode": near.any(dim=0).float().mean().item(),
        "data_to_sample": distances.amin(dim=1).mean().item(),
        "sample_to_data": distances.amin(dim=0).mean().item(),
    }


# The faces ------------------------------------------------------------------------------------------------------


def faces(images: np.ndarray) -> Task:
    """images: uint8 (n, H, W, 3); as vectors with values in [-1, 1]."""
    data = to_float(torch.from_numpy(images)).flatten(1)
    generator = partial(perceptron, 32, 256, data.shape[1])
    return Task(
        "faces", data, generator, 32, samples=1000, steps_per_draw=50, draws=12, spread_steps=300, measured=1000
    )


def measure_faces(task: Task, samples: Tensor) -> Row:
    """samples: (k, D).  How the samples are shared among their nearest images; mean squared distances per value."""
    distances = torch.cdist(task.data, samples).square() / samples.shape[1]
    share = distances.argmin(dim=0).bincount(minlength=len(task.data)) / len(samples)
    return {
        "reached": int((share > 0).sum()),  # images that are the nearest one of some sample
        "effective_number": torch.special.entr(share).sum().exp().item(),  # of such images: exp of the entropy
        "largest_share": share.max().item(),
        "data_to_sample": distances.amin(dim=1).mean().item(),
        "sample_to_data": distances.amin(dim=0).mean().item(),
    }


# Both -----------------------------------------------------------------------------------------------------------

SEEDS = (0, 1, 2)  # each draws its own points (not faces), initial weights and codes; samples of the first are shown
KEPT = {"ring": 2000, "grid": 2000, "faces": 32}  # samples for the figure


def compare(
    tasks: Sequence[Callable[[int], Task]], measure: Callable[[Task, Tensor], Row], seeds: Sequence[int] = SEEDS
) -> tuple[pd.DataFrame, Arrays]:
    """Train each task in both directions from both starts.

    tasks: the task of a seed.  Returns one row per number, and of the first seed the data and some samples, by names
    "TASK_data" and "TASK_START_DIRECTION".  A direction "none" is the start itself.
    """
    torch.set_num_threads(1)  # more do not speed up such small matrices
    rows: list[Row] = []
    arrays: Arrays = {}
    cases = list(product(tasks, STARTS, (None, *DIRECTIONS), seeds))
    with Progress(len(cases), "the two directions") as progress:
        for make, start, direction, seed in cases:
            task = make(seed)
            samples = fresh(task, train(task, direction, start, seed), seed)
            about = {"data": task.name, "start": start, "direction": direction or "none", "seed": seed}
            rows += [about | {"metric": name, "value": value} for name, value in measure(task, samples).items()]
            if seed == seeds[0] and direction:
                arrays[f"{task.name}_data"] = task.data.numpy()
                arrays[f"{task.name}_{start}_{direction}"] = samples[: KEPT[task.name]].numpy()
            progress.advance()
    return pd.DataFrame(rows), arrays


def write(images: Path | str | None, numbers: Path | str, samples: Path | str) -> None:
    """Train on the prepared faces, or without `images` in the plane; write all numbers and the figure's samples."""
    if images is None:
        measured, arrays = compare([partial(plane, name) for name in CENTRES], measure_plane)
    else:
        task = faces(np.load(images))
        measured, arrays = compare([lambda seed: task], measure_faces)
    write_text(numbers, measured.to_csv(index=False, float_format="%.5g"))
    with atomic_path(samples) as temporary:
        np.savez_compressed(temporary, allow_pickle=False, **arrays)
