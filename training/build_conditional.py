"""Create the conditional method of a run from its configuration, newly initialised: as `training/build.py` does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from methods.api import Streams, to_float
from methods.conditional import ConditionalMethod
from training.registry import method_info

if TYPE_CHECKING:
    from data.tasks import Examples
    from training.config import RunConfig


def build_conditional(run: RunConfig, examples: Examples, device: torch.device) -> ConditionalMethod:
    """examples: the training pairs."""
    streams = Streams(run.seed, run.dataset, run.method, run.split)
    method_class = method_info(run.method).load()
    assert issubclass(method_class, ConditionalMethod)
    images = to_float(torch.from_numpy(examples.images)).to(device)
    conditions = torch.from_numpy(examples.conditions).to(device)
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in run.config.items()}
    with streams.seeded("initialisation"):
        return method_class(method_class.Config(**values), run.resolution, images.shape[1], images, streams, conditions)
