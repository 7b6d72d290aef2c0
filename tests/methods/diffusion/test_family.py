"""How EDM and flow matching train: order of the images, warm-up, averaged weights, random streams."""

from __future__ import annotations

import pytest
import torch

from methods.api import Streams
from methods.edm import EDM

TINY = {"width": 8, "multipliers": (1,), "blocks": 1, "attention": (), "batch": 4, "warmup_steps": 4}


def build(n: int = 6, **changes: object) -> EDM:
    images = torch.rand(n, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    streams = Streams(0, "toy", "edm", "full")
    with streams.seeded("initialisation"):
        return EDM(EDM.Config(**(TINY | changes)), 8, 3, images, streams)


def test_parts_of_a_batch_add_up_to_its_gradients() -> None:
    """Parts of three and one."""
    losses, gradients = [], []
    for microbatch in (4, 3):
        method = build(microbatch=microbatch, dropout=0.0)
        losses.append(float(method.train_step(0)["loss"]))
        gradients.append([parameter.grad for parameter in method.network.parameters()])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-3, atol=1e-4)


def test_the_learning_rate_rises_from_zero() -> None:
    method, rates = build(learning_rate=0.01), []
    for step in range(6):
        method.train_step(step)
        rates.append(method.optimiser.param_groups[0]["lr"])
    assert rates == pytest.approx([0, 0.0025, 0.005, 0.0075, 0.01, 0.01])


def test_the_half_life_of_the_average_is_a_twentieth_of_the_images_seen_up_to_a_limit() -> None:
    """Batch 4: step 15 has seen 60 images, half-life 3; from step 20 on the half-life is 4 and the decay 1/2."""
    method = build(ema_images=4, warmup_steps=0)
    expected = None
    for step in range(25):
        method.train_step(step)
        weights = method.network.first.weight.detach().clone()
        decay = 0.5 ** (4 / min(4, 0.05 * 4 * step)) if step else 0.0  # the first average is the first weights
        expected = weights if expected is None else decay * expected + (1 - decay) * weights
        torch.testing.assert_close(method.sampler().first.weight, expected)


def test_gradients_that_are_not_finite_are_replaced() -> None:
    method = build()
    values = [torch.nan, torch.inf, -torch.inf, 2.0]
    method.network.last.bias.grad = torch.tensor(values[:3])
    method.network.first.bias.grad = torch.tensor([*values[3:], *[0.0] * 7])
    method.descend()
    assert method.network.last.bias.grad.tolist() == [0, 1e5, -1e5]
    assert method.network.first.bias.grad[0] == 2


def test_a_step_depends_on_its_number_and_not_on_the_generators_of_the_process() -> None:
    """Dropout included."""
    losses = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        state = torch.get_rng_state()
        method = build()
        losses.append([method.train_step(step)["loss"] for step in (0, 1)])
        assert torch.equal(torch.get_rng_state(), state)
    assert losses[0] == losses[1]
    assert losses[0][0] != losses[0][1]
