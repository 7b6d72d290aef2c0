"""Inception's features give the published FID and MiFID, and those of the original network."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from metrics.fid import frechet_distance, mifid
from networks.inception import Inception
from networks.weights import fetch

# The published numbers come from scripts that seed, build a network with random initial values, and then draw images.
# So many numbers go into those values: convolutions, and a last layer with 1008 classes that our network lacks.
INITIAL_VALUES = 21_751_136 + 2048 * 1008 + 1008


@pytest.fixture(scope="module")
def inception() -> Inception:
    fetch("inception")
    return Inception()


def published_images(seed: int) -> tuple[Tensor, Tensor]:
    """Real and fake images of torchmetrics' examples."""
    torch.manual_seed(seed)
    torch.empty(INITIAL_VALUES).uniform_()
    real = torch.randint(0, 200, (100, 3, 299, 299), dtype=torch.uint8)
    return real, torch.randint(100, 255, (100, 3, 299, 299), dtype=torch.uint8)


@torch.inference_mode()
def first_features(inception: Inception, images: Tensor) -> np.ndarray:
    """The 64 features behind the first pooling, computed here from the network's weights."""

    def conv(x: Tensor, name: str, **how: object) -> Tensor:
        return F.conv2d(x, inception.get_buffer(f"{name}_weight"), inception.get_buffer(f"{name}_bias"), **how).relu()

    parts = []
    for x in images.split(25):
        x = conv(conv((x.float() - 128) / 128, "conv", stride=2), "conv_1")
        parts.append(F.max_pool2d(conv(x, "conv_2", padding=1), 3, stride=2).mean((2, 3)))
    return torch.cat(parts).double().numpy()


def test_published_fid_and_mifid(inception: Inception) -> None:
    """torchmetrics, with feature=64: FrechetInceptionDistance 12.6388; Memorization-Informed... 3003.3691."""
    real, fake = (first_features(inception, images) for images in published_images(42))
    assert frechet_distance(real, fake) == pytest.approx(12.6388, abs=5e-5)
    assert mifid(real, fake) == pytest.approx(3003.3691, rel=1e-6)


def waves() -> Tensor:
    """An image in [0, 255] given by a formula: row y, column x, channel c = 1, 2, 3."""
    x = torch.arange(299, dtype=torch.float64)
    y, c = x[:, None], torch.arange(1.0, 4.0, dtype=torch.float64)[:, None, None]
    return (127.5 + 127.5 * torch.sin(c * y / 20 + x / 30))[None].float()


def test_pinned_features(inception: Inception) -> None:
    """Computed once with the original TorchScript network; tells RGB from BGR and one input range from another."""
    x = waves()
    features = inception(x)
    expected = torch.tensor([0.1098552, 0.3167155, 0.0, 0.0072128, 0.5099381, 1.7525686])
    assert torch.allclose(features[0, :6], expected, rtol=0, atol=2e-5)
    assert features.mean().item() == pytest.approx(0.3042337, abs=1e-6)
    assert torch.equal(x, waves())  # in-place layers leave the input alone
