"""The nearest candidate of each training image: the search itself, and the spaces in which it may run."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec

import torch
from torch import Tensor

from benchmarks.harness import Benchmark
from methods.api import Streams
from methods.imle.search import nearest
from methods.imle.spaces import Projection, Sketch

Pair = tuple[Tensor, Tensor]
BATCH = 16  # candidates, as they come from the generator: the paper preset's pool_batch


def official_size(n: int, m: int) -> Pair:
    """n training images and m candidates in the released code's 800 dimensions."""
    draw = torch.Generator().manual_seed(0)
    return torch.randn(n, 800, generator=draw), torch.randn(m, 800, generator=draw)


def ours(pair: Pair) -> Tensor:
    return nearest(pair[0], pair[1].split(BATCH))


def by_cdist(pair: Pair) -> Tensor:
    return torch.cdist(*pair).argmin(dim=1)


def by_scikit_learn(pair: Pair) -> Tensor:
    from sklearn.metrics import pairwise_distances_argmin

    return torch.from_numpy(pairwise_distances_argmin(pair[0].numpy(), pair[1].numpy()))


def by_faiss(pair: Pair) -> Tensor:
    import faiss

    _, index = faiss.knn(pair[0].numpy(), pair[1].numpy(), 1)
    return torch.from_numpy(index[:, 0])


def same_index(found: Tensor, expected: Tensor) -> None:
    assert torch.equal(found, expected)


RIVALS = {"torch.cdist": by_cdist, "scikit-learn": by_scikit_learn}
if find_spec("faiss"):  # not one of the pins: pip install faiss-cpu
    RIVALS["faiss"] = by_faiss
SIZES = {"": (100, 10_000), "_large": (389, 40_000)}


def projections() -> dict[str, Callable[[], Tensor]]:
    """Both, of VGG16's feature maps of four images of 128 px; each draws its numbers when it is first used."""
    draw = torch.Generator().manual_seed(0)
    shapes = [(64, 128), (128, 64), (256, 32), (512, 16), (512, 8)]
    maps = [torch.randn(4, channels, side, side, generator=draw) for channels, side in shapes]
    parts = [layer.flatten(1).clone() for layer in maps]  # which the sketch overwrites

    def fresh_parts(_: Tensor) -> list[Tensor]:
        return [part.copy_(layer.flatten(1)) for part, layer in zip(parts, maps, strict=True)]

    streams = Streams(0, "any", "any", "full")
    dense, sketch = Projection(lambda _: maps, 800, streams), Sketch(fresh_parts, 2047, streams)
    return {"sketch": lambda: sketch(maps[0]), "dense": lambda: dense(maps[0])}


def apply(given: dict[str, Callable[[], Tensor]], which: str) -> Tensor:
    return given[which]()


def same_distances(sketched: Tensor, projected: Tensor) -> None:
    """Both keep distances, within some 10 % each: five deviations of either."""
    ratio = torch.pdist(sketched) / torch.pdist(projected)
    assert (ratio - 1).abs().max() < 0.2, ratio


BENCHMARKS = [
    *(
        Benchmark(f"search{size}", rival, partial(official_size, *SIZES[size]), ours, function, same_index)
        for size in SIZES
        for rival, function in RIVALS.items()
    ),
    Benchmark(
        "sketch",
        "the dense projection",
        projections,
        partial(apply, which="sketch"),
        partial(apply, which="dense"),
        same_distances,
    ),
]
