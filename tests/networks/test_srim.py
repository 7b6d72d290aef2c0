"""The super-resolution networks at their published sizes, their levels, and the projection."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from networks.srim import SRIM
from tests.networks.test_crn import count

STACKS = {
    **{"channels": 3, "levels": 0, "kind": "stack", "width": 64, "blocks": 0, "growth": 0, "convolutions": 0},
    **{"nested": False, "output": "sigmoid", "global_code": 0, "noise_channels": 5, "projection": False},
}
DENSE = {**STACKS, "kind": "dense", "width": 24, "blocks": 2, "growth": 12, "convolutions": 3, "output": "residual"}
RRDB = {**DENSE, "levels": 1, "width": 64, "blocks": 24, "growth": 128, "convolutions": 5, "nested": True}


@pytest.mark.parametrize(
    ("keys", "side", "factor", "parameters"),
    [
        (STACKS, 32, 4, 1_538_510),
        (STACKS, 32, 8, 2_307_765),
        ({**DENSE, "global_code": 16}, 4, 8, 156_585),
        ({**RRDB, "output": "sigmoid"}, 32, 8, 109_055_043),
    ],
)
def test_published_networks_have_their_numbers_of_parameters(keys, side: int, factor: int, parameters: int) -> None:
    with torch.device("meta"):
        assert count(SRIM(side=side, factor=factor, **keys)) == parameters


def draw(keys: dict[str, Any], **changes: Any) -> tuple[SRIM, torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
    torch.manual_seed(0)
    network = SRIM(side=4, factor=4, **{**keys, "width": 8, "growth": 4, "blocks": 1, **changes})
    shapes = network.code_shapes
    noise = {name: torch.randn(2, *shape) for name, shape in shapes.noise.items()}
    return network, torch.rand(2, 3, 4, 4) * 2 - 1, torch.randn(2, sum(shapes.z)), noise


CASES = [STACKS, {**DENSE, "global_code": 2}, {**RRDB, "output": "sigmoid"}]


@pytest.mark.parametrize("keys", CASES, ids=["stacks", "dense", "rrdb"])
def test_levels_enlarge_up_to_the_factor_and_see_only_their_own_codes_and_those_before(keys: dict[str, Any]) -> None:
    network, small, z, noise = draw(keys)
    images = network(small, z, noise)
    assert [image.shape[-1] for image in images] == network.sides == ([16] if keys["levels"] else [8, 16])
    assert len(network(small, z, noise, levels=1)) == 1
    last = str(len(images) - 1)
    other = network(small, z, {**noise, last: -noise[last]})
    assert (other[-1] - images[-1]).abs().max() > 1e-4
    for before, after in zip(images[:-1], other[:-1], strict=True):
        assert torch.equal(before, after)
    if keys["global_code"]:
        assert (network(small, torch.cat([-z[:, :2], z[:, 2:]], 1), noise)[0] - images[0]).abs().max() > 1e-4


@pytest.mark.parametrize("keys", CASES, ids=["stacks", "dense", "rrdb"])
def test_after_the_projection_the_area_average_is_the_input(keys: dict[str, Any]) -> None:
    network, small, z, noise = draw(keys, projection=True)
    for image in network(small, z, noise):
        assert (F.adaptive_avg_pool2d(image, 4) - small).abs().max() < 1e-5
    network.projection = False
    assert (F.adaptive_avg_pool2d(network(small, z, noise)[-1], 4) - small).abs().max() > 1e-2
