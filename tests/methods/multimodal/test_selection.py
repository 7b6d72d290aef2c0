"""Conditional IMLE's choice of codes: each input's own pool, by the distance that is trained."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from methods.api import Latents
from methods.cond_imle import ConditionalIMLE
from tests.contract.test_contract import N, make

pytestmark = pytest.mark.usefixtures("lpips_weights")


def imle(**changes: Any) -> ConditionalIMLE:
    method = make("cond_imle", **{"network": "srim", "m": 4, "pool_batch": 6, "loss_levels": "all", **changes})
    assert isinstance(method, ConditionalIMLE)
    return method


def distances(method: ConditionalIMLE, place: int, candidates: Latents) -> torch.Tensor:
    """What training at this place would minimise, of each candidate."""
    index = method.members[place]
    conditions = method.conditions[index].expand(len(candidates), -1, -1, -1)
    with torch.no_grad():
        return method.distances(method.draw(candidates, conditions), index.expand(len(candidates)))


def test_the_selected_code_is_the_argmin_of_the_distance_that_is_trained() -> None:
    method = imle(select="joint")
    method.begin(0)
    for place in range(N):
        candidates = method.candidates(0, place, 0, 4)
        best = distances(method, place, candidates).argmin()
        assert torch.equal(method.assigned.z[place], candidates.z[best])
        for name, maps in candidates.noise.items():
            assert torch.equal(method.assigned.noise[name][place], maps[best])


def test_every_input_round_and_search_has_candidates_of_its_own() -> None:
    method = imle()
    pools = [method.candidates(*which, 4).z for which in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1))]
    assert len(torch.cat(pools).unique(dim=0)) == 16


def test_a_sample_of_an_input_is_never_compared_with_another_target() -> None:
    """Exchanging all other targets, and conditions, changes no choice; exchanging its own does."""
    method = imle(select="joint", m=20)
    method.begin(0)
    chosen = method.assigned.z.clone()
    other = imle(select="joint", m=20)
    order = [0, *reversed(range(1, N))]
    other.conditions = method.conditions[order]
    other.goals = [
        type(goal)(method.images[order], goal.targets.images.shape[-1], method.config) for goal in other.goals
    ]
    other.begin(0)
    assert torch.equal(other.assigned.z[0], chosen[0])
    assert not torch.equal(other.assigned.z, chosen)


def test_level_by_level_each_code_is_the_argmin_at_its_own_level_given_those_before() -> None:
    method = imle(select="hierarchical", m=(5, 4, 3))
    method.begin(0)
    assert method.generated == 12 * N
    for place in (0, N - 1):
        chosen, z = method.assigned[[place]], []
        for level, m in enumerate((5, 4, 3)):
            candidates = method.candidates(0, place, level, m)
            width = method.config.global_code
            own = candidates.z[:, level * width : (level + 1) * width]
            codes = Latents(
                torch.cat([chosen.z[:, : level * width].expand(m, -1), own, candidates.z[:, (level + 1) * width :]], 1),
                {
                    name: chosen.noise[name].expand(m, -1, -1, -1) if int(name) < level else maps
                    for name, maps in candidates.noise.items()
                },
            )
            with torch.no_grad():
                images = method.draw(codes, method.conditions[[place]].expand(m, -1, -1, -1), level + 1)[-1]
                best = method.goals[level].distances(images, torch.full((m,), place)).argmin()
            z.append(own[best])
            assert torch.equal(chosen.noise[str(level)][0], candidates.noise[str(level)][best])
        assert torch.equal(chosen.z[0], torch.cat(z))


def test_the_choice_does_not_depend_on_how_many_images_are_generated_at_once() -> None:
    chosen = []
    for pool_batch in (3, 50):
        method = imle(select="hierarchical", pool_batch=pool_batch)
        method.begin(0)
        chosen.append(method.assigned.z)
    assert torch.equal(*chosen)


def test_rounds_of_some_inputs_go_through_all_of_them() -> None:
    method = imle(inputs=5, reassign_every=2, batch=2)
    seen = []
    for number in range(12):
        method.begin(number)
        seen += method.members.tolist()
    assert sorted(seen) == sorted(list(range(N)) * 5)
    trained = torch.cat([method.minibatch_of_round(step) for step in range(3)])
    assert sorted(trained.tolist()) == list(range(5)), "an epoch of a round"


def test_the_noise_encoder_is_initialised_again_once() -> None:
    method = imle(network="crn", encoder_width=4, reset_encoder=2, reassign_every=1, batch=6)
    encoder = method.generator.encoder
    first = encoder.layers[0].weight
    moves = []
    for step in range(8):  # two steps a round
        before = first.detach().clone()
        method.train_step(step)
        moves.append((first - before).abs().max().item() > 0.05)
    assert moves == [False] * 4 + [True] + [False] * 3
    assert first.device == method.device and len(method.optimizer.state) > 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"m": (3, 3), "select": "hierarchical"}, "`m` must be one number, or 3 with `select: hierarchical`"),
        ({"m": 0}, "each at least 1"),
        ({"rebalance": "loss"}, "`rebalance` needs the classes of a layout"),
        ({"level": "stack"}, "`level: stack` enlarges 2x and has no global code"),
        ({"levels": 2}, "`levels: 2` cannot enlarge 8 times; set 0"),
    ],
)
def test_settings_that_do_not_fit_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(Exception, match=message):
        imle(**changes)
