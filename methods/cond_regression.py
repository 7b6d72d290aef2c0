"""Regression: the control that shows what conditional IMLE's minimum is for.

min over theta of sum_i d(G(x_i, 0), y_i): each input has one answer, an average of those that fit.  The generator is
that of the other conditional methods; its random inputs are zero.
"""

from __future__ import annotations

import torch
from torch import Tensor

from methods.api import Latents, Scalars
from methods.multimodal.family import ConditionalGenerator


class ConditionalRegression(ConditionalGenerator):
    """The same distance, without a choice of codes and without noise."""

    name = "cond_regression"
    title = "Regression (control)"
    track = "loss"

    def train_step(self, step: int) -> Scalars:
        indices = self.minibatch(step, self.config.batch)
        latents = self.latents(len(indices), torch.Generator())
        loss = self.distances(self.draw(latents, self.conditions[indices]), indices).mean()
        self.descend(step, loss)
        return {"loss": loss.detach()}

    def draw(self, latents: Latents, condition: Tensor, levels: int | None = None) -> list[Tensor]:
        """The latents do not count."""
        zeros = {name: torch.zeros_like(maps) for name, maps in latents.noise.items()}
        return super().draw(Latents(torch.zeros_like(latents.z), zeros), condition, levels)
