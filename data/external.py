"""Import samples of a baseline trained elsewhere into a sample file like that of a method.

They are in data/external/<name>/<dataset>/, as images or as one .npz.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from common.console import UserError
from common.files import atomic_path
from common.hashing import sha256_bytes
from data.archive import SourceError, explained, members
from data.datasets import dataset_info
from data.images import BadImage, decode, list_files, list_images, refuse_size, to_square

ARRAYS = ("images", "samples", "arr_0")  # the benchmark's own name, a common one, and numpy's default
MAX_BYTES = 4 * 2**30  # of samples in memory: 21,845 at 256 px


def import_samples(folder: Path, resolution: int, out: Path) -> None:
    """Write the sample file `out` of a baseline's samples, resized as the datasets are.

    Raises `UserError` if the folder is not named after a dataset or `read_samples` cannot use it.
    """
    name, dataset = folder.absolute().parts[-2:]
    dataset_info(dataset)
    images = read_samples(folder, resolution)
    meta = {"dataset": dataset, "method": name, "seed": 0, "split": "full", "steps": None}
    meta["run_hash"] = sha256_bytes(images.tobytes())[:16]
    with atomic_path(out) as temporary:
        np.savez(temporary, images=images, meta=np.array(json.dumps(meta)))


def read_samples(folder: Path, resolution: int) -> NDArray[np.uint8]:
    """The folder's images, uint8 (n, resolution, resolution, 3), in lexicographic order or in the order of the array.

    Raises `UserError` if the folder contains neither images nor one .npz of uint8 (n, H, W, 3), if one is damaged, or
    if they take more than `MAX_BYTES`.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} does not exist; put samples there, as images or as one .npz")
    try:
        files, archives = list_images(folder), list_files(folder, (".npz",))
    except BadImage as error:
        raise UserError(f"{folder} cannot be used: {error}") from None
    if bool(files) == bool(archives) or len(archives) > 1:
        raise UserError(
            f"{folder} holds {len(files)} images and {len(archives)} .npz files; "
            "it must hold either JPEG, PNG or WebP images or exactly one .npz"
        )
    if archives:
        try:
            return _from_archive(archives[0], resolution)
        except (SourceError, BadImage) as error:
            raise UserError(f"{archives[0]} cannot be read ({error}); write it with numpy.savez") from None
    images = _empty(len(files), resolution, folder)
    for index, file in enumerate(files):
        try:
            images[index] = np.asarray(to_square(decode(file), resolution))
        except BadImage as error:
            raise UserError(f"{file} {error}; replace or remove it") from None
    return images


def _empty(n: int, resolution: int, place: Path) -> NDArray[np.uint8]:
    shape = (n, resolution, resolution, 3)
    if math.prod(shape) > MAX_BYTES:
        most = MAX_BYTES // math.prod(shape[1:])
        raise UserError(f"{place} holds {n} samples, but at {resolution} px at most {most} are read; remove some")
    return np.empty(shape, np.uint8)


def _from_archive(path: Path, resolution: int) -> NDArray[np.uint8]:
    for key in ARRAYS:
        for member in members(path):
            if member.name == f"{key}.npy":
                with member.open() as stream:
                    return _resized(stream, resolution, f"{path}: {key}", path)
    raise UserError(f"{path} holds no array named {', '.join(ARRAYS)}; write it with numpy.savez(path, images=...)")


def _resized(stream: IO[bytes], resolution: int, what: str, path: Path) -> NDArray[np.uint8]:
    """One array of an .npz, read image by image, so that a false header cannot exhaust the memory."""
    from PIL import Image

    with explained():
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, in_columns, dtype = read(stream)
    if dtype != np.uint8 or len(shape) != 4 or shape[3] != 3 or min(shape) < 1 or in_columns:
        order = " in Fortran order" if in_columns else ""
        raise UserError(f"{what} must be uint8 (n, height, width, 3) in 0..255, not {dtype} {shape}{order}")
    n, height, width, _ = shape
    refuse_size(width, height)
    images = _empty(n, resolution, path)
    with explained():
        for index in range(n):
            image = Image.frombytes("RGB", (width, height), stream.read(height * width * 3))
            images[index] = np.asarray(to_square(image, resolution))
    return images
