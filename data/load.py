"""What every other part asks of the data: which datasets exist, and the prepared images of one of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import MISSING, dataclass, fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from common.console import UserError
from common.files import read_json, read_yaml
from common.hashing import sha256_bytes

if TYPE_CHECKING:
    import numpy as np

DATASETS = Path(__file__).with_name("datasets.yaml")
SPLITS = ("full", "train90", "heldout")

SOURCE_KEYS = {  # kind of source: required keys, optional keys
    "http": ({"url"}, {"bundle", "sha256"}),
    "gdrive": ({"id"}, {"bundle", "sha256"}),
    "package": ({"package", "version", "sha256", "folder", "codepoints"}, set()),
}


@dataclass(frozen=True)
class Dataset:
    """One entry of datasets.yaml, whose README explains the fields."""

    name: str
    title: str
    count: int
    licence: str
    citation: str
    attribution: str
    shareable: bool  # may figures that show its images be committed and published?
    split: Literal["lexicographic", "seeded"]
    sources: list[dict[str, Any]]
    folders: Sequence[str] = ()  # where archives keep it
    size: int | None = None  # side of every image in pixels, where it is known
    optional: bool = False  # can the benchmark be wanted without it?
    manifest_sha256: str | None = None
    pixels_sha256: str | None = None


@cache
def _datasets(path: Path) -> dict[str, Dataset]:
    return {name: _checked(name, entry, path) for name, entry in read_yaml(path).items()}


def _checked(name: str, entry: dict[str, Any], path: Path) -> Dataset:
    keys = {field.name for field in fields(Dataset)} - {"name"}
    required = {field.name for field in fields(Dataset) if field.default is MISSING} - {"name"}
    _check_keys(f"{path}: {name}", entry, required, keys - required)
    for source in entry["sources"]:
        kind = source.get("kind")
        if kind not in SOURCE_KEYS:
            raise UserError(f"{path}: {name} has a source of unknown kind {kind!r}; known: {', '.join(SOURCE_KEYS)}")
        keys, optional = SOURCE_KEYS[kind]
        _check_keys(f"{path}: {name}, source of kind {kind}", source, keys | {"kind"}, optional)
    return Dataset(name=name, **entry)


def _check_keys(where: str, entry: dict[str, Any], required: set[str], optional: set[str]) -> None:
    if missing := required - entry.keys():
        raise UserError(f"{where} lacks {', '.join(sorted(missing))}")
    if unknown := entry.keys() - required - optional:
        raise UserError(f"{where} has unknown keys: {', '.join(sorted(unknown))}")


def dataset_names() -> list[str]:
    """All datasets of datasets.yaml, in its order."""
    return list(_datasets(DATASETS))


def dataset_info(name: str) -> Dataset:
    """One dataset's entry.  Raises `UserError` listing the known ones if there is none of this name."""
    datasets = _datasets(DATASETS)
    if name not in datasets:
        raise UserError(f"unknown dataset {name!r}; known: {', '.join(datasets)} (add one in data/datasets.yaml)")
    return datasets[name]


def load(
    dataset: str, resolution: int, split: str = "full", root: Path | str = "data/prepared"
) -> tuple[np.ndarray, dict[str, Any]]:
    """The prepared images of a split ("full", "train90" or "heldout"): uint8 (n, H, W, 3), and the whole manifest.

    Raises `UserError` if the images are missing, or no longer those that the manifest describes.
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
        # Mapped first: what the header promises is held against the file's size before memory is taken for it.
        images = np.array(np.lib.format.open_memmap(folder / "images.npy", mode="r"))
    except Exception as error:  # damaged headers make numpy raise nearly anything
        raise UserError(f"{folder / 'images.npy'} cannot be read ({error}); {redo}") from None
    try:
        expected, splits = manifest["array_sha256"], manifest["split"]
        if (actual := data_hash(images)) != expected:
            raise UserError(f"{folder / 'images.npy'} has sha256 {actual}, but its manifest says {expected}; {redo}")
        return images if split == "full" else images[splits["train" if split == "train90" else "heldout"]], manifest
    except (KeyError, TypeError, IndexError):
        raise UserError(f"{folder / 'manifest.json'} does not describe prepared images; {redo}") from None


def data_hash(images: np.ndarray) -> str:
    """The sha256 of the images' bytes: what a run records as the data it was trained on."""
    return sha256_bytes(images.tobytes())
