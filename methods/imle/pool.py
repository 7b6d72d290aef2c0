"""The candidates z_1, ..., z_m among which each training image finds its nearest sample."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch

from methods.api import Latents, Streams


@dataclass(frozen=True)
class Pool:
    """Numbered pools of `size` latents each.

    Candidate j of pool p is a pure function of the run, p and j.  So no candidate is stored; the chosen ones are drawn
    again.

    draw: n latents from the prior, by a CPU generator.
    """

    size: int
    draw: Callable[[int, torch.Generator], Latents]
    streams: Streams

    def candidates(self, number: int, indices: Iterable[int]) -> Latents:
        """The given candidates of pool `number`."""
        return Latents.cat([self.draw(1, self.streams.generator(f"pool {number}", index)) for index in indices])

    def batches(self, number: int, batch: int) -> Iterator[Latents]:
        """All candidates of pool `number` in order, `batch` at a time, each batch drawn when it is needed."""
        for start in range(0, self.size, batch):
            yield self.candidates(number, range(start, min(start + batch, self.size)))
