"""Inception's features give the published FID and KID, and those of the original network."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

from metrics.fid import frechet_distance, polynomial_mmd
from networks.inception import Inception
from networks.weights import fetch

# The published numbers come from scripts that seed, build a network with random initial values, and then draw images.
# So many numbers go into those values: convolutions, and a last layer with 1008 classes that our network lacks.
INITIAL_VALUES = 21_751_136 + 2048 * 1008 + 1008


@pytest.fixture(scope="module")
def inception() -> Inception:
    fetch("inception")
    return Inception()


@pytest.fixture(scope="module", params=[123, 42])
def published(request: pytest.FixtureRequest, inception: Inception) -> SimpleNamespace:
    """Features of the examples of torchmetrics' FrechetInceptionDistance and KernelInceptionDistance, which agree."""
    torch.manual_seed(request.param)
    torch.empty(INITIAL_VALUES).uniform_()
    real = torch.randint(0, 200, (100, 3, 299, 299), dtype=torch.uint8)
    fake = torch.randint(100, 255, (100, 3, 299, 299), dtype=torch.uint8)
    state = torch.get_rng_state()
    (real64, real2048), (fake64, fake2048) = first_and_last(inception, real), first_and_last(inception, fake)
    return SimpleNamespace(
        seed=request.param, state=state, real64=real64, fake64=fake64, real2048=real2048, fake2048=fake2048
    )


def first_and_last(inception: Inception, images: Tensor) -> tuple[np.ndarray, np.ndarray]:
    with torch.inference_mode():
        taps = [list(inception.taps(batch.float())) for batch in images.split(10)]
    first, _, _, last = (torch.cat(parts).double().numpy() for parts in zip(*taps, strict=True))
    return first, last


def test_published_fid(published) -> None:
    """torchmetrics, FrechetInceptionDistance(feature=64): 12.7202, then in later versions 12.6388."""
    expected = {123: 12.7202, 42: 12.6388}[published.seed]
    assert frechet_distance(published.real64, published.fake64) == pytest.approx(expected, abs=5e-5)


def test_published_kid(published) -> None:
    """torchmetrics, KernelInceptionDistance(subset_size=50), mean and deviation: 0.0337, 0.0023; 0.0312, 0.0025."""
    expected = {123: (0.0337, 0.0023), 42: (0.0312, 0.0025)}[published.seed]
    torch.set_rng_state(published.state)
    values = [
        polynomial_mmd(published.real2048[torch.randperm(100)[:50]], published.fake2048[torch.randperm(100)[:50]])
        for _ in range(100)
    ]
    assert (np.mean(values), np.std(values)) == pytest.approx(expected, abs=5e-5)


def waves() -> Tensor:
    """An image in [0, 255] given by a formula: row y, column x, channel c = 1, 2, 3."""
    x = torch.arange(299, dtype=torch.float64)
    y, c = x[:, None], torch.arange(1.0, 4.0, dtype=torch.float64)[:, None, None]
    return (127.5 + 127.5 * torch.sin(c * y / 20 + x / 30))[None].float()


def test_pinned_features(inception) -> None:
    """Computed once with the original TorchScript network; tells RGB from BGR and one input range from another."""
    features = inception(waves())
    expected = torch.tensor([0.1098552, 0.3167155, 0.0, 0.0072128, 0.5099381, 1.7525686])
    assert torch.allclose(features[0, :6], expected, rtol=0, atol=2e-5)
    assert features.mean().item() == pytest.approx(0.3042337, abs=1e-6)


def test_taps_are_the_means_at_four_depths(inception) -> None:
    taps = inception.taps(waves())
    assert isinstance(taps, Iterator)
    shapes = [tuple(features.shape) for features in taps]
    assert shapes == [(1, 64), (1, 192), (1, 768), (1, 2048)]


def test_an_image_does_not_depend_on_its_batch(inception) -> None:
    x = torch.cat([waves(), waves().flip(2), torch.full((1, 3, 299, 299), 200.0)])
    together = inception(x)
    for index in range(len(x)):
        assert torch.allclose(inception(x[index : index + 1])[0], together[index], rtol=0, atol=2e-5)


def test_is_frozen_and_leaves_its_input_alone(inception) -> None:
    x = waves()
    inception(x)
    assert torch.equal(x, waves())
    assert not list(inception.parameters())
    assert not any(buffer.requires_grad for buffer in inception.buffers())
