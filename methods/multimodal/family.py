"""What conditional IMLE and its controls share: generator, distance, optimiser, and the rest of the contract."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from common.console import UserError
from methods.api import Latents, Streams
from methods.conditional import ConditionalMethod
from methods.imle.distance import DistanceConfig
from methods.multimodal.goals import Goal
from methods.transfer import moved
from networks.crn import CRN
from networks.srim import SRIM


@dataclass(frozen=True)
class NetworkConfig:
    """Defaults are those of SRIM's stacks and of the layout network, as published."""

    network: Literal["srim", "crn"] = "srim"  # super-resolution: srim; layouts: crn
    noise_channels: int = 5  # maps of noise: 5 at each level of srim, 10 in crn
    global_code: int = 0  # values of noise for the whole image, at each level; later papers: 128
    # srim
    levels: int = 0  # 0: one for each doubling
    level: Literal["stack", "dense"] = "stack"
    width: int = 64
    projection: bool = False  # ours: correct each output so that its area average is the input
    # dense levels of srim: the later 8x network
    blocks: int = 24
    growth: int = 128
    convolutions: int = 5  # of a dense block
    nested: bool = True  # three dense blocks inside one with a residual connection
    output: Literal["sigmoid", "residual"] = "sigmoid"
    # crn
    widths: tuple[int, ...] = (1024, 1024, 1024, 1024, 1024, 512, 512)  # of the modules, the last at full resolution
    encoder_width: int = 100  # of the network that the noise passes first; 0: none


@dataclass(frozen=True)
class ScheduleConfig:
    """Defaults are SRIM's."""

    batch: int = 16
    learning_rate: float = 1e-4  # Adam
    betas: tuple[float, float] = (0.9, 0.999)
    lr_steps: tuple[int, ...] = ()  # steps at which the learning rate is multiplied by `lr_factor`
    lr_factor: float = 0.5
    decay_steps: int = 0  # ours: the learning rate falls linearly to a tenth over so many steps
    loss_levels: Literal["last", "all"] = "last"  # of srim: whose images are compared with targets of their sizes
    pool_batch: int = 50  # images generated at once where no gradient is needed


class ConditionalGenerator(ConditionalMethod):
    """One generator that is trained by a distance to the image of each condition.  Subclasses choose its codes."""

    @dataclass(frozen=True)
    class Config(ScheduleConfig, DistanceConfig, NetworkConfig):
        pass

    def __init__(
        self, config: Config, resolution: int, channels: int, images: Tensor, streams: Streams, conditions: Tensor
    ) -> None:
        super().__init__(config, resolution, channels, images, streams, conditions)
        self.generator = build_network(config, resolution, channels, conditions).to(self.device)
        self.optimizer = torch.optim.Adam(
            self.generator.parameters(), lr=config.learning_rate, betas=config.betas, fused=True
        )
        self.goals = [Goal(images, side, config) for side in self.generator.sides]

    def distances(self, drawn: list[Tensor], indices: Tensor) -> Tensor:
        """What is trained: d(images, targets of these indices), summed over the levels that count, (n,)."""
        first = 0 if self.config.loss_levels == "all" else len(self.goals) - 1
        pairs = zip(drawn[first:], self.goals[first:], strict=True)
        return torch.stack([goal.distances(images, indices) for images, goal in pairs]).sum(0)

    def draw(self, latents: Latents, condition: Tensor, levels: int | None = None) -> list[Tensor]:
        """The images of the first `levels` levels, or of all."""
        images: list[Tensor] = self.generator(condition, latents.z, latents.noise, levels)
        return images

    def descend(self, step: int, loss: Tensor) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate(step)
        self.optimizer.zero_grad()
        loss.backward(inputs=list(self.generator.parameters()))
        self.optimizer.step()

    def learning_rate(self, step: int) -> float:
        config = self.config
        rate: float = config.learning_rate * config.lr_factor ** sum(step >= each for each in config.lr_steps)
        fallen = min(1.0, step / config.decay_steps) if config.decay_steps else 0.0
        return rate * (1 - 0.9 * fallen)

    # The rest of the contract -----------------------------------------------------------------------------------

    def prior(self, n: int, generator: torch.Generator) -> Latents:
        """n standard normal codes, on the CPU."""
        shapes = self.generator.code_shapes
        z = torch.randn(n, sum(shapes.z), generator=generator)
        return Latents(z, {name: torch.randn(n, *shape, generator=generator) for name, shape in shapes.noise.items()})

    def latents(self, n: int, generator: torch.Generator) -> Latents:
        drawn = self.prior(n, generator)
        return Latents(*moved((drawn.z, drawn.noise), self.device))

    def generate(self, latents: Latents, condition: Tensor) -> Tensor:  # type: ignore[override]
        return self.draw(latents, condition)[-1]

    def networks(self) -> dict[str, nn.Module]:
        return {"generator": self.generator}

    def sampler(self) -> nn.Module:
        return self.generator

    def state_dict(self) -> dict[str, Any]:
        return {"generator": self.generator.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.generator.load_state_dict(state["generator"])
        self.optimizer.load_state_dict(state["optimizer"])


def build_network(config: NetworkConfig, resolution: int, channels: int, conditions: Tensor) -> CRN | SRIM:
    """Raises `UserError` if the network does not fit the task."""
    classes, side = conditions.shape[1], conditions.shape[-1]
    if (side < resolution) != (config.network == "srim"):
        task, fits = ("super-resolution", "srim") if side < resolution else ("a layout", "crn")
        raise UserError(f"`network: {config.network}` does not fit {task}; set `network: {fits}` in `by_task`")
    if config.network == "crn":
        if resolution >> len(config.widths) - 1 < 2:
            raise UserError(
                f"`widths`: {len(config.widths)} modules are too many for {resolution} px; remove the first"
            )
        return CRN(
            resolution,
            channels,
            classes,
            config.widths,
            config.global_code,
            config.noise_channels,
            config.encoder_width,
        )
    factor = resolution // side
    if config.level == "stack" and (config.levels or config.global_code):
        raise UserError("`level: stack` enlarges 2x and has no global code: set `levels: 0` and `global_code: 0`")
    if config.levels and (factor.bit_length() - 1) % config.levels:
        raise UserError(f"`levels: {config.levels}` cannot enlarge {factor} times; set 0 for one at each doubling")
    return SRIM(
        side,
        factor,
        channels,
        config.levels,
        config.level,
        config.width,
        config.blocks,
        config.growth,
        config.convolutions,
        config.nested,
        config.output,
        config.global_code,
        config.noise_channels,
        config.projection,
    )
