"""Import samples of a baseline trained elsewhere into a sample file like that of a method.

They are in data/external/<name>/<dataset>/, as images or as one .npz.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from common.console import UserError, say
from common.files import atomic_path
from common.hashing import sha256_bytes
from data.archive import SourceError, as_source_error, members
from data.datasets import dataset_info
from data.images import BadImage, decode, refuse_size, to_square
from data.supplied import contents
from data.survey import Originals, survey, warnings

ARRAYS = ("images", "samples", "arr_0")  # the benchmark's own name, a common one, and numpy's default
MAX_BYTES = 4 * 2**30  # of samples in memory: 21,845 at 256 px


def import_samples(folder: Path, resolution: int, out: Path, take: int | None = None) -> None:
    """Write the sample file `out` of a baseline's samples, resized as the datasets are, and say what was read.

    take: read only the first `take` samples; None for all.  Besides what `training.sampling` writes, the meta has
    `files`, the `contents` of the folder, and `intake`: {"folder", "found", "taken", "left_out", "warnings"}.

    Raises `UserError` if the folder is not named after a dataset, contains neither images nor one .npz of uint8
    (n, H, W, 3), if one is damaged, or if they take more than `MAX_BYTES`.
    """
    name, dataset = folder.absolute().parts[-2:]
    dataset_info(dataset)
    images, intake, files = _read(folder, resolution, take)
    for line in lines(intake):
        say(line)
    meta = {"dataset": dataset, "method": name, "seed": 0, "split": "full", "steps": None}
    meta["run_hash"] = sha256_bytes(images.tobytes())[:16]
    meta |= {"exhausted": len(images) == intake["found"], "intake": intake, "files": files}
    with atomic_path(out) as temporary:
        np.savez(temporary, images=images, meta=np.array(json.dumps(meta)))


def lines(intake: dict[str, Any], what: str = "samples") -> list[str]:
    """The intake in sentences: found and taken, then what was left out and why, then warnings."""
    place = intake["folder"]
    return [
        f"{place}: {what} found: {intake['found']}, taken: {intake['taken']}",
        *(f"{place}: left out: {sentence}" for sentence in intake["left_out"]),
        *(f"{place}: warning: {sentence}" for sentence in intake["warnings"]),
    ]


def read_samples(folder: Path, resolution: int, what: str = "samples") -> NDArray[np.uint8]:
    """All samples of a folder, uint8 (n, resolution, resolution, 3); the intake is printed.

    what: "images" for training images, which may well be JPEG, oblong or small: without the warnings.
    Raises `UserError` as `import_samples` does.
    """
    images, intake, _ = _read(folder, resolution, take=None)
    for line in lines(intake if what == "samples" else {**intake, "warnings": []}, what):
        say(line)
    return images


def first_side(folder: Path) -> int:
    """The shorter side in pixels of the first sample of a folder.  Raises `UserError` as `import_samples` does."""
    found = survey(folder)
    if found.archive is None:
        return min(_decode(found.images[0], []).size)
    with _array(found.archive) as (_, _, (_, height, width, _)):
        return min(height, width)


def _read(folder: Path, resolution: int, take: int | None) -> tuple[NDArray[np.uint8], dict[str, Any], dict[str, str]]:
    """The images, uint8 (n, resolution, resolution, 3), in the order of file names or of the array; intake and files.

    The files are hashed before they are read: a file that changes in between is noticed at the next run.
    """
    found = survey(folder)
    files = contents(folder)
    originals = Originals()
    if found.archive:
        images, n = _from_archive(found.archive, resolution, take, originals)
    else:
        n = len(found.images)
        images = _decoded(found.images[:take], resolution, folder, originals)
    left_out, warned = list(found.left_out), warnings(images, originals)
    if len(images) < n:
        order = "of the array" if found.archive else "in lexicographic order (10.png before 2.png)"
        left_out.append(f"samples: {n - len(images)}, because no metric takes more than {take}: the first {order}")
    if take is not None and n < take:
        warned.append(f"the preset takes {take} samples; the row is marked with its own number, and its FID is higher")
    intake = {"folder": str(folder), "found": n, "taken": len(images), "left_out": left_out, "warnings": warned}
    return images, intake, files


def _decoded(files: list[Path], resolution: int, folder: Path, originals: Originals) -> NDArray[np.uint8]:
    images = _empty(len(files), resolution, folder)
    for index, file in enumerate(files):
        notes: list[str] = []
        images[index] = np.asarray(to_square(_decode(file, notes), resolution))
        originals.add(file, notes)
    return images


def _decode(file: Path, notes: list[str]) -> Image.Image:
    """Raises `UserError`.  What had to be assumed is appended to `notes`."""
    try:
        return decode(file, notes=notes)
    except BadImage as error:
        raise UserError(f"{file} {error}; replace or remove it") from None


def _empty(n: int, resolution: int, place: Path | str) -> NDArray[np.uint8]:
    shape = (n, resolution, resolution, 3)
    if math.prod(shape) > MAX_BYTES:
        most = MAX_BYTES // math.prod(shape[1:])
        raise UserError(f"{place} holds {n} samples, but at {resolution} px at most {most} are read; remove some")
    return np.empty(shape, np.uint8)


def _from_archive(path: Path, resolution: int, take: int | None, originals: Originals) -> tuple[NDArray[np.uint8], int]:
    """The first `take` images of the archive, and how many it has.

    They are read one by one, so that a header that states a false size cannot exhaust the memory.
    """
    with _array(path) as (name, stream, (n, height, width, _)):
        taken = n if take is None else min(n, take)
        originals.sizes[width, height] = taken
        images = _empty(taken, resolution, f"{path}: {name}")
        with as_source_error():
            for index in range(taken):
                image = Image.frombytes("RGB", (width, height), stream.read(height * width * 3))
                images[index] = np.asarray(to_square(image, resolution))
    return images, n


@contextmanager
def _array(path: Path) -> Iterator[tuple[str, IO[bytes], tuple[int, ...]]]:
    """The archive's array of images: its name, a stream of its bytes and its shape (n, height, width, 3)."""
    try:
        for name in ARRAYS:
            for member in members(path):
                if member.name == f"{name}.npy":
                    with member.open() as stream:
                        yield name, stream, _shape(stream, f"{path}: {name}")
                    return
    except SourceError as error:
        raise UserError(f"{path} cannot be read ({error}); write it with numpy.savez") from None
    except BadImage as error:
        raise UserError(f"{path}: each image {error}") from None
    raise UserError(f"{path} holds no array named {', '.join(ARRAYS)}; write it with numpy.savez(path, images=...)")


def _shape(stream: IO[bytes], what: str) -> tuple[int, ...]:
    """Read the header of an .npy.  Raises `UserError` for another kind of array, and `BadImage` for its size."""
    with as_source_error():
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, in_columns, dtype = read(stream)
    if dtype != np.uint8 or len(shape) != 4 or shape[3] != 3 or min(shape) < 1 or in_columns:
        order = " in Fortran order" if in_columns else ""
        raise UserError(f"{what} must be uint8 (n, height, width, 3) in 0..255, not {dtype} {shape}{order}")
    refuse_size(shape[2], shape[1])
    return shape
