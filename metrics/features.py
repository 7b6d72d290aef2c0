"""Features of images, extracted once per sample set and shared by FID, KID, precision and recall.

A feature file is an .npz of `features`, float32 (n, d), and `meta`, JSON text with the keys
    n, network, weights (sha256 of the network's weights), source (sha256 of the file of images),
    samples (whose images: at least "dataset"; see training/sampling.py).
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from common.console import Progress, UserError
from common.files import atomic_path
from common.hashing import sha256_file
from data.load import load as load_prepared
from networks.names import DINOV2, FEATURE_NETWORKS
from networks.weights import weights_digest

if TYPE_CHECKING:
    import torch
    from torch import nn


@dataclass(frozen=True)
class Features:
    """values: float32 (n, d).  meta: see the module's docstring."""

    values: NDArray[np.float32]
    meta: dict[str, Any]


def extract(
    images: NDArray[np.uint8], network: str = "inception", batch: int = 32, device: torch.device | str = "cpu"
) -> NDArray[np.float32]:
    """The features (n, d) of uint8 images (n, H, W, 3), in their order; `batch` only limits memory.

    `inception`: FID's Inception, 2048-d pool3, of images resized as clean-fid's mode "clean" does.
    `vgg16fc2`: VGG16's second fully connected layer before its ReLU, 4096-d.
    `dinov2vits14`, `dinov2vitb14`, `dinov2vitl14`: DINOv2's class token, 384-d, 768-d and 1024-d.
    Raises `UserError` for an unknown network, absent weights or images of another type.
    """
    import torch

    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3 or len(images) == 0:
        raise UserError(f"images must be uint8 (n, height, width, 3), not {images.dtype} {images.shape}")
    model, resize = load_network(network)
    model = model.eval().to(device)
    pieces = []
    with torch.inference_mode(), Progress(len(images), f"{network} features") as progress:
        for resized in _resized_ahead(images, resize, batch, workers=torch.get_num_threads()):
            pieces.append(model(torch.from_numpy(resized).permute(0, 3, 1, 2).to(device)).cpu().numpy())
            progress.advance(len(resized))
    return np.concatenate(pieces).astype(np.float32)


def _resized_ahead(
    images: NDArray[np.uint8], resize: Callable[[NDArray[np.uint8]], NDArray[np.float32]], batch: int, workers: int
) -> Iterator[NDArray[np.float32]]:
    """Batches of resized images, in order; the next one is resized while the network processes this one."""
    with ThreadPoolExecutor(workers) as pool:
        parts = (images[start : start + batch] for start in range(0, len(images), batch))
        ahead = pool.map(resize, next(parts))
        for part in parts:
            current, ahead = ahead, pool.map(resize, part)
            yield np.stack(list(current))
        yield np.stack(list(ahead))


def load_network(network: str) -> tuple[nn.Module, Callable[[NDArray[np.uint8]], NDArray[np.float32]]]:
    """The network, from images (n, 3, side, side) in [0, 255] to features (n, d), and the resizing that it needs."""
    if network == "inception":
        from networks.inception import Inception

        return Inception(), resize_clean
    if network == "vgg16fc2":
        from networks.vgg16 import VGG16FC2

        return VGG16FC2(), resize_8bit
    if network in DINOV2:
        from networks.dinov2 import DINOv2

        return DINOv2(network), partial(resize_8bit, sampling=Image.Resampling.BICUBIC)
    raise UserError(f"unknown feature network {network!r}; known are {', '.join(FEATURE_NETWORKS)}")


def resize_clean(image: NDArray[np.uint8], side: int = 299) -> NDArray[np.float32]:
    """clean-fid's resize of one (H, W, 3) image: PIL's antialiased bicubic filter, each channel in float, no rounding.

    Parmar et al. 2022 (arXiv:2104.11222): rounding and filters without antialiasing change FID by more than one point.
    """
    channels = [
        np.asarray(Image.fromarray(image[:, :, c].astype(np.float32)).resize((side, side), Image.Resampling.BICUBIC))
        for c in range(3)
    ]
    return np.stack(channels, axis=2).clip(0, 255)


def resize_8bit(
    image: NDArray[np.uint8], sampling: Image.Resampling = Image.Resampling.BILINEAR
) -> NDArray[np.float32]:
    """PIL's antialiased filter with 8-bit output: torchvision's Resize, as users of VGG16 and (bicubic) DINOv2 do."""
    resized = Image.fromarray(image).resize((224, 224), sampling)
    return np.asarray(resized, dtype=np.float32)


def read_sample_file(path: Path) -> tuple[NDArray[np.uint8], dict[str, Any]]:
    """The images of a sample file and its meta, which states their origin.  Raises `UserError` naming the file."""
    try:
        with np.load(path, allow_pickle=False) as file:
            images, meta = file["images"], json.loads(str(file["meta"]))
    except FileNotFoundError:
        raise UserError(
            f"{path} does not exist; sample the run with: python -m training sample --out {shlex.quote(str(path))}"
        ) from None
    except Exception as error:  # for damaged archives and headers, zipfile and numpy raise many types
        raise UserError(f"{path} is not a sample file ({error}); delete it and sample the run again") from None
    return images, meta


def read_prepared(path: Path) -> tuple[NDArray[np.uint8], dict[str, Any]]:
    """All images of a prepared dataset, given .../<resolution>/<dataset>/images.npy, and which dataset it is."""
    root, resolution, dataset = path.absolute().parents[2], path.absolute().parts[-3], path.absolute().parts[-2]
    if path.name != "images.npy" or not resolution.isdigit():
        raise UserError(f"{path} is not the images.npy of a prepared dataset; see data/prepared/")
    images, manifest = load_prepared(dataset, int(resolution), root=root)
    return images, {key: manifest[key] for key in ("dataset", "resolution", "array_sha256")}


def save(path: Path, values: NDArray[np.float32], network: str, source: Path, samples: dict[str, Any]) -> None:
    """Write a feature file; `source` is the file that the images came from."""
    meta = {
        "n": len(values),
        "network": network,
        "weights": weights_digest(network),
        "source": sha256_file(source),
        "samples": samples,
    }
    with atomic_path(path) as temporary:
        np.savez(temporary, features=values, meta=np.array(json.dumps(meta)))


def load(path: Path, source: Path | None = None) -> Features:
    """Read a feature file.  source: the file of images that it must have been made from; None: any.

    Raises `UserError` naming it if it is absent, damaged, incomplete, made from another file or holds NaN.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            values, meta = file["features"], json.loads(str(file["meta"]))
            expected = (meta["n"], FEATURE_NETWORKS.get(meta["network"]))
    except FileNotFoundError:
        raise UserError(
            f"{path} does not exist; make it with: python -m metrics features --out {shlex.quote(str(path))}"
        ) from None
    except Exception as error:
        raise UserError(f"{path} is not a feature file ({error}); delete it and extract the features again") from None
    if values.shape != expected:
        raise UserError(f"{path} holds features {values.shape} where its meta says {expected}; extract them again")
    if source and meta["source"] != sha256_file(source):
        raise UserError(f"{path} does not hold the features of {source}; extract them again")
    if not np.isfinite(values).all():
        raise UserError(f"{path} holds NaN or infinite features; look at the images it came from, then extract again")
    return Features(values, meta)


def check_comparable(real: Features, fake: Features) -> None:
    """Raise `UserError` for features of different networks, different weights of one network, or different datasets."""
    check_network(real, fake)
    names = [features.meta["samples"]["dataset"] for features in (real, fake)]
    if names[0] != names[1]:
        raise UserError(f"real features of {names[0]} cannot judge samples of {names[1]}; pass those of one dataset")


def check_network(real: Features, fake: Features) -> None:
    """Raise `UserError` for features of different networks, and of different weights of one network."""
    for key, what in (("network", "networks"), ("weights", "weights")):
        if real.meta[key] != fake.meta[key]:
            raise UserError(
                f"real and fake features come from different {what} ({real.meta[key]} and {fake.meta[key]}); "
                "extract both again with one"
            )


def check_pair(real: NDArray[Any], fake: NDArray[Any], least: int) -> None:
    """Raises `UserError` unless both matrices are finite, equally wide and at least `least` long."""
    for name, values in (("real", real), ("fake", fake)):
        if values.ndim != 2 or len(values) < least:
            raise UserError(f"the {name} features have shape {values.shape}: at least {least} images are needed")
        if not np.isfinite(values).all():
            raise UserError(f"the {name} features hold NaN or infinite values; extract them again")
    if real.shape[1] != fake.shape[1]:
        raise UserError(f"real features are {real.shape[1]}-d but fake ones {fake.shape[1]}-d; use one network")
