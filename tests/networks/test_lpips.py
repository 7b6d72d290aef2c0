"""LPIPS gives the reference implementation's numbers, the published ones, and gradients that can be used."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from benchmarks.cases import package_lpips
from common.console import UserError
from networks.lpips import LPIPS
from networks.weights import fetch

NETS = ["alex", "vgg"]


@pytest.fixture(scope="module")
def lpips() -> dict[str, LPIPS]:
    for net in NETS:
        fetch(f"lpips_{net}")
    return {net: LPIPS(net) for net in NETS}


def images(n: int, height: int = 64, width: int = 64, seed: int = 0) -> Tensor:
    return torch.rand(n, 3, height, width, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def waves(side: int = 64) -> tuple[Tensor, Tensor]:
    """Two images given by a formula: row y, column x, channel c = 1, 2, 3."""
    x = torch.arange(side, dtype=torch.float64)
    y, c = x[:, None], torch.arange(1.0, 4.0, dtype=torch.float64)[:, None, None]
    one, other = torch.sin(c * y / 5 + x / 7), torch.cos(c * x / 6 - y / 9)
    return one[None].float(), other[None].float()


@pytest.mark.parametrize("net", NETS)
def test_equals_the_lpips_package(lpips, net: str) -> None:
    """Values and gradients within 1e-5 of the largest, also on images that are not square; and so do embeddings."""
    ours, theirs = lpips[net], package_lpips(lpips[net])
    for height, width in [(64, 64), (32, 57)] if net == "alex" else [(32, 47)]:
        y = images(2, height, width, seed=1)
        results = []
        for distance in (ours, theirs, lambda x, y: (ours.embed(x) - ours.embed(y)).square().sum(1)):
            x = images(2, height, width).requires_grad_()
            value = distance(x, y).flatten()
            value.sum().backward()
            results.append((value.detach(), x.grad))
        for got, expected, embedded in zip(*results, strict=True):
            tolerance = 1e-5 * expected.abs().max().item()
            assert torch.allclose(got, expected, rtol=0, atol=tolerance)
            assert torch.allclose(embedded, expected, rtol=0, atol=tolerance)


def test_published_value_vgg(lpips) -> None:
    """torchmetrics 1.0, example of learned_perceptual_image_patch_similarity: tensor(0.3485)."""
    torch.manual_seed(123)
    x, y = (torch.rand(10, 3, 100, 100) * 2 - 1 for _ in range(2))
    with torch.no_grad():
        assert lpips["vgg"](x, y).mean().item() == pytest.approx(0.3485, abs=5e-5)


@pytest.mark.parametrize(("net", "expected"), [("alex", 0.315175), ("vgg", 0.655258)])
def test_pinned_value(lpips, net: str, expected: float) -> None:
    """Computed once with lpips 0.1.4; catches other weights under the same name (tolerance 5e-6)."""
    assert lpips[net](*waves()).item() == pytest.approx(expected, abs=5e-6)


def test_gradient_is_finite_where_it_could_divide_by_zero() -> None:
    """Of identical images it is zero; a feature map that is zero everywhere has no direction."""
    fetch("lpips_alex")
    lpips = LPIPS("alex")
    x = images(2).requires_grad_()
    lpips(x, x.detach()).sum().backward()
    assert torch.equal(x.grad, torch.zeros_like(x))
    lpips.conv4_bias.fill_(-1e9)  # the last ReLU lets nothing through
    lpips(x, images(2, seed=1)).sum().backward()
    assert x.grad.isfinite().all()
    assert x.grad.abs().max() > 0


@pytest.mark.parametrize(("net", "smallest"), [("alex", 31), ("vgg", 16)])
def test_too_small_images_are_refused(lpips, net: str, smallest: int) -> None:
    assert lpips[net].embed(images(1, smallest, smallest)).isfinite().all()
    with pytest.raises(UserError, match=f"'{net}' needs images of at least {smallest} pixels"):
        lpips[net].embed(images(1, smallest + 5, smallest - 1))
