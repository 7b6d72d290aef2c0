"""Conditional IMLE (Li, Peng and Malik, arXiv 1810.01406; Li, Zhang and Malik, arXiv 1811.12373).

Pairs (x_i, y_i) with one y for each x, and a generator G(x, z) that draws several.  Every input has a pool of its
own, and only the nearest of its m samples is pulled to its target, so the others are free to differ:

    min over theta of E_{z_i1..z_im} [ sum_i  w_i  min_j d(G(x_i, z_ij), y_i) ]

With m = 1 this is regression.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from common.console import UserError
from methods.api import Latents, Scalars, Streams
from methods.multimodal.family import ConditionalGenerator
from methods.multimodal.goals import Goal
from methods.multimodal.rebalancing import loss_weights, probabilities, rarities
from methods.multimodal.selection import select


class ConditionalIMLE(ConditionalGenerator):
    """Rounds: choose inputs, give each the nearest code of its pool, then train on these codes for K epochs."""

    name = "cond_imle"
    title = "Conditional IMLE"
    track = "loss"

    @dataclass(frozen=True)
    class Config(ConditionalGenerator.Config):
        m: int | tuple[int, ...] = 100  # candidates of each input, or of each input and level; layouts: 10
        select: Literal["joint", "hierarchical"] = "hierarchical"  # hierarchical: a search for each level of srim
        reassign_every: int = 500  # K, in epochs over the inputs of a round; layouts: 25
        inputs: int | None = None  # in a round; None: all.  SRIM: 640; layouts: 400
        latent_perturbation: float = 0.0  # standard deviation of the noise added to the chosen codes; SRIM: 0.1
        reset_encoder: int | None = (
            None  # the round in which crn's noise encoder and the optimiser start anew; layouts: 6
        )
        rebalance: Literal["none", "dataset", "loss", "both"] = "none"  # layouts: both
        rebalance_classes: tuple[int, ...] = ()  # whose rarity decides which inputs are drawn; (): all that vary

    def __init__(
        self, config: Config, resolution: int, channels: int, images: Tensor, streams: Streams, conditions: Tensor
    ) -> None:
        super().__init__(config, resolution, channels, images, streams, conditions)
        self.chances: Tensor | None = None
        if config.rebalance != "none":
            self.rebalance()
        self.pools = self.pool_sizes()
        self.generated = 0  # candidates so far
        # Placeholders until the first round: the inputs of the round, which may repeat, and the code of each.
        self.members = torch.zeros(config.inputs or len(images), dtype=torch.long, device=self.device)
        self.assigned = self.prior(len(self.members), streams.generator("unassigned")).to(self.device)

    def pool_sizes(self) -> list[int]:
        """Candidates in each search."""
        config, levels = self.config, len(self.generator.sides)
        searches = levels if config.select == "hierarchical" else 1
        sizes = [config.m] * searches if isinstance(config.m, int) else list(config.m)
        if len(sizes) != searches or min(sizes) < 1:
            raise UserError(f"`m` must be one number, or {searches} with `select: {config.select}`, each at least 1")
        return sizes

    def rebalance(self) -> None:
        if self.conditions.shape[-1] < self.resolution:
            raise UserError("`rebalance` needs the classes of a layout; set `rebalance: none` for super-resolution")
        rarity = rarities(self.images, self.conditions)
        if self.config.rebalance in ("dataset", "both"):
            self.chances = probabilities(rarity, self.config.rebalance_classes)
        if self.config.rebalance in ("loss", "both"):
            weights = loss_weights(rarity, self.conditions)
            self.goals = [Goal(self.images, side, self.config, weights) for side in self.generator.sides]

    # Training ---------------------------------------------------------------------------------------------------

    def train_step(self, step: int) -> Scalars:
        number, position = divmod(step, self.steps_per_epoch * self.config.reassign_every)
        if position == 0:
            self.begin(number)
        places = self.minibatch_of_round(step)
        indices = self.members[places]
        drawn = self.draw(self.assigned[places], self.conditions[indices])
        loss = self.distances(drawn, indices).mean()
        self.descend(step, loss)
        reassigned = float(len(self.members)) if position == 0 else 0.0
        return {"loss": loss.detach(), "reassigned": reassigned, "pool_images": float(self.generated)}

    @property
    def steps_per_epoch(self) -> int:
        return -(-len(self.members) // self.config.batch)

    def minibatch_of_round(self, step: int) -> Tensor:
        """Places in the round: each epoch is a new permutation of them."""
        epoch, piece = divmod(step, self.steps_per_epoch)
        order = torch.randperm(len(self.members), generator=self.streams.generator("order", epoch))
        return order[piece * self.config.batch : (piece + 1) * self.config.batch].to(self.device)

    def begin(self, number: int) -> None:
        """Start a round: choose its inputs, and a code for each of them."""
        if number == self.config.reset_encoder:
            self.reset_encoder()
        self.members = self.choose_inputs(number).to(self.device)
        chosen = select(
            range(len(self.members)),
            self.pools,
            self.generator.code_shapes,
            lambda place, search, m: self.candidates(number, place, search, m),
            self.measure,
            self.config.pool_batch,
        )
        self.generated += sum(self.pools) * len(self.members)
        deviation = self.config.latent_perturbation
        noise = self.latents(len(chosen), self.streams.generator("perturbation", number))
        self.assigned = Latents(
            chosen.z + deviation * noise.z,
            {name: maps + deviation * noise.noise[name] for name, maps in chosen.noise.items()},
        )

    def reset_encoder(self) -> None:
        """Once, as the authors of the layout network do against overfitting."""
        encoder = getattr(self.generator, "encoder", None)
        if encoder is None:
            raise UserError("`reset_encoder` needs `network: crn` with an `encoder_width`; remove it")
        with self.streams.seeded("noise encoder"):
            encoder.cpu().reset()
        encoder.to(self.device)
        self.optimizer.state.clear()

    def choose_inputs(self, number: int) -> Tensor:
        """The indices of a round's training pairs."""
        size = len(self.members)
        if self.chances is None:
            if self.config.inputs is None:
                return torch.arange(size)
            return self.draw_minibatch(number, size, rest="fill")  # consecutive pieces of permutations
        classes = torch.arange(size) % len(self.chances)
        generator = self.streams.generator("inputs", number)
        return torch.multinomial(self.chances[classes], 1, generator=generator).squeeze(1)

    def candidates(self, number: int, place: int, search: int, m: int) -> Latents:
        """Pool `search` of one place in a round: a pure function of the run and these numbers."""
        purpose = f"pool {number}.{search}" if search else f"pool {number}"
        return self.latents(m, self.streams.generator(purpose, place))

    def measure(self, latents: Latents, places: Tensor, level: int | None) -> Tensor:
        """The distance of each code's image to the target of its place, (n,), by the image of a level or as trained."""
        indices = self.members[places]
        drawn = self.draw(latents, self.conditions[indices], None if level is None else level + 1)
        distances = self.distances(drawn, indices) if level is None else self.goals[level].distances(drawn[-1], indices)
        if distances.isnan().any():
            raise UserError("the samples of the pool hold NaN: the training has diverged; lower learning_rate")
        return distances

    def state_dict(self) -> dict[str, Any]:
        codes = {"members": self.members, "z": self.assigned.z, "noise": self.assigned.noise}
        return super().state_dict() | codes | {"generated": self.generated}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.members, self.generated = state["members"], state["generated"]
        self.assigned = Latents(state["z"], state["noise"])
