"""What every method promises the benchmark, tested for every method that is found in methods/.

A method's tiny configuration is its entry in config/smoke.yaml or tiny.yaml; others run with their defaults.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from common.files import read_yaml
from methods.api import Latents, Method
from training.build import build
from training.checkpoint import RunState
from training.config import MethodEntry, RunConfig, method_config, read_preset
from training.identity import method_sources
from training.registry import methods

RESOLUTION = 32
N = 12
SMOKE = read_preset("smoke")
TINY = read_yaml(Path(__file__).with_name("tiny.yaml"))
TRAINED = [name for name, info in methods().items() if info.trains]

pytestmark = pytest.mark.usefixtures("lpips_weights")


def make(name: str, seed: int = 0, device: torch.device | str = "cpu", **changes: Any) -> Method:
    values = SMOKE.methods.get(name, MethodEntry(**TINY.get(name, {}))).resolved("toy")
    steps = values.pop("steps")
    config = {**method_config(name, values), **changes}
    run = RunConfig("smoke", "toy", name, seed, "full", RESOLUTION, steps, threads=1, config=config)
    return build(run, blobs(), torch.device(device))


def blobs() -> np.ndarray:
    """Twelve discs of different places and colours: uint8 (12, 32, 32, 3)."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:RESOLUTION, :RESOLUTION]
    images = np.full((N, RESOLUTION, RESOLUTION, 3), 255, np.uint8)
    for image in images:
        centre, colour = rng.integers(8, 24, 2), rng.integers(0, 200, 3)
        image[(x - centre[0]) ** 2 + (y - centre[1]) ** 2 < 40] = colour
    return images


@pytest.mark.parametrize("name", methods())
def test_the_track_admits_to_a_pretrained_network(name: str) -> None:
    """A method that calls itself `none` and yet trains on LPIPS, or the other way round."""
    pretrained = {"networks/lpips.py", "networks/vgg16.py", "networks/inception.py"} & method_sources(name).keys()
    assert (methods()[name].track == "none") == (not pretrained)


def latents_of(method: Method, n: int) -> Latents:
    return method.latents(n, method.streams.generator("test"))


@pytest.mark.parametrize("name", methods())
def test_samples_have_the_promised_form_and_do_not_depend_on_their_batch(name: str) -> None:
    method = make(name)
    method.freeze()
    latents = latents_of(method, 5)
    assert latents.z.ndim == 2
    assert all(len(noise) == 5 for noise in latents.noise.values())
    with torch.no_grad():
        images = method.generate(latents)
        alone = torch.cat([method.generate(piece) for piece in latents.chunks(1)])
    assert images.shape == (5, 3, RESOLUTION, RESOLUTION)
    assert images.dtype == torch.float32
    assert images.abs().max() < 20  # nominally [-1, 1]; untrained networks may overshoot, not explode
    assert len({image.numpy().tobytes() for image in images}) == 5
    assert (images - alone).abs().max() <= 1e-5


@pytest.mark.parametrize("name", methods())
def test_one_seed_gives_one_result_and_another_seed_another(name: str) -> None:
    images = []
    for seed in (0, 0, 1):
        method = make(name, seed)
        method.freeze()
        with torch.no_grad():
            images.append(method.generate(latents_of(method, 3)))
    assert torch.equal(images[0], images[1])
    assert not torch.equal(images[0], images[2])


@pytest.mark.parametrize("name", [name for name, info in methods().items() if info.backtracks])
def test_images_are_differentiable_in_z_and_leave_the_network_alone(name: str) -> None:
    method = make(name)
    method.freeze()
    latents = latents_of(method, 2)
    z = latents.z.clone().requires_grad_()
    method.generate(Latents(z, latents.noise)).square().sum().backward(inputs=[z])
    assert torch.isfinite(z.grad).all()
    assert (z.grad.flatten(1).abs().sum(1) > 0).all()


@pytest.mark.parametrize("name", TRAINED)
def test_training_brings_samples_nearer_to_the_data(name: str) -> None:
    quick = {"learning_rate": 2e-3} if "learning_rate" in methods()[name].config.__dataclass_fields__ else {}
    method = make(name, **quick)
    target = method.images.mean(0)

    def distance() -> float:
        method.freeze()
        with torch.no_grad():
            return (method.generate(latents_of(method, 16)).mean(0) - target).square().mean().item()

    before = distance()
    for step in range(30):
        scalars = method.train_step(step)
        assert all(math.isfinite(value) for value in scalars.values()), (step, scalars)
        assert not any(isinstance(value, torch.Tensor) and value.requires_grad for value in scalars.values())
    assert distance() < before


@pytest.mark.parametrize("name", TRAINED)
def test_a_saved_state_continues_to_the_same_bits(name: str, tmp_path: Path) -> None:
    """Three steps, state to disk, three more in a new object: as six steps without a break."""
    straight = make(name)
    for step in range(6):
        straight.train_step(step)
    first = make(name)
    for step in range(3):
        first.train_step(step)
    first.freeze()  # a sample grid on the way must not disturb the training
    with RunState(tmp_path) as state:
        state.save(3, first.state_dict(), {})
        _, saved, _ = state.load(torch.device("cpu"))
    resumed = make(name)
    resumed.load_state_dict(saved)
    for step in range(3, 6):
        resumed.train_step(step)
    assert_same(resumed.state_dict(), straight.state_dict())
    for method in (straight, resumed):
        method.freeze()
    assert_same(resumed.sampler().state_dict(), straight.sampler().state_dict())


def assert_same(left: Any, right: Any, where: str = "") -> None:
    if isinstance(left, dict):
        assert left.keys() == right.keys(), where
        for key in left:
            assert_same(left[key], right[key], f"{where}/{key}")
    elif isinstance(left, list | tuple):
        for index, (a, b) in enumerate(zip(left, right, strict=True)):
            assert_same(a, b, f"{where}/{index}")
    else:
        assert torch.equal(left, right) if isinstance(left, torch.Tensor) else left == right, where
