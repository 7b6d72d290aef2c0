"""What every method promises the benchmark, tested for every method that is found in methods/.

A method's tiny configuration is its entry in config/smoke.yaml or tiny.yaml; others run with their defaults.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from common.files import read_yaml
from data.tasks import Examples, shrunk
from methods.api import Latents, Method
from methods.conditional import ConditionalMethod
from training.checkpoint import RunState
from training.config import RunConfig, method_config, read_preset
from training.identity import method_sources
from training.inputs import new_method
from training.registry import methods
from training.sections import MethodEntry

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
    data = examples(config["network"]) if methods()[name].conditional else blobs()
    return new_method(run, data, torch.device(device))


def blobs() -> np.ndarray:
    """Twelve discs of different places and colours: uint8 (12, 32, 32, 3)."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:RESOLUTION, :RESOLUTION]
    images = np.full((N, RESOLUTION, RESOLUTION, 3), 255, np.uint8)
    for image in images:
        centre, colour = rng.integers(8, 24, 2), rng.integers(0, 200, 3)
        image[(x - centre[0]) ** 2 + (y - centre[1]) ** 2 < 40] = colour
    return images


def examples(network: str) -> Examples:
    """The discs with what is given of them: themselves at 4 px for srim, the places of disc and background for crn."""
    pairs = shrunk(blobs(), 8)
    if network == "srim":
        return pairs
    disc = (blobs() < 255).any(axis=3)
    return dataclasses.replace(pairs, conditions=np.stack([disc, ~disc], axis=1).astype(np.float32))


@pytest.mark.parametrize("name", methods())
def test_the_track_admits_to_a_pretrained_network(name: str) -> None:
    """A method that calls itself `none` and yet trains on LPIPS, or the other way round."""
    pretrained = {"networks/lpips.py", "networks/vgg16.py", "networks/inception.py"} & method_sources(name).keys()
    assert (methods()[name].track == "none") == (not pretrained)


@pytest.mark.parametrize("name", methods())
def test_the_configuration_is_frozen(name: str) -> None:
    """Otherwise a method could train with other values than run.json states."""
    assert methods()[name].config.__dataclass_params__.frozen


def latents_of(method: Method, n: int) -> Latents:
    return method.latents(n, method.streams.generator("test"))


def drawn(method: Method, latents: Latents, first: int = 0) -> torch.Tensor:
    """The images of these latents; those of a conditional method at the training conditions from the first on."""
    if isinstance(method, ConditionalMethod):
        places = torch.arange(first, first + len(latents), device=method.device) % N
        return method.generate(latents, method.conditions[places])
    return method.generate(latents)


@pytest.mark.parametrize("name", methods())
def test_samples_have_the_promised_form_and_do_not_depend_on_their_batch(name: str) -> None:
    method = make(name)
    method.freeze()
    latents = latents_of(method, 5)
    assert latents.z.ndim == 2
    assert all(len(noise) == 5 for noise in latents.noise.values())
    with torch.no_grad():
        images = drawn(method, latents)
        alone = torch.cat([drawn(method, piece, place) for place, piece in enumerate(latents.chunks(1))])
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
            images.append(drawn(method, latents_of(method, 3)))
    assert torch.equal(images[0], images[1])
    assert not torch.equal(images[0], images[2])


@pytest.mark.parametrize("name", [name for name, info in methods().items() if info.backtracks])
def test_images_are_differentiable_in_z_and_leave_the_network_alone(name: str) -> None:
    method = make(name)
    method.freeze()
    latents = latents_of(method, 2)
    z = latents.z.clone().requires_grad_()
    images = method.generate(Latents(z, latents.noise))
    assert images.requires_grad, "generate must be differentiable in z"
    images.square().sum().backward(inputs=[z])
    assert torch.isfinite(z.grad).all()
    assert (z.grad.flatten(1).abs().sum(1) > 0).all()


@pytest.mark.parametrize("network", ["srim", "crn"])
@pytest.mark.parametrize("name", [name for name, info in methods().items() if info.conditional])
def test_answers_to_one_condition_differ_by_their_latents_alone(name: str, network: str) -> None:
    """Those of the regression are all the same; those of a frozen method are differentiable in z."""
    method = make(name, network=network)
    assert isinstance(method, ConditionalMethod)
    latents = latents_of(method, 3)
    z = latents.z.clone().requires_grad_()
    images = method.generate(Latents(z, latents.noise), method.conditions[:1].expand(3, -1, -1, -1))
    nearest = torch.pdist(images.detach().flatten(1), p=torch.inf).min()
    assert nearest < 1e-5 if name == "cond_regression" else nearest > 1e-3
    if name != "cond_regression":
        images.square().sum().backward(inputs=[z])
        assert (z.grad.flatten(1).abs().sum(1) > 0).all()


def test_pictures_of_progress_show_several_answers_to_each_of_the_first_conditions() -> None:
    method = make("cond_imle")
    assert isinstance(method, ConditionalMethod)
    latents = latents_of(method, 4)
    with torch.no_grad():
        expected = method.generate(latents, method.conditions[torch.tensor([0, 0, 1, 1])])
        torch.testing.assert_close(method.at_examples(latents, each=2), expected)


@pytest.mark.parametrize("name", TRAINED)
def test_training_brings_samples_nearer_to_the_data(name: str) -> None:
    quick = {"learning_rate": 2e-3} if "learning_rate" in methods()[name].config.__dataclass_fields__ else {}
    method = make(name, **quick)
    target = method.images.mean(0)

    def distance() -> float:
        method.freeze()
        with torch.no_grad():
            return (drawn(method, latents_of(method, 16)).mean(0) - target).square().mean().item()

    before = distance()
    for step in range(30):
        scalars = method.train_step(step)
        assert all(math.isfinite(value) for value in scalars.values()), (step, scalars)
        tensors = {name: value for name, value in scalars.items() if isinstance(value, torch.Tensor)}
        assert not [name for name, value in tensors.items() if value.requires_grad], "detach what train_step returns"
        if step % 10 == 9 and distance() < before:
            return
    pytest.fail("after 30 steps, the mean of the samples is no nearer to the mean of the images")


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


ADVICE = "Draw every random number from self.streams, and save all else in state_dict."
assert_same = functools.partial(
    torch.testing.assert_close, rtol=0, atol=0, msg=lambda difference: f"{difference}\n{ADVICE}"
)
