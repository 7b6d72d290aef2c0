"""LeCam regularisation (Tseng et al. 2021, "Regularizing Generative Adversarial Networks under Limited Data")."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

DECAY = 0.99  # of the averages


class LeCam:
    """Holds the discriminator's logits of real images near its usual logits of generated ones, and vice versa."""

    def __init__(self, start: int, device: torch.device) -> None:
        """start: steps without the penalty; the averages are kept from the first step on."""
        self.start = start
        self.averages = torch.zeros(2, device=device)  # of the logits of real and of generated images

    def penalty(self, step: int, real: Tensor, fake: Tensor) -> Tensor:
        """From the logits of this step's real and generated images, which enter the averages first.

        The averages start at zero and are corrected for it, as in Adam.
        """
        self.averages.lerp_(torch.stack([real.mean(), fake.mean()]).detach(), 1 - DECAY)
        if step < self.start:
            return torch.zeros_like(self.averages[0])
        usual_real, usual_fake = self.averages / (1 - DECAY ** (step + 1))
        return F.relu(real - usual_fake).square().mean() + F.relu(usual_real - fake).square().mean()

    def state_dict(self) -> dict[str, Any]:
        return {"averages": self.averages}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.averages.copy_(state["averages"])
