"""Samples of a baseline trained elsewhere become a sample file, or one sentence says why they cannot."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from common.console import UserError
from data.external import import_samples

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "stylegan" / "openmoji_faces"
    path.mkdir(parents=True)
    return path


def imported(folder: Path, resolution: int = 32) -> tuple[np.ndarray, dict[str, object]]:
    out = folder.parent.parent / "samples.npz"
    import_samples(folder, resolution, out)
    with np.load(out) as file:
        return file["images"], json.loads(str(file["meta"]))


def test_a_folder_of_images_in_the_order_of_their_names(folder: Path) -> None:
    for name, image in zip(("b.png", "a.png", "c.webp"), IMAGES, strict=True):
        Image.fromarray(image).save(folder / name, lossless=True)
    (folder / "notes.txt").write_text("not an image")
    images, meta = imported(folder)
    assert np.array_equal(images, IMAGES[[1, 0, 2]])
    assert (meta["dataset"], meta["method"], meta["seed"], meta["split"], meta["steps"]) == (
        *("openmoji_faces", "stylegan", 0),
        *("full", None),
    )


@pytest.mark.parametrize("name", ["images", "samples", "arr_0"])
def test_one_archive_under_any_of_the_usual_names(name: str, folder: Path) -> None:
    np.savez(folder / "any.npz", **{name: IMAGES})
    images, meta = imported(folder)
    assert np.array_equal(images, IMAGES)
    np.savez(folder / "any.npz", **{name: IMAGES[::-1]})
    assert imported(folder)[1]["run_hash"] != meta["run_hash"], "other samples are another run"


def test_larger_samples_are_resized_like_the_datasets(folder: Path) -> None:
    np.savez(folder / "any.npz", images=np.full((2, 64, 48, 3), 77, np.uint8))
    images, _ = imported(folder, resolution=16)
    assert images.shape == (2, 16, 16, 3)
    assert (images == 77).all()


def test_what_cannot_be_used_is_named(folder: Path) -> None:
    def refused(message: str) -> None:
        with pytest.raises(UserError, match=message):
            imported(folder)

    refused("0 images and 0 .npz")
    np.savez(folder / "x.npz", latents=IMAGES)
    refused(r"x\.npz holds no array named images")
    np.savez(folder / "x.npz", images=IMAGES / 255)
    refused(r"x\.npz: images must be uint8 .* not float64")
    Image.fromarray(IMAGES[0]).save(folder / "a.png")
    refused("1 images and 1 .npz")
    (folder / "x.npz").unlink()
    (folder / "b.png").write_bytes((folder / "a.png").read_bytes()[:100])
    refused(r"b\.png is damaged")
    assert not (folder.parent.parent / "samples.npz").exists()


def test_the_folder_must_be_named_after_a_dataset(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="openmoji_faces"):
        import_samples(tmp_path / "stylegan" / "no_such_set", 32, tmp_path / "samples.npz")
    with pytest.raises(UserError, match="does not exist"):
        import_samples(tmp_path / "stylegan" / "openmoji_faces", 32, tmp_path / "samples.npz")
