"""From the CPU, where random numbers are drawn, to the device.

A copy makes a GPU and the host wait for each other, however small it is.  So a training step draws all its numbers
first, moves them together, and only then computes.
"""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_unflatten

T = TypeVar("T")


def moved(nest: T, device: torch.device) -> T:
    """The same nest of tuples, lists and dicts, with its CPU tensors on the device: by one copy of one buffer.

    On the CPU, `nest` itself.  Integers travel as float32: they must be below 2^24.
    """
    leaves, structure = tree_flatten(nest)
    tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
    if device.type == "cpu" or not tensors:
        return nest
    buffer = torch.cat([tensor.flatten() for tensor in tensors]).to(device)
    pieces = iter(buffer.split([tensor.numel() for tensor in tensors]))

    def place(leaf: object) -> object:
        return next(pieces).view(leaf.shape).to(leaf.dtype) if isinstance(leaf, Tensor) else leaf

    return tree_unflatten([place(leaf) for leaf in leaves], structure)
