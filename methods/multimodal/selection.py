"""Which code of its own pool each input is trained with: the one whose image is nearest to the input's target.

All inputs have pools of their own: a sample of input i is compared with the target of input i and with no other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from methods.api import Latents
from networks.levels import CodeShapes

# The distances (n,) of n codes, at the inputs of these places, by the image of a level or, with None, as trained.
Measure = Callable[[Latents, Tensor, int | None], Tensor]
# The candidates that an input has: (place, number of the search, how many) to their codes, on the device.
Draw = Callable[[int, int, int], Latents]


@torch.no_grad()
def select(
    places: Sequence[int], sizes: Sequence[int], shapes: CodeShapes, draw: Draw, measure: Measure, batch: int
) -> Latents:
    """The code of every place.

    sizes: candidates in each search.  One search chooses the codes of all levels together, by the distance that is
    trained.  One search for each level chooses coarse to fine: the code of a level by the distance of that level's
    image, given the codes chosen before.  batch: images generated at once.
    """
    together = max(1, batch // max(sizes))  # inputs
    pieces = [places[start : start + together] for start in range(0, len(places), together)]
    return Latents.cat([_select_piece(piece, sizes, shapes, draw, measure, batch) for piece in pieces])


def _select_piece(
    places: Sequence[int], sizes: Sequence[int], shapes: CodeShapes, draw: Draw, measure: Measure, batch: int
) -> Latents:
    chosen: Latents | None = None
    levels = range(len(shapes.z))
    for search, m in enumerate(sizes):
        candidates = Latents.cat([draw(place, search, m) for place in places])
        rows = torch.arange(len(places), device=candidates.z.device)
        if chosen is not None:
            candidates = with_levels(chosen[rows.repeat_interleave(m)], candidates, levels[search:], shapes)
        level = search if len(sizes) > 1 else None
        inputs = torch.tensor(places, device=rows.device).repeat_interleave(m)
        pairs = zip(candidates.chunks(batch), inputs.split(batch), strict=True)
        distances = torch.cat([measure(some, at, level) for some, at in pairs])
        chosen = candidates[rows * m + distances.view(len(places), m).argmin(dim=1)]
    assert chosen is not None
    return chosen


def with_levels(base: Latents, other: Latents, levels: Sequence[int], shapes: CodeShapes) -> Latents:
    """`base` with the codes of these levels from `other`."""
    z = list(base.z.split(shapes.z, dim=1))
    for level in levels:
        z[level] = other.z.split(shapes.z, dim=1)[level]
    noise = {name: other.noise[name] if int(name) in levels else maps for name, maps in base.noise.items()}
    return Latents(torch.cat(z, dim=1), noise)
