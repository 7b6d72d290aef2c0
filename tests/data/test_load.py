"""Prepared images are checked when they are loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.console import UserError
from common.files import write_json
from data.load import data_hash, load
from tests.files import npy
from tests.prepared import write_prepared

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)
MANIFEST = {"array_sha256": data_hash(IMAGES), "split": {"train": [0, 1, 2], "heldout": [3]}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Prepared images of a set named toy."""
    write_prepared(tmp_path / "16" / "toy", IMAGES)
    return tmp_path / "16" / "toy"


def test_splits_are_selected_by_name(folder: Path, tmp_path: Path) -> None:
    parts = {split: load("toy", 16, split, tmp_path)[0] for split in ("full", "train90", "heldout")}
    assert np.array_equal(parts["full"], IMAGES)
    assert np.array_equal(parts["train90"], IMAGES[:3])
    assert np.array_equal(parts["heldout"], IMAGES[3:])
    assert len({data_hash(images) for images in parts.values()}) == 3
    with pytest.raises(UserError, match="train80"):
        load("toy", 16, "train80", tmp_path)


def test_missing_images_name_the_command(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="python -m data prepare --dataset panda --resolution 64"):
        load("panda", 64, root=tmp_path)


def test_changed_array_is_refused(folder: Path, tmp_path: Path) -> None:
    np.save(folder / "images.npy", IMAGES ^ 1)
    with pytest.raises(UserError, match=rf"images\.npy has sha256 {data_hash(IMAGES ^ 1)}.*python -m data prepare"):
        load("toy", 16, root=tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"junk", b"\x93NUMPY\x01\x00", b"\x93NUMPY\1\0\xff\xff" + b"(" * 65535),
        *(npy(shape, bytes(1536)) for shape in [(2**60, 16, 16, 3), (2**40, 16, 16, 3), (-5, 16, 16, 3)]),
        npy((2, 16, 16, 3), bytes(1536), "|O"),  # pickled
    ],
)
@pytest.mark.filterwarnings("ignore:overflow")
def test_array_that_is_none_is_refused_before_memory_is_taken(folder: Path, tmp_path: Path, content: bytes) -> None:
    (folder / "images.npy").write_bytes(content)
    with pytest.raises(UserError, match=r"images\.npy cannot be read"):
        load("toy", 16, root=tmp_path)


@pytest.mark.parametrize("manifest", [[], {}, None, {**MANIFEST, "split": 3}, {**MANIFEST, "split": {}}])
def test_manifest_that_does_not_describe_images_is_refused(folder: Path, tmp_path: Path, manifest: Any) -> None:
    write_json(folder / "manifest.json", manifest)
    with pytest.raises(UserError, match=r"manifest\.json does not describe .*run: python -m data prepare"):
        load("toy", 16, "train90", root=tmp_path)
