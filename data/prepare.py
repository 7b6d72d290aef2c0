"""Turn fetched files into the training data of every method: a uint8 array, its manifest and the 90/10 split."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from common.console import Progress, UserError, say
from common.files import atomic_path, read_json, write_json
from common.hashing import sha256_bytes, sha256_file
from data.colour import DARK
from data.datasets import MINE, Dataset, dataset_info
from data.images import RESIZE, BadImage, decode, to_square
from data.load import data_hash
from data.pairs import prepare_labels
from data.split import split


def prepare(name: str, resolution: int, raw: Path | str = "data/raw", out: Path | str = "data/prepared") -> Path:
    """Write images.npy, uint8 (n, H, W, 3) in lexicographic order of file names, and manifest.json; return its path.

    The manifest is written last, so the array is complete if it exists.  `pixels_sha256` is the digest of the decoded
    RGB pixels before resizing; unlike `sha256`, the digest of the file, it does not change by lossless re-encoding.
    Raises `UserError` for a wrong count and for a file that is missing, changed since it was fetched, or not an image.
    """
    dataset = dataset_info(name)
    files = fetched_files(dataset, Path(raw) / name)
    images = np.empty((len(files), resolution, resolution, 3), np.uint8)
    entries = []
    assumed: dict[str, list[str]] = {}  # what was assumed about files: their names
    with Progress(total=len(files), label=f"prepare {name}") as progress:
        for index, (path, sha256) in enumerate(files):
            notes: list[str] = []
            try:
                image = decode(path, dataset.depth, notes)
            except BadImage as error:
                raise UserError(f"{path} {error}; delete the folder {path.parent} and fetch again") from None
            entries.append({"file": path.name, "sha256": sha256, "pixels_sha256": sha256_bytes(image.tobytes())})
            images[index] = np.asarray(to_square(image, resolution))
            for note in notes:
                assumed.setdefault(note, []).append(path.name)
            progress.advance()
    for note, names in assumed.items():
        others = f" (and {len(names) - 1} more like it)" if len(names) > 1 else ""
        advice = (
            f", or set this `depth` of {name} in datasets.yaml (16: it stays dark)" if note.startswith(DARK) else ""
        )
        say(f"warning: {name}: {names[0]}{others} {note}{advice}")
    folder = Path(out) / str(resolution) / name
    with atomic_path(folder / "images.npy") as temporary:
        np.save(temporary, images)
    manifest = describe(dataset, images, entries)
    if dataset.layouts:
        labels, about = prepare_labels(dataset, Path(raw) / name, resolution)
        with atomic_path(folder / "labels.npy") as temporary:
            np.save(temporary, labels)
        manifest |= about
    write_json(folder / "manifest.json", manifest)
    return folder / "manifest.json"


def fetched_files(dataset: Dataset, folder: Path) -> list[tuple[Path, str]]:
    """The files that `fetch` recorded, each with its sha256, in lexicographic order, checked against the disk."""
    again = f"run: python -m data {'adopt' if dataset.name == MINE else f'fetch {dataset.name}'}"
    if not (folder / "fetched.json").exists():
        raise UserError(f"{folder} holds no complete fetch of {dataset.name}; {again}")
    record = read_json(folder / "fetched.json")
    try:
        files = sorted((folder / entry["file"], entry["sha256"]) for entry in record["files"])
    except (KeyError, TypeError):
        raise UserError(f"{folder / 'fetched.json'} does not list files with their sha256; {again}") from None
    if len(files) != dataset.count:
        raise UserError(f"{folder} holds {len(files)} images, but {dataset.name} has {dataset.count}; {again}")
    for path, sha256 in files:
        if not path.is_file():
            raise UserError(f"{path} is missing; {again}")
        if (actual := sha256_file(path)) != sha256:
            raise UserError(f"{path} has sha256 {actual}, but {sha256} was fetched; {again}")
    return files


def describe(dataset: Dataset, images: np.ndarray, entries: list[dict[str, str]]) -> dict[str, Any]:
    return {
        "dataset": dataset.name,
        "title": dataset.title,
        "licence": dataset.licence,
        "attribution": dataset.attribution,
        "shareable": dataset.shareable,
        "resolution": images.shape[1],
        "count": len(images),
        "resize": RESIZE,
        "array_sha256": data_hash(images),
        "split": split(len(images), dataset.split, dataset.name),
        "images": entries,
    }
