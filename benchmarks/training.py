"""Training: the step against one with the package `lpips`, and what variants of the demo's IMLE reach in equal time."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from benchmarks.harness import Benchmark, Measurement, Row
from methods.imle.family import IMLE

DATASET = "openmoji_faces"
STEPS = 20


def untrained(name: str = "adaptive_imle", seed: int = 0, **changes: Any) -> IMLE:
    """A method of the demo's IMLE family, before its first step."""
    from data.load import load
    from training.config import load_config, run_settings
    from training.loop import build

    settings = run_settings(load_config("demo"), DATASET, name, seed, "full")
    settings["config"] = {**settings["config"], **changes}
    images, _ = load(DATASET, settings["resolution"])
    method = build(settings, images, torch.device("cpu"))
    assert isinstance(method, IMLE)
    return method


# The step ----------------------------------------------------------------------------------------------------------

Case = tuple[IMLE, nn.Module]


def with_package() -> Case:
    """The method, and the package's LPIPS with the convolutions that we fetch; its linear heads come with it."""
    import networks.torchvision_compat  # noqa: F401  # isort: skip
    import lpips

    method = untrained()
    module = lpips.LPIPS(net=method.config.perceptual, pnet_rand=True, verbose=False)
    convolutions = [layer for layer in module.net.modules() if isinstance(layer, nn.Conv2d)]
    with torch.no_grad():
        for index, layer in enumerate(convolutions):
            layer.weight.copy_(method.distance.perceptual.get_buffer(f"conv{index}_weight"))
            layer.bias.copy_(method.distance.perceptual.get_buffer(f"conv{index}_bias"))
    return method, module.requires_grad_(False)


def ours(given: Case) -> list[float]:
    return losses(given[0], given[0]._distances)


def theirs(given: Case) -> list[float]:
    """LPIPS + 0.1 MSE of pairs of images, as one would write it with the package."""
    method, lpips = given

    def distances(points: Tensor) -> Tensor:
        samples, images = method._images(method.decoder, method.assigned[points]), method.images[points]
        perceptual = lpips(method.distance.enlarge(samples), method.distance.enlarge(images)).flatten()
        return perceptual + method.config.mse_weight * (samples - images).square().mean(dim=(1, 2, 3))

    return losses(method, distances)


def losses(method: IMLE, distances: Callable[[Tensor], Tensor]) -> list[float]:
    """Of the same few steps every time."""
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in method.decoder.parameters():
            parameter.normal_(std=0.05, generator=rng)
    method.optimizer.state.clear()
    method._distances = distances  # type: ignore[method-assign]
    return [method.descend(step, method.minibatch(step, method.config.batch)) for step in range(STEPS)]


def same_losses(found: list[float], expected: list[float]) -> None:
    """Within 1e-3: steps amplify rounding."""
    assert np.allclose(found, expected, rtol=1e-3), (found, expected)


# Equal time --------------------------------------------------------------------------------------------------------

SECONDS = 240  # of one thread
SEEDS = (0, 1)
SAMPLES = 400
PICTURES = Path("results/equal_time")
VARIANTS: dict[str, dict[str, Any]] = {
    "adaptive": {},
    "vanilla": {"name": "vanilla_imle"},
    "anew": {"measure": "anew"},
    "exact, m = 3000": {"pool_size": 3000},
    "lazy, m = 3000": {"pool_size": 3000, "search": "lazy"},
}
PAIRS = [("adaptive", "vanilla"), ("adaptive", "anew"), ("lazy, m = 3000", "exact, m = 3000")]


class Outcome(NamedTuple):
    """What a training reached; but for the steps, less is better."""

    steps: int
    missed: float  # mean distance of a training image to the nearest sample, LPIPS + 0.1 MSE
    fid: float
    uncovered: float  # 1 - coverage, the share of training images without a sample in their neighbourhood
    unrecalled: float  # 1 - recall


UNITS = {"steps": "steps", "missed": "of d", "fid": "FID", "uncovered": "share", "unrecalled": "share"}


def equal_time() -> list[Row]:
    """Rows for each pair of variants, means over seeds; one process a core, each of one thread."""
    from data.load import load
    from metrics.features import extract

    real = extract(load(DATASET, 32)[0])
    asked = [(variant, seed) for seed in SEEDS for variant in VARIANTS]
    with ProcessPoolExecutor(len(os.sched_getaffinity(0)), get_context("spawn")) as processes:
        outcomes = dict(zip(asked, processes.map(partial(outcome, real=real), *zip(*asked, strict=True)), strict=True))
    rows = []
    for first, second in PAIRS:
        for what, unit in UNITS.items():
            a, b = (mean(getattr(outcomes[name, seed], what) for seed in SEEDS) for name in (first, second))
            ratio = a / b if what == "steps" else b / a
            rows.append(Row(f"equal_time_{what}", ratio, a, b, unit, f"{first}, against {second}", len(SEEDS)))
    return rows


def outcome(variant: str, seed: int, real: NDArray[np.float32]) -> Outcome:
    """Train for SECONDS and judge; leaves a picture of training images, reconstructions and samples in PICTURES."""
    from methods.api import to_uint8
    from metrics.features import extract
    from metrics.fid import frechet_distance
    from metrics.precision_recall import precision_recall

    torch.set_num_threads(1)
    method = untrained(seed=seed, **VARIANTS[variant])
    end, steps = time.process_time() + SECONDS, 0
    while time.process_time() < end:
        method.train_step(steps)
        steps += 1
    method.freeze()
    latents = method.latents(SAMPLES, method.streams.generator("sample"))
    with torch.no_grad():
        samples = torch.cat([method.generate(some) for some in latents.chunks(50)])
        again = torch.cat([method._images(method.decoder, some) for some in method.assigned.chunks(50)])
        embedded = torch.cat([method.distance.embed(some) for some in samples.split(50)])
    shown = [to_uint8(images).numpy() for images in (method.images, again, samples[: len(again)])]
    PICTURES.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate([sheet(images) for images in shown])).save(
        PICTURES / f"{variant.replace(', m = ', '_')}_seed{seed}.png"
    )
    features = extract(to_uint8(samples).numpy())
    found = precision_recall(real, features, k=5)
    return Outcome(
        steps,
        missed=torch.cdist(method.targets.cached, embedded).square().min(dim=1).values.mean().item(),
        fid=frechet_distance(real, features),
        uncovered=1 - found["coverage"],
        unrecalled=1 - found["recall"],
    )


def sheet(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(100, 32, 32, 3) in five rows, and a black line below."""
    n, side = len(images), images.shape[1]
    rows = images.reshape(5, n // 5, side, side, 3).swapaxes(1, 2).reshape(5 * side, n // 5 * side, 3)
    return np.concatenate([rows, np.zeros((4, rows.shape[1], 3), np.uint8)])


BENCHMARKS = [
    Benchmark(
        "training_step",
        f"{STEPS} steps of Adaptive IMLE with the package lpips, on pairs of images",
        with_package,
        ours,
        theirs,
        same_losses,
    ),
    Measurement("equal_time", equal_time),
]
