"""The candidates z_1, ..., z_m among which each training image finds its nearest sample."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from methods.api import Latents, Streams


@dataclass(frozen=True)
class Pool:
    """Numbered pools of `size` latents each.

    Candidate j of pool p is a pure function of the run, p and j: no candidate is stored, since whichever are chosen can
    be drawn again.

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
    """A pool of which each search renews a small part, with the features of the candidates that it keeps.

    A slot holds one candidate of pool 0 and its features under the generator of the time when it was last generated:
    outdated, but good enough to tell which few candidates are worth generating again.
    """

    VACANT = -1

    def __init__(self, size: int, dim: int, device: torch.device) -> None:
        self.serial = torch.full((size,), self.VACANT, device=device)  # which candidate: they are used in order
        self.features = torch.zeros(size, dim, device=device)
        self.drawn = 0  # candidates so far

    def renew(self, count: int) -> Tensor:
        """Put new candidates into all vacant slots, then into the oldest ones, `count` in all.

        Returns these slots, whose features have to be filled in next.
        """
        count = max(count, int((self.serial == self.VACANT).sum()))
        slots = self.serial.argsort()[:count]
        self.serial[slots] = torch.arange(self.drawn, self.drawn + len(slots), device=slots.device)
        self.drawn += len(slots)
        return slots

    def shortlist(self, distances: Tensor, count: int) -> Tensor:
        """The slots of each image's `count` nearest candidates.  distances: (images, size), by the stored features."""
        distances = distances.masked_fill(self.serial == self.VACANT, torch.inf)
        return distances.topk(min(count, len(self.serial)), largest=False).indices.unique()

    def take(self, slots: Tensor) -> Tensor:
        """Remove and return the candidates in these slots: trained towards an image, they would be found every time."""
        taken = self.serial[slots]
        self.serial[slots] = self.VACANT
        return taken

    def state_dict(self) -> dict[str, Any]:
        return {"serial": self.serial, "features": self.features, "drawn": self.drawn}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.serial, self.features, self.drawn = state["serial"], state["features"], state["drawn"]
