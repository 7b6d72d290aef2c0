"""What is compared: each case computes the same result with the project's code and with a named alternative."""

from __future__ import annotations

import contextlib
import io
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

import networks.torchvision_compat  # noqa: F401  # before lpips and clean-fid
from common.files import read_yaml
from data.external import read_samples
from data.load import load
from methods.api import Streams, to_float
from methods.imle.family import IMLE
from methods.imle.search import nearest
from methods.imle.spaces import Projection, Sketch
from metrics.features import extract
from metrics.fid import frechet_distance
from metrics.lpips_backtracking import backtrack
from metrics.precision_recall import precision_recall
from networks import weights
from networks.lpips import LPIPS
from training.build import build
from training.config import read_preset
from training.protocols import Backtracking
from training.sampling import CHUNK

Sides = tuple[Callable[[], Any], Callable[[], Any]]  # ours and theirs, each from the same input to numbers
DATASET = "openmoji_faces"


@dataclass(frozen=True)
class Case:
    """sides: makes the input and returns both sides, whose results must agree within the tolerances."""

    name: str
    against: str  # what the other side is
    sides: Callable[[], Sides]
    relative: float = 0
    absolute: float = 0


# Metrics


def clouds(n_real: int, n_fake: int, d: int = 2048) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Two overlapping clouds with a spectrum like that of features: variances fall like 1 / (1 + i)."""
    generator = np.random.default_rng(0)
    scale = (1 + np.arange(d)) ** -0.5
    real, fake = (generator.normal(size=(n, d)) * scale for n in (n_real, n_fake))
    return real.astype(np.float32), (fake * 1.1 + 0.02).astype(np.float32)


def clean_fid() -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # clean-fid uses deprecated names of torchvision
        from cleanfid import fid
    return fid


def frechet(n_real: int = 100, n_fake: int = 5000, d: int = 2048) -> Sides:
    pair = clouds(n_real, n_fake, d)
    return partial(frechet_distance, *pair), partial(clean_fid().fid_from_feats, *pair)


def prdc(n: int = 5000) -> Sides:
    from prdc import compute_prdc

    pair = clouds(n, n)

    def theirs() -> list[float]:
        with contextlib.redirect_stdout(io.StringIO()):
            found = compute_prdc(*pair, nearest_k=5)
        return [found[name] for name in sorted(found)]

    return lambda: [value for _, value in sorted(precision_recall(*pair, k=5).items())], theirs


def inception(n: int = 96) -> Sides:
    """From PNG files to features; theirs uses the TorchScript network of the package in networks/weights.yaml."""
    folder = tempfile.TemporaryDirectory()  # removed with the functions that use it
    for index, image in enumerate(load(DATASET, 32)[0][:n]):
        Image.fromarray(image).save(f"{folder.name}/{index:03d}.png")
    sources = read_yaml(weights.CATALOGUE)["inception"]["sources"]
    source = next(source for source in sources if source["kind"] == "package")
    options = {"num_workers": 0, "batch_size": 32, "device": "cpu", "verbose": False}

    def theirs() -> NDArray[np.float32]:
        network: Any = torch.jit.load(weights.open_source(source)).eval()
        return clean_fid().get_folder_features(folder.name, model=lambda x: network((x - 128) / 128), **options)

    return lambda: extract(read_samples(Path(folder.name), 32)), theirs


def backtracking(name: str) -> Sides:
    """Backtracking of an untrained method of the demo, with the demo's protocol and fewer steps."""
    run = read_preset("demo").run(DATASET, name, 0, "train90")
    method = build(run, load(DATASET, run.resolution, "train90")[0], torch.device("cpu"))
    method.sampler().eval()
    images, manifest = load(DATASET, run.resolution, "heldout")
    targets, items = to_float(torch.from_numpy(images)), manifest["split"]["heldout"]
    protocol = Backtracking(net="alex", upsample=2, steps=5)

    def scores(batch: int) -> Tensor:
        return backtrack(method, targets, items, LPIPS("alex"), protocol, batch).score

    return partial(scores, batch=32), partial(scores, batch=1)


def sampling(name: str, n: int = 10) -> Sides:
    """Samples of an untrained method, as the pipeline draws them."""
    run = read_preset("field").run(DATASET, name, 0, "full")
    method = build(run, load(DATASET, run.resolution)[0], torch.device("cpu"))
    method.sampler().eval()
    latents = method.latents(n, method.streams.generator("sample"))

    @torch.no_grad()
    def images(at_once: int) -> Tensor:
        return torch.cat([method.generate(part) for part in latents.chunks(at_once)])

    return partial(images, CHUNK), partial(images, 1)


# Searches


def search(rival: Callable[[Tensor, Tensor], Any]) -> Sides:
    """100 training images and 10,000 candidates, 16 at a time, in the official code's 800 dimensions."""
    draw = torch.Generator().manual_seed(0)
    images, candidates = torch.randn(100, 800, generator=draw), torch.randn(10_000, 800, generator=draw)
    return lambda: nearest(images, candidates.split(16)), partial(rival, images, candidates)


def by_cdist(images: Tensor, candidates: Tensor) -> Tensor:
    return torch.cdist(images, candidates).argmin(dim=1)


def by_scikit_learn(images: Tensor, candidates: Tensor) -> NDArray[np.int64]:
    from sklearn.metrics import pairwise_distances_argmin

    return pairwise_distances_argmin(images.numpy(), candidates.numpy())


def sketch(side: int = 128) -> Sides:
    """Distances between four images of `side` px, from VGG16's feature maps."""
    draw = torch.Generator().manual_seed(0)
    shapes = [(64, side), (128, side // 2), (256, side // 4), (512, side // 8), (512, side // 16)]
    maps = [torch.randn(4, channels, size, size, generator=draw) for channels, size in shapes]
    streams = Streams(0, "any", "any", "full")
    ours = Sketch(lambda _: [layer.flatten(1).clone() for layer in maps], 2047, streams)
    theirs = Projection(lambda _: maps, 800, streams)
    return lambda: torch.pdist(ours(maps[0])), lambda: torch.pdist(theirs(maps[0]))


# Training


def training_step(name: str, steps: int = 20) -> Sides:
    """Losses of a method of the IMLE family; theirs compute LPIPS + 0.1 MSE with the package lpips."""
    run = read_preset("field").run(DATASET, name, 0, "full")
    method = build(run, load(DATASET, run.resolution)[0], torch.device("cpu"))
    assert isinstance(method, IMLE)
    package = package_lpips(method.distance.perceptual)

    def their_distance(indices: Tensor) -> Tensor:
        samples, images = method.generate_raw(method.assigned[indices]), method.images[indices]
        perceptual = package(method.distance.enlarge(samples), method.distance.enlarge(images)).flatten()
        return perceptual + method.config.mse_weight * (samples - images).square().mean(dim=(1, 2, 3))

    return partial(train, method, method.sample_distance, steps), partial(train, method, their_distance, steps)


def package_lpips(ours: LPIPS) -> nn.Module:
    """The package's LPIPS with the convolutions that we fetch, because the package downloads its own from the web."""
    import lpips

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it uses deprecated names of torchvision
        package: nn.Module = lpips.LPIPS(net=ours.net, pnet_rand=True, verbose=False)
    convolutions = [layer for layer in package.get_submodule("net").modules() if isinstance(layer, nn.Conv2d)]
    for index, layer in enumerate(convolutions):
        for name in ("weight", "bias"):
            layer.get_parameter(name).data.copy_(ours.get_buffer(f"conv{index}_{name}"))
    return package.requires_grad_(False)


def train(method: IMLE, distance: Callable[[Tensor], Tensor], steps: int) -> list[float]:
    """The losses of some optimiser steps, always from the same weights."""
    draw = torch.Generator().manual_seed(0)
    for parameter in method.decoder.parameters():
        parameter.data.normal_(std=0.05, generator=draw)
    method.optimizer.state.clear()
    losses = []
    for step in range(steps):
        method.optimizer.zero_grad()
        loss = distance(method.minibatch(step, method.config.batch)).mean()
        loss.backward()
        method.optimizer.step()
        losses.append(loss.item())
    return losses


IN_TURN = "one image and restart at a time"
SIZE = "100 x 10,000 x 800"
CASES = [
    Case("frechet", "clean-fid, 100 x 5,000 features of 2,048", frechet, relative=1e-6),
    Case("precision_recall", "prdc, 5,000 x 5,000 features of 2,048", prdc, absolute=1e-12),
    Case("inception", "clean-fid's loading, resizing and network, 96 PNG files of 32 px", inception, absolute=1e-4),
    # Adam amplifies rounding, which depends on the batch size: 1e-3 was seen for MixDL.
    Case("backtracking_adaptive_imle", IN_TURN, partial(backtracking, "adaptive_imle"), absolute=1e-2),
    Case("backtracking_fastgan", IN_TURN, partial(backtracking, "fastgan"), absolute=1e-2),
    Case("backtracking_mixdl", IN_TURN, partial(backtracking, "mixdl"), absolute=1e-2),
    Case("search", f"torch.cdist, {SIZE}", partial(search, by_cdist)),
    Case("search", f"scikit-learn, {SIZE}", partial(search, by_scikit_learn)),
    # Sketch and projection each keep distances within a few per cent.
    Case("sketch", "the dense projection, four images of 128 px", sketch, relative=0.2),
    *(
        Case(f"step_{name}", "20 steps with the package lpips, on pairs of images", partial(training_step, name), 1e-3)
        for name in ("adaptive_imle", "rs_imle")
    ),
    *(
        Case(f"sampling_{name}", "one image at a time, 10 images", partial(sampling, name), absolute=1e-3)
        for name in ("adaptive_imle", "rs_imle", "fastgan", "mixdl", "stylegan2", "edm", "flow_matching")
    ),
]
