"""Samples of a baseline trained elsewhere: data/external/<name>/<dataset>/, a folder of images or one .npz.

They become a sample file like any method's, so that the rest of the benchmark sees no difference.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.console import UserError
from data.files import atomic_path, sha256_bytes
from data.images import BadImage, decode, list_images, to_square
from data.load import dataset_info

ARRAYS = ("images", "samples", "arr_0")  # the benchmark's own name, a common one, and numpy's default


def import_samples(folder: Path, resolution: int, out: Path) -> None:
    """Write the sample file `out` of a baseline's samples, resized as the datasets are.

    Raises `UserError` if the folder holds neither images nor one .npz of uint8 (n, H, W, 3), if an image is damaged or
    if the folder is not named after a dataset.
    """
    name, dataset = folder.resolve().parts[-2:]
    dataset_info(dataset)
    images = read_samples(folder, resolution)
    meta = {
        "dataset": dataset,
        "method": name,
        "seed": 0,
        "split": "full",
        "steps": None,
        "run_hash": sha256_bytes(images.tobytes())[:16],
    }
    with atomic_path(out) as temporary:
        np.savez(temporary, images=images, meta=np.array(json.dumps(meta)))


def read_samples(folder: Path, resolution: int) -> NDArray[np.uint8]:
    """The folder's images, uint8 (n, resolution, resolution, 3), in lexicographic order or in that of the array."""
    if not folder.is_dir():
        raise UserError(f"{folder} does not exist; put samples there, as images or as one .npz")
    files, archives = list_images(folder), sorted(folder.glob("*.npz"))
    if bool(files) == bool(archives) or len(archives) > 1:
        raise UserError(
            f"{folder} holds {len(files)} images and {len(archives)} .npz files; "
            "it must hold either JPEG, PNG or WebP images or exactly one .npz"
        )
    if archives:
        return _from_archive(archives[0], resolution)
    images = np.empty((len(files), resolution, resolution, 3), np.uint8)
    for index, file in enumerate(files):
        try:
            images[index] = np.asarray(to_square(decode(file), resolution))
        except BadImage as error:
            raise UserError(f"{file} {error}; replace or remove it") from None
    return images


def _from_archive(path: Path, resolution: int) -> NDArray[np.uint8]:
    from PIL import Image

    try:
        with np.load(path, allow_pickle=False) as file:
            key = next((key for key in ARRAYS if key in file), None)
            images = file[key] if key else None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} cannot be read as .npz ({error}); write it with numpy.savez") from None
    if images is None:
        raise UserError(f"{path} holds no array named {', '.join(ARRAYS)}; write it with numpy.savez(path, images=...)")
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3 or len(images) == 0:
        raise UserError(
            f"{path}: {key} must be uint8 (n, height, width, 3) in 0..255, not {images.dtype} {images.shape}"
        )
    if images.shape[1:3] == (resolution, resolution):
        return images
    return np.stack([np.asarray(to_square(Image.fromarray(image), resolution)) for image in images])
