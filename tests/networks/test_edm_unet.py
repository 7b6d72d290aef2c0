"""EDM's U-Net has the sizes, the start and the noise label of the original."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from common.console import UserError
from networks.edm_unet import UNet

DEMO = {"width": 32, "multipliers": (1, 2, 2), "blocks": 1, "attention": (8,)}


@pytest.mark.parametrize(
    ("resolution", "settings", "parameters"),
    [
        (32, {"multipliers": (2, 2, 2), "blocks": 4, "labels": 0}, 55_732_739),
        (32, {"multipliers": (2, 2, 2), "blocks": 4}, 55_733_891),
        (64, {"multipliers": (1, 2, 2, 2), "blocks": 4}, 61_805_571),
        (256, {"labels": 0}, 53_978_755),
        (32, {**DEMO, "labels": 0}, 1_260_547),
        (32, {**DEMO, "width": 16, "attention": (), "labels": 0}, 309_123),
    ],
)
def test_parameters_are_those_of_the_original(resolution: int, settings: dict[str, Any], parameters: int) -> None:
    with torch.device("meta"):
        network = UNet(resolution, **settings)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters


@pytest.fixture
def network() -> UNet:
    torch.manual_seed(0)
    return UNet(16, width=16, multipliers=(1, 2), blocks=1, attention=(8,)).requires_grad_(False)


def test_the_noise_label_becomes_sines_then_cosines_from_1_to_a_ten_thousandth(network: UNet) -> None:
    waves = network.waves(torch.tensor([0.0, 2.5]))
    assert waves[0].tolist() == [0.0] * 8 + [1.0] * 8
    angles = [2.5 * 10_000 ** (-index / 7) for index in range(8)]
    expected = [math.sin(angle) for angle in angles] + [math.cos(angle) for angle in angles]
    torch.testing.assert_close(waves[1], torch.tensor(expected))


def test_at_the_start_every_block_is_its_skip_path_times_the_root_of_one_half(network: UNet) -> None:
    """Attention adds another such factor.  The output is near zero."""
    x, label = torch.randn(2, 16, 16, 16), torch.zeros(2, 64)
    torch.testing.assert_close(network.encoder[0](x, label, None), x * 0.5**0.5, atol=1e-3, rtol=0)
    torch.testing.assert_close(network.middle[0](torch.ones(2, 32, 4, 4), label, None), torch.full((2, 32, 4, 4), 0.5))
    assert network(torch.randn(2, 3, 16, 16), torch.zeros(2)).abs().max() < 1e-3


def test_dropout_is_drawn_from_the_given_generator_and_keeps_the_mean(network: UNet) -> None:
    torch.nn.init.xavier_uniform_(network.last.weight)
    for block in network.encoder:
        torch.nn.init.xavier_uniform_(block.second.weight)
    x, noise = torch.randn(1, 3, 16, 16), torch.zeros(1)

    def output(seed: int | None) -> torch.Tensor:
        return network(x, noise, rng=None if seed is None else torch.Generator().manual_seed(seed))

    assert torch.equal(output(0), output(0))
    assert not torch.equal(output(0), output(1))
    without = output(None)
    mean = torch.stack([output(seed) for seed in range(200)]).mean(0)
    assert (mean - without).square().mean() < 0.05 * (output(0) - without).square().mean()


def test_an_augmentation_label_changes_the_output_and_zeros_stand_for_none(network: UNet) -> None:
    torch.nn.init.xavier_uniform_(network.last.weight)
    x, noise = torch.randn(1, 3, 16, 16), torch.zeros(1)
    assert torch.equal(network(x, noise), network(x, noise, torch.zeros(1, 9)))
    assert not torch.equal(network(x, noise), network(x, noise, torch.ones(1, 9)))


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"multipliers": (1,) * 6}, "multipliers"),
        ({"multipliers": ()}, "multipliers"),
        ({"multipliers": (1, 2), "attention": (4,)}, "attention"),
        ({"multipliers": (1, 3), "attention": (), "width": 50}, "width"),
    ],
)
def test_a_network_that_cannot_be_built_is_refused_with_the_key(settings: dict[str, Any], key: str) -> None:
    with pytest.raises(UserError, match=f"`{key}`"), torch.device("meta"):
        UNet(16, **settings)
