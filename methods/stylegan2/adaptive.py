"""How often to augment: the controller that ADA and APA share (Karras et al. 2020, section 3)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class Controller:
    """The chance p of an augmentation, which rises while the discriminator is too sure of the real images.

    target: of the mean sign of their logits.  kimg: p moves from 0 to 1 in this many thousand images.  every: steps
    between two changes.  batch: images in a step.
    """

    def __init__(self, target: float, kimg: float, every: int, batch: int, device: torch.device) -> None:
        self.target, self.every = target, every
        self.change = batch * every / (kimg * 1000)
        self.p = 0.0
        self.signs = torch.zeros((), device=device)  # mean sign since the last change, so far

    def observe(self, step: int, real_logits: Tensor) -> None:
        """Count the logits of a step's real images; change p when it is due."""
        self.signs += real_logits.detach().sign().mean() / self.every
        if (step + 1) % self.every == 0:
            direction = torch.sign(self.signs - self.target).item()
            self.p = max(0.0, self.p + direction * self.change)
            self.signs.zero_()

    def state_dict(self) -> dict[str, Any]:
        return {"p": self.p, "signs": self.signs}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.p = state["p"]
        self.signs.copy_(state["signs"])
