"""Low-dimensional vectors that approximately keep distances, for searches without the complete embedding."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from methods.api import Streams


class Sketch:
    """A count sketch of an embedding: each of its D values gets a random sign and is added to one of `dim` sums.

    Keeps squared distances on average, with a relative deviation of about (2 / dim)^0.5.  It needs D signs (33 MB at
    256 px) and D additions; a dense projection needs D x dim numbers and operations.  `dim` is odd by default: with a
    power of two, all channels of an image position would be added to the same few sums.
    """

    def __init__(self, parts: Callable[[Tensor], list[Tensor]], dim: int, streams: Streams) -> None:
        """parts: the parts of the embedding, (n, D_i) each, which may be overwritten."""
        self.parts, self.dim, self.streams = parts, dim, streams
        self.signs: list[Tensor] = []

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """(n, C, H, W) to (n, dim)."""
        parts = [part.float() for part in self.parts(images)]
        if not self.signs:
            self.signs = self._draw([part.shape[1] for part in parts], images.device)
        return torch.stack([self._fold(part.mul_(signs)) for part, signs in zip(parts, self.signs, strict=True)]).sum(0)

    def _fold(self, values: Tensor) -> Tensor:
        whole = values.shape[1] // self.dim * self.dim
        sums = values[:, :whole].unflatten(1, (-1, self.dim)).sum(dim=1)
        sums[:, : values.shape[1] - whole] += values[:, whole:]
        return sums

    def _draw(self, sizes: list[int], device: torch.device) -> list[Tensor]:
        coins = torch.randint(0, 2, (sum(sizes),), generator=self.streams.generator("sketch"), dtype=torch.int8)
        return list((2.0 * coins - 1).to(device).split(sizes))


class Projection:
    """The official code's search space: a fixed Gaussian projection of each LPIPS layer, concatenated.

    Each feature of a layer has a random direction: a unit vector whose dimension is the layer's share of `dim`
    (419, 209, 104, 52, 16 of 800 at 256 px).  Unlike the training distance it has no pixel term and does not divide by
    the number of positions, so early layers have more weight.  The matrices are drawn once per run; at 256 px they take
    8.7 GiB in total.
    """

    def __init__(
        self, layers: Callable[[Tensor], list[Tensor]], dim: int, streams: Streams, purpose: str = "projection"
    ) -> None:
        """layers: images to LPIPS's weighted feature maps, or to other maps.  purpose: names the random stream."""
        self.layers, self.dim, self.streams, self.purpose = layers, dim, streams, purpose
        self.matrices: list[Tensor] = []

    def __call__(self, images: Tensor) -> Tensor:
        """(n, C, H, W) to (n, dim)."""
        features = [layer.flatten(1) for layer in self.layers(images)]
        if not self.matrices:
            self.matrices = self._draw([layer.shape[1] for layer in features], images.device)
        return torch.cat([layer @ matrix for layer, matrix in zip(features, self.matrices, strict=True)], dim=1)

    def _draw(self, sizes: list[int], device: torch.device) -> list[Tensor]:
        matrices = []
        for number, (size, dim) in enumerate(zip(sizes, proportional_split(self.dim, sizes), strict=True)):
            # On the device itself: billions of values at 256 px.
            generator = self.streams.generator(self.purpose, number, device)
            matrix = torch.randn(size, dim, generator=generator, device=device)
            matrices.append(matrix.div_(matrix.norm(dim=1, keepdim=True)))
        return matrices


class UnitLength:
    """The vectors of each space scaled to length 1, concatenated: within one space, distances lie in [0, 2].

    Source: RS-IMLE's released code (SerChirag/rs-imle 85c8267).
    """

    def __init__(self, *spaces: Callable[[Tensor], Tensor]) -> None:
        self.spaces = spaces

    def __call__(self, images: Tensor) -> Tensor:
        """(n, C, H, W) to (n, dim)."""
        return torch.cat([F.normalize(space(images), dim=1) for space in self.spaces], dim=1)


def pixels(images: Tensor) -> list[Tensor]:
    """The images themselves as the only map of a `Projection`."""
    return [images]


def proportional_split(total: int, sizes: Sequence[int]) -> list[int]:
    """Integers with sum `total`, in proportion to `sizes`, rounded down; the last one is the remainder."""
    parts = [total * size // sum(sizes) for size in sizes[:-1]]
    return [*parts, total - sum(parts)]
