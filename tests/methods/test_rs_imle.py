"""RS-IMLE: rejection, its guard, and equality with vanilla IMLE where nothing is rejected."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from methods.api import Streams
from methods.imle.family import IMLE
from methods.imle.search import nearest
from methods.rs_imle import RSIMLE
from methods.vanilla_imle import VanillaIMLE
from networks.vdvae_decoder import VDVAEDecoder

TINY: dict[str, Any] = {
    "blocks": "1x1,4m1,8m4",
    "width": 8,
    "latent_dim": 6,
    "mapping_depth": 1,
    "lpips_weight": 0.0,
    "mse_weight": 1.0,
    "proj_dim": 40,
    "pool_size": 48,
    "pool_batch": 5,
    "batch": 2,
}
AS_RS: dict[str, Any] = {
    "search": "l2",
    "spatial_noise": False,
    "norm_eps": 1e-2,
    "shuffle": False,
    "reassign_every": 1,
    "learning_rate": 2e-4,
    "warmup_steps": 10,
}


def build(method: type[IMLE], **changes: Any) -> IMLE:
    torch.manual_seed(0)
    images = torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(1)) * 2 - 1
    return method(method.Config(**{**TINY, **changes}), 8, 3, images, Streams(0, "toy", "any", "full"))


def test_the_published_size() -> None:
    """The generator of Adaptive IMLE without the gains of its noise maps, one value per channel and block."""
    config = RSIMLE.Config()
    with torch.device("meta"):
        decoder = VDVAEDecoder(spatial_noise=config.spatial_noise, norm_eps=config.norm_eps)
    assert sum(p.numel() for p in decoder.parameters()) == 36_578_185
    assert (config.pool_factor, config.reassign_every, config.latent_dim) == (20, 30, 1024)


def test_without_rejection_it_is_vanilla_imle_in_the_same_space() -> None:
    ours, vanilla = build(RSIMLE, epsilon=0.0, chunk=16, reassign_every=1), build(VanillaIMLE, **AS_RS)
    for step in range(7):  # three steps an epoch
        left, right = ours.train_step(step), vanilla.train_step(step)
        assert left.pop("rejected_share") == 0
        assert left == right
    assert torch.equal(ours.assigned.z, vanilla.assigned.z)
    for (name, value), other in zip(ours.decoder.named_parameters(), vanilla.decoder.parameters(), strict=True):
        assert torch.equal(value, other), name


def test_an_epsilon_above_every_distance_falls_back_to_all_candidates(capsys: pytest.CaptureFixture[str]) -> None:
    far = build(RSIMLE, epsilon=2.1, chunk=16, reject_nearest=None)
    far.train_step(0)
    assert "every candidate was rejected for 6 images" in capsys.readouterr().err
    assert far.scalars()["rejected_share"] == 1
    assert torch.equal(far.assigned.z, _after_one_step(build(RSIMLE, epsilon=0.0, chunk=16)))


def _after_one_step(method: IMLE) -> torch.Tensor:
    method.train_step(0)
    return method.assigned.z


def test_candidates_near_any_image_are_rejected_for_all() -> None:
    """A line of numbers: 0.05 is too near to 0, so 0 gets 0.4; the image 10 gets 9."""
    method = build(RSIMLE, epsilon=0.1)
    images, candidates = torch.tensor([[0.0], [10.0]]), torch.tensor([[0.05], [0.4], [9.0], [30.0]])
    assert candidates[nearest(images, [candidates], method.screen)].flatten().tolist() == pytest.approx([0.4, 9.0])


def test_only_the_nearest_five_of_a_chunk_are_looked_at() -> None:
    distances = torch.tensor([[0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.5]])
    limited, unlimited = build(RSIMLE), build(RSIMLE, reject_nearest=None)
    assert torch.isinf(limited.screen(distances)).tolist() == [[True] * 5 + [False] * 2]
    assert torch.isinf(unlimited.screen(distances)).tolist() == [[True] * 6 + [False]]


def test_the_pool_is_rounded_up_to_whole_chunks() -> None:
    assert build(RSIMLE, pool_size=None, pool_factor=20.0).search.pool.size == 1024
    assert build(RSIMLE, pool_size=None, pool_factor=20.0, chunk=50).search.pool.size == 150


def test_images_come_in_order_and_the_learning_rate_falls_after_4000_epochs() -> None:
    method = build(RSIMLE)
    assert torch.cat([method.minibatch(step, 2) for step in range(4)]).tolist() == [0, 1, 2, 3, 4, 5, 0, 1]
    assert method.learning_rate(100) == 2e-4
    assert method.learning_rate(3 * 4000 - 1) == 2e-4
    assert method.learning_rate(3 * 4000) == method.learning_rate(3 * 8000 - 1) == pytest.approx(5e-5)


def test_samples_depend_on_the_code_alone() -> None:
    assert build(RSIMLE).latents(2, torch.Generator().manual_seed(0)).noise == {}


@pytest.mark.parametrize("search", ["lpips", "combined"])
@pytest.mark.usefixtures("lpips_weights")
def test_the_other_search_spaces_have_vectors_of_unit_length(search: str) -> None:
    torch.manual_seed(0)
    images = torch.rand(3, 3, 32, 32) * 2 - 1
    config = RSIMLE.Config(
        **{**TINY, "blocks": "1x1,8m1,32m8", "search": search, "perceptual": "alex", "perceptual_upsample": 2}
    )
    method = RSIMLE(config, 32, 3, images, Streams(0, "toy", "any", "full"))
    lengths = method.search.targets.cached.unflatten(1, (2, 20) if search == "combined" else (1, 40)).norm(dim=2)
    assert torch.allclose(lengths, torch.ones_like(lengths), atol=1e-5)
