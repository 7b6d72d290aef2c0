"""The training step of Adaptive IMLE against one that computes LPIPS with the package `lpips`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.harness import Benchmark
from data.load import load
from methods.imle.family import IMLE
from training.build import build
from training.config import read_preset

DATASET = "openmoji_faces"
STEPS = 20
Case = tuple[IMLE, nn.Module]


def with_package() -> Case:
    """The demo's method, untrained, and the package's LPIPS with the convolutions that we fetch."""
    import networks.torchvision_compat  # noqa: F401  # isort: skip
    import lpips

    run = read_preset("demo").run(DATASET, "adaptive_imle", 0, "full")
    images, _ = load(DATASET, run.resolution)
    method = build(run, images, torch.device("cpu"))
    assert isinstance(method, IMLE)
    module: nn.Module = lpips.LPIPS(net=method.config.perceptual, pnet_rand=True, verbose=False)
    convolutions = [layer for layer in module.get_submodule("net").modules() if isinstance(layer, nn.Conv2d)]
    with torch.no_grad():
        for index, layer in enumerate(convolutions):
            for name in ("weight", "bias"):
                layer.get_parameter(name).copy_(method.distance.perceptual.get_buffer(f"conv{index}_{name}"))
    return method, module.requires_grad_(False)


def ours(given: Case) -> list[float]:
    method, _ = given
    return losses(method, method.sample_distance)


def theirs(given: Case) -> list[float]:
    """LPIPS + 0.1 MSE of pairs of images, as one would write it with the package."""
    method, lpips = given

    def distance(indices: Tensor) -> Tensor:
        samples, images = method.generate_raw(method.assigned[indices]), method.images[indices]
        perceptual = lpips(method.distance.enlarge(samples), method.distance.enlarge(images)).flatten()
        return perceptual + method.config.mse_weight * (samples - images).square().mean(dim=(1, 2, 3))

    return losses(method, distance)


def losses(method: IMLE, distance: Callable[[Tensor], Tensor]) -> list[float]:
    """Of the same few optimiser steps every time, from the same weights."""
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in method.decoder.parameters():
            parameter.normal_(std=0.05, generator=rng)
    method.optimizer.state.clear()
    found = []
    for step in range(STEPS):
        method.optimizer.zero_grad()
        loss = distance(method.minibatch(step, method.config.batch)).mean()
        loss.backward()
        method.optimizer.step()
        found.append(loss.item())
    return found


def same_losses(found: list[float], expected: list[float]) -> None:
    """Within 1e-3: steps amplify rounding."""
    assert np.allclose(found, expected, rtol=1e-3), (found, expected)


BENCHMARKS = [
    Benchmark(
        "training_step",
        f"{STEPS} steps of Adaptive IMLE with the package lpips, on pairs of images",
        with_package,
        ours,
        theirs,
        same_losses,
    ),
]
