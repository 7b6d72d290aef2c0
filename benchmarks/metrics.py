"""The metrics against the packages whose numbers they give, and backtracking against one image at a time."""

from __future__ import annotations

import contextlib
import io
import tempfile
import warnings
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from benchmarks.harness import Benchmark
from common.files import read_yaml
from data.external import read_samples
from data.load import load
from methods.api import Method, to_float
from metrics.features import extract
from metrics.fid import frechet_distance
from metrics.lpips_backtracking import backtrack
from metrics.precision_recall import precision_recall
from networks import weights
from networks.lpips import LPIPS
from training.build import build
from training.config import read_preset
from training.protocols import Backtracking

Pair = tuple[NDArray[np.float32], NDArray[np.float32]]
DATASET = "openmoji_faces"
IMAGES = 96
STEPS = 5  # of backtracking


def clouds(n_real: int, n_fake: int, d: int = 2048) -> Pair:
    """Two overlapping clouds with a spectrum like that of features: variances fall like 1 / (1 + i)."""
    generator = np.random.default_rng(0)
    scale = (1 + np.arange(d)) ** -0.5
    real, fake = (generator.normal(size=(n, d)) * scale for n in (n_real, n_fake))
    return real.astype(np.float32), (fake * 1.1 + 0.02).astype(np.float32)


def clean_fid() -> ModuleType:
    """clean-fid's module `fid`; it and torchvision warn about each other."""
    import networks.torchvision_compat  # noqa: F401

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from cleanfid import fid
    return fid


# Fréchet distance


def our_frechet(pair: Pair) -> float:
    return frechet_distance(*pair)


def clean_fid_frechet(pair: Pair) -> float:
    return float(clean_fid().fid_from_feats(*pair))


def same_frechet(ours: float, theirs: float) -> None:
    """Within 1e-6 of Tr S1 + Tr S2."""
    scale = sum(float(part.var(axis=0, dtype=float).sum()) for part in clouds(100, 5000))
    assert abs(ours - theirs) < 1e-6 * scale, (ours, theirs)


# Precision and recall


def our_prdc(pair: Pair) -> dict[str, float]:
    return precision_recall(*pair, k=5)


def package_prdc(pair: Pair) -> dict[str, float]:
    from prdc import compute_prdc

    with contextlib.redirect_stdout(io.StringIO()):
        return compute_prdc(*pair, nearest_k=5)


def same_prdc(ours: dict[str, float], theirs: dict[str, float]) -> None:
    """The same points in the same balls, so the same numbers but for the order of summation."""
    assert all(abs(ours[name] - theirs[name]) < 1e-12 for name in theirs), (ours, theirs)


# Inception features


def png_folder() -> Path:
    """The demo's drawings at 32 px as PNG files: what clean-fid reads."""
    folder = Path(tempfile.mkdtemp())
    images, _ = load(DATASET, 32)
    for index, image in enumerate(images[:IMAGES]):
        Image.fromarray(image).save(folder / f"{index:03d}.png")
    return folder


def our_features(folder: Path) -> NDArray[np.float32]:
    """From files to features, as a folder of samples made elsewhere is read."""
    return extract(read_samples(folder, 32))


def clean_fid_features(folder: Path) -> NDArray[np.float32]:
    """With the TorchScript network itself, from the package that networks/weights.yaml names."""
    sources = read_yaml(weights.CATALOGUE)["inception"]["sources"]
    source = next(source for source in sources if source["kind"] == "package")
    network: Any = torch.jit.load(weights.open_source(source, Path("data/raw/.downloads"))).eval()
    options = {"num_workers": 0, "batch_size": 32, "device": "cpu", "verbose": False}
    return clean_fid().get_folder_features(str(folder), model=lambda x: network((x - 128) / 128), **options)


def same_features(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> None:
    """Within 1e-4 of the largest feature."""
    assert np.abs(ours - theirs).max() < 1e-4 * np.abs(theirs).max()


# Backtracking

Case = tuple[Method, Tensor, list[int]]


def untrained(name: str) -> Case:
    """A method of the demo, and the images that its train90 run would be judged by."""
    run = read_preset("demo").run(DATASET, name, 0, "train90")
    images, _ = load(DATASET, run.resolution, "train90")
    targets, manifest = load(DATASET, run.resolution, "heldout")
    method = build(run, images, torch.device("cpu"))
    method.sampler().eval()
    return method, to_float(torch.from_numpy(targets)), manifest["split"]["heldout"]


def scores(given: Case, batch: int) -> Tensor:
    """Scores (k,) at the demo's protocol with fewer steps.  batch: latent codes at a time."""
    protocol = Backtracking.model_validate({"net": "alex", "upsample": 2, "steps": STEPS})
    return backtrack(*given, LPIPS("alex"), protocol, batch).score


def same_scores(ours: Tensor, theirs: Tensor) -> None:
    """Within 1e-2: Adam amplifies float32 rounding, which depends on the batch size and the processor.

    Seen for MixDL after five steps: 1.3e-3.  In float64 the scores agree to 2e-16.
    """
    assert (ours - theirs).abs().max() < 1e-2, (ours, theirs)


BENCHMARKS = [
    Benchmark(
        "frechet",
        "clean-fid, 100 x 5,000 features of 2,048",
        partial(clouds, 100, 5000),
        our_frechet,
        clean_fid_frechet,
        same_frechet,
    ),
    Benchmark(
        "precision_recall",
        "prdc, 5,000 x 5,000 features of 2,048",
        partial(clouds, 5000, 5000),
        our_prdc,
        package_prdc,
        same_prdc,
    ),
    Benchmark(
        "inception",
        f"clean-fid's loading, resizing and TorchScript network, {IMAGES} PNG files of 32 px",
        png_folder,
        our_features,
        clean_fid_features,
        same_features,
    ),
    *(
        Benchmark(
            f"backtracking_{name}",
            "one image and restart at a time",
            partial(untrained, name),
            partial(scores, batch=32),
            partial(scores, batch=1),
            same_scores,
        )
        for name in ("adaptive_imle", "fastgan", "mixdl")
    ),
]
