"""Samples of a finished run: repeatable, with the names of what made them, and refused where that has changed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from common.console import UserError
from methods.api import Latents, to_uint8
from tests.training.conftest import change_images, toy_preset, toy_run
from training import sampling
from training.loop import train
from training.sampling import interpolate, load_run, sample

CPU = torch.device("cpu")


@pytest.fixture
def finished(workplace: Path) -> Path:
    train(toy_run(steps=2), toy_preset().training, Path("out"))
    return Path("out")


def read(path: str) -> tuple[dict[str, np.ndarray], dict[str, object]]:
    with np.load(path) as file:
        arrays = dict(file)
    return arrays, json.loads(str(arrays.pop("meta")))


def test_samples_repeat_and_a_longer_set_begins_with_the_shorter_one(finished: Path) -> None:
    for name, n in (("a", 60), ("b", 60), ("c", 50)):
        sample(finished, Path(f"{name}.npz"), n, rows=2, steps=4, device=CPU, threads=1)
    (a, meta), (b, _), (c, _) = (read(f"{name}.npz") for name in "abc")
    assert (a["images"].shape, a["images"].dtype) == ((60, 16, 16, 3), np.uint8)
    assert a["interpolation"].shape == (2, 4, 16, 16, 3)
    assert all(np.array_equal(a[key], b[key]) for key in a)
    assert np.array_equal(a["images"][:50], c["images"])
    assert (meta["dataset"], meta["method"], meta["seed"], meta["steps"]) == ("openmoji_faces", "mixdl", 0, 2)
    assert meta["exhausted"] is False


def test_an_interpolation_goes_from_one_code_to_another_with_one_noise(finished: Path) -> None:
    method = load_run(finished, CPU, "model.safetensors")
    [found] = interpolate(method, rows=1, steps=3)
    ends = method.latents(2, method.streams.generator("interpolation", 0))
    noise = {name: maps[:1].expand(3, *maps.shape[1:]) for name, maps in ends.noise.items()}
    z = torch.stack([ends.z[0], ends.z.mean(0), ends.z[1]])
    with torch.no_grad():
        assert np.array_equal(found, to_uint8(method.generate(Latents(z, noise))).numpy())


def test_the_control_of_real_images_shows_each_once(workplace: Path) -> None:
    train(toy_run("control_real"), toy_preset().training, Path("out"))
    sample(Path("out"), Path("a.npz"), 60, rows=2, steps=4, device=CPU, threads=1)
    arrays, meta = read("a.npz")
    real = np.load("data/prepared/16/openmoji_faces/images.npy")
    assert {image.tobytes() for image in arrays["images"]} == {image.tobytes() for image in real}
    assert len(arrays["images"]) == 10
    assert meta["exhausted"] is True


def test_a_run_that_no_longer_fits_its_sources_or_data_is_refused(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling, "sources_hash", lambda method: "edited")
    change_images()
    with pytest.raises(UserError, match="the dataset and the source of mixdl changed since out was trained"):
        load_run(finished, CPU)


def test_a_damaged_model_is_refused(finished: Path) -> None:
    (finished / "model.safetensors").write_bytes(b"x")
    with pytest.raises(UserError, match=r"model.safetensors has sha256 .* was trained; delete out"):
        load_run(finished, CPU)
