"""The training step of the IMLE family beside its description: where noise enters, what the loss and the search see."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from methods.adaptive_imle import AdaptiveIMLE
from methods.api import Latents, Streams
from methods.imle.family import IMLE
from methods.imle.search import Projection, nearest
from methods.vanilla_imle import VanillaIMLE
from networks.vdvae_decoder import VDVAEDecoder

TINY = {"blocks": "1x1,4m1", "width": 6, "latent_dim": 5, "mapping_depth": 2, "pool_factor": 4.0}
PIXELS = {"lpips_weight": 0.0, "mse_weight": 1.0, "search": "exact"}


def build(method: type[IMLE], n: int = 4, side: int = 4, **changes: Any) -> IMLE:
    torch.manual_seed(0)
    images = torch.rand(n, 3, side, side) * 2 - 1
    config = method.Config(**{**TINY, **changes})
    return method(config, side, 3, images, Streams(0, "toy", method.name, "full"))


# Noise ----------------------------------------------------------------------------------------------------------------


def test_each_block_adds_its_own_gains_times_the_one_map_of_its_resolution():
    """After the upsampling and before the normalisation; a gain for each channel, a single-channel map."""
    torch.manual_seed(0)
    decoder = VDVAEDecoder("1x2,4m1,4x2,8m4", width=6, latent_dim=5, mapping_depth=2)
    noise = {str(side): torch.randn(3, 1, side, side) for side in (1, 4, 8)}
    seen: list[tuple[Tensor, Tensor]] = []
    for block in decoder.blocks:
        block.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
        block.norm.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    decoder(torch.randn(3, 5), noise)

    sides = [1, 1, 4, 4, 4, 8]
    for block, side, before, modulated in zip(decoder.blocks, sides, seen[::2], seen[1::2], strict=True):
        factor = side // before.shape[-1]
        enlarged = before.repeat_interleave(factor, 2).repeat_interleave(factor, 3)
        assert block.noise_gain.shape == (1, 6, 1, 1)
        assert torch.allclose(modulated, enlarged + block.noise_gain * noise[str(side)], atol=1e-6)
    assert len({tuple(block.noise_gain.flatten().tolist()) for block in decoder.blocks}) == len(sides)


@torch.no_grad()
def test_instance_normalisation_is_skipped_at_a_single_pixel():
    torch.manual_seed(0)
    decoder = VDVAEDecoder("1x1,4m1", width=6, latent_dim=5, mapping_depth=2)
    for block, side in zip(decoder.blocks, (1, 4), strict=True):
        block.norm.style.weight.zero_()  # scales 1, shifts 0
        x = torch.randn(2, 6, side, side) * 3 + 1
        result = block.norm(x, torch.randn(2, 5))
        expected = x if side == 1 else (x - x.mean((2, 3), keepdim=True)) / x.std((2, 3), correction=0, keepdim=True)
        assert torch.allclose(result, expected, atol=1e-4)


def test_latents_are_standard_normal_codes_and_one_standard_normal_map_per_resolution():
    latents = build(VanillaIMLE, **PIXELS).latents(3000, torch.Generator().manual_seed(0))
    assert {name: tuple(maps.shape[1:]) for name, maps in latents.noise.items()} == {"1": (1, 1, 1), "4": (1, 4, 4)}
    for values in (latents.z, *latents.noise.values()):
        assert abs(values.mean()) < 0.1 and values.std() == pytest.approx(1, abs=0.07)
    assert not torch.allclose(latents.noise["1"].flatten(), latents.noise["4"][:, 0, 0, 0])


def test_training_sees_the_stored_maps_and_evaluation_those_of_its_latents():
    """In training no map is drawn anew: image i keeps those of its candidate until it is reassigned."""
    method = build(VanillaIMLE, **PIXELS, reassign_every=3, batch=4)
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
    method = build(VanillaIMLE, n=400, **PIXELS, pool_factor=0.25)
    shifts = []
    for number in range(2):
        candidates = method.search(method.everyone)
        method.assign(method.everyone, candidates)
        chosen = method.pool.candidates(number, candidates.tolist())
        shifts.append(method.assigned.z - chosen.z)
        assert all(torch.equal(method.assigned.noise[name], maps) for name, maps in chosen.noise.items())
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
    method = build(AdaptiveIMLE, n=2, batch=2, perceptual_upsample=4, warmup_steps=1)  # weights by default
    method.images[:] = torch.tensor([0.5, -0.1]).view(2, 1, 1, 1)
    method.distance.perceptual = FirstPixel()
    method.decoder = Grey(0.1)
    method.optimizer = torch.optim.SGD(method.decoder.parameters(), lr=1.0)
    assert method.distances(method.everyone).tolist() == pytest.approx([0.176, 0.044], abs=1e-6)
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
        method = build(VanillaIMLE, n=1, perceptual_upsample=4, search=search)
        method.images.zero_()
        method.distance.perceptual = FirstPixel()
        method.distance.enlarge = lambda images: images
        found[search] = nearest(method.points.cached, [method.points.embed(candidates)]).item()
    assert found == {"exact": 0, "projected": 1}


def test_projected_search_does_not_divide_by_the_number_of_positions():
    """A candidate off by 1 at all 16 positions of an early layer, one off by 3 at the only position of a late one.
    LPIPS: 16/16 = 1 < 9; sums of squares, as the search has it: 16 > 9.
    """

    def layers(images: Tensor) -> list[Tensor]:
        return [images[:, :1, :, :4], F.max_pool2d(images[:, 1:2], 4)]

    candidates = torch.zeros(2, 3, 4, 4)
    candidates[0, 0], candidates[1, 1] = 1.0, 3.0
    projection = Projection(layers, 8000, Streams(0, "toy", "imle", "full"))
    squares = projection(candidates).square().sum(dim=1)
    assert squares.tolist() == pytest.approx([16, 9], rel=0.15)
    assert nearest(torch.zeros(1, 8000), [projection(candidates)]).item() == 1
