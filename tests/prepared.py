"""Prepared images of a toy set, as `data.prepare` leaves them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from common.files import write_json
from data.load import data_hash


def write_prepared(folder: Path, images: np.ndarray, **manifest: Any) -> None:
    """The last image is held out, if the manifest does not say otherwise."""
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "images.npy", images)
    split = {"train": list(range(len(images) - 1)), "heldout": [len(images) - 1]}
    described = {"title": "toy", "array_sha256": data_hash(images), "split": split}
    write_json(folder / "manifest.json", described | manifest)


def write_pairs(folder: Path, images: np.ndarray, labels: np.ndarray, **manifest: Any) -> None:
    """Six label maps of two classes, with two right answers each; four of them are trained on."""
    about = {"classes": ["a", "b"], "answers": 2, "told_apart_by": "a", "array_sha256": data_hash(labels)}
    about["split"] = {"train": [0, 1, 2, 4], "heldout": [3, 5]}
    write_prepared(folder, images, labels=about, **manifest)
    np.save(folder / "labels.npy", labels)
