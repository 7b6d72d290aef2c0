"""Which candidate of a pool is nearest to each training image: sigma(i) = argmin_j d(x_i, T(z_j)).

A method chooses one `Search` and does not know which.  `PoolSearch` looks through a complete pool of fresh candidates;
the comparison runs in the embedding of the training distance (`exact`), in a short sketch of it (`sketch`) or, as in
the official code, in a random projection of LPIPS's features (`projected`).  `LazySearch` (`lazy`) keeps most of its
candidates from one search to the next.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from common.console import UserError
from methods.api import Latents, Streams
from methods.imle.distance import Distance, Targets
from methods.imle.pool import LazyPool, Pool
from methods.imle.spaces import Projection, Sketch

GROUP_BYTES = 2**21  # of candidates compared at once: large enough for a matrix product, small enough for the cache


@dataclass(frozen=True)
class SearchConfig:
    """Defaults are the official code's (AdaIMLE 4f785e1); "paper" marks where the ICLR 2023 text differs."""

    pool_factor: float = 100.0  # candidates per training image; official: Panda 200
    pool_size: int | None = None  # m, if it shall not depend on the number of images; paper: not stated
    pool_batch: int = 16  # images generated at once where no gradient is needed
    search: Literal["exact", "sketch", "lazy", "projected"] = "projected"  # paper: exact
    proj_dim: int = 800  # of the projected search
    sketch_dim: int = 2047  # of the search by sketches, and the lazy one
    lazy_renewed: int = 4  # of the lazy search: candidates renewed for every image that is given one
    lazy_shortlist: int = 4  # and candidates generated again, to be compared


class View:
    """How a search sees images: training images as `targets`, candidates under the current generator.

    targets: the training images in the space of the comparison.  generate: latents to images (n, C, H, W).
    transform: a method's own map (n, d) -> (n, d') of both before they are compared.
    screen: may forbid candidates by raising entries of the distances (images, candidates) to infinity.
    """

    def __init__(
        self,
        targets: Targets,
        generate: Callable[[Latents], Tensor],
        transform: Callable[[Tensor], Tensor],
        screen: Callable[[Tensor], Tensor],
    ) -> None:
        self.targets, self.generate, self.transform, self.screen = targets, generate, transform, screen

    def of_images(self, indices: Tensor) -> Tensor:
        return self.transform(self.targets.cached[indices])

    def of_candidates(self, latents: Latents) -> Tensor:
        return self.transform(self.targets.embed(self.generate(latents)))


class Search(ABC):
    """Gives training images, named by their indices, the latents of their nearest samples.

    count: searches so far.  generated: candidates generated so far.
    """

    def __init__(self, pool: Pool, view: View, batch: int) -> None:
        self.pool, self.view, self.batch = pool, view, batch
        self.count = 0
        self.generated = 0

    @abstractmethod
    def fresh(self, indices: Tensor) -> Latents:
        """The nearest candidates to these images, (len(indices),), by a search with the current generator."""

    @abstractmethod
    def shared(self, indices: Tensor) -> Latents:
        """The same, but an image may be given what an earlier search found for it, if it has not been given it yet."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]: ...

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None: ...

    def look_at(self, latents: Latents) -> Tensor:
        """What the search sees of these candidates, (n, d)."""
        self.generated += len(latents)
        return self.view.of_candidates(latents)


class PoolSearch(Search):
    """Draws a new pool for every search and looks through all of it, a batch at a time."""

    def __init__(self, pool: Pool, view: View, batch: int) -> None:
        super().__init__(pool, view, batch)
        images = view.targets.images
        # Of the current pool: each image's nearest candidate, and whether the image has been given it.
        self.candidate = torch.zeros(len(images), dtype=torch.long, device=images.device)
        self.taken = torch.ones(len(images), dtype=torch.bool, device=images.device)

    def fresh(self, indices: Tensor) -> Latents:
        found = self._search(indices)
        self.taken[:] = True
        return self.pool.candidates(self.count - 1, found.tolist())

    def shared(self, indices: Tensor) -> Latents:
        if self.taken[indices].any():
            # What a pool holds for an image does not depend on when it is asked for: one search serves all images.
            self.candidate = self._search(torch.arange(len(self.taken), device=indices.device))
            self.taken[:] = False
        self.taken[indices] = True
        return self.pool.candidates(self.count - 1, self.candidate[indices].tolist())

    @torch.no_grad()
    def _search(self, indices: Tensor) -> Tensor:
        self.count += 1
        batches = self.pool.batches(self.count - 1, self.batch)
        return nearest(self.view.of_images(indices), map(self.look_at, batches), self.view.screen)

    def state_dict(self) -> dict[str, Any]:
        return {
            "count": self.count,
            "generated": self.generated,
            "candidate": self.candidate,
            "taken": self.taken,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.count, self.generated = state["count"], state["generated"]
        self.candidate, self.taken = state["candidate"], state["taken"]


class LazySearch(Search):
    """Renews a few candidates at every search, ranks all by their stored features, and generates the best again."""

    def __init__(self, pool: Pool, view: View, batch: int, config: SearchConfig) -> None:
        super().__init__(pool, view, batch)
        self.renewed, self.shortlisted = config.lazy_renewed, config.lazy_shortlist
        self.kept = LazyPool(pool.size, config.sketch_dim, view.targets.images.device)

    @torch.no_grad()
    def fresh(self, indices: Tensor) -> Latents:
        self.count += 1
        targets = self.view.of_images(indices)
        self._refresh(self.kept.renew(self.renewed * len(targets)))
        outdated = self.view.screen(euclidean(targets, self.kept.features))
        slots = self.kept.shortlist(outdated, self.shortlisted)
        self._refresh(slots)
        chosen = slots[nearest(targets, [self.kept.features[slots]], self.view.screen)]
        return self.pool.candidates(0, self.kept.take(chosen).tolist())

    def shared(self, indices: Tensor) -> Latents:
        return self.fresh(indices)

    def _refresh(self, slots: Tensor) -> None:
        """Generate the candidates in these slots again and store their features."""
        for some in slots.split(self.batch):
            self.kept.features[some] = self.look_at(self.pool.candidates(0, self.kept.serial[some].tolist()))

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count, "generated": self.generated, "kept": self.kept.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.count, self.generated = state["count"], state["generated"]
        self.kept.load_state_dict(state["kept"])


def make_search(
    config: SearchConfig,
    pool: Pool,
    distance: Distance,
    targets: Targets,
    streams: Streams,
    generate: Callable[[Latents], Tensor],
    transform: Callable[[Tensor], Tensor],
    screen: Callable[[Tensor], Tensor],
) -> Search:
    """The search that the configuration names.  targets: the training images in the embedding of the distance."""
    if config.search == "projected":
        targets = Targets(targets.images, Projection(distance.layers, config.proj_dim, streams))
    elif config.search != "exact":
        targets = Targets(targets.images, Sketch(distance.parts, config.sketch_dim, streams))
    view = View(targets, generate, transform, screen)
    if config.search == "lazy":
        return LazySearch(pool, view, config.pool_batch, config)
    return PoolSearch(pool, view, config.pool_batch)


def nearest(targets: Tensor, batches: Iterable[Tensor], screen: Callable[[Tensor], Tensor] = lambda d: d) -> Tensor:
    """Indices (n,) of each target's nearest candidate, in Euclidean distance: exact, in memory of a few batches.

    targets: (n, d).  batches: the candidates, (b, d) at a time; consumed once.  screen: see `View`; it is given the
    distances (n, c) of c candidates at a time.  Raises UserError if it leaves a target without any candidate.
    """
    best = torch.full((len(targets),), torch.inf, device=targets.device)
    index = torch.zeros(len(targets), dtype=torch.long, device=targets.device)
    seen = 0
    for candidates in grouped(batches):
        distances = screen(euclidean(targets, candidates))
        smallest, column = distances.min(dim=1)
        closer = smallest < best
        best = torch.where(closer, smallest, best)
        index = torch.where(closer, column + seen, index)
        seen += len(candidates)
    if torch.isinf(best).any():
        raise UserError(
            f"the method admits none of {seen} candidates for some training image: raise pool_factor or lazy_shortlist"
        )
    return index


def grouped(batches: Iterable[Tensor]) -> Iterator[Tensor]:
    """The same rows in the same order, in batches of GROUP_BYTES or a little more."""
    held: list[Tensor] = []
    for batch in batches:
        held.append(batch)
        if sum(tensor.nbytes for tensor in held) >= GROUP_BYTES:
            yield torch.cat(held)
            held = []
    if held:
        yield torch.cat(held)


def euclidean(targets: Tensor, candidates: Tensor) -> Tensor:
    """Distances of all pairs, (n, d) and (b, d) to (n, b).  Raises UserError on NaN."""
    # By a matrix product: torch.cdist would copy all targets for every batch.
    norms = torch.linalg.vector_norm(targets, dim=1).square().unsqueeze(1)
    squared = norms + candidates.square().sum(dim=1) - 2 * (targets @ candidates.T)
    if squared.isnan().any():
        raise UserError("the samples of the pool hold NaN: the training has diverged; lower learning_rate")
    return squared.clamp(min=0).sqrt()
