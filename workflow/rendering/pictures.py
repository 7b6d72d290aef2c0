"""The pictures of the report's sample browser: sheets of equal tiles as WebP files, and what is known of each tile.

results/<preset>/pictures/<dataset>/ holds

    about.json                        `About` of the data set
    training.webp                     training images: some at even intervals, and those nearest to a sample shown
    targets.webp                      held-out images
    <method>/samples.webp             the first samples drawn, then the most copied ones that are not among them
    <method>/paths.webp               interpolations, one a row
    <method>/reconstructions.webp     what backtracking reached, in the order of the targets

Files are made for the data sets and methods whose images are on this machine.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image

from common.console import UserError
from common.files import atomic_path, read_json, write_json
from workflow.rendering.contents import Entry
from workflow.rendering.results import Arrays, Results, check_targets, nearest_images

FOLDER = "pictures"
COLUMNS = 8  # tiles in a row of a sheet
FIRST = 48  # samples shown in the order drawn
MOST_COPIED = 16  # samples shown because they are the most copied of all
TRAINING = 16  # training images at even intervals
PATHS, MAX_STEPS = 2, 16  # interpolations shown, and their steps
SHARP = 64  # pixels a side up to which a sheet is stored without loss
About = dict[str, Any]
# {"training": [index of the image of each tile], "even": [tiles at even intervals], "heldout": [index of each target],
#  "methods": {method: {"samples": [{"number", "ratio", "distance", "nearest", "mirrored"}], "paths": [rows, steps],
#                       "scores": [LPIPS of each reconstruction]}}}
# number: place in the order drawn.  ratio: d1 / d2 of metrics/copy_rate.py.  distance: root mean square difference of
# pixel values in [0, 1] at 32 x 32.  nearest: the tile of the nearest training image.  mirrored: its mirror image is
# nearer.  The last four are absent where the copy rate was not measured.


def draw(results: Results, folder: Path) -> None:
    """Write the sheets of every data set, in place of an older folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for dataset in results.preset.datasets:
        about = _dataset(results, dataset, folder / dataset)
        if about["methods"]:
            write_json(folder / dataset / "about.json", about)


def read(results: Results, dataset: str) -> About | None:
    """What is known of a data set's tiles; None if there are no sheets of it."""
    path = results.folder / FOLDER / dataset / "about.json"
    return read_json(path) if path.is_file() else None


def check(results: Results, folder: Path) -> None:
    """Raise `UserError` if a file in `folder` is not the one that `draw` writes now; Snakemake adds a hidden one."""
    with TemporaryDirectory() as scratch:
        draw(results, Path(scratch))
        made, found = (
            {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("[!.]*.*")}
            for root in (Path(scratch), folder)
        )
    if wrong := sorted(name for name in made.keys() | found.keys() if made.get(name) != found.get(name)):
        raise UserError(f"{folder / wrong[0]} is not what the samples give")


def _dataset(results: Results, dataset: str, folder: Path) -> About:
    real = results.real(dataset)
    drawn = {row.id: _method(results, dataset, row, real, folder) for row in results.ranked}
    methods = {name: found for name, found in drawn.items() if found}
    return {"methods": methods, **_training(real, methods, folder), **_heldout(results, dataset, methods, folder)}


def _method(results: Results, dataset: str, row: Entry, real: np.ndarray | None, folder: Path) -> dict[str, Any]:
    """Draw the samples and interpolations of one method; nothing if its samples are not there."""
    arrays = results.samples(dataset, row)
    if not arrays:
        return {}
    found: dict[str, Any] = {"samples": _samples(arrays, results.copies(dataset, row), real)}
    _sheet(arrays["images"][[sample["number"] for sample in found["samples"]]], folder, row, "samples")
    if "interpolation" in arrays:
        paths = _thinned(arrays["interpolation"])
        found["paths"] = list(paths.shape[:2])
        _sheet(paths.reshape(-1, *paths.shape[2:]), folder, row, "paths", paths.shape[1])
    return found


def _samples(arrays: Arrays, copies: Arrays | None, real: np.ndarray | None) -> list[dict[str, Any]]:
    """Which samples are shown, and how near each is to its nearest training image (its index, not yet its tile)."""
    images = arrays["images"]
    shown = list(range(min(FIRST, len(images))))
    if copies is None or real is None or len(copies["ratio"]) != len(images):
        return [{"number": number} for number in shown]
    order = np.argsort(copies["ratio"], kind="stable")[:MOST_COPIED].tolist()
    shown += [number for number in order if number not in set(shown)]
    distances = _distances(images[shown], nearest_images(real, copies, shown))
    return [
        {
            "number": number,
            "ratio": round(float(copies["ratio"][number]), 4),
            "distance": round(distance, 4),
            "nearest": int(copies["nearest"][number]),
            "mirrored": bool(copies["mirrored"][number]),
        }
        for number, distance in zip(shown, distances, strict=True)
    ]


def _thinned(paths: np.ndarray) -> np.ndarray:
    """The first interpolations (rows, steps, H, W, 3), with at most MAX_STEPS steps, first and last among them."""
    steps = paths.shape[1]
    return paths[:PATHS, np.linspace(0, steps - 1, min(steps, MAX_STEPS)).round().astype(int)]


def _distances(images: np.ndarray, others: np.ndarray) -> list[float]:
    """Root mean square difference of each pair of uint8 images (n, H, W, 3), in the copy rate's pixel space."""
    from metrics.copy_rate import pixels

    return np.sqrt(np.square(pixels(images) - pixels(others)).mean(axis=1)).tolist()


def _training(real: np.ndarray | None, methods: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Draw the training images that are shown, and turn their indices in `methods` into tiles."""
    if real is None or not methods:
        return {"training": [], "even": []}
    even = np.linspace(0, len(real) - 1, min(TRAINING, len(real))).round().astype(int).tolist()
    near = [sample for found in methods.values() for sample in found["samples"] if "nearest" in sample]
    shown = sorted({*even, *(sample["nearest"] for sample in near)})
    tiles = {image: tile for tile, image in enumerate(shown)}
    for sample in near:
        sample["nearest"] = tiles[sample["nearest"]]
    _sheet(real[shown], folder, None, "training")
    return {"training": shown, "even": [tiles[image] for image in even]}


def _heldout(results: Results, dataset: str, methods: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Draw held-out images and what each method reached of them."""
    found = {row: arrays for row in results.generators if (arrays := results.backtracking(dataset, row))}
    if not found:
        return {"heldout": []}
    first = next(iter(found.values()))
    check_targets(found.values(), dataset)
    for row, arrays in found.items():
        _sheet(arrays["reconstruction"], folder, row, "reconstructions")
        scores = [round(float(score), 4) for score in arrays["score"]]
        methods.setdefault(row.id, {"samples": []})["scores"] = scores
    _sheet(first["target"], folder, None, "targets")
    return {"heldout": first["index"].tolist()}


def _sheet(images: np.ndarray, folder: Path, row: Entry | None, name: str, columns: int = COLUMNS) -> None:
    """Save uint8 images (n, H, W, 3) as tiles without gaps, `columns` in a row; missing ones are white."""
    n, side = images.shape[:2]
    canvas = np.full((rows_of(n, columns) * columns, *images.shape[1:]), 255, np.uint8)
    canvas[:n] = images
    grid = canvas.reshape(-1, columns, side, side, 3).swapaxes(1, 2).reshape(-1, columns * side, 3)
    path = folder / (row.id if row else "") / f"{name}.webp"
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        Image.fromarray(grid).save(temporary, "WEBP", lossless=side <= SHARP, quality=90, method=6)


def rows_of(n: int, columns: int = COLUMNS) -> int:
    """Rows of a sheet with n tiles."""
    return max(-(-n // columns), 1)
