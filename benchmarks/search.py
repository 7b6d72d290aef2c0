"""The nearest candidate of each training image: the search itself, and the spaces in which it may run."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from benchmarks.harness import Benchmark, Measurement, Row
from benchmarks.training import untrained

Pair = tuple[Tensor, Tensor]
BATCH = 16  # candidates, as they come from the generator: the paper preset's pool_batch
STEPS, LAZY_STEPS = 800, 1300  # of the trainings that are looked at here

# The search --------------------------------------------------------------------------------------------------------


def official_size(n: int, m: int) -> Pair:
    """n training images and m candidates in the released code's 800 dimensions."""
    draw = torch.Generator().manual_seed(0)
    return torch.randn(n, 800, generator=draw), torch.randn(m, 800, generator=draw)


def ours(pair: Pair) -> Tensor:
    from methods.imle.search import nearest

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
SEARCHES = [
    Benchmark(f"search{size}", rival, partial(official_size, *SIZES[size]), ours, function, same_index)
    for size in SIZES
    for rival, function in RIVALS.items()
]

# The sketch --------------------------------------------------------------------------------------------------------


def feature_maps() -> list[Tensor]:
    """VGG16's five, of four images of 128 px: a quarter of those at 256, whose dense projection takes 9.3 GiB."""
    draw = torch.Generator().manual_seed(0)
    shapes = [(64, 128), (128, 64), (256, 32), (512, 16), (512, 8)]
    return [torch.randn(4, channels, side, side, generator=draw) for channels, side in shapes]


def projections() -> dict[str, Callable[[], Tensor]]:
    """Both, to be applied to the same maps; each draws its numbers when it is first used."""
    from methods.api import Streams
    from methods.imle.search import Projection, Sketch

    maps, streams = feature_maps(), Streams(0, "any", "any", "full")
    dense = Projection(lambda _: maps, 800, streams)
    parts = [layer.flatten(1).clone() for layer in maps]  # which the sketch overwrites
    sketch = Sketch(
        lambda _: [part.copy_(map_.flatten(1)) for part, map_ in zip(parts, maps, strict=True)], 2047, streams
    )
    return {"sketch": lambda: sketch(maps[0]), "dense": lambda: dense(maps[0])}


def apply_sketch(given: dict[str, Callable[[], Tensor]]) -> Tensor:
    return given["sketch"]()


def apply_dense(given: dict[str, Callable[[], Tensor]]) -> Tensor:
    return given["dense"]()


def same_distances(sketched: Tensor, projected: Tensor) -> None:
    """Both keep distances, within some 10 % each: five deviations of either."""
    ratio = torch.pdist(sketched) / torch.pdist(projected)
    assert (ratio - 1).abs().max() < 0.2, ratio


# The pool ----------------------------------------------------------------------------------------------------------


def pools() -> dict[bool, Any]:
    """The demo's Adaptive IMLE, untrained, by whether it looks at candidates in bfloat16."""
    return {bf16: trained(0, pool_bf16=bf16) for bf16 in (True, False)}


@torch.no_grad()
def look(given: dict[bool, Any], bf16: bool) -> Tensor:
    method = given[bf16]
    return method._features(method.latents(50, torch.Generator().manual_seed(0)))


def alike(ours: Tensor, theirs: Tensor) -> None:
    """Within 3 % in length: bfloat16 has eight bits."""
    assert (ours - theirs).norm() < 0.03 * theirs.norm()


# How good it is ----------------------------------------------------------------------------------------------------


def trained(steps: int, **changes: Any) -> Any:
    """The demo's Adaptive IMLE after so many steps."""
    method = untrained(**changes)
    for step in range(steps):
        method.train_step(step)
    return method


def agreement() -> list[Row]:
    """How often the nearest neighbour in a sketch, or a dense projection, is the nearest in the training distance.

    Points: the training images.  Neighbours: 1,000 samples of a generator in training, or the other training images.
    """
    method = trained(STEPS, sample_from="raw")
    with torch.no_grad():
        return [row for among in ("samples", "training images") for row in _agreement(method, among)]


def _agreement(method: Any, among: str) -> list[Row]:
    from methods.imle.search import Projection, Sketch

    distance, others = method.distance, method.images
    if among == "samples":
        latents = method.latents(1000, torch.Generator().manual_seed(0))
        others = torch.cat([method.generate(some) for some in latents.chunks(50)])
    spaces = {
        "ours": Sketch(distance.parts, 2047, method.streams),
        "theirs": Projection(distance.layers, 800, method.streams),
    }
    exact = _distances(distance.embed, method.images, others)
    shortest, nearest = exact.min(dim=1)
    found = {side: _distances(space, method.images, others).argmin(dim=1) for side, space in spaces.items()}
    agree = {side: (index == nearest).float().mean().item() for side, index in found.items()}
    excess = {
        side: (exact.gather(1, index[:, None])[:, 0] / shortest - 1).mean().item() for side, index in found.items()
    }
    against = f"the dense projection, among {among}"
    return [
        Row("nearest_agreement", agree["ours"] / agree["theirs"], **agree, unit="share", against=against),
        Row("nearest_excess", excess["theirs"] / excess["ours"], **excess, unit="of d", against=against),
    ]


def _distances(embed: Any, points: Tensor, others: Tensor) -> Tensor:
    """d of all pairs, in the square; infinite for a point and itself."""
    first, second = (torch.cat([embed(some) for some in images.split(50)]) for images in (points, others))
    squared = torch.cdist(first, second).square()
    return squared.fill_diagonal_(torch.inf) if others is points else squared


def lazy_search() -> list[Row]:
    """Of a pool of 3,000: the candidates generated for every point that is given one, once the pool has been filled,
    the loss that this leads to, and how near what is found lies to the point.
    """
    images, losses = {}, {}
    for search in ("exact", "lazy"):
        method = trained(1, search=search, pool_size=3000)
        first = method.generated
        history = [method.train_step(step) for step in range(1, LAZY_STEPS)]
        images[search] = (method.generated - first) / sum(row["reassigned"] for row in history)
        losses[search] = sum(row["loss"] for row in history[-100:]) / 100
    found, nearest = lazily_found(method)
    against = "fresh pools, shared where possible"
    return [
        Row("lazy_images", images["exact"] / images["lazy"], images["lazy"], images["exact"], "an image", against),
        Row("lazy_loss", losses["exact"] / losses["lazy"], losses["lazy"], losses["exact"], "of d", against),
        Row("lazy_excess", nearest / found, found, nearest, "of d", "the nearest of the lazy pool"),
    ]


@torch.no_grad()
def lazily_found(method: Any) -> tuple[float, float]:
    """Mean d of all points to what one lazy search for all finds now, and to the nearest that it could have found."""
    from methods.imle.search import euclidean

    chosen = method.search(method.everyone)
    kept = method.lazy.serial[method.lazy.serial != method.lazy.VACANT]
    there = torch.cat([kept, chosen]).unique()
    samples = (method._images(method.decoder, method.pool.candidates(0, some.tolist())) for some in there.split(50))
    distances = euclidean(method.targets.cached, torch.cat([method.distance.embed(images) for images in samples]))
    distances = distances.square()
    found = distances.gather(1, torch.searchsorted(there, chosen)[:, None])
    return found.mean().item(), distances.min(dim=1).values.mean().item()


BENCHMARKS = [
    *SEARCHES,
    Benchmark("sketch", "the dense projection", projections, apply_sketch, apply_dense, same_distances),
    Benchmark("pool_bf16", "float32", pools, partial(look, bf16=True), partial(look, bf16=False), alike),
    Measurement("agreement", agreement),
    Measurement("lazy_search", lazy_search),
]
