"""Draw several answers of a conditional method to each condition."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from methods.api import to_uint8
from methods.conditional import ConditionalMethod

CHUNK = 50  # images generated at a time


@torch.no_grad()
def draw_answers(method: ConditionalMethod, conditions: Tensor, k: int, purpose: str = "sample") -> NDArray[np.uint8]:
    """k answers to each condition (n, c, h, w): uint8 (n, k, H, W, 3).

    Answer j at condition i depends on the run, on `purpose`, i and j alone.
    """
    answers = []
    for place, condition in enumerate(conditions.to(method.device)):
        latents = method.latents(k, method.streams.generator(purpose, place))
        parts = [method.generate(some, condition.expand(len(some), -1, -1, -1)) for some in latents.chunks(CHUNK)]
        answers.append(to_uint8(torch.cat(parts)).numpy())
    return np.stack(answers)
