"""The conditional GAN's training step equals one derived here, and the learning rate of the family falls as stated."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from methods.cond_gan import ConditionalGAN
from methods.multimodal.goals import Goal
from tests.contract.test_contract import make
from tests.methods.reference import Adam, assert_parameters


def build(**changes: object) -> ConditionalGAN:
    """Trained by pixels alone, so that no weights are needed."""
    method = make("cond_gan", **{"lpips_weight": 0.0, "mse_weight": 1.0, "betas": (0.5, 0.9), **changes})
    assert isinstance(method, ConditionalGAN)
    for name in ("images", "conditions"):
        setattr(method, name, getattr(method, name).to(torch.get_default_dtype()))
    method.goals = [Goal(method.images, side, method.config) for side in method.generator.sides]
    return method


class Reference:
    """pix2pix with a hinge loss: networks copied from `method`, losses and updates written out."""

    def __init__(self, method: ConditionalGAN) -> None:
        self.method = method
        self.generator, self.discriminator = copy.deepcopy(method.generator), copy.deepcopy(method.discriminator)
        adam = {"lr": method.config.learning_rate, "betas": (0.5, 0.9)}
        self.generator_adam, self.discriminator_adam = Adam(self.generator, **adam), Adam(self.discriminator, **adam)

    def step(self, step: int) -> dict[str, float]:
        method = self.method
        indices = method.draw_minibatch(step, method.config.batch)
        code = method.prior(len(indices), method.streams.generator("train", step))
        condition, real = method.conditions[indices], method.images[indices]
        fake = self.generator(condition, code.z, code.noise, None)[-1]
        judged_real, judged_fake = self.judge(condition, real), self.judge(condition, fake.detach())
        hinge = (1 - judged_real).relu().mean() + (1 + judged_fake).relu().mean()
        self.discriminator_adam.descend(hinge)

        near = (fake - real).square().mean(dim=(1, 2, 3)).mean()
        fooled = -self.judge(condition, fake).mean()
        self.generator_adam.descend(2.0 * near + 0.3 * fooled)
        return {"d_loss": hinge.item(), "g_loss": fooled.item(), "reconstruction": near.item()}

    def judge(self, condition: Tensor, images: Tensor) -> Tensor:
        return self.discriminator(torch.cat([F.interpolate(condition, 32, mode="bilinear"), images], dim=1))


@pytest.mark.parametrize("network", ["crn", "srim"])
def test_three_steps_equal_the_derived_ones(network: str, float64: None) -> None:
    method = build(network=network, reconstruction_weight=2.0, adversarial_weight=0.3)
    reference = Reference(method)
    for step in range(3):
        expected = reference.step(step)
        assert {name: float(value) for name, value in method.train_step(step).items()} == pytest.approx(expected)
    for name in ("generator", "discriminator"):
        assert_parameters(getattr(method, name), list(getattr(reference, name).parameters()), name)


def test_the_learning_rate_falls_in_steps_and_to_a_tenth() -> None:
    rate = build(learning_rate=1.0, lr_steps=[10, 20], lr_factor=0.5).learning_rate
    assert [rate(step) for step in (0, 9, 10, 19, 20, 99)] == [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]
    rate = build(learning_rate=1.0, decay_steps=100).learning_rate
    assert [rate(step) for step in (0, 50, 100, 1000)] == pytest.approx([1.0, 0.55, 0.1, 0.1])
