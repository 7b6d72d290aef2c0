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

SPLITS = ("full", "train90", "heldout")


def load(
    dataset: str, resolution: int, split: str = "full", root: Path | str = "data/prepared"
) -> tuple[NDArray[np.uint8], dict[str, Any]]:
    """The prepared images of a split ("full", "train90" or "heldout"): uint8 (n, H, W, 3), and the whole manifest.

    Raises `UserError` if the images are missing or do not match the manifest.
    """
    import numpy as np

    if split not in SPLITS:
        raise UserError(f"unknown split {split!r}; known: {', '.join(SPLITS)}")
    folder = Path(root) / str(resolution) / dataset
    redo = f"run: python -m data prepare --dataset {dataset} --resolution {resolution}"
    if not (folder / "manifest.json").exists():
        raise UserError(f"{folder} holds no prepared images; {redo}")
    manifest = read_json(folder / "manifest.json")
    try:
        # Memory-mapped first, so that a header that states a false size does not take memory.
        images = np.array(np.lib.format.open_memmap(folder / "images.npy", mode="r"))
    except Exception as error:  # for damaged headers numpy raises many types
        raise UserError(f"{folder / 'images.npy'} cannot be read ({error}); {redo}") from None
    try:
        expected, splits = manifest["array_sha256"], manifest["split"]
        if (actual := data_hash(images)) != expected:
            raise UserError(f"{folder / 'images.npy'} has sha256 {actual}, but its manifest says {expected}; {redo}")
        return images if split == "full" else images[splits["train" if split == "train90" else "heldout"]], manifest
    except (KeyError, TypeError, IndexError):
        raise UserError(f"{folder / 'manifest.json'} does not describe prepared images; {redo}") from None


def data_hash(images: NDArray[np.uint8]) -> str:
    """The sha256 of the images' bytes: what a run records as the data it was trained on."""
    return sha256_bytes(images.tobytes())
