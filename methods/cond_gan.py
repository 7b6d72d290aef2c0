"""Conditional GAN: the control in which a discriminator, not the nearest sample, makes answers differ.

After pix2pix (Isola et al. 2017): a discriminator of patches sees the condition beside the image.  The generator also
minimises the distance to the one known answer, here LPIPS and squared error as in conditional IMLE.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from methods.api import Latents, Scalars, Streams
from methods.multimodal.family import ConditionalGenerator
from methods.transfer import moved
from networks.patch_discriminator import PatchDiscriminator


class ConditionalGAN(ConditionalGenerator):
    """Hinge loss, fresh noise in each step."""

    name = "cond_gan"
    title = "Conditional GAN (control)"
    track = "loss"

    @dataclass(frozen=True)
    class Config(ConditionalGenerator.Config):
        reconstruction_weight: float = 1.0  # of the distance to the known answer
        adversarial_weight: float = 0.1
        discriminator_width: int = 64
        discriminator_layers: int = 4  # pix2pix: 5, whose patches have 70 pixels

    def __init__(
        self, config: Config, resolution: int, channels: int, images: Tensor, streams: Streams, conditions: Tensor
    ) -> None:
        super().__init__(config, resolution, channels, images, streams, conditions)
        inputs = conditions.shape[1] + channels
        self.discriminator = PatchDiscriminator(inputs, config.discriminator_width, config.discriminator_layers).to(
            self.device
        )
        self.discriminator_optimizer = torch.optim.Adam(
            self.discriminator.parameters(), lr=config.learning_rate, betas=config.betas, fused=True
        )

    def train_step(self, step: int) -> Scalars:
        """One step of the discriminator, then one of the generator on the same images."""
        indices = self.draw_minibatch(step, self.config.batch)
        prior = self.prior(len(indices), self.streams.generator("train", step))
        indices, z, noise = moved((indices, prior.z, prior.noise), self.device)
        condition = self.conditions[indices]
        drawn = self.draw(Latents(z, noise), condition)

        of_real = F.relu(1 - self.judge(condition, self.images[indices])).mean()
        of_fake = F.relu(1 + self.judge(condition, drawn[-1].detach())).mean()
        for group in self.discriminator_optimizer.param_groups:
            group["lr"] = self.learning_rate(step)
        self.discriminator_optimizer.zero_grad()
        (of_real + of_fake).backward()
        self.discriminator_optimizer.step()

        reconstruction = self.distances(drawn, indices).mean()
        adversarial = -self.judge(condition, drawn[-1]).mean()
        config = self.config
        self.descend(step, config.reconstruction_weight * reconstruction + config.adversarial_weight * adversarial)
        scalars = {"d_loss": of_real + of_fake, "g_loss": adversarial, "reconstruction": reconstruction}
        return {name: scalar.detach() for name, scalar in scalars.items()}

    def judge(self, condition: Tensor, images: Tensor) -> Tensor:
        """The logits of an image's patches beside its condition, which is enlarged if it is smaller."""
        beside = F.interpolate(condition, size=images.shape[2:], mode="bilinear", align_corners=False)
        logits: Tensor = self.discriminator(torch.cat([beside, images], dim=1))
        return logits

    def networks(self) -> dict[str, nn.Module]:
        return super().networks() | {"discriminator": self.discriminator}

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {
            "discriminator": self.discriminator.state_dict(),
            "discriminator_optimizer": self.discriminator_optimizer.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.discriminator.load_state_dict(state["discriminator"])
        self.discriminator_optimizer.load_state_dict(state["discriminator_optimizer"])
