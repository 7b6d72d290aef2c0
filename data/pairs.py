"""Sets of pairs: images and their label maps, under equal names, from the fetch to the prepared arrays.

On disk they are <folder>/NAME.png and <folder>/labels/NAME.png; with several images of each label map, the images are
NAME_1.png, NAME_2.png and so on.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.console import Progress, UserError
from common.files import read_json
from common.hashing import sha256_file
from data.archive import SourceError
from data.datasets import Dataset, Layouts
from data.images import BadImage, decode, list_images
from data.labels import classes_of, shares
from data.load import data_hash
from data.split import split


def verified_labels(dataset: Dataset, staged: Path) -> list[dict[str, str]]:
    """The label maps in staged/labels/, [{"file", "sha256"}], in the order of the images in `staged`.

    Raises `SourceError` if an image has none or one of another size, if one is left over, and for colours that are not
    those of a class.
    """
    layouts = _layouts(dataset)
    images = list_images(staged)
    there = _by_stem(list_images(staged / "labels"))
    names = label_names(images, layouts.answers)
    if missing := [name for name in names if name not in there]:
        raise SourceError(f"the label map {missing[0]}.png in labels/ is missing{_more(missing)}")
    if left_over := sorted(there.keys() - set(names)):
        raise SourceError(f"the label map {there[left_over[0]].name} has no image of its name{_more(left_over)}")
    for place, name in enumerate(names):
        height, width = _labels(there[name], layouts).shape
        for image in images[place * layouts.answers : (place + 1) * layouts.answers]:
            size = decode(image, dataset.depth, notes=[]).size
            if size != (width, height):
                raise SourceError(f"{image.name} is {size[0]}x{size[1]} pixels, but its label map is {width}x{height}")
    return [{"file": there[name].name, "sha256": sha256_file(there[name])} for name in names]


def label_names(images: Sequence[Path], answers: int) -> list[str]:
    """The names of the label maps of these images, without suffixes, in their order.

    Raises `SourceError` unless the images of each label map are complete.
    """
    stems = [path.stem for path in images]
    if answers == 1:
        names, wanted = stems, stems
    else:
        names = [stem.rpartition("_")[0] for stem in stems[::answers]]
        wanted = [f"{name}_{number}" for name in names for number in range(1, answers + 1)]
    if stems != wanted or len(set(names)) < len(names):
        twice = max(stems, key=stems.count)
        odd = next((stem for stem, right in zip(stems, wanted, strict=False) if stem != right), twice)
        form = f"NAME_1 to NAME_{answers} for each label map NAME" if answers > 1 else "one for each name"
        raise SourceError(f"the image {odd} does not fit: there must be {form}")
    return names


def _by_stem(paths: Sequence[Path]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in paths:
        if (other := found.setdefault(path.stem, path)) is not path:
            raise SourceError(f"{other.name} and {path.name} in labels/ have the same name; remove one")
    return found


def _more(names: Sequence[str]) -> str:
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""


def _labels(path: Path, layouts: Layouts) -> NDArray[np.uint8]:
    try:
        return classes_of(np.asarray(decode(path, notes=[])), layouts.classes)
    except BadImage as error:
        raise SourceError(f"labels/{path.name} {error}") from None


def prepare_labels(dataset: Dataset, folder: Path, resolution: int) -> tuple[NDArray[np.uint8], dict[str, Any]]:
    """The share of each class in every pixel, and what the manifest says of it.

    The shares are uint8 (n, resolution, resolution, classes), in units of 1/255.  folder: of the fetched set.
    Raises `UserError` for a label map that is missing or was changed.
    """
    layouts = _layouts(dataset)
    again = f"run: python -m data fetch {dataset.name}"
    entries = read_json(folder / "fetched.json").get("labels")
    if not isinstance(entries, list) or len(entries) != dataset.count // layouts.answers:
        raise UserError(f"{folder / 'fetched.json'} does not list the label maps of {dataset.name}; {again}")
    prepared = np.empty((len(entries), resolution, resolution, len(layouts.classes)), np.uint8)
    with Progress(total=len(entries), label=f"prepare label maps of {dataset.name}") as progress:
        for place, entry in enumerate(entries):
            path = folder / "labels" / entry["file"]
            if not path.is_file() or sha256_file(path) != entry["sha256"]:
                raise UserError(f"{path} is missing, or was changed since it was fetched; {again}")
            prepared[place] = shares(_labels(path, layouts), len(layouts.classes), resolution)
            progress.advance()
    return prepared, describe_labels(dataset, prepared, entries)


def describe_labels(dataset: Dataset, labels: NDArray[np.uint8], files: list[dict[str, str]]) -> dict[str, Any]:
    """What the manifest says of label maps.  The images of one are on the same side of the split."""
    layouts = _layouts(dataset)
    parts = split(len(labels), dataset.split, dataset.name, layouts.train)
    about = {
        "classes": list(layouts.classes),
        "answers": layouts.answers,
        "told_apart_by": layouts.told_apart_by,
        "array_sha256": data_hash(labels),
        "split": parts,
        "files": files,
    }
    images = {
        side: [place * layouts.answers + answer for place in places for answer in range(layouts.answers)]
        for side, places in parts.items()
    }
    return {"split": images, "labels": about}


def _layouts(dataset: Dataset) -> Layouts:
    assert dataset.layouts is not None
    return dataset.layouts
