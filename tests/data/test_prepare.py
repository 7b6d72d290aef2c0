"""What is prepared is the fetched images in order, described by the manifest, and checked when it is loaded."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from common.console import UserError
from common.hashing import sha256_bytes
from data.fetch import fetch
from data.load import data_hash, dataset_info, dataset_names, load
from data.prepare import prepare


@pytest.fixture
def raw(toy, four, place, tmp_path: Path) -> Path:
    """The toy dataset, fetched."""
    fetch("toy", tmp_path / "raw", place(four))
    return tmp_path / "raw"


@pytest.fixture
def prepared(raw: Path, tmp_path: Path) -> Path:
    """The toy dataset, prepared at its own size of 20 pixels."""
    prepare("toy", 20, raw, tmp_path / "prepared")
    return tmp_path / "prepared"


def test_array_holds_the_images_in_lexicographic_order(prepared: Path) -> None:
    images, manifest = load("toy", 20, root=prepared)
    assert images.dtype == np.uint8 and images.shape == (4, 20, 20, 3)
    assert [entry["file"] for entry in manifest["images"]] == ["1.png", "10.png", "2.png", "3.png"]
    for index, image in enumerate(images):
        expected = np.random.default_rng(index).integers(0, 256, (20, 20, 3), dtype=np.uint8)
        assert np.array_equal(image, expected)


def test_manifest_describes_files_pixels_and_array(prepared: Path, four) -> None:
    images, manifest = load("toy", 20, root=prepared)
    for image, entry in zip(images, manifest["images"], strict=True):
        assert entry["sha256"] == sha256_bytes(four[entry["file"]])
        assert entry["pixels_sha256"] == sha256_bytes(image.tobytes())
    assert manifest["array_sha256"] == sha256_bytes(images.tobytes()) == data_hash(images)
    assert manifest["split"] == {"train": [0, 1, 2], "heldout": [3]}
    assert (manifest["dataset"], manifest["resolution"], manifest["count"]) == ("toy", 20, 4)
    assert manifest["shareable"] is True
    assert "bilinear" in manifest["resize"]


def test_preparing_is_repeatable_to_the_byte(raw: Path, prepared: Path, tmp_path: Path) -> None:
    prepare("toy", 20, raw, tmp_path / "again")
    for name in ("images.npy", "manifest.json"):
        assert (prepared / "20/toy" / name).read_bytes() == (tmp_path / "again/20/toy" / name).read_bytes()


def test_splits_are_selected_by_name(prepared: Path) -> None:
    full, _ = load("toy", 20, root=prepared)
    assert np.array_equal(load("toy", 20, "train90", prepared)[0], full[:3])
    assert np.array_equal(load("toy", 20, "heldout", prepared)[0], full[3:])
    with pytest.raises(UserError, match="train80"):
        load("toy", 20, "train80", prepared)


def test_data_hash_tells_selections_apart(prepared: Path) -> None:
    hashes = {data_hash(load("toy", 20, split, prepared)[0]) for split in ("full", "train90", "heldout")}
    assert len(hashes) == 3


def test_changed_file_is_refused_with_both_digests(raw: Path, tmp_path: Path, four) -> None:
    (raw / "toy/2.png").write_bytes(four["1.png"])
    with pytest.raises(UserError) as error:
        prepare("toy", 16, raw, tmp_path / "out")
    assert "2.png" in str(error.value)
    assert sha256_bytes(four["1.png"]) in str(error.value) and sha256_bytes(four["2.png"]) in str(error.value)


def test_missing_file_is_named(raw: Path, tmp_path: Path) -> None:
    (raw / "toy/2.png").unlink()
    with pytest.raises(UserError, match=r"2\.png is missing; run: python -m data fetch toy"):
        prepare("toy", 16, raw, tmp_path / "out")


def test_wrong_count_says_how_many_and_where(raw: Path, tmp_path: Path, toy) -> None:
    toy(count=5)
    with pytest.raises(UserError, match=r"raw/toy holds 4 images, but toy has 5"):
        prepare("toy", 16, raw, tmp_path / "out")


def test_unreadable_image_is_named_and_leaves_no_output(raw: Path, tmp_path: Path) -> None:
    record = json.loads((raw / "toy/fetched.json").read_text())
    (raw / "toy/2.png").write_bytes(b"text")
    record["files"][2]["sha256"] = sha256_bytes(b"text")
    (raw / "toy/fetched.json").write_text(json.dumps(record))
    with pytest.raises(UserError, match=r"2\.png is not a JPEG, PNG or WebP image; delete"):
        prepare("toy", 16, raw, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_damaged_array_is_refused(prepared: Path) -> None:
    path = prepared / "20/toy/images.npy"
    images = np.load(path)
    images[0, 0, 0, 0] ^= 1
    np.save(path, images)
    with pytest.raises(UserError, match=rf"images\.npy has sha256 {data_hash(images)}.*python -m data prepare"):
        load("toy", 20, root=prepared)


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY\x01\x00", b"junk"])
def test_unreadable_array_is_refused(prepared: Path, content: bytes) -> None:
    (prepared / "20/toy/images.npy").write_bytes(content)
    with pytest.raises(UserError, match=r"images\.npy cannot be read"):
        load("toy", 20, root=prepared)


def test_array_of_objects_is_not_unpickled(prepared: Path) -> None:
    np.save(prepared / "20/toy/images.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(UserError, match="cannot be read"):
        load("toy", 20, root=prepared)


def test_missing_images_name_the_command(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="python -m data prepare --dataset panda --resolution 64"):
        load("panda", 64, root=tmp_path)


def test_unknown_dataset_lists_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"'pandas'.*openmoji_faces.*panda.*ffhq_100"):
        dataset_info("pandas")


def test_catalogue_is_what_the_paper_uses_and_the_demo() -> None:
    counts = {name: dataset_info(name).count for name in dataset_names()}
    assert counts == {
        "openmoji_faces": 100,
        "openmoji_animals": 100,
        "obama": 100,
        "grumpy_cat": 100,
        "panda": 100,
        "dog": 389,
        "cat": 160,
        "ffhq_100": 100,
    }
    assert [name for name in counts if dataset_info(name).shareable] == ["openmoji_faces", "openmoji_animals"]


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"colour": "red"}, "unknown keys: colour"),
        ({"sources": [{"kind": "ftp"}]}, "'ftp'; known: http, gdrive, package"),
        ({"sources": [{"kind": "http"}]}, "lacks url"),
        ({"sources": [{"kind": "gdrive", "id": "x", "sha": "y"}]}, "unknown keys: sha"),
    ],
)
def test_mistake_in_the_catalogue_is_named(toy, keys, reason: str) -> None:
    toy(**keys)
    with pytest.raises(UserError, match=f"toy.*{reason}"):
        dataset_info("toy")
