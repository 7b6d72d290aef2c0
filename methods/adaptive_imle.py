"""Adaptive IMLE (Aghabozorgi et al.; ICLR 2023 submission, ICML 2023).

Every training image x_i has a threshold tau_i.  Its sample T(z_sigma(i)) is trained towards it until their distance
has fallen to delta tau_i; only then is the threshold tightened and a new nearest sample chosen.  Easy images therefore
get a new sample sooner than hard ones.  The objective is equation 5 of the ICLR text:

    min over theta of E_{z_1..z_m} [ sum_i  max( min_j d(x_i, T_theta(z_j)), delta tau_i ) ]

The paper's Algorithm 1 and the released code schedule this differently; both are here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from methods.api import Scalars, Streams
from methods.imle.family import IMLE
from methods.transfer import moved


class AdaptiveIMLE(IMLE):
    """IMLE with an individual curriculum for each training image."""

    name = "adaptive_imle"
    title = "Adaptive IMLE"
    track = "loss"

    @dataclass(frozen=True)
    class Config(IMLE.Config):
        schedule: Literal["official", "paper"] = "official"  # paper: Algorithm 1
        delta: float = 0.98  # tightening coefficient; official: 1 - change_coef, 0.98 or 0.99; paper: 0.9
        staleness: int = 5  # official only: minimum epochs that a latent is kept
        force_resample: int = 15  # official only: maximum epochs that it is kept; Grumpy, Cat 25; Panda 30
        measure: Literal["anew", "in_step"] = "anew"  # distance compared with tau: measured again, or in the last step

    def __init__(self, config: Config, resolution: int, channels: int, images: Tensor, streams: Streams) -> None:
        super().__init__(config, resolution, channels, images, streams)
        self.tau = torch.zeros(len(images), device=self.device)
        # Official schedule: epochs since the last reassignment.  On the CPU, which must know who is due.
        self.age = torch.zeros(len(images), dtype=torch.long)

    def initialise(self) -> None:
        super().initialise()  # Algorithm 1, lines 2 and 3
        self.tau = self.current_distance(self.everyone)  # line 4
        if self.config.schedule == "official":
            self.tau *= self.config.delta

    def after_update(self, indices: Tensor) -> None:
        if self.config.schedule == "paper":
            self.algorithm_1(indices)

    def before_epoch(self, epoch: int) -> None:
        if self.config.schedule == "official":
            self.official_schedule()

    def algorithm_1(self, indices: Tensor) -> None:
        """Lines 8 to 14 of the paper's Algorithm 1, after the update of line 7."""
        is_due = self.reached(indices) <= self.config.delta * self.tau[indices]  # line 10
        due = indices[is_due]
        if len(due):  # the pool of line 8 is drawn only if line 12 needs it
            self.tau[due] *= self.config.delta  # line 11
            self.reassign(due)  # line 12

    def official_schedule(self) -> None:
        """The released code's schedule: checked once an epoch, between a minimum and a maximum age.

        A threshold becomes delta times the distance that was *reached*, rather than delta times itself.  All images
        share one pool until one of them needs a second candidate from it.
        """
        delta, staleness, oldest = self.config.delta, self.config.staleness, self.config.force_resample
        self.age += 1
        ripe = (self.age >= min(staleness, oldest)).nonzero().flatten()  # no other image can be due
        if not len(ripe):
            return
        ripe, age = moved((ripe, self.age[ripe]), self.device)
        distance = self.reached(ripe)
        is_due = (distance < self.tau[ripe]) & (age >= staleness) | (age >= oldest)
        due = ripe[is_due]
        if not len(due):
            return
        self.tau[due] = delta * distance[is_due]  # measured before the reassignment
        self.age[due.cpu()] = 0
        self.reassign(due, share_pool=True)

    def reached(self, indices: Tensor) -> Tensor:
        """d(x_i, T(z_i)) of these images: with the current generator, or as it was when they were last trained."""
        return self.current_distance(indices) if self.config.measure == "anew" else self.trained_distance[indices]

    def scalars(self) -> Scalars:
        return {"mean_tau": self.tau.mean()}

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"tau": self.tau, "age": self.age}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.tau.copy_(state["tau"])
        self.age.copy_(state["age"])
