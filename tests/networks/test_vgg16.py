"""VGG16's second fully connected layer is torchvision's."""

from __future__ import annotations

import warnings

import pytest
import torch


def test_vgg16_equals_torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    """With torchvision's own untrained network, thinned to fit a small machine; relative 1e-5 of the largest value."""
    import networks.torchvision_compat  # noqa: F401

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torchvision.models.vgg import VGG, make_layers
        from torchvision.transforms import Normalize
    plan = [8, 8, "M", 8, 8, "M", 16, 16, 16, "M", 16, 16, 16, "M", 512, 512, 512, "M"]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        vgg = VGG(make_layers(plan), init_weights=False)
        vgg.classifier = torch.nn.Sequential(
            torch.nn.Linear(512 * 49, 64), torch.nn.ReLU(), torch.nn.Dropout(), torch.nn.Linear(64, 40)
        )
        images = torch.randint(0, 256, (2, 3, 224, 224)).float()
    vgg.eval()
    convolutions = [layer for layer in vgg.features if isinstance(layer, torch.nn.Conv2d)]
    layers = {f"conv{i}": layer for i, layer in enumerate(convolutions)}
    layers |= {"fc1": vgg.classifier[0], "fc2": vgg.classifier[3]}
    tensors = {f"{name}.{part}": getattr(layer, part) for name, layer in layers.items() for part in ("weight", "bias")}
    monkeypatch.setattr("networks.vgg16.load_tensors", lambda name: {k: v.detach() for k, v in tensors.items()})
    from networks.vgg16 import VGG16FC2

    with torch.no_grad():
        expected = vgg(Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])(images / 255))
        actual = VGG16FC2()(images)
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-5 * expected.abs().max().item())
