"""Pools are pure functions of their number, and the nearest candidate is exactly the nearest."""

from __future__ import annotations

import pytest
import torch

from methods.api import Latents, Streams
from methods.imle import search
from methods.imle.pool import Pool
from methods.imle.search import nearest
from methods.imle.spaces import Projection, Sketch, UnitLength, pixels, proportional_split

STREAMS = Streams(0, "toy", "imle", "full")


def draw(n: int, generator: torch.Generator) -> Latents:
    return Latents(torch.randn(n, 5, generator=generator), {"4": torch.randn(n, 1, 4, 4, generator=generator)})


def points(n: int, dim: int = 7, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("group", [1, 300, 2**21])
@pytest.mark.parametrize("batch", [1, 7, 64, 100])
def test_search_equals_brute_force_however_the_pool_is_cut(batch, group, monkeypatch):
    """Also what remains after the last full batch, which the released code drops."""
    monkeypatch.setattr(search, "GROUP_BYTES", group)
    targets, candidates = points(20), points(64, seed=1)
    expected = (targets[:, None] - candidates[None]).square().sum(2).argmin(1)
    assert len(expected.unique()) > 5
    assert torch.equal(nearest(targets, candidates.split(batch)), expected)


def test_a_target_without_any_admitted_candidate_gets_the_nearest_of_all(capsys):
    targets, candidates = torch.tensor([[0.0], [9.0]]), torch.tensor([[0.4], [0.1], [8.0]])
    only_the_last = lambda d: torch.where(d > 7, d, torch.inf)  # noqa: E731
    assert nearest(targets[:1], candidates.split(2), lambda d: d + torch.inf).tolist() == [1]
    assert "every candidate was rejected for 1 images" in capsys.readouterr().err
    assert nearest(targets, candidates.split(2), only_the_last).tolist() == [2, 0]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("batch", [1, 3, 10])
def test_a_screen_sees_whole_chunks(batch):
    seen = []
    nearest(points(2), points(23).split(batch), lambda d: seen.append(d.shape[1]) or d, chunk=8)
    assert seen == [8, 8, 7]


def test_vectors_of_unit_length_order_candidates_as_normalised_pixels_do():
    """Johnson-Lindenstrauss: the released code's projection can stand in for the pixels themselves."""
    images = torch.rand(60, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    images[40:] = images[:20] + 0.2 * images[20:40]
    projected = UnitLength(Projection(pixels, 800, STREAMS, "pixels"))(images)
    assert torch.allclose(projected.norm(dim=1), torch.ones(60), atol=1e-5)
    exact = torch.nn.functional.normalize(images.flatten(1), dim=1)
    assert torch.equal(nearest(projected[40:], [projected[:40]]), nearest(exact[40:], [exact[:40]]))
    assert torch.equal(nearest(exact[40:], [exact[:40]]), torch.arange(20))


def test_candidates_are_a_pure_function_of_pool_number_and_index():
    pool = Pool(10, draw, STREAMS)
    whole = Latents.cat(list(pool.batches(3, batch=4)))
    some = pool.candidates(3, [7, 2])
    assert len(whole) == 10
    assert torch.equal(some.z, whole.z[[7, 2]])
    assert torch.equal(some.noise["4"], whole.noise["4"][[7, 2]])
    assert not torch.equal(pool.candidates(4, [7]).z, some.z[:1])
    assert len(whole.z.unique(dim=0)) == 10


def test_a_pool_is_drawn_one_batch_at_a_time():
    drawn = []
    pool = Pool(10, lambda n, generator: drawn.append(n) or draw(n, generator), STREAMS)
    batches = pool.batches(0, batch=4)
    assert drawn == []
    next(batches)
    assert sum(drawn) == 4


def test_projection_gives_each_layer_its_share_of_the_dimensions():
    """419, 209, 104, 52, 16 of 800 for VGG16 at 256 px: layers of 64x256^2, 128x128^2, 256x64^2, 512x32^2, 512x16^2."""
    sizes = [64 * 256**2, 128 * 128**2, 256 * 64**2, 512 * 32**2, 512 * 16**2]
    assert proportional_split(800, sizes) == [419, 209, 104, 52, 16]


def feature_maps(images: torch.Tensor) -> list[torch.Tensor]:
    return [images, images[:, :, ::2, ::2] * 2]


def test_projection_is_drawn_once_and_keeps_distances():
    images = torch.randn(6, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    projection = Projection(feature_maps, 400, STREAMS)
    projected = projection(images)
    assert projected.shape == (6, 400)
    assert [tuple(matrix.shape) for matrix in projection.matrices] == [(768, 320), (192, 80)]
    for matrix in projection.matrices:
        assert torch.allclose(matrix.norm(dim=1), torch.ones(len(matrix)), atol=1e-5)
    assert torch.equal(projection(images), projected)
    assert torch.equal(Projection(feature_maps, 400, STREAMS)(images), projected)

    features = torch.cat([layer.flatten(1) for layer in feature_maps(images)], dim=1)
    ratio = torch.pdist(projected) / torch.pdist(features)
    # A random projection to k dimensions keeps a distance within about 1/sqrt(2k), here 3.5 %: five of these.
    assert (ratio - 1).abs().max() < 0.18


def test_sketch_adds_signed_values_to_few_sums():
    values = torch.randn(5, 1000, generator=torch.Generator().manual_seed(0))
    sketch = Sketch(lambda images: [images.clone()], 63, STREAMS)
    sums = sketch(values)
    [signs] = sketch.signs
    assert set(signs.tolist()) == {-1.0, 1.0}
    assert signs.shape == (1000,)
    for bucket in (0, 54, 55, 62):  # 1000 = 15 * 63 + 55
        assert torch.allclose(sums[:, bucket], (values * signs)[:, bucket::63].sum(1), atol=1e-5)
    assert torch.equal(Sketch(lambda images: [images.clone()], 63, STREAMS)(values), sums)


def test_sketch_keeps_distances():
    values = torch.randn(40, 30_000, generator=torch.Generator().manual_seed(0))
    ratio = torch.pdist(Sketch(lambda images: [images.clone()], 2047, STREAMS)(values)) / torch.pdist(values)
    assert abs(ratio.mean() - 1) < 0.01
    assert 0.008 < ratio.std() < 0.025  # expected: (1 / 2 / 2047)^0.5 = 0.016


def test_the_sketches_of_parts_add_up_to_that_of_the_whole():
    values = points(3, dim=100)
    sketch = Sketch(lambda images: [images[:, :60].clone(), images[:, 60:].clone()], 20, STREAMS)
    whole = Sketch(lambda images: [images.clone()], 20, STREAMS)
    assert torch.allclose(sketch(values), whole(values), atol=1e-6)


def test_a_sketch_longer_than_the_embedding_keeps_every_value():
    values = points(3, dim=9)
    assert torch.allclose(
        torch.pdist(Sketch(lambda images: [images.clone()], 12, STREAMS)(values)), torch.pdist(values)
    )
