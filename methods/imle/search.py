"""Which candidate of a pool is nearest to each training image: sigma(i) = argmin_j d(x_i, T(z_j)).

A search compares all candidates of a pool.  The comparison uses the embedding of the training distance (`exact`), a
short sketch of it (`sketch`) or, as in the official code, a random projection of LPIPS's features (`projected`).
RS-IMLE compares projections of the pixels (`l2`) or of LPIPS's features (`lpips`), each scaled to length 1, or both
together (`combined`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from common.console import UserError, say
from methods.api import Latents, Streams
from methods.imle.distance import Distance, Targets
from methods.imle.pool import Pool
from methods.imle.spaces import Projection, Sketch, UnitLength, pixels

GROUP_BYTES = 2**21  # of candidates compared at once: large enough for a matrix product, small enough for the cache


@dataclass(frozen=True)
class SearchConfig:
    """Defaults are the official code's (AdaIMLE 4f785e1); "paper" marks where the ICLR 2023 text differs."""

    pool_factor: float = 100.0  # candidates per training image; official: Panda 200
    pool_size: int | None = None  # a fixed m, independent of the number of images; paper: not stated
    pool_batch: int = 16  # images generated at once where no gradient is needed
    search: Literal["exact", "sketch", "projected", "l2", "lpips", "combined"] = "projected"  # paper: exact
    proj_dim: int = 800  # of the projected searches
    sketch_dim: int = 2047  # of the search by sketches


def search_targets(config: SearchConfig, distance: Distance, targets: Targets, streams: Streams) -> Targets:
    """The training images in the space that the configuration names.

    targets: the same images in the embedding of the distance, which the exact search shares.
    """
    if config.search == "exact":
        return targets
    return Targets(targets.images, _space(config, distance, streams))


def _space(config: SearchConfig, distance: Distance, streams: Streams) -> Callable[[Tensor], Tensor]:
    dim = config.proj_dim
    match config.search:
        case "sketch":
            return Sketch(distance.parts, config.sketch_dim, streams)
        case "projected":
            return Projection(distance.layers, dim, streams)
        case "l2":
            return UnitLength(Projection(pixels, dim, streams, "pixels"))
        case "lpips":
            return UnitLength(Projection(distance.layers, dim, streams))
        case _:
            halves = Projection(pixels, dim // 2, streams, "pixels"), Projection(distance.layers, dim // 2, streams)
            return UnitLength(*halves)


class Search:
    """Gives training images, named by their indices (k,), the latents of their nearest samples.

    count: searches so far; each draws a new pool.  generated: candidates generated so far.
    """

    def __init__(
        self,
        pool: Pool,
        targets: Targets,
        batch: int,
        generate: Callable[[Latents], Tensor],
        screen: Callable[[Tensor], Tensor] | None = None,
        chunk: int | None = None,
    ) -> None:
        """targets: the training images in the space of the comparison.  batch: candidates generated at once.

        generate: latents to images (n, C, H, W), by the current generator.  screen: may forbid candidates by setting
        entries of the distances (images, candidates) to infinity.  chunk: candidates given to it at once (None: many).
        """
        self.pool, self.targets, self.batch = pool, targets, batch
        self.generate, self.screen, self.chunk = generate, screen, chunk
        self.count = 0
        self.generated = 0
        # Of the current pool: each image's nearest candidate, and whether the image has received it.
        images = targets.images
        self.candidate = torch.zeros(len(images), dtype=torch.long, device=images.device)
        self.taken = torch.ones(len(images), dtype=torch.bool, device=images.device)

    def fresh(self, indices: Tensor) -> Latents:
        """The nearest candidates to these images in a new pool."""
        found = self._search(indices)
        self.taken[:] = True
        return self.pool.candidates(self.count - 1, found.tolist())

    def shared(self, indices: Tensor) -> Latents:
        """The same in the current pool; a new one is drawn if one of these images already has a candidate of it."""
        if self.taken[indices].any():
            # One search finds the candidates of all images; later calls use its result.
            self.candidate = self._search(torch.arange(len(self.taken), device=indices.device))
            self.taken[:] = False
        self.taken[indices] = True
        return self.pool.candidates(self.count - 1, self.candidate[indices].tolist())

    @torch.no_grad()
    def _search(self, indices: Tensor) -> Tensor:
        self.count += 1
        batches = self.pool.batches(self.count - 1, self.batch)
        return nearest(self.targets.cached[indices], map(self.look_at, batches), self.screen, self.chunk)

    def look_at(self, latents: Latents) -> Tensor:
        """These candidates in the space of the comparison, (n, d)."""
        self.generated += len(latents)
        return self.targets.embed(self.generate(latents))

    def state_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("count", "generated", "candidate", "taken")}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.count, self.generated = state["count"], state["generated"]
        self.candidate, self.taken = state["candidate"], state["taken"]


def nearest(
    targets: Tensor,
    batches: Iterable[Tensor],
    screen: Callable[[Tensor], Tensor] | None = None,
    chunk: int | None = None,
) -> Tensor:
    """Indices (n,) of each target's nearest candidate, in Euclidean distance: exact, in memory of a few batches.

    targets: (n, d).  batches: the candidates, (b, d) at a time; consumed once.  screen, chunk: see `Search`.  If the
    screen leaves no candidate, a warning is printed and the nearest of all candidates is used.
    """
    unscreened, admitted = Running(targets), Running(targets)
    for candidates in grouped(batches, chunk):
        distances = euclidean(targets, candidates)
        unscreened.update(distances)
        if screen:
            admitted.update(screen(distances))
    if screen is None:
        return unscreened.index
    refused = torch.isinf(admitted.best)
    if refused.any():
        say(f"warning: every candidate was rejected for {int(refused.sum())} images; using the nearest of all")
    return torch.where(refused, unscreened.index, admitted.index)


class Running:
    """The nearest candidate so far, of each target."""

    def __init__(self, targets: Tensor) -> None:
        self.best = torch.full((len(targets),), torch.inf, device=targets.device)
        self.index = torch.zeros(len(targets), dtype=torch.long, device=targets.device)
        self.seen = 0

    def update(self, distances: Tensor) -> None:
        """distances: to the next candidates, (n, c)."""
        smallest, column = distances.min(dim=1)
        closer = smallest < self.best
        self.best = torch.where(closer, smallest, self.best)
        self.index = torch.where(closer, column + self.seen, self.index)
        self.seen += distances.shape[1]


def grouped(batches: Iterable[Tensor], rows: int | None = None) -> Iterator[Tensor]:
    """The same rows in the same order: `rows` at a time, or batches of GROUP_BYTES or a little more."""
    held: list[Tensor] = []
    for batch in batches:
        held.append(batch)
        while rows and sum(map(len, held)) >= rows:
            together = torch.cat(held)
            yield together[:rows]
            held = [together[rows:]]
        if not rows and sum(tensor.nbytes for tensor in held) >= GROUP_BYTES:
            yield torch.cat(held)
            held = []
    if sum(map(len, held)):
        yield torch.cat(held)


def euclidean(targets: Tensor, candidates: Tensor) -> Tensor:
    """Distances of all pairs, (n, d) and (b, d) to (n, b).  Raises UserError on NaN."""
    # By a matrix product: torch.cdist would copy all targets for every batch.
    norms = torch.linalg.vector_norm(targets, dim=1).square().unsqueeze(1)
    squared = norms + candidates.square().sum(dim=1) - 2 * (targets @ candidates.T)
    if squared.isnan().any():
        raise UserError("the samples of the pool hold NaN: the training has diverged; lower learning_rate")
    return squared.clamp(min=0).sqrt()
