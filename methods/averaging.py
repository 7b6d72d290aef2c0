"""Exponential moving averages of weights, and the batch statistics that belong to them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


class MovingAverage(AveragedModel):
    """torch's, but for its update, which would copy its count to the device in every step."""

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        assert self.multi_avg_fn is not None
        self.multi_avg_fn(list(self.module.parameters()), list(model.parameters()), self.n_averaged)
        for ours, theirs in zip(self.module.buffers(), model.buffers(), strict=True):
            ours.copy_(theirs)
        self.n_averaged += 1


def moving_average(model: nn.Module, decay: float) -> MovingAverage:
    """An evaluation copy of `model`; `update_parameters(model)` moves it by (1 - decay) towards the model.

    It starts with the initial weights, as in the official codes.
    Only parameters are averaged; buffers are those of the model at the last update.  `.module` is the copy.
    """
    average = MovingAverage(model, multi_avg_fn=get_ema_multi_avg_fn(decay)).eval().requires_grad_(False)
    average.n_averaged.fill_(1)
    return average


@torch.no_grad()
def recompute_batch_statistics(model: nn.Module, inputs: Iterable[tuple[Any, ...]]) -> None:
    """Set the running statistics of every BatchNorm of `model` to their mean over `inputs`.

    Averaged weights need this, because the running statistics belong to the weights in training.  Only the BatchNorm
    layers leave evaluation mode, so other state (the vectors of spectral norms) does not change.
    """
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # equal weight to every batch
        norm.train()
    for arguments in inputs:
        model(*arguments)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        norm.eval()
