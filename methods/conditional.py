"""The contract of conditional methods: that of `methods/api.py`, with a condition beside every image.

The condition x of an image y is a small version of it (super-resolution) or its semantic layout.  Training shows one y
for each x; the method draws several answers to a new x.  The training loop, saved states, random streams
and tests are those of all methods.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from methods.api import Latents, Method, Streams


class ConditionalMethod(Method):
    """A generative model of images given a condition.  `data/tasks.py` says what conditions are."""

    conditional: ClassVar[bool] = True
    backtracks = False  # what it knows of an image is measured by drawing, not by optimising a code

    def __init__(
        self, config: Any, resolution: int, channels: int, images: Tensor, streams: Streams, conditions: Tensor
    ) -> None:
        """As `Method`; conditions: those of the training images, float32 (n, c, h, w), on the same device."""
        super().__init__(config, resolution, channels, images, streams)
        self.conditions = conditions

    def generate(self, latents: Latents, condition: Tensor) -> Tensor:  # type: ignore[override]
        """Image i of latent i at condition i (n, c, h, w): (n, channels, resolution, resolution), float32.

        Nominally in [-1, 1], differentiable in z, and independent of the others in the batch (within 1e-5).
        """
        raise NotImplementedError

    def at_examples(self, latents: Latents, each: int) -> Tensor:
        """Images at the first training conditions, `each` consecutive latents at one: for pictures of progress."""
        places = torch.arange(len(latents), device=self.device) // each % len(self.conditions)
        return self.generate(latents, self.conditions[places])
