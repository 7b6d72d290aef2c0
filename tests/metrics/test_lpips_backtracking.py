"""LPIPS backtracking on a generator whose best latent code is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from common.console import UserError
from methods.api import Latents, Method, Streams
from metrics.lpips_backtracking import Backtracked, Distance, backtrack
from networks.lpips import LPIPS
from training.config import load_preset, read_preset
from training.protocols import Backtracking

SIDE, WIDTH = 16, 6
PROTOCOL = Backtracking(net="vgg", steps=150, restarts=2)
ITEMS = [3, 5, 8]


class PixelDistance:
    """In place of LPIPS: its embedding is the image itself, over the root of its size."""

    def embed(self, images: Tensor) -> Tensor:
        return images.flatten(1) / images[0].numel() ** 0.5


class Toy(Method):
    """tanh(A z + noise / 10): every target made with a small z can be reached, and only by that z."""

    name = "toy"

    @dataclass(frozen=True)
    class Config:
        pass

    def __init__(self) -> None:
        super().__init__(self.Config(), SIDE, 3, torch.zeros(4, 3, SIDE, SIDE), Streams(0, "none", "toy", "train90"))
        self.matrix = torch.randn(WIDTH, 3 * SIDE * SIDE, generator=torch.Generator().manual_seed(1)) / 2

    def latents(self, n: int, generator: torch.Generator) -> Latents:
        z = torch.randn(n, WIDTH, generator=generator)
        return Latents(z, {"map": torch.randn(n, 1, SIDE, SIDE, generator=generator)})

    def generate(self, latents: Latents) -> Tensor:
        return torch.tanh((latents.z @ self.matrix).view(-1, 3, SIDE, SIDE) + latents.noise["map"] / 10)


def known(method: Method) -> tuple[Latents, Tensor]:
    """Latents without noise, and their images."""
    z = method.latents(len(ITEMS), torch.Generator().manual_seed(7)).z
    latents = Latents(z, {"map": torch.zeros(len(z), 1, SIDE, SIDE)})
    return latents, method.generate(latents)


def measure(method: Method, targets: Tensor, items: Sequence[int] = ITEMS, **changes: object) -> Backtracked:
    batch = changes.pop("batch", 32)
    return backtrack(method, targets, items, PixelDistance(), PROTOCOL.model_copy(update=changes), batch)


def test_recovers_targets_that_the_generator_can_make() -> None:
    """Down to the noise, which is fixed and not the target's: its variance bounds the score by 0.01."""
    method = Toy()
    latents, targets = known(method)
    result = measure(method, targets)
    assert result.start.min() > 0.1
    assert result.score.max() < 0.011
    torch.testing.assert_close(result.z_norm, latents.z.norm(dim=1) / WIDTH**0.5, atol=0.05, rtol=0)
    torch.testing.assert_close(result.reconstruction, targets, atol=0.5, rtol=0)


def test_a_pure_function_of_the_item_whatever_the_others_and_the_chunks() -> None:
    method = Toy()
    _, targets = known(method)
    whole = measure(method, targets, steps=20).score
    for batch in (1, 4):
        backwards = measure(method, targets.flip(0), ITEMS[::-1], steps=20, batch=batch).score
        torch.testing.assert_close(backwards.flip(0), whole, rtol=1e-4, atol=1e-6)
    alone = measure(method, targets[1:2], ITEMS[1:2], steps=20).score
    torch.testing.assert_close(alone, whole[1:2], rtol=1e-4, atol=1e-6)


def test_the_best_of_the_restarts_counts() -> None:
    """More restarts extend the same list of starting points, so no image's score gets worse, and some gets better."""
    method = Toy()
    _, targets = known(method)
    one, eight = (measure(method, targets, steps=2, restarts=restarts).score for restarts in (1, 8))
    assert (eight <= one + 1e-6).all()
    assert eight.mean() < one.mean() - 1e-3


def test_the_best_step_counts_even_when_the_optimiser_overshoots() -> None:
    """A step of 100 leaves a target that the start hits exactly: score and reconstruction are those of the start."""
    method = Toy()
    start = method.latents(1, method.streams.generator("backtracking of image 3", 0))
    target = method.generate(start)
    result = measure(method, target, [3], steps=5, restarts=1, learning_rate=100.0)
    assert result.score.item() == result.start.item() == 0
    torch.testing.assert_close(result.z_norm.item(), start.z.norm().item() / WIDTH**0.5)


def test_noise_stays_fixed_unless_the_protocol_moves_it() -> None:
    method = Toy()
    _, targets = known(method)
    seen: list[Latents] = []
    generate = method.generate
    method.generate = lambda latents: (seen.append(latents), generate(latents))[1]
    fixed = measure(method, targets, steps=30)
    drawn = Latents.cat(
        [method.latents(1, method.streams.generator(f"backtracking of image {i}", r)) for i in ITEMS for r in range(2)]
    )
    optimised = [latents for latents in seen if len(latents) == len(drawn)]
    assert len(optimised) == 31
    assert all(torch.equal(latents.noise["map"], drawn.noise["map"]) for latents in optimised)
    both = measure(method, targets, steps=30, optimise="z+noise")
    assert (both.score < fixed.score).all()


def test_nan_is_an_error_that_names_the_step() -> None:
    method = Toy()
    _, targets = known(method)
    calls = iter(range(100))
    generate = method.generate
    method.generate = lambda latents: generate(latents) * (torch.nan if next(calls) == 4 else 1)
    with pytest.raises(UserError, match=r"toy reached NaN at step 4.*learning_rate"):
        measure(method, targets)


def test_the_distance_is_lpips_of_the_enlarged_images(lpips_weights: None) -> None:
    """With the real AlexNet; the cached target features change nothing (relative 1e-4)."""
    x, y = torch.rand(2, 2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    lpips = LPIPS("alex")
    enlarged = [torch.nn.functional.interpolate(i, size=64, mode="bilinear", align_corners=False) for i in (x, y)]
    distance = Distance(lpips, Backtracking(upsample=2), y)
    torch.testing.assert_close(distance(x), lpips(*enlarged), rtol=1e-4, atol=1e-6)


def test_fastgans_script_is_a_protocol_of_its_own() -> None:
    demo = read_preset("demo").model_dump(mode="json")
    demo["metrics"]["backtracking"] = "fastgan"
    protocol = load_preset(demo).metrics.backtracking
    assert str(protocol) == "lpips-vgg-x1-s100-r1-mse0.05-p2-flip"
    demo["metrics"]["backtracking"] = "stylegan"
    with pytest.raises(UserError, match=r"metrics.backtracking: 'stylegan' is not a protocol; write `fastgan`"):
        load_preset(demo)


def test_a_pooled_protocol_cannot_see_what_pooling_removes() -> None:
    method = Toy()
    _, targets = known(method)
    checks = torch.ones(SIDE, SIDE)
    checks[::2, 1::2] = checks[1::2, ::2] = -1  # a chessboard: its 2 x 2 means are zero
    seen, unseen = (measure(method, targets + 0.3 * checks, mse_weight=0.0, upsample=2, pool=pool) for pool in (1, 2))
    assert unseen.score.max() < seen.score.min() / 5
    assert seen.pooled is not None and unseen.pooled is None


def test_mirrored_targets_change_nothing_for_symmetric_images_and_hinder_others() -> None:
    method = Toy()
    _, targets = known(method)
    symmetric = (targets + targets.flip(3)) / 2
    assert torch.equal(measure(method, symmetric, flip=True).score, measure(method, symmetric).score)
    assert (measure(method, targets, flip=True).score > 5 * measure(method, targets).score).all()
