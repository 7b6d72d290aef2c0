"""DINOv2 has timm's architecture and the original's table of positions."""

from __future__ import annotations

import importlib

import pytest
import torch

from common.files import read_yaml
from networks import dinov2
from networks.dinov2 import DINOv2, resize_positions
from networks.weights import CATALOGUE


def test_random_weights_give_the_class_token_of_timm(monkeypatch: pytest.MonkeyPatch) -> None:
    """LayerScale and class token are not at their small initial values: an error in a block would not be seen."""
    import networks.torchvision_compat  # noqa: F401

    timm = importlib.import_module("timm")  # only now: it imports torchvision
    torch.manual_seed(0)
    model = timm.create_model("vit_small_patch14_dinov2", pretrained=False, img_size=56, num_classes=0).eval()
    shapes = {name: value.shape for name, value in model.state_dict().items()}
    state = {name: torch.randn(shape) / max(shape[-1], 16) ** 0.5 for name, shape in shapes.items()}
    assert len(state) == read_yaml(CATALOGUE)["dinov2vits14"]["tensors"], "fetch would refuse the weights"
    model.load_state_dict(state)
    monkeypatch.setattr(dinov2, "load_tensors", lambda name: state)
    ours = DINOv2("dinov2vits14")
    x = torch.rand(2, 3, 56, 56) * 255
    with torch.inference_mode():
        assert torch.allclose(ours(x), model((x - ours.mean) / ours.std), atol=1e-4)


def test_positions_are_sampled_where_the_original_samples_them() -> None:
    """Of a slope, the values are the positions, to 0.06; without the original's offset they would be 0.2 off."""
    stored, side = 37, 16
    row = torch.arange(float(stored))
    table = torch.stack([row.repeat_interleave(stored), row.repeat(stored)], dim=1)[None]
    y, x = resize_positions(table, side)[0].reshape(side, side, 2).unbind(-1)
    expected = (torch.arange(side) + 0.5) * stored / (side + 0.1) - 0.5
    inside = slice(1, side - 1)
    assert torch.allclose(y[inside, 3], expected[inside], atol=0.06)
    assert torch.allclose(x[3, inside], expected[inside], atol=0.06)
