"""The augmentations of StyleGAN2-ADA (Karras et al. 2020, "Training GANs with Limited Data", appendix B; "bgc").

Each transformation falls on each image with its own chance p, and each image draws its own parameters.  All geometric
transformations of an image are one matrix, applied once; all changes of colour are another.  The result can be
differentiated twice, as R1 requires.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import NamedTuple

import torch
from torch import Tensor

from methods.resampling import Plan, plan, transform

BLIT = ("flip", "turn", "shift")
GEOMETRY = ("scale", "rotate", "stretch", "move")
COLOUR = ("brightness", "contrast", "invert", "hue", "saturation")
ALL = BLIT + GEOMETRY + COLOUR


class Adapted(NamedTuple):
    """How the images of a batch are changed: their pixels' places, and (n, 4, 4), their colours."""

    plan: Plan
    colours: Tensor


def draw_adaptive(n: int, side: int, p: float, rng: torch.Generator, kinds: Collection[str] = ALL) -> Adapted | None:
    """For n images of `side` pixels; p: the chance of each transformation.

    kinds: the transformations that may happen.  With p = 0 nothing happens, and nothing is drawn.
    """
    if p <= 0:
        return None
    draws = Draws(n, p, kinds, rng)
    return Adapted(plan(geometry(draws, side), side), colours(draws))


def adaptive_augment(images: Tensor, adapted: Adapted | None) -> Tensor:
    """Transform images (n, 3, side, side) in [-1, 1]."""
    return images if adapted is None else recolour(transform(images, adapted.plan), adapted.colours)


class Draws:
    """The random numbers of one batch: two buffers, read one row after the other.

    p, kinds: see `draw_adaptive`.
    """

    def __init__(self, n: int, p: float, kinds: Collection[str], rng: torch.Generator) -> None:
        self.n, self.p, self.kinds = n, p, kinds
        self._uniform = iter(torch.rand(21, n, generator=rng))
        self._normal = iter(torch.randn(7, n, generator=rng))

    def uniform(self) -> Tensor:
        """(n,), in [0, 1)"""
        return next(self._uniform)

    def normal(self) -> Tensor:
        """(n,), standard normal"""
        return next(self._normal)

    def sometimes(self, kind: str, value: Tensor, neutral: float, p: float | None = None) -> Tensor:
        """`value` for the images on which the transformation `kind` falls, `neutral` for the others: (..., n)."""
        chance = (self.p if p is None else p) if kind in self.kinds else 0.0
        return torch.where(self.uniform() < chance, value, neutral)


# Geometry -------------------------------------------------------------------------------------------------------


def geometry(draws: Draws, side: int) -> Tensor:
    """(n, 3, 3): from a pixel of the result to its place in the image, (x, y, 1) from the centre, in pixels."""
    mirror = draws.sometimes("flip", 1 - 2 * (draws.uniform() * 2).floor(), 1.0)
    matrix = scaling(mirror, torch.ones_like(mirror))
    matrix = matrix @ rotation(draws.sometimes("turn", (draws.uniform() * 4).floor() * (math.pi / 2), 0.0))
    reach = torch.stack([draws.uniform(), draws.uniform()]) / 4 - 1 / 8
    matrix = matrix @ translation((draws.sometimes("shift", reach, 0.0) * side).round())

    scale = draws.sometimes("scale", (draws.normal() * 0.2).exp2(), 1.0)
    matrix = matrix @ scaling(scale, scale)
    once = 1 - math.sqrt(1 - min(draws.p, 1.0))  # of two rotations: at least one with chance p
    matrix = matrix @ rotation(draws.sometimes("rotate", (draws.uniform() * 2 - 1) * math.pi, 0.0, once))
    stretch = draws.sometimes("stretch", (draws.normal() * 0.2).exp2(), 1.0)
    matrix = matrix @ scaling(stretch, 1 / stretch)
    matrix = matrix @ rotation(draws.sometimes("rotate", (draws.uniform() * 2 - 1) * math.pi, 0.0, once))
    reach = torch.stack([draws.normal(), draws.normal()]) / 8
    return matrix @ translation(draws.sometimes("move", reach, 0.0) * side)


def scaling(x: Tensor, y: Tensor) -> Tensor:
    """(n,), (n,): factors -> (n, 3, 3)"""
    return torch.diag_embed(torch.stack([x, y, torch.ones_like(x)], dim=1))


def rotation(angle: Tensor) -> Tensor:
    """(n,), radians -> (n, 3, 3)"""
    cos, sin = angle.cos(), angle.sin()
    matrix = scaling(cos, cos)
    matrix[:, 0, 1], matrix[:, 1, 0] = -sin, sin
    return matrix


def translation(by: Tensor) -> Tensor:
    """(2, n), x and y -> (n, 3, 3)"""
    matrix = torch.eye(3).repeat(by.shape[1], 1, 1)
    matrix[:, :2, 2] = by.T
    return matrix


# Colour ---------------------------------------------------------------------------------------------------------


def colours(draws: Draws) -> Tensor:
    """(n, 4, 4): from (red, green, blue, 1) to the new colour."""
    n, identity = draws.n, torch.eye(4)
    grey = torch.tensor([1.0, 1.0, 1.0, 0.0]) / math.sqrt(3)
    along = torch.outer(grey, grey)  # projection onto the axis of greys

    brightness = draws.sometimes("brightness", draws.normal() * 0.2, 0.0)
    matrix = identity.repeat(n, 1, 1)
    matrix[:, :3, 3] = brightness[:, None]
    contrast = draws.sometimes("contrast", (draws.normal() * 0.5).exp2(), 1.0)
    matrix = torch.diag_embed(torch.stack([contrast, contrast, contrast, torch.ones(n)], dim=1)) @ matrix
    invert = draws.sometimes("invert", (draws.uniform() * 2).floor(), 0.0)
    matrix = (identity - 2 * along * invert.view(n, 1, 1)) @ matrix
    hue = draws.sometimes("hue", (draws.uniform() * 2 - 1) * math.pi, 0.0)
    matrix = hue_rotation(hue) @ matrix
    saturation = draws.sometimes("saturation", draws.normal().exp2(), 1.0)
    return (along + (identity - along) * saturation.view(n, 1, 1)) @ matrix


def hue_rotation(angle: Tensor) -> Tensor:
    """(n,), radians -> (n, 4, 4): rotation of colours about the axis of greys."""
    a = 1 / math.sqrt(3)
    cross = torch.tensor([[0.0, -a, a, 0.0], [a, 0.0, -a, 0.0], [-a, a, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    angle = angle.view(-1, 1, 1)
    return torch.eye(4) + angle.sin() * cross + (1 - angle.cos()) * (cross @ cross)


def recolour(images: Tensor, matrix: Tensor) -> Tensor:
    """images (n, 3, h, w), matrix (n, 4, 4)"""
    matrix = matrix.to(images)
    return (matrix[:, :3, :3] @ images.flatten(2) + matrix[:, :3, 3:]).view_as(images)
