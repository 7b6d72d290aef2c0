"""The IMLE family: search and assignment, noise, loss, resuming."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from common.console import UserError
from methods.adaptive_imle import AdaptiveIMLE
from methods.api import Latents, Streams
from methods.imle.family import IMLE
from methods.imle.search import nearest
from methods.vanilla_imle import VanillaIMLE

# The smallest decoder, and the pixel distance, which needs no weights.
TINY = {
    "blocks": "4m1,8m4",
    "width": 8,
    "latent_dim": 6,
    "mapping_depth": 1,
    "lpips_weight": 0.0,
    "mse_weight": 1.0,
    "search": "exact",
    "pool_factor": 3.0,
    "pool_batch": 5,
    "batch": 2,
    "learning_rate": 1e-3,
}
FOUR = {"blocks": "1x1,4m1", "mapping_depth": 2, "pool_batch": 16}  # images of 4 px


def build(method: type[IMLE], n: int = 4, side: int = 8, **changes: Any) -> IMLE:
    torch.manual_seed(0)
    images = torch.rand(n, 3, side, side, generator=torch.Generator().manual_seed(1)) * 2 - 1
    config = method.Config(**{**TINY, **changes})
    return method(config, side, 3, images, Streams(0, "toy", method.name, "full"))


# Search and assignment with a generator that can be seen through -----------------------------------------------------


class Flat(nn.Module):
    """T(z) is an image of one colour, the first three entries of z; counts the images it makes without gradients."""

    noise_resolutions = (4,)

    def __init__(self) -> None:
        super().__init__()
        self.made = 0

    def forward(self, z: Tensor, noise: dict[str, Tensor]) -> Tensor:
        self.made += 0 if torch.is_grad_enabled() else len(z)
        return z[:, :3, None, None].expand(-1, -1, 8, 8)


def flat(method: type[IMLE], **changes: Any) -> IMLE:
    """A method on `Flat`, whose images are of one colour too, so that d(x, T(z)) = |colour - z[:3]|^2 / 3."""
    built = build(method, **changes)
    built.images[:] = built.images[:, :, :1, :1]
    built.decoder = Flat()
    return built


def test_no_image_is_generated_for_a_pool_that_nobody_needs():
    """Between reassignments the generator runs for the mini-batches alone (here: with gradients)."""
    method = flat(VanillaIMLE, reassign_every=2)
    method.initialise()
    assert method.decoder.made == method.search.pool.size == 12
    method.before_epoch(1)
    assert method.decoder.made == 12
    method.before_epoch(2)
    assert method.decoder.made == 24


def test_a_search_by_sketches_needs_no_cache_of_embeddings():
    found = []
    for gib in (0.0, 4.0):
        method = build(VanillaIMLE, search="sketch", sketch_dim=99, target_cache_gib=gib)
        method.initialise()
        found.append(method.assigned.z)
    assert torch.equal(*found)


def test_thresholds_may_use_the_distances_of_the_last_steps():
    """In the paper's schedule these are the distances of this mini-batch before the update."""
    method = build(AdaptiveIMLE, schedule="paper", measure="in_step", learning_rate=0.0)
    method.initialise()
    batch = torch.tensor([2, 0])
    method.descend(0, batch)
    assert torch.allclose(method.reached(batch), method.current_distance(batch), atol=1e-6)
    assert torch.equal(method.reached(torch.tensor([1])), torch.zeros(1)), "not trained on yet"


# Noise ----------------------------------------------------------------------------------------------------------------


def test_latents_are_standard_normal_codes_and_one_standard_normal_map_per_resolution():
    latents = build(VanillaIMLE, side=4, **FOUR).latents(3000, torch.Generator().manual_seed(0))
    assert {name: tuple(maps.shape[1:]) for name, maps in latents.noise.items()} == {"1": (1, 1, 1), "4": (1, 4, 4)}
    for values in (latents.z, *latents.noise.values()):
        assert abs(values.mean()) < 0.1 and values.std() == pytest.approx(1, abs=0.07)
    assert not torch.allclose(latents.noise["1"].flatten(), latents.noise["4"][:, 0, 0, 0])


def test_training_sees_the_stored_maps_and_evaluation_those_of_its_latents():
    """In training no map is drawn anew: image i keeps those of its candidate until it is reassigned."""
    method = build(VanillaIMLE, side=4, **FOUR, reassign_every=3, batch=4)
    seen: list[dict[str, Tensor]] = []

    def note(_: nn.Module, arguments: tuple[Tensor, dict[str, Tensor]]) -> None:
        if torch.is_grad_enabled():
            seen.append(arguments[1])

    method.decoder.register_forward_pre_hook(note)
    for step in range(4):
        method.train_step(step)
    order = [method.minibatch(step, 4).argsort() for step in range(4)]
    for name in ("1", "4"):
        first, second, third, fourth = (maps[name][index] for maps, index in zip(seen, order, strict=True))
        assert torch.equal(first, second) and torch.equal(second, third)
        assert not torch.equal(third, fourth)
        assert torch.equal(fourth, method.assigned.noise[name])

    latents = method.latents(2, torch.Generator().manual_seed(1))
    other = Latents(latents.z, method.latents(2, torch.Generator().manual_seed(2)).noise)
    with torch.no_grad():
        assert torch.equal(method.generate(latents), method.generate(latents))
        assert not torch.allclose(method.generate(latents), method.generate(other), atol=1e-3)


def test_perturbation_of_a_chosen_code_is_normal_of_a_thousandth_and_spares_the_maps():
    method = build(VanillaIMLE, n=400, side=4, **FOUR, pool_factor=0.25)
    plain = build(VanillaIMLE, n=400, side=4, **FOUR, pool_factor=0.25, latent_perturbation=0.0)
    shifts = []
    for _ in range(2):
        for each in (method, plain):
            each.reassign(each.everyone)
        shifts.append(method.assigned.z - plain.assigned.z)
        assert all(torch.equal(maps, plain.assigned.noise[name]) for name, maps in method.assigned.noise.items())
    assert [float(shift.std()) for shift in shifts] == pytest.approx([0.001, 0.001], rel=0.08)
    assert abs(torch.corrcoef(torch.stack([shift.flatten() for shift in shifts]))[0, 1]) < 0.1
    assert abs(shifts[0].mean()) < 1e-4


# Loss -----------------------------------------------------------------------------------------------------------------


class Grey(nn.Module):
    """T(z) = c everywhere, whatever z."""

    def __init__(self, c: float) -> None:
        super().__init__()
        self.c = nn.Parameter(torch.tensor(c))

    def forward(self, z: Tensor, noise: dict[str, Tensor]) -> Tensor:
        return self.c.expand(len(z), 3, 4, 4)


class FirstPixel:
    """In place of LPIPS: the squared difference of one pixel."""

    def embed(self, x: Tensor) -> Tensor:
        return x[:, 0, 0, :1]

    def layers(self, x: Tensor) -> list[Tensor]:
        return [x[:, :1, :1, :1]]


def test_loss_is_the_mean_over_the_batch_of_lpips_plus_a_tenth_of_the_mean_square():
    """Sample 0.1; images 0.5 and -0.1: LPIPS and mean square are both 0.16 and 0.04.
    d = 1.1 * 0.16 = 0.176 and 1.1 * 0.04 = 0.044, as the thresholds have it; the loss is their mean, 0.11.
    Its slope in c: the mean of 1.1 * 2 * (0.1 - x), of -0.88 and 0.44: -0.22.
    """
    method = build(
        AdaptiveIMLE,
        n=2,
        side=4,
        **FOUR,
        batch=2,
        perceptual_upsample=4,
        warmup_steps=0,
        lpips_weight=1.0,
        mse_weight=0.1,
    )
    method.images[:] = torch.tensor([0.5, -0.1]).view(2, 1, 1, 1)
    method.distance.perceptual = FirstPixel()
    method.decoder = Grey(0.1)
    method.optimizer = torch.optim.SGD(method.decoder.parameters(), lr=1.0)
    assert method.current_distance(method.everyone).tolist() == pytest.approx([0.176, 0.044], abs=1e-6)
    assert method.descend(0, torch.tensor([1, 0])) == pytest.approx(0.11, abs=1e-6)
    assert method.optimizer.param_groups[0]["lr"] == method.config.learning_rate
    assert method.decoder.c.grad.item() == pytest.approx(-0.22, abs=1e-6)
    assert method.decoder.c.item() == pytest.approx(0.1 + 0.22 * method.config.learning_rate, abs=1e-7)


# Search ---------------------------------------------------------------------------------------------------------------


def test_projected_search_has_no_pixel_term():
    """Against image 0 candidate 0 is nearest by pixels, with the first pixel off by 0.5; candidate 1 has that pixel
    right and all others off by 1.9.  d: 0.25 + 0.1 * 0.25 / 16 = 0.25; 0.1 * 15/16 * 1.9^2 = 0.34.
    """
    candidates = torch.zeros(2, 3, 4, 4)
    candidates[0, :, 0, 0], candidates[1] = 0.5, 1.9
    candidates[1, :, 0, 0] = 0.0
    found = {}
    for search in ("exact", "projected"):
        method = build(
            VanillaIMLE, n=1, side=4, **FOUR, perceptual_upsample=4, search=search, lpips_weight=1.0, mse_weight=0.1
        )
        method.images.zero_()
        method.distance.perceptual = FirstPixel()
        method.distance.enlarge = lambda images: images
        found[search] = nearest(method.search.targets.cached, [method.search.targets.embed(candidates)]).item()
    assert found == {"exact": 0, "projected": 1}


# The whole method -----------------------------------------------------------------------------------------------------


def test_averaged_weights_are_sampled_if_asked_for():
    method = build(AdaptiveIMLE, sample_from="ema", ema_decay=0.9, learning_rate=0.01)
    latents = method.latents(2, torch.Generator().manual_seed(0))
    for step in range(4):
        method.train_step(step)
    with torch.no_grad():
        raw, averaged = method.decoder(latents.z, latents.noise), method.generate(latents)
    assert method.sampler() is not method.decoder
    assert not torch.allclose(raw, averaged)
    assert build(AdaptiveIMLE).sampler().__class__ is method.decoder.__class__


def test_blocks_must_end_at_the_resolution_of_the_images():
    with pytest.raises(UserError, match="`blocks` ends at resolution 8, but the images have 16"):
        build(VanillaIMLE, side=16)
