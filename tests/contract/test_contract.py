"""What every method promises the benchmark, tested for every method that is found in methods/.

A method's tiny configuration is its entry in config/smoke.yaml; one that has none there runs with its defaults.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from methods.api import Latents, Method
from training.checkpoint import RunState
from training.config import load_config
from training.loop import build
from training.registry import method_info, methods

RESOLUTION = 32
N = 12
TRAINED = [name for name, info in methods().items() if info.trains]

pytestmark = pytest.mark.usefixtures("lpips_weights")


def make(name: str, seed: int = 0) -> Method:
    entry = copy.deepcopy(load_config("smoke")["methods"].get(name, {}))
    config = {key: value for key, value in entry.items() if key not in ("steps", "by_dataset")}
    settings: dict[str, Any] = {"method": name, "dataset": "toy", "seed": seed, "split": "full", "config": config}
    torch.set_num_threads(2)
    return build({**settings, "resolution": RESOLUTION}, blobs(), torch.device("cpu"))


def blobs() -> np.ndarray:
    """Twelve discs of different places and colours: uint8 (12, 32, 32, 3)."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:RESOLUTION, :RESOLUTION]
    images = np.full((N, RESOLUTION, RESOLUTION, 3), 255, np.uint8)
    for image in images:
        centre, colour = rng.integers(8, 24, 2), rng.integers(0, 200, 3)
        image[(x - centre[0]) ** 2 + (y - centre[1]) ** 2 < 40] = colour
    return images


def latents_of(method: Method, n: int, purpose: str = "test") -> Any:
    return method.latents(n, method.streams.generator(purpose))


@pytest.mark.parametrize("name", methods())
def test_samples_have_the_promised_shape_type_and_range(name: str) -> None:
    method = make(name)
    method.freeze()
    latents = latents_of(method, 5)
    assert latents.z.ndim == 2
    assert all(len(noise) == 5 for noise in latents.noise.values())
    with torch.no_grad():
        images = method.generate(latents)
    assert images.shape == (5, 3, RESOLUTION, RESOLUTION)
    assert images.dtype == torch.float32
    assert images.abs().max() < 20  # nominally [-1, 1]; untrained networks may overshoot, not explode
    assert len({image.numpy().tobytes() for image in images}) == 5


@pytest.mark.parametrize("name", methods())
def test_one_seed_gives_one_result_and_another_seed_another(name: str) -> None:
    first, again, other = make(name), make(name), make(name, seed=1)
    with torch.no_grad():
        images = [method.generate(latents_of(method, 3)) for method in (first, again, other) if method.freeze() is None]
    assert torch.equal(images[0], images[1])
    assert not torch.equal(images[0], images[2])


@pytest.mark.parametrize("name", methods())
def test_a_latent_does_not_depend_on_its_batch(name: str) -> None:
    method = make(name)
    method.freeze()
    latents = latents_of(method, 6)
    with torch.no_grad():
        together = method.generate(latents)
        alone = torch.cat([method.generate(latents[i : i + 1]) for i in range(6)])
    assert (together - alone).abs().max() <= 1e-5


@pytest.mark.parametrize("name", [name for name, info in methods().items() if info.backtracks])
def test_images_are_differentiable_in_z_and_leave_the_network_alone(name: str) -> None:
    method = make(name)
    method.freeze()
    latents = latents_of(method, 2)
    z = latents.z.clone().requires_grad_()
    method.generate(Latents(z, latents.noise)).square().sum().backward()
    assert torch.isfinite(z.grad).all()
    assert (z.grad.flatten(1).abs().sum(1) > 0).all()


@pytest.mark.parametrize("name", TRAINED)
def test_training_brings_samples_nearer_to_the_data(name: str) -> None:
    method = make(name)
    target = method.images.mean(0)

    def distance() -> float:
        method.freeze()
        with torch.no_grad():
            return (method.generate(latents_of(method, 16)).mean(0) - target).square().mean().item()

    before = distance()
    for step in range(25):
        scalars = method.train_step(step)
        assert all(np.isfinite(value) for value in scalars.values()), (step, scalars)
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
        _, saved, _ = state.load("cpu")
    resumed = make(name)
    resumed.load_state_dict(saved)
    for step in range(3, 6):
        resumed.train_step(step)
    assert_same(resumed.state_dict(), straight.state_dict())
    for method in (straight, resumed):
        method.freeze()
    for key, value in straight.sampler().state_dict().items():
        assert torch.equal(resumed.sampler().state_dict()[key], value), key


def assert_same(left: Any, right: Any, where: str = "") -> None:
    if isinstance(left, dict):
        assert left.keys() == right.keys(), where
        for key in left:
            assert_same(left[key], right[key], f"{where}/{key}")
    elif isinstance(left, list | tuple):
        assert len(left) == len(right), where
        for index, (a, b) in enumerate(zip(left, right, strict=True)):
            assert_same(a, b, f"{where}/{index}")
    elif isinstance(left, torch.Tensor):
        assert torch.equal(left, right), where
    else:
        assert left == right, where


@pytest.mark.parametrize("name", methods())
def test_a_method_names_itself_and_its_networks(name: str) -> None:
    info, method = method_info(name), make(name)
    assert info.title
    assert type(method).name == name
    assert ("generator" in method.networks()) == info.trains
    sampled = method.sampler().state_dict()
    assert all(torch.isfinite(value).all() for value in sampled.values() if value.is_floating_point())
