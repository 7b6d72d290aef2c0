"""The layout network at its published size, and what its noise does."""

from __future__ import annotations

import pytest
import torch

from networks.crn import CRN

PUBLISHED = {"resolution": 256, "channels": 3, "classes": 20, "widths": [1024] * 5 + [512] * 2, "global_code": 0}


def count(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def small(**changes: int) -> CRN:
    torch.manual_seed(0)
    return CRN(16, 3, 2, [8, 8, 8], **{"global_code": 2, "noise_channels": 3, "encoder_width": 0, **changes})


def inputs(network: CRN, n: int = 2) -> tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
    shapes = network.code_shapes
    noise = {name: torch.randn(n, *shape) for name, shape in shapes.noise.items()}
    return torch.rand(n, 2, 16, 16), torch.randn(n, sum(shapes.z)), noise


def test_the_published_network_has_its_number_of_parameters() -> None:
    with torch.device("meta"):
        network = CRN(**PUBLISHED, noise_channels=10, encoder_width=100)
        without = CRN(**PUBLISHED, noise_channels=0, encoder_width=0)
    assert network.encoder is not None
    assert count(network.encoder) == 118_410
    assert round(count(network) - count(network.encoder), -5) == 98_400_000
    assert round(count(without), -5) == 97_900_000
    assert network.sizes == [4, 8, 16, 32, 64, 128, 256]


@pytest.mark.parametrize("encoder_width", [0, 8])
def test_the_image_depends_on_layout_code_and_noise(encoder_width: int) -> None:
    network = small(encoder_width=encoder_width)
    layout, z, noise = inputs(network)
    [image] = network(layout, z, noise)
    assert image.shape == (2, 3, 16, 16)
    for changed in ((1 - layout, z, noise), (layout, -z, noise), (layout, z, {"0": -noise["0"]})):
        assert (network(*changed)[0] - image).abs().max() > 1e-3


def test_resetting_the_noise_encoder_gives_other_weights_of_the_published_deviation() -> None:
    encoder = small(encoder_width=50).encoder
    assert encoder is not None
    weight = encoder.layers[3].weight
    before = weight.clone()
    encoder.reset()
    assert not torch.equal(weight, before)
    assert 0.12 < weight.std() < 0.14 and weight.abs().max() <= 0.3  # 0.15, cut at two deviations
