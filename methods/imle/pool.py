"""The candidates z_1, ..., z_m among which each training image finds its nearest sample."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from methods.api import Latents, Streams


@dataclass(frozen=True)
class Pool:
    """Numbered pools of `size` latents each.

    Candidate j of pool p is a pure function of the run, p and j: nothing of a pool needs to be kept, since whichever
    candidates are chosen can be drawn again.

    draw: n latents from the prior, by a CPU generator.
    """

    size: int
    draw: Callable[[int, torch.Generator], Latents]
    streams: Streams

    def candidates(self, number: int, indices: Iterable[int]) -> Latents:
        """The given candidates of pool `number`."""
        return Latents.cat([self.draw(1, self.streams.generator(f"pool {number}", index)) for index in indices])

    def batches(self, number: int, batch: int) -> Iterator[Latents]:
        """All candidates of pool `number` in order, `batch` at a time, each drawn when it is asked for."""
        for start in range(0, self.size, batch):
            yield self.candidates(number, range(start, min(start + batch, self.size)))


class LazyPool:
    """A pool that is renewed a little at every search, and remembers what it saw of the candidates it keeps.

    A slot holds one candidate of pool 0 and its features as of when it was generated last, which the generator has
    left behind since then: good enough to tell which few candidates are worth another look.
    """

    VACANT = -1

    def __init__(self, size: int, dim: int, device: torch.device) -> None:
        self.serial = torch.full((size,), self.VACANT, device=device)  # which candidate: they are used in order
        self.features = torch.zeros(size, dim, device=device)
        self.drawn = 0  # candidates so far

    def renew(self, count: int) -> Tensor:
        """New candidates for all vacant slots, which at first all are, then for those of the oldest, `count` in all.

        Returns these slots, whose features are now to be filled in.
        """
        count = max(count, int((self.serial == self.VACANT).sum()))
        slots = self.serial.argsort()[:count]
        self.serial[slots] = torch.arange(self.drawn, self.drawn + len(slots), device=slots.device)
        self.drawn += len(slots)
        return slots

    def shortlist(self, distances: Tensor, count: int) -> Tensor:
        """The slots of each point's `count` nearest candidates.  distances: (points, size), of remembered features."""
        distances = distances.masked_fill(self.serial == self.VACANT, torch.inf)
        return distances.topk(min(count, len(self.serial)), largest=False).indices.unique()

    def take(self, slots: Tensor) -> Tensor:
        """The candidates in these slots, which they leave: trained towards an image, they would be found for ever."""
        taken = self.serial[slots]
        self.serial[slots] = self.VACANT
        return taken

    def state_dict(self) -> dict[str, Tensor | int]:
        return {"serial": self.serial, "features": self.features, "drawn": self.drawn}

    def load_state_dict(self, state: dict[str, Tensor | int]) -> None:
        self.serial, self.features, self.drawn = state["serial"], state["features"], state["drawn"]
