"""Both schedules of Adaptive IMLE, with everything real but the numbers: a toy generator whose samples are known.

An image is a number x, a candidate a number z, the generator T(z) = z + b; b is what training changes, and it is
dictated.  So every distance is (x - z - b)^2.  Pools are dictated too; candidate j of pool p carries the noise map
10 p + j, by which one sees where an assignment came from.  What is traced against tables is the methods' own
searching, measuring, assigning and bookkeeping.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from methods.adaptive_imle import AdaptiveIMLE
from methods.api import Latents, Streams
from methods.imle.family import IMLE
from methods.vanilla_imle import VanillaIMLE

TINY = {
    "blocks": "1x1",
    "width": 4,
    "latent_dim": 1,
    "mapping_depth": 1,
    "lpips_weight": 0.0,
    "mse_weight": 1.0,
    "search": "exact",
    "pool_batch": 3,  # pools come in more than one piece
    "latent_perturbation": 0.0,
}


OFFICIAL = {"schedule": "official", "batch": 9}  # one mini-batch, hence one step, an epoch


class Shift(nn.Module):
    """T(z) = z + b, an image of one grey pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.b = 0.0

    def forward(self, z: Tensor, noise: dict[str, Tensor]) -> Tensor:
        return (z + self.b).view(-1, 1, 1, 1)


class DictatedPools:
    """pools[p][j] is candidate j of pool p."""

    def __init__(self, pools: list[list[float]]) -> None:
        self.pools, self.size = pools, len(pools[0])

    def candidates(self, number: int, indices: Iterable[int]) -> Latents:
        z = torch.tensor([[self.pools[number][index]] for index in indices])
        label = torch.tensor([10.0 * number + index for index in indices])
        return Latents(z, {"1": label.view(-1, 1, 1, 1)})

    def batches(self, number: int, batch: int) -> Iterator[Latents]:
        for start in range(0, self.size, batch):
            yield self.candidates(number, range(start, min(start + batch, self.size)))


def toy(method: type[IMLE], x: Sequence[float], pools: list[list[float]], b: list[float], **changes: Any) -> IMLE:
    """After step s the generator's shift is b[s + 1]; b[0] is that of the first search.  Mini-batches in order."""

    class Toy(method):
        def descend(self, step: int, indices: Tensor) -> float:
            self.decoder.b = b[step + 1]
            return 0.0

        def minibatch(self, step: int, size: int) -> Tensor:
            return self.everyone.split(size)[step % -(-len(self.images) // size)]

    images = torch.tensor(x, dtype=torch.float32).view(-1, 1, 1, 1)
    built = Toy(method.Config(**{**TINY, **changes}), 1, 1, images, Streams(0, "toy", method.name, "full"))
    built.decoder, built.search.pool = Shift(), DictatedPools(pools)
    built.decoder.b = b[0]
    return built


def numbers(values: Tensor) -> list[float]:
    return [round(float(value), 4) for value in values.flatten()]


def assigned(method: IMLE) -> list[float]:
    """Where each image's latent came from: 10 * pool + candidate, checked against the z that it stands for."""
    labels = numbers(method.assigned.noise["1"])
    for label, z in zip(labels, numbers(method.assigned.z), strict=True):
        assert method.search.pool.pools[int(label) // 10][int(label) % 10] == pytest.approx(z, abs=1e-4)
    return labels


# Tables ---------------------------------------------------------------------------------------------------------------


def test_algorithm_1_of_the_paper():
    """delta = 0.25; images 0, 10, 20 in mini-batches {0, 1}, {2}.  A search looks for the z nearest to x - b.

    step | b after it | d of the batch | delta tau | due | its tau | searched: wanted, found
    init |  0         | 4, 16, 64      |           | all | 4 16 64 | pool 0: 0, 10, 20: 2, 6, 28
    0    | -1         | 1, 25          | 1, 4      | 0   | 1       | pool 1:  1:  4 (with the b before: -3)
    1    |  3         | 121            | 16        | -   |         | no pool is drawn
    2    |  4         | 64, 0          | 0.25, 4   | 1   | 4       | pool 2:  6:  5
    3    | -4         | 16             | 16        | 2   | 16      | pool 3: 24: 19 (with the b before: 15)
    4    | -4         | 0, 81          | 0.25, 1   | 0   | 0.25    | pool 4:  4: 3.5
    """
    pools = [[2.0, 6, 28, 90], [9, -3, 4, 19], [0, 5, 8, 1], [9, 15, 19, 30], [3.5, 5, 9, 0]]
    method = toy(AdaptiveIMLE, [0, 10, 20], pools, [0, -1, 3, 4, -4, -4], schedule="paper", delta=0.25, batch=2)
    rows = []
    for step in range(5):
        reassigned = method.train_step(step)["reassigned"]
        rows.append((reassigned, assigned(method), numbers(method.tau), method.search.count))
    assert rows == [
        (3 + 1, [12, 1, 2], [1, 16, 64], 2),
        (0, [12, 1, 2], [1, 16, 64], 2),
        (1, [12, 21, 2], [1, 4, 64], 3),
        (1, [12, 21, 32], [1, 4, 16], 4),
        (1, [40, 21, 32], [0.25, 4, 16], 5),
    ]


def test_official_schedule():
    """delta = 0.5, staleness 2, forced at 4; images 0, 10, 20; one step an epoch.  b: at the start of the epoch.

    epoch | b  | ages  | d          | tau before | due        | their tau | taken from
    0     |  0 |       | 1, 4, 16   |            | all, first | 0.5, 2, 8 | pool 0 (wanted 0, 10, 20): 1, 12, 24
    1     | -1 | 1 1 1 | 0, 1, 9    | 0.5 2 8    | too young  |           |
    2     | -1 | 2 2 2 | 0, 1, 9    | 0.5 2 8    | 0, 1       | 0, 0.5    | pool 1 (1, 11, 21): 3, 9, (18.5)
    3     | -6 | 1 1 3 | 9, 49, 4   | 0 0.5 8    | 2          | 2         | pool 1 as it was searched: 18.5, not
          |    |       |            |            |            |           | the 25 that is nearest to 26 by now
    4     |  1 | 2 2 1 | 16, 0, 0.25| 0 0.5 2    | 1 (2 is young) | 0     | pool 2, as 1 has used pool 1 (9): 13
    5     | -1 | 3 1 2 | 4, 4, 6.25 | 0 0 2      | none       |           |
    6     |  0 | 4 2 3 | 9, 9, 2.25 | 0 0 2      | 0 by force | 4.5: up   | pool 2 (at its drawing -1): -4
    7     |  0 | 1 3 4 | 16, 9, 2.25| 4.5 0 2    | 2 by force | 1.125     | pool 2 (at its drawing 19): 21
    8     |  3 | 2 4 1 | 1, 36, 16  | 4.5 0 1.1  | 0; 1 by force | 0.5, 18 | pool 3 (-3, 7): -2, 7.5
    9, 10 | -3 | 1 1 2 | 25, 30, 4  | 0.5 18 1.1 | none       |           |
    11    |  2 | 3 3 4 | 0, 0.25, 9 | 0.5 18 1.1 | 0, 1; 2 by force | 0, 0.125, 4.5 | pool 4 for all, though 2 has not
          |    |       |            |            |            |           | used pool 3 (-2, 8, 18): -1, 8, 19
    """
    pools = [[1.0, 12, 24, 50], [3, 25, 9, 18.5], [-4, 13, 60, 21], [7.5, -2, 16, 8], [8, -1, 19, 40]]
    b = [0, -1, -1, -6, 1, -1, 0, 0, 3, -3, -3, 2, 2]
    method = toy(AdaptiveIMLE, [0, 10, 20], pools, b, **OFFICIAL, delta=0.5, staleness=2, force_resample=4)
    rows = []
    for step in range(12):
        reassigned = method.train_step(step)["reassigned"]
        rows.append((reassigned, assigned(method), numbers(method.tau), method.age.tolist(), method.search.count))
    assert rows == [
        (3, [0, 1, 2], [0.5, 2, 8], [0, 0, 0], 1),
        (0, [0, 1, 2], [0.5, 2, 8], [1, 1, 1], 1),
        (2, [10, 12, 2], [0, 0.5, 8], [0, 0, 2], 2),
        (1, [10, 12, 13], [0, 0.5, 2], [1, 1, 0], 2),
        (1, [10, 21, 13], [0, 0, 2], [2, 0, 1], 3),
        (0, [10, 21, 13], [0, 0, 2], [3, 1, 2], 3),
        (1, [20, 21, 13], [4.5, 0, 2], [0, 2, 3], 3),
        (1, [20, 21, 23], [4.5, 0, 1.125], [1, 3, 0], 3),
        (2, [31, 30, 23], [0.5, 18, 1.125], [0, 0, 1], 4),
        (0, [31, 30, 23], [0.5, 18, 1.125], [1, 1, 2], 4),
        (0, [31, 30, 23], [0.5, 18, 1.125], [2, 2, 3], 4),
        (3, [41, 40, 42], [0, 0.125, 4.5], [0, 0, 0], 5),
    ]


def test_vanilla_takes_the_nearest_of_a_fresh_pool_every_k_epochs():
    """K = 2; images 0, 10; two steps an epoch.  Epochs 0, 2, 4 want 0, 10; 4, 14 (b = -4); 1, 11 (b = -1)."""
    pools = [[1.0, 12, 40], [12, 3, 5.5], [9, 10, 0]]
    method = toy(VanillaIMLE, [0, 10], pools, [0, 7, 7, 7, -4, 7, 7, 7, -1, 7, 7], reassign_every=2, batch=1)
    rows = [(method.train_step(step)["reassigned"], assigned(method), method.search.count) for step in range(10)]
    assert rows[1::2] == [(0, *row[1:]) for row in rows[::2]], "only at the start of an epoch"
    assert rows[::2] == [(2, [0, 1], 1), (0, [0, 1], 1), (2, [11, 10], 2), (0, [11, 10], 2), (2, [22, 21], 3)]


# Long random courses against the published descriptions, written down once more ---------------------------------------


def official_by_the_book(
    x: np.ndarray, pools: np.ndarray, b: list[float], delta: float, staleness: int, forced: int
) -> Iterator[tuple[list[int], np.ndarray, list[int], int]]:
    """The released code's epoch, one image at a time, but for its start: a first search, then thresholds from it."""
    n, pool, drawn_at = len(x), 0, b[0]

    def nearest(i: int) -> int:  # in the pool's features, which are those of its drawing
        return int(np.argmin(np.abs(x[i] - (pools[pool] + drawn_at))))

    labels = [nearest(i) for i in range(n)]
    used = [True] * n
    tau = np.array([(1 - (1 - delta)) * (x[i] - pools[0][labels[i]] - b[0]) ** 2 for i in range(n)])
    age = [0] * n
    yield list(labels), tau.copy(), list(age), 1
    for now in b[1:]:
        d = [(x[i] - pools[labels[i] // 10][labels[i] % 10] - now) ** 2 for i in range(n)]
        age = [each + 1 for each in age]
        due = [i for i in range(n) if (d[i] < tau[i] and age[i] >= staleness) or age[i] >= forced]
        for i in due:
            tau[i] = d[i] * (1 - (1 - delta))
        if any(used[i] for i in due):
            pool, drawn_at, used = pool + 1, now, [False] * n
        for i in due:
            labels[i], used[i], age[i] = 10 * pool + nearest(i), True, 0
        yield list(labels), tau.copy(), list(age), pool + 1


@pytest.mark.parametrize(
    ("staleness", "forced", "seed"), [(5, 15, 0), (2, 9, 1), (1, 1000, 2), (3, 3, 3), (4, 2, 4), (0, 6, 5)]
)
def test_official_schedule_over_60_epochs(staleness, forced, seed):
    """Nine images, candidates and a generator that wanders: every threshold, age, label and pool at every epoch."""
    random = np.random.default_rng(seed)
    x, pools = random.uniform(-3, 3, 9), random.normal(size=(61, 10))
    b = [float(each) for each in random.normal(scale=0.8, size=61)]
    method = toy(AdaptiveIMLE, x, pools.tolist(), b, **OFFICIAL, delta=0.7, staleness=staleness, force_resample=forced)
    total = 0.0
    book = official_by_the_book(x, pools, b[:-1], 0.7, staleness, forced)
    for step, (labels, tau, age, drawn) in enumerate(book):
        total += method.train_step(step)["reassigned"]
        assert (assigned(method), method.age.tolist(), method.search.count) == (labels, age, drawn), step
        assert np.allclose(method.tau, tau, rtol=1e-3, atol=1e-5), step
    assert step == 59
    assert total > 9 + 10
    assert drawn < 60 or staleness == 4


def paper_by_the_book(
    x: np.ndarray, pools: np.ndarray, b: list[float], delta: float, batch: int
) -> Iterator[tuple[list[int], np.ndarray]]:
    """Algorithm 1.  A pool that line 12 does not look at has no number, as it is not drawn."""
    n, pool = len(x), 0
    labels = [int(np.argmin(np.abs(x[i] - (pools[0] + b[0])))) for i in range(n)]
    tau = np.array([(x[i] - pools[0][labels[i]] - b[0]) ** 2 for i in range(n)])
    for step, now in enumerate(b[1:]):  # `now`: what line 7 makes of the generator
        start = step % -(-n // batch) * batch
        fresh = False
        for i in range(start, min(start + batch, n)):
            if (x[i] - pools[labels[i] // 10][labels[i] % 10] - now) ** 2 <= delta * tau[i]:
                pool, fresh = pool + (not fresh), True
                tau[i] *= delta
                labels[i] = 10 * pool + int(np.argmin(np.abs(x[i] - (pools[pool] + now))))
        yield list(labels), tau.copy()


@pytest.mark.parametrize(("delta", "batch", "seed"), [(0.9, 4, 0), (0.98, 9, 1), (0.9, 1, 3)])
def test_algorithm_1_over_120_steps(delta, batch, seed):
    random = np.random.default_rng(seed)
    x, pools = random.uniform(-3, 3, 9), random.normal(size=(121, 10))
    b = [float(each) for each in random.normal(scale=0.8, size=121)]
    method = toy(AdaptiveIMLE, x, pools.tolist(), b, schedule="paper", delta=delta, batch=batch)
    total = 0.0
    for step, (labels, tau) in enumerate(paper_by_the_book(x, pools, b, delta, batch)):
        total += method.train_step(step)["reassigned"]
        assert assigned(method) == labels, step
        assert np.allclose(method.tau, tau, rtol=1e-3, atol=1e-5), step
    assert step == 119
    assert total > 9 + 3
