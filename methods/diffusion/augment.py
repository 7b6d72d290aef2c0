"""The augmentation of EDM (Karras et al. 2022, appendix F.2): the network is told what was done to an image.

Sampling says "nothing was done", so that transformed images teach the network without appearing among its samples.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from methods import resampling

LABELS = 9  # numbers in the label
SPREAD = 0.2  # standard deviation of the logarithms, to base 2, of scale and stretch
TURNED = 0.5  # chance that a stretch is along a random direction, not along x
SHIFT = 0.125  # standard deviation of the shift, as a share of the image's side


class Transformation(NamedTuple):
    """What is done to each of n images, in this order; all on the CPU, (n,) except `shift`; zeros do nothing."""

    flip_x: Tensor  # 1: left and right exchanged
    flip_y: Tensor  # 1: top and bottom exchanged
    zoom: Tensor  # enlargement 2^(SPREAD zoom)
    angle: Tensor  # rotation
    stretch: Tensor  # 2^(SPREAD stretch) along `direction`, its inverse across
    direction: Tensor
    shift: Tensor  # (n, 2): x and y, in units of SHIFT times the side

    def label(self) -> Tensor:
        """(n, LABELS); zeros: nothing was done."""
        turned = [self.angle.cos() - 1, self.angle.sin()]
        stretched = [self.stretch * self.direction.cos(), self.stretch * self.direction.sin()]
        return torch.stack([self.flip_x, self.flip_y, self.zoom, *turned, *stretched, *self.shift.unbind(1)], dim=1)

    def matrix(self, side: int) -> Tensor:
        """(n, 3, 3): from a pixel of the result to its place in the image, (x, y, 1) from the centre, in pixels."""
        zoomed, stretched = 2 ** (-SPREAD * self.zoom), 2 ** (-SPREAD * self.stretch)
        axes = torch.diag_embed(torch.stack([stretched, 1 / stretched], dim=1))
        linear = torch.diag_embed(1 - 2 * torch.stack([self.flip_x, self.flip_y], dim=1))
        linear = linear @ (zoomed[:, None, None] * rotation(self.angle))
        linear = linear @ rotation(self.direction) @ axes @ rotation(-self.direction)
        offset = linear @ (-SHIFT * side * self.shift[:, :, None])
        last = torch.tensor([0.0, 0.0, 1.0]).expand(len(linear), 1, 3)
        return torch.cat([torch.cat([linear, offset], dim=2), last], dim=1)


def draw(n: int, chance: float, rng: torch.Generator) -> Transformation:
    """Every image is mirrored with probability 1/2, and undergoes each other transformation with this chance."""
    normal, uniform = torch.randn(n, 4, generator=rng).unbind(1), torch.rand(n, 10, generator=rng)
    applied = (uniform[:, :5] < chance).float().unbind(1)
    flips, angles = (uniform[:, 5:7] < 0.5).float().unbind(1), ((2 * uniform[:, 7:9] - 1) * math.pi).unbind(1)
    return Transformation(
        flip_x=flips[0],
        flip_y=flips[1] * applied[0],
        zoom=normal[0] * applied[1],
        angle=angles[0] * applied[2],
        stretch=normal[1] * applied[3],
        direction=angles[1] * (uniform[:, 9] < TURNED),
        shift=torch.stack(normal[2:], dim=1) * applied[4][:, None],
    )


def plan(done: Transformation, side: int) -> resampling.Plan:
    """What `resampling.transform` needs; what moves in from outside an image comes from reflection."""
    return resampling.plan(done.matrix(side), side)


def rotation(angle: Tensor) -> Tensor:
    """(n,) -> (n, 2, 2)"""
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([torch.stack([cos, -sin], dim=1), torch.stack([sin, cos], dim=1)], dim=1)
