"""Create the method of a run from its configuration, newly initialised."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from methods.api import Method, Streams, to_float
from training.registry import method_info

if TYPE_CHECKING:
    from training.config import RunConfig


def build(run: RunConfig, images: NDArray[np.uint8], device: torch.device) -> Method:
    """images: the training set, uint8 (n, H, W, 3)."""
    streams = Streams(run.seed, run.dataset, run.method, run.split)
    method_class = method_info(run.method).load()
    tensor = to_float(torch.from_numpy(images)).to(device)
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in run.config.items()}
    with streams.seeded("initialisation"):
        return method_class(method_class.Config(**values), run.resolution, tensor.shape[1], tensor, streams)
