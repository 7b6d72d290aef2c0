"""The metrics against the packages whose numbers they give, and against their own plain form."""

from __future__ import annotations

import contextlib
import io
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness import Benchmark

Pair = tuple[NDArray[np.float32], NDArray[np.float32]]


def clean_fid() -> ModuleType:
    """clean-fid's module `fid`; it and torchvision warn about each other."""
    import networks.torchvision_compat  # noqa: F401

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from cleanfid import fid
    return fid


def clouds(n_real: int, n_fake: int, d: int = 2048) -> Pair:
    """Two overlapping clouds with a spectrum like that of features: variances fall like 1 / (1 + i)."""
    generator = np.random.default_rng(0)
    scale = (1 + np.arange(d)) ** -0.5
    real, fake = (generator.normal(size=(n, d)) * scale for n in (n_real, n_fake))
    return real.astype(np.float32), (fake * 1.1 + 0.02).astype(np.float32)


# Fréchet distance


def few_shot() -> Pair:
    return clouds(100, 5000)


def our_frechet(pair: Pair) -> float:
    from metrics.fid import frechet_distance

    return frechet_distance(*pair)


def clean_fid_frechet(pair: Pair) -> float:
    return float(clean_fid().fid_from_feats(*pair))


def same_frechet(ours: float, theirs: float) -> None:
    """Within 1e-6 of Tr S1 + Tr S2."""
    scale = sum(float(part.var(axis=0, dtype=float).sum()) for part in few_shot())
    assert abs(ours - theirs) < 1e-6 * scale, (ours, theirs)


# Precision and recall


def five_thousand() -> Pair:
    return clouds(5000, 5000)


def our_prdc(pair: Pair) -> dict[str, float]:
    from metrics.precision_recall import precision_recall

    return precision_recall(*pair, k=5)


def prdc(pair: Pair) -> dict[str, float]:
    from prdc import compute_prdc

    with contextlib.redirect_stdout(io.StringIO()):
        return compute_prdc(*pair, nearest_k=5)


def same_prdc(ours: dict[str, float], theirs: dict[str, float]) -> None:
    """The same points in the same balls, so the same numbers but for the order of summation."""
    assert all(abs(ours[name] - theirs[name]) < 1e-12 for name in theirs), (ours, theirs)


# Inception features

IMAGES = 96


def png_folder() -> Path:
    """The demo's drawings at 32 px as PNG files: what clean-fid reads."""
    from tempfile import mkdtemp

    from PIL import Image

    from data.load import load

    folder = Path(mkdtemp())
    images, _ = load("openmoji_faces", 32)
    for index, image in enumerate(images[:IMAGES]):
        Image.fromarray(image).save(folder / f"{index:03d}.png")
    return folder


def our_features(folder: Path) -> NDArray[np.float32]:
    """From files to features, as a folder of samples made elsewhere is read."""
    from data.external import read_samples
    from metrics.features import extract

    return extract(read_samples(folder, 32))


def clean_fid_features(folder: Path) -> NDArray[np.float32]:
    network = original_inception()
    fid = clean_fid()
    return fid.get_folder_features(
        str(folder), model=lambda x: network((x - 128) / 128), num_workers=0, batch_size=32, device="cpu", verbose=False
    )


def original_inception() -> Any:
    """The TorchScript network itself, from the package that networks/weights.yaml names."""
    import torch

    from common.files import read_yaml
    from networks.weights import CATALOGUE, open_source

    sources = read_yaml(CATALOGUE)["inception"]["sources"]
    source = next(source for source in sources if source["kind"] == "package")
    return torch.jit.load(open_source(source, Path("data/raw/.downloads"))).eval()


def same_features(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> None:
    """Within 1e-4 of the largest feature."""
    assert np.abs(ours - theirs).max() < 1e-4 * np.abs(theirs).max()


BENCHMARKS = [
    Benchmark(
        "frechet", "clean-fid, 100 x 5,000 features of 2,048", few_shot, our_frechet, clean_fid_frechet, same_frechet
    ),
    Benchmark("precision_recall", "prdc, 5,000 x 5,000 features of 2,048", five_thousand, our_prdc, prdc, same_prdc),
    Benchmark(
        "inception",
        f"clean-fid's loading, resizing and TorchScript network, {IMAGES} PNG files of 32 px",
        png_folder,
        our_features,
        clean_fid_features,
        same_features,
    ),
]
