"""The prepared images of one dataset: what every other package reads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.console import UserError
from common.files import read_json
from common.hashing import sha256_bytes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PARTS = ("full", "train90", "heldout")  # of a dataset; "train90" is "train" in the manifest


def load(
    dataset: str, resolution: int, split: str = "full", root: Path | str = "data/prepared"
) -> tuple[NDArray[np.uint8], dict[str, Any]]:
    """The prepared images of a split ("full", "train90" or "heldout"): uint8 (n, H, W, 3), and the whole manifest.

    Raises `UserError` if the images are missing or do not match the manifest.
    """
    if split not in PARTS:
        raise UserError(f"unknown split {split!r}; known: {', '.join(PARTS)}")
    folder = Path(root) / str(resolution) / dataset
    redo = _redo(dataset, resolution)
    if not (folder / "manifest.json").exists():
        raise UserError(f"{folder} holds no prepared images; {redo}")
    manifest = read_json(folder / "manifest.json")
    try:
        splits = manifest["split"]
        images = _array(folder / "images.npy", manifest["array_sha256"], redo)
        return images if split == "full" else images[splits["train" if split == "train90" else "heldout"]], manifest
    except (KeyError, TypeError, IndexError):
        raise UserError(f"{folder / 'manifest.json'} does not describe prepared images; {redo}") from None


def _redo(dataset: str, resolution: int) -> str:
    return f"run: python -m data prepare --dataset {dataset} --resolution {resolution}"


def _array(path: Path, expected: str, redo: str) -> NDArray[np.uint8]:
    import numpy as np

    try:
        # Memory-mapped first, so that a header that states a false size does not take memory.
        array = np.array(np.lib.format.open_memmap(path, mode="r"))
    except Exception as error:  # for damaged headers numpy raises many types
        raise UserError(f"{path} cannot be read ({error}); {redo}") from None
    if (actual := data_hash(array)) != expected:
        raise UserError(f"{path} has sha256 {actual}, but its manifest says {expected}; {redo}")
    return array


def load_labels(
    dataset: str, resolution: int, root: Path | str = "data/prepared"
) -> tuple[NDArray[np.uint8], dict[str, Any]]:
    """The label maps of a set of pairs, uint8 (n, H, W, classes) in 1/255, and what the manifest says of them.

    Raises `UserError` if the set has none, or as `load` does.
    """
    folder = Path(root) / str(resolution) / dataset
    _, manifest = load(dataset, resolution, root=root)
    if "labels" not in manifest:
        raise UserError(f"{dataset} has no label maps; a task of `kind: layout` needs a set with the key `layouts`")
    labels = _array(folder / "labels.npy", manifest["labels"]["array_sha256"], _redo(dataset, resolution))
    return labels, manifest["labels"]


def data_hash(images: NDArray[np.uint8]) -> str:
    """The sha256 of the images' bytes: what a run records as the data it was trained on."""
    return sha256_bytes(images.tobytes())
