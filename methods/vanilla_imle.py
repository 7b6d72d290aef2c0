"""Vanilla IMLE: Implicit Maximum Likelihood Estimation (Li & Malik 2018, arXiv 1809.09087).

Its objective (equation 1 of the ICLR 2023 paper) treats all training images alike:

    min over theta of E_{z_1..z_m} [ sum_i  min_j d(x_i, T_theta(z_j)) ]

Here it has the generator, distance, search and optimiser of Adaptive IMLE, so Table 3 isolates the curriculum.
"""

from __future__ import annotations

from dataclasses import dataclass

from methods.imle.family import IMLE


class VanillaIMLE(IMLE):
    """Reassign every training image every K epochs, regardless of its distance; no thresholds."""

    name = "vanilla_imle"
    title = "Vanilla IMLE"
    track = "loss"

    @dataclass(frozen=True)
    class Config(IMLE.Config):
        reassign_every: int = 10  # K, in epochs: the only value in the authors' scripts (branches `keep` and `loss`)

    def before_epoch(self, epoch: int) -> None:
        if epoch % self.config.reassign_every == 0:
            self.reassign(self.everyone)
