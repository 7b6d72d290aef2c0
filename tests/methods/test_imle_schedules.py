"""When each training image is given a new latent: the schedules of the IMLE family, step by step."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from common.console import UserError
from methods.adaptive_imle import AdaptiveIMLE
from methods.api import Latents, Streams
from methods.imle.family import IMLE
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


def build(method: type[IMLE], n: int = 4, side: int = 8, **changes: Any) -> IMLE:
    torch.manual_seed(0)
    images = torch.rand(n, 3, side, side, generator=torch.Generator().manual_seed(1)) * 2 - 1
    config = method.Config(**{**TINY, **changes})
    return method(config, side, 3, images, Streams(0, "toy", method.name, "full"))


def trace(method: type[IMLE], **changes: Any) -> IMLE:
    """A method whose distances are dictated (`now`), whose steps do nothing, and which notes what it is asked."""

    class Traced(method):
        def distances(self, points: Tensor) -> Tensor:
            self.measured.append(points.tolist())
            return self.now[points]

        def search(self, points: Tensor) -> Tensor:
            self.pools += 1
            self.searches.append(points.tolist())
            return points

        def assign(self, points: Tensor, candidates: Tensor) -> None:
            assert torch.equal(points, candidates)
            self.reassigned += len(points)
            self.assignments.append((self.pools - 1, points.tolist()))

        def descend(self, step: int, batch: Tensor) -> float:
            return 0.0

        def minibatch(self, step: int, size: int) -> Tensor:
            return self.everyone.split(size)[step % -(-len(self.images) // size)]

    traced = build(Traced, **changes)
    traced.now = torch.ones(len(traced.images))
    traced.measured, traced.searches, traced.assignments = [], [], []
    return traced


def forget(traced: IMLE) -> None:
    for notes in (traced.measured, traced.searches, traced.assignments):
        notes.clear()


def tau(method: AdaptiveIMLE) -> list[float]:
    return [round(value, 4) for value in method.tau.tolist()]


# Algorithm 1 --------------------------------------------------------------------------------------------------------


def test_algorithm_1_step_by_step():
    method = trace(AdaptiveIMLE, schedule="paper", delta=0.5)
    method.now = torch.tensor([1.0, 2.0, 4.0, 8.0])

    # Lines 2 to 4: a first search for all; thresholds are its distances.  Line 10: 1 <= 0.5 * 1 is false.
    scalars = method.train_step(0)
    assert method.assignments == [(0, [0, 1, 2, 3])]
    assert method.measured == [[0, 1, 2, 3], [0, 1]]
    assert tau(method) == [1, 2, 4, 8]
    assert scalars["reassigned"] == 4
    assert scalars["mean_tau"] == 15 / 4

    # Images 0 and 3 have come near enough, but only the mini-batch {2, 3} is looked at: nothing is drawn for 0.
    forget(method)
    method.now = torch.tensor([0.4, 2.0, 4.0, 4.0])
    assert method.train_step(1)["reassigned"] == 1
    assert method.searches == [[3]]  # equality is near enough
    assert method.assignments == [(1, [3])]
    assert tau(method) == [1, 2, 4, 4]

    # Now the mini-batch {0, 1}.  The threshold shrinks by delta, not to what was reached (0.4).
    forget(method)
    method.train_step(2)
    assert method.assignments == [(2, [0])]
    assert tau(method) == [0.5, 2, 4, 4]

    # Mini-batch {2, 3}: nobody is due, so nothing is drawn.
    forget(method)
    assert method.train_step(3)["reassigned"] == 0
    assert method.searches == []
    assert method.pools == 3


# The official schedule ------------------------------------------------------------------------------------------------


def epoch(method: IMLE, number: int) -> dict[str, float]:
    """Both steps of an epoch of four images; returns the scalars of the first, where the schedule acts."""
    forget(method)
    scalars = method.train_step(2 * number)
    assert method.train_step(2 * number + 1)["reassigned"] == 0
    return scalars


def test_official_schedule_epoch_by_epoch():
    method = trace(AdaptiveIMLE, schedule="official", delta=0.5, staleness=2, force_resample=4)
    method.now = torch.tensor([1.0, 2.0, 4.0, 8.0])

    # The first search serves everyone; thresholds are delta times its distances.
    assert epoch(method, 0)["reassigned"] == 4
    assert method.assignments == [(0, [0, 1, 2, 3])]
    assert tau(method) == [0.5, 1, 2, 4]

    # Age 1 is below the staleness: not even measured, however near.
    method.now = torch.tensor([0.4, 2.0, 4.0, 8.0])
    assert epoch(method, 1)["reassigned"] == 0
    assert method.measured == []
    assert method.age.tolist() == [1, 1, 1, 1]

    # Age 2: image 0 is below its threshold.  It has used pool 0, so pool 1 is drawn, and searched for all.
    assert epoch(method, 2)["reassigned"] == 1
    assert method.searches == [[0, 1, 2, 3]]
    assert method.assignments == [(1, [0])]
    assert tau(method) == [0.2, 1, 2, 4]  # delta times the distance reached, 0.4
    assert method.age.tolist() == [0, 2, 2, 2]
    assert method.taken.tolist() == [True, False, False, False]

    # Image 1 takes from pool 1 an epoch later: nothing is drawn.  Image 0 is near but too young.
    method.now = torch.tensor([0.1, 0.9, 4.0, 8.0])
    assert epoch(method, 3)["reassigned"] == 1
    assert method.searches == []
    assert method.assignments == [(1, [1])]
    assert tau(method) == [0.2, 0.45, 2, 4]
    assert method.age.tolist() == [1, 0, 3, 3]

    # Age 4 forces images 2 and 3, far from their thresholds; these may rise.  Image 0 would take from pool 1 twice: so
    # pool 2 is drawn for all three.
    method.now = torch.tensor([0.1, 0.1, 6.0, 8.0])
    assert epoch(method, 4)["reassigned"] == 3
    assert method.assignments == [(2, [0, 2, 3])]
    assert tau(method) == [0.05, 0.45, 3, 4]
    assert method.age.tolist() == [0, 1, 0, 0]
    assert method.taken.tolist() == [True, False, True, True]

    # A distance equal to the threshold is not below it.
    method.now = torch.tensor([1.0, 0.45, 6.0, 8.0])
    assert epoch(method, 5)["reassigned"] == 0
    assert method.measured == [[1]]
    assert method.pools == 3


def test_age_may_force_before_the_staleness_is_reached():
    method = trace(AdaptiveIMLE, schedule="official", staleness=5, force_resample=2)
    reassigned = [epoch(method, number)["reassigned"] for number in range(5)]
    assert reassigned == [4, 0, 4, 0, 4]


# Vanilla IMLE ---------------------------------------------------------------------------------------------------------


def test_vanilla_reassigns_everyone_every_k_epochs_from_a_fresh_pool():
    method = trace(VanillaIMLE, reassign_every=3)
    reassigned = [epoch(method, number)["reassigned"] for number in range(7)]
    assert reassigned == [4, 0, 0, 4, 0, 0, 4]
    assert method.pools == 3
    assert method.measured == []


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


@pytest.mark.parametrize("perturbation", [0.0, 0.001])
def test_assigned_latents_are_the_nearest_of_the_pool(perturbation):
    method = flat(AdaptiveIMLE, schedule="paper", latent_perturbation=perturbation, pool_factor=20.0)
    method.initialise()

    pool = Latents.cat(list(method.pool.batches(0, batch=80)))
    distances = (method.images[:, None, :, 0, 0] - pool.z[None, :, :3]).square().mean(2)
    nearest = distances.argmin(1)
    shift = method.assigned.z - pool.z[nearest]
    assert len(pool) == 80
    assert torch.equal(method.assigned.noise["4"], pool.noise["4"][nearest])  # noise maps are not perturbed
    assert shift.std() == pytest.approx(perturbation, rel=0.5)
    colours = (method.images[:, :, 0, 0] - method.assigned.z[:, :3]).square().mean(1)
    assert torch.allclose(method.tau, colours, atol=1e-5)


def test_no_image_is_generated_for_a_pool_that_nobody_needs():
    """Between reassignments the generator runs for the mini-batches alone (here: with gradients)."""
    method = flat(VanillaIMLE, reassign_every=2)
    method.initialise()
    assert method.decoder.made == method.pool.size == 12
    method.before_epoch(1)
    assert method.decoder.made == 12
    method.before_epoch(2)
    assert method.decoder.made == 24


def test_with_everything_renewed_the_lazy_search_is_the_search_by_sketches():
    """And so, here, the exact one: the sketch is longer than the embedding."""
    exact, lazy = (
        flat(VanillaIMLE, pool_factor=20.0, search=search, lazy_renewed=20, sketch_dim=999, latent_perturbation=0.0)
        for search in ("exact", "lazy")
    )
    for method in (exact, lazy):
        method.initialise()
    assert torch.equal(exact.assigned.z, lazy.assigned.z)


@pytest.mark.parametrize("search", ["sketch", "lazy"])
def test_a_search_by_sketches_needs_no_cache_of_embeddings(search):
    found = []
    for gib in (0.0, 4.0):
        method = build(VanillaIMLE, search=search, sketch_dim=99, target_cache_gib=gib)
        method.initialise()
        found.append(method.assigned.z)
    assert torch.equal(*found)


def test_the_lazy_search_generates_what_it_renews_and_its_shortlist():
    method = flat(VanillaIMLE, pool_factor=20.0, search="lazy", lazy_renewed=3, lazy_shortlist=2)
    method.initialise()
    assert 80 + 2 <= method.generated == method.decoder.made <= 80 + 4 * 2
    before = method.generated
    method.search(torch.tensor([1, 2]))
    assert 6 + 2 <= method.generated - before <= 6 + 4


def test_the_lazy_search_compares_the_generator_of_now_not_what_it_remembers():
    """The generator moves: what was far from the image when it was looked at is near it, and the other way round."""
    method = flat(VanillaIMLE, n=1, pool_factor=40.0, search="lazy", lazy_renewed=0, lazy_shortlist=40, sketch_dim=999)
    method.initialise()
    move = 0.5 - 2 * method.images[0, :, 0, 0]
    plain = method.decoder.forward
    method.decoder.forward = lambda z, noise: plain(z, noise) + move[:, None, None]
    chosen = method.search(method.everyone)
    left = torch.cat([method.lazy.serial[method.lazy.serial >= 0], chosen])
    colours = method.pool.candidates(0, left.tolist()).z[:, :3] + move
    best = (colours - method.images[0, :, 0, 0]).square().sum(1).argmin()
    assert chosen.tolist() == [left[best]]


def test_distances_of_the_last_steps_may_serve_for_the_threshold():
    """In the paper's schedule they are those of this very mini-batch, as they were before the update."""
    method = build(AdaptiveIMLE, schedule="paper", measure="in_step", learning_rate=0.0)
    method.initialise()
    batch = torch.tensor([2, 0])
    method.descend(0, batch)
    assert torch.allclose(method.reached(batch), method.distances(batch), atol=1e-6)
    assert torch.equal(method.reached(torch.tensor([1])), torch.zeros(1)), "not trained on yet"


def test_a_policy_may_forbid_candidates():
    class FarOnly(VanillaIMLE):
        def screen(self, distances: Tensor) -> Tensor:
            return distances.masked_fill((distances < 1.0).any(dim=0), torch.inf)

    method = flat(FarOnly, pool_factor=20.0)
    method.initialise()
    assert method.distances(method.everyone).min() > 0.99
    plain = flat(VanillaIMLE, pool_factor=20.0)
    plain.initialise()
    assert plain.distances(plain.everyone).max() < 0.99


# The whole method -----------------------------------------------------------------------------------------------------

VARIANTS = [
    (AdaptiveIMLE, {"schedule": "paper", "delta": 0.99, "optimizer": "adam"}),
    (AdaptiveIMLE, {"schedule": "official", "staleness": 1, "force_resample": 3, "sample_from": "ema"}),
    (AdaptiveIMLE, {"schedule": "official", "staleness": 1, "search": "lazy", "sketch_dim": 31, "measure": "in_step"}),
    (VanillaIMLE, {"reassign_every": 2}),
    (VanillaIMLE, {"reassign_every": 1, "search": "lazy", "sketch_dim": 31}),
]


@pytest.mark.parametrize(("method", "changes"), VARIANTS)
def test_resumed_run_continues_to_the_same_bits(method, changes):
    """Saved in the middle of an epoch and loaded into a fresh method: losses, assignments and weights are identical."""
    original = build(method, n=5, **changes)
    for step in range(7):
        original.train_step(step)
    resumed = build(method, n=5, **changes)
    resumed.load_state_dict(copy.deepcopy(original.state_dict()))
    tail = [[run.train_step(step) for step in range(7, 25)] for run in (original, resumed)]

    assert tail[0] == tail[1]
    assert sum(scalars["reassigned"] for scalars in tail[0]) > 0
    assert torch.equal(original.assigned.z, resumed.assigned.z)
    for ours, theirs in zip(original.sampler().parameters(), resumed.sampler().parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_loss_goes_down_on_eight_images(lpips_weights):
    """The real distance, LPIPS + 0.1 MSE, falls by 30 % within 60 steps, in either search."""
    for search in ("exact", "projected"):
        lpips = {
            "lpips_weight": 1.0,
            "mse_weight": 0.1,
            "perceptual": "alex",
            "perceptual_upsample": 2,
            "search": search,
        }
        size = {"blocks": "4m1,8m4,16m8,32m16", "width": 16, "latent_dim": 16, "pool_batch": 16, "batch": 8}
        method = build(
            VanillaIMLE, n=8, side=32, **lpips, **size | {"learning_rate": 5e-3, "warmup_steps": 5, "proj_dim": 100}
        )
        method.images[:] = method.images[:, :, ::16, ::16].repeat_interleave(16, 2).repeat_interleave(16, 3)
        losses = [method.train_step(step)["loss"] for step in range(60)]
        assert sum(losses[-5:]) < 0.7 * sum(losses[:5]), search


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


def test_learning_rate_rises_linearly_to_its_value():
    method = build(VanillaIMLE, learning_rate=1.0e-3, warmup_steps=4)
    rates = []
    for step in range(6):
        method.train_step(step)
        rates.append(method.optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([2.5e-4, 5e-4, 7.5e-4, 1e-3, 1e-3, 1e-3])


def test_blocks_must_end_at_the_resolution_of_the_images():
    with pytest.raises(UserError, match="`blocks` ends at resolution 8, but the images have 16"):
        build(VanillaIMLE, side=16)
