"""Every method on an accelerator that is not there (tests/accelerator.py): the bits of the CPU, and little traffic.

`python -m tests.contract.test_accelerator` prints the copies and reads of each method's steps.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from common.console import say
from methods.api import Latents, Method, to_float, to_uint8
from metrics import features
from metrics.lpips_backtracking import backtrack
from networks.lpips import LPIPS
from networks.weights import fetch
from tests.accelerator import pretended, register, to_device, to_host
from tests.contract.test_contract import RESOLUTION, assert_same, blobs, drawn, latents_of, make
from training.history import read_scalars
from training.protocols import Backtracking
from training.registry import methods

register()  # when tests are collected: before the first backward pass

pytestmark = pytest.mark.usefixtures("lpips_weights")

DIFFAUGMENT = ("color", "translation", "cutout")
ADAPTIVE = {"ada_every": 2, "ada_kimg": 0.05, "ada_target": -2.0}  # p rises in step 1
SEPARATE = {"joint_r1": False, "r1_every": 2, "path_weight": 2.0, "path_every": 2}  # regularisers in steps 0 and 2
# Name: method, changes of its configuration, and what the host reads in a step that reassigns no image.
CASES: dict[str, tuple[str, dict[str, Any], int]] = {
    "official, nobody due": ("adaptive_imle", {}, 0),
    "official, all due": ("adaptive_imle", {"staleness": 1, "force_resample": 1, "shuffle": False}, 0),
    "official, all far": ("adaptive_imle", {"staleness": 1, "delta": 0.1, "measure": "in_step"}, 1),
    "official, in the step": ("adaptive_imle", {"staleness": 1, "force_resample": 1, "measure": "in_step"}, 0),
    "Algorithm 1": ("adaptive_imle", {"schedule": "paper"}, 0),
    "Algorithm 1, nobody due": ("adaptive_imle", {"schedule": "paper", "delta": 0.1, "measure": "in_step"}, 1),
    "exact": ("vanilla_imle", {"sample_from": "ema"}, 0),
    "sketch": ("vanilla_imle", {"search": "sketch", "reassign_every": 1, "sample_from": "ema"}, 0),
    "projected": ("vanilla_imle", {"search": "projected"}, 0),
    "l2": ("rs_imle", {"epsilon": 1.0, "reassign_every": 1}, 0),
    "lpips": ("rs_imle", {"search": "lpips"}, 0),
    "combined": ("rs_imle", {"search": "combined", "reject_nearest": None}, 0),
    "FastGAN": ("fastgan", {"augmentation": DIFFAUGMENT}, 0),
    "MixDL": ("mixdl", {"augmentation": DIFFAUGMENT, "path_every": 2, "r1_every": 2}, 0),
    "DiffAugment": ("stylegan2", SEPARATE, 0),
    "ADA and LeCam": ("stylegan2", {"augment": "ada", "lecam": 0.1, "lecam_start": 1, **ADAPTIVE, **SEPARATE}, 1),
    "APA": ("stylegan2", {"augment": "none", "apa": True, **ADAPTIVE}, 1),
    "EDM": ("edm", {"augmentation": 0.5}, 0),
    "flow matching": ("flow_matching", {}, 0),
    "conditional": ("cond_imle", {"latent_perturbation": 0.1}, 0),
    "conditional, level by level": ("cond_imle", {"network": "srim", "select": "hierarchical", "inputs": 8}, 0),
    "conditional, noise encoder": ("cond_imle", {"encoder_width": 4}, 0),
    "regression": ("cond_regression", {"network": "srim"}, 0),
    "conditional GAN": ("cond_gan", {}, 0),
}

# Their operations are all in other cases; on a GPU (test_gpu.py), they run too.
CONTAINED = {"official, in the step", "lpips", "DiffAugment", "exact"}

# Not equal in bits on a GPU, even with training.deterministic (docs/reliability.md).
UNEQUAL = {"FastGAN", "ADA and LeCam", "conditional, level by level", "conditional, noise encoder", "regression"}

Traffic = list[tuple[int, int, bool]]  # of steps 1 and 2: copies to the device, reads, were images reassigned?


def train(case: str, device: torch.device | str, counts: Counter[str]) -> tuple[Method, list[Any], Traffic]:
    """The method after three steps; their scalars, and those and the state of the third, taken by a resumed run."""
    name, changes, _ = CASES[case]
    method, rows, traffic, state = make(name, device=device, **changes), [], [], {}
    counts.clear()
    for step in range(3):
        state = to_device(to_host(method.state_dict()), method.device)  # as `RunState.load` gives it
        counts["transfers"] = counts["reads"] = 0
        rows.append(method.train_step(step))
        traffic.append((counts["transfers"], counts["reads"], bool(rows[-1].get("reassigned"))))
    resumed = make(name, device=device, **changes)
    resumed.load_state_dict(state)
    again = resumed.train_step(2)
    return method, [*read_scalars([*rows, again]), to_host(resumed.state_dict())], traffic[1:]


def sample(method: Method) -> Tensor:
    method.freeze()
    with torch.no_grad():
        return to_uint8(drawn(method, latents_of(method, 2)))


@pytest.mark.parametrize("case", [case for case in CASES if case not in CONTAINED])
def test_training_gives_the_bits_of_the_cpu_with_little_traffic(case: str) -> None:
    """No reads but for reassignments, the checks for them, and the new p of ADA and APA in step 1."""
    on_cpu, expected, _ = train(case, "cpu", Counter())
    with pretended() as (device, counts):
        method, found, traffic = train(case, device, counts)
        state = to_host(method.state_dict())
        samples = sample(method)
    assert bool(counts["unequal"]) == (case in UNEQUAL)
    assert_same(found, expected)
    assert_same(found[3:], [found[2], state])
    assert_same(state, on_cpu.state_dict())
    assert torch.equal(samples, sample(on_cpu))
    for step, (transfers, reads, reassigned) in enumerate(traffic, start=1):
        allowed = 0 if "ada_every" in CASES[case][1] and step == 2 else CASES[case][2]
        assert reassigned or (transfers <= 2 and reads <= allowed), (step, transfers, reads)


@pytest.mark.parametrize("name", [name for name, info in methods().items() if not info.trains])
def test_controls_are_sampled(name: str) -> None:
    expected = to_uint8(make(name).generate(latents_of(make(name), 3)))
    with pretended() as (device, _):
        method = make(name, device=device)
        assert torch.equal(to_uint8(method.generate(latents_of(method, 3))), expected)


def scores(name: str, device: torch.device | str) -> list[Tensor | None]:
    method = make(name, device=device)
    method.freeze()
    targets = to_float(torch.from_numpy(blobs()[:2])).to(device)
    protocol = Backtracking(net="alex", upsample=2, flip=True, steps=2, restarts=2, optimise="z+noise")
    return list(vars(backtrack(method, targets, [0, 1], LPIPS("alex").to(device), protocol)).values())


@pytest.mark.parametrize("name", ["adaptive_imle", "stylegan2"])  # one code, and noise of every layer
def test_backtracking_finds_what_it_finds_on_the_cpu(name: str) -> None:
    expected = scores(name, "cpu")
    with pretended() as (device, _):
        found = scores(name, device)
    for left, right in zip(found, expected, strict=True):
        torch.testing.assert_close(left, right, rtol=0, atol=0)


def test_features_are_those_of_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    monkeypatch.setattr(features, "load_network", lambda _: (network, np.float32))
    expected = features.extract(blobs(), batch=5)
    with pretended() as (device, _):
        assert np.array_equal(features.extract(blobs(), batch=5, device=device), expected)


def test_mixing_devices_raises() -> None:
    with pretended() as (device, _):
        method = make("vanilla_imle", device=device)
        with pytest.raises(RuntimeError, match="expected all tensors to be on the same device"):
            method.images + torch.zeros(1, 3, RESOLUTION, RESOLUTION)
        with pytest.raises(RuntimeError, match="expected all tensors to be on the same device"):
            method.generate(Latents(torch.zeros(1, 16)))


if __name__ == "__main__":
    fetch("lpips_alex")
    with pretended() as (device, counts):
        for case in CASES:
            _, _, traffic = train(case, device, counts)
            rows = [f"{copies} {reads}{' (reassigns)' * reassigned}" for copies, reads, reassigned in traffic]
            say(f"{case:24} {CASES[case][0]:14} copies and reads of two steps: {', '.join(rows)}")
