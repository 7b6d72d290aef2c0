"""The IMLE family's distance is LPIPS + 0.1 MSE, computed through embeddings that are made once."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from common.console import UserError
from methods.imle.distance import Distance, DistanceConfig, Targets

CPU = torch.device("cpu")


def images(n: int, seed: int = 0, side: int = 32) -> torch.Tensor:
    """Smooth random images in [-1, 1]."""
    coarse = torch.randn(n, 3, 4, 4, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(coarse, size=side, mode="bilinear").clamp(-1, 1)


@pytest.mark.parametrize(("upsample", "lpips_weight", "mse_weight"), [(1, 1.0, 0.1), (2, 1.0, 0.1), (2, 0.5, 3.0)])
def test_embedding_distance_is_lpips_plus_mse(lpips_weights, upsample, lpips_weight, mse_weight):
    """|embed(x) - embed(y)|^2 equals the definition within 1e-5, and so does its gradient."""
    from networks.lpips import LPIPS

    distance = Distance(DistanceConfig("alex", upsample, lpips_weight, mse_weight), CPU)
    x, y = images(3).requires_grad_(), images(3, seed=1)
    large_x, large_y = (F.interpolate(i, scale_factor=upsample, mode="bilinear") for i in (x, y))
    expected = lpips_weight * LPIPS("alex")(large_x, large_y) + mse_weight * (x - y).square().mean((1, 2, 3))

    ours = (distance.embed(x) - distance.embed(y)).square().sum(1)

    assert expected.min() > 0.05
    assert torch.allclose(ours, expected, atol=1e-5)
    gradients = [torch.autograd.grad(value.sum(), x)[0] for value in (ours, expected)]
    assert torch.allclose(*gradients, atol=1e-5)


def test_images_too_small_for_the_network_are_refused_by_name_of_the_key():
    with pytest.raises(UserError, match="perceptual_upsample"):
        Distance(DistanceConfig("alex"), CPU).enlarge(images(1, side=16))


def test_target_embeddings_are_made_once_if_they_fit_and_anew_if_not():
    calls = []

    def embed(batch: torch.Tensor) -> torch.Tensor:
        calls.append(len(batch))
        return batch.flatten(1)

    x = images(10, side=2)
    size = 10 * 12 * 4
    kept, remade = Targets(x, embed, size, batch=4), Targets(x, embed, size - 1, batch=4)
    index = torch.tensor([3, 1])

    assert torch.equal(kept[index], x[index].flatten(1))
    assert torch.equal(kept[index + 1], x[index + 1].flatten(1))
    assert calls == [1, 4, 4, 2]  # one image for the size, then all of them once

    calls.clear()
    assert torch.equal(remade[index], x[index].flatten(1))
    assert torch.equal(remade[index + 1], x[index + 1].flatten(1))
    assert calls == [1, 2, 2]
    with pytest.raises(UserError, match="target_cache_gib"):
        _ = remade.cached
