"""What is prepared is the fetched images in order, described by the manifest."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from common.console import UserError
from common.hashing import sha256_bytes
from data.fetch import fetch
from data.load import data_hash, load
from data.prepare import prepare


@pytest.fixture
def raw(toy, four, place, tmp_path: Path) -> Path:
    """The toy dataset, fetched."""
    fetch("toy", tmp_path / "raw", place(four))
    return tmp_path / "raw"


def test_array_holds_the_images_in_lexicographic_order_and_the_manifest_describes_them(raw, tmp_path, four) -> None:
    prepare("toy", 20, raw, tmp_path)
    images, manifest = load("toy", 20, root=tmp_path)
    assert images.dtype == np.uint8 and images.shape == (4, 20, 20, 3)
    assert [entry["file"] for entry in manifest["images"]] == ["1.png", "10.png", "2.png", "3.png"]
    for index, (image, entry) in enumerate(zip(images, manifest["images"], strict=True)):
        assert np.array_equal(image, np.random.default_rng(index).integers(0, 256, (20, 20, 3), dtype=np.uint8))
        assert entry["sha256"] == sha256_bytes(four[entry["file"]])
        assert entry["pixels_sha256"] == sha256_bytes(image.tobytes())
    assert manifest["array_sha256"] == data_hash(images) == sha256_bytes(images.tobytes())
    assert manifest["split"] == {"train": [0, 1, 2], "heldout": [3]}
    assert (manifest["dataset"], manifest["resolution"], manifest["count"]) == ("toy", 20, 4)
    assert manifest["shareable"] is True and "bilinear" in manifest["resize"]


def test_preparing_is_repeatable_to_the_byte(raw, tmp_path: Path) -> None:
    prepare("toy", 20, raw, tmp_path / "a")
    prepare("toy", 20, raw, tmp_path / "b")
    for name in ("images.npy", "manifest.json"):
        assert (tmp_path / "a/20/toy" / name).read_bytes() == (tmp_path / "b/20/toy" / name).read_bytes()


def test_depth_of_the_entry_scales_sixteen_bit_files(toy, four, place, tmp_path: Path, capfd) -> None:
    folder = place(four) / "toy"
    for index, name in enumerate(four):
        pixels = np.full((20, 20), 4092, np.uint16)
        pixels[0, index] = 0
        Image.fromarray(pixels).save(folder / name)
    for depth, brightest in ((None, 15), (12, 254)):
        toy(depth=depth)
        fetch("toy", tmp_path / "raw", tmp_path / "manual", accept=True)
        prepare("toy", 20, tmp_path / "raw", tmp_path / "out")
        assert load("toy", 20, root=tmp_path / "out")[0].max() == brightest
        warned = "warning: toy: 1.png (and 3 more like it) is a 16-bit picture" in capfd.readouterr().err
        assert warned == (depth is None)


def unreadable(folder: Path) -> None:
    record = json.loads((folder / "fetched.json").read_text())
    (folder / "2.png").write_bytes(b"text")
    record["files"][2]["sha256"] = sha256_bytes(b"text")
    (folder / "fetched.json").write_text(json.dumps(record))


def fewer(folder: Path) -> None:
    record = json.loads((folder / "fetched.json").read_text())
    (folder / "fetched.json").write_text(json.dumps({"files": record["files"][:3]}))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (
            lambda folder: (folder / "2.png").write_bytes(b"other"),
            r"2\.png has sha256 [0-9a-f]{64}, but [0-9a-f]{64} was fetched; run: python -m data fetch toy",
        ),
        (lambda folder: (folder / "2.png").unlink(), r"2\.png is missing; run: python -m data fetch toy"),
        (unreadable, r"2\.png is not a JPEG, PNG, WebP, BMP or TIFF image, .*; delete"),
        (fewer, "raw/toy holds 3 images, but toy has 4"),
        (lambda folder: (folder / "fetched.json").unlink(), "raw/toy holds no complete fetch of toy"),
        (lambda folder: (folder / "fetched.json").write_text('{"files": [3]}'), r"fetched\.json does not list files"),
    ],
)
def test_damage_since_the_fetch_is_named_and_leaves_no_output(raw, tmp_path: Path, damage, reason: str) -> None:
    damage(raw / "toy")
    with pytest.raises(UserError, match=reason):
        prepare("toy", 16, raw, tmp_path / "out")
    assert not (tmp_path / "out").exists()
