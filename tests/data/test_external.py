"""Samples of a baseline trained elsewhere become a sample file, or one sentence says why they cannot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from common.console import UserError
from data.external import import_samples, lines
from data.images import FORMAT_NAMES, to_square
from tests.files import flip

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "stylegan" / "openmoji_faces"
    path.mkdir(parents=True)
    return path


def imported(folder: Path, resolution: int = 32) -> tuple[np.ndarray, dict[str, object]]:
    import_samples(folder, resolution, folder.parent.parent / "samples.npz")
    return stored(folder)


def stored(folder: Path) -> tuple[np.ndarray, dict[str, Any]]:
    with np.load(folder.parent.parent / "samples.npz") as file:
        return file["images"], json.loads(str(file["meta"]))


def test_what_the_decoder_assumed_is_in_the_intake(folder: Path) -> None:
    for number in range(2):
        Image.fromarray(np.full((32, 32), 1000 + number, np.uint16)).save(folder / f"{number}.png")
    _, meta = imported(folder)
    warned = meta["intake"]["warnings"]
    assert any(text.startswith("2 of 2 samples (0.png, 1.png): each is a 16-bit picture without") for text in warned)


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
    larger = np.random.default_rng(0).integers(0, 256, (2, 64, 48, 3), np.uint8)
    np.savez(folder / "any.npz", images=larger)
    images, _ = imported(folder, resolution=16)
    assert np.array_equal(images, [np.asarray(to_square(Image.fromarray(image), 16)) for image in larger])


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


def intake(folder: Path, resolution: int = 32, take: int | None = None) -> list[str]:
    """What is said of a folder, without its name."""
    import_samples(folder, resolution, folder.parent.parent / "samples.npz", take)
    return [line.removeprefix(f"{folder}: ") for line in lines(stored(folder)[1]["intake"])]


def save(folder: Path, *names: str, size: tuple[int, int] = (32, 32), **keys: object) -> None:
    for name in names:
        pixels = np.random.default_rng(len(list(folder.iterdir()))).integers(0, 256, (*size[::-1], 3), np.uint8)
        Image.fromarray(pixels).save(folder / name, **keys)


def test_what_is_found_taken_and_left_out_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(folder, *(f"{index}.png" for index in range(12)))
    for name in ("a.psd", "b.heic", "notes {x}.txt", ".DS_Store"):
        (folder / name).touch()
    (folder / "more").mkdir()
    assert intake(folder, take=12) == [
        "samples found: 12, taken: 12",
        "left out: sub-folders are not read: more; move their samples up",
        f"left out: 3 files of other formats than {FORMAT_NAMES}: a.psd, b.heic, notes {{x}}.txt",
    ]
    assert f"{folder}: left out: sub-folders" in capsys.readouterr().err
    order = "the first in lexicographic order (10.png before 2.png)"
    assert intake(folder, take=3)[-1] == f"left out: samples: 9, because no metric takes more than 3: {order}"
    assert intake(folder, take=20)[-1].startswith(
        "warning: the preset takes 20 samples; the row is marked with its own"
    )


@pytest.mark.parametrize("packed", [False, True])
def test_only_the_samples_taken_are_decoded(folder: Path, packed: bool) -> None:
    """A damaged one behind them would be an error."""
    if packed:
        np.savez(folder / "a.npz", images=IMAGES[[0, 1, 2]])
        flip(folder / "a.npz", -1000)  # a pixel of the last one, which fails the checksum
    else:
        save(folder, "a.png", "b.png")
        (folder / "c.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"a\.npz|c\.png"):
        imported(folder)
    import_samples(folder, 32, folder.parent.parent / "samples.npz", take=2)
    images, meta = stored(folder)
    assert len(images) == 2
    assert not meta["exhausted"]
    assert list(meta["files"]) == [path.name for path in sorted(folder.iterdir())], "all are inputs by content"


EXIF = Image.Exif()
EXIF[0x010E] = "a description moves the pixels of a WebP behind another chunk"
WARNINGS: dict[str, tuple[list[tuple[str, dict[str, object]]], list[str]]] = {
    "oblong": (
        [("a.png", {"size": (64, 32)}), ("b.png", {"size": (64, 32)})],
        ["2 of 2 samples (64x32) are not square: only the centre square is used"],
    ),
    "two sizes, one too small": (
        [("a.png", {}), ("b.png", {"size": (24, 24)})],
        ["the samples have 2 sizes: 32x32, 24x24", "1 of 2 samples (24x24) are smaller than 32 px and were enlarged"],
    ),
    "JPEG whatever its name": (
        [("a.png", {"format": "JPEG", "quality": 100}), ("b.jpg", {})],
        ["2 of 2 samples are JPEG: lossy compression alone can double FID; save them as PNG"],
    ),
    "one lossy WebP": (
        [("a.webp", {"quality": 100}), ("b.webp", {"lossless": True}), ("c.webp", {"lossless": True, "exif": EXIF})],
        ["1 of 3 samples are lossy WebP"],
    ),
    "lossless": ([("a.png", {}), ("b.webp", {"lossless": True})], []),
}


@pytest.mark.parametrize("name", WARNINGS)
def test_what_spoils_the_comparison_is_warned_of(folder: Path, name: str) -> None:
    files, warned = WARNINGS[name]
    for file, keys in files:
        save(folder, file, **keys)
    said = [line.removeprefix("warning: ") for line in intake(folder)[1:]]
    assert len(said) == len(warned)
    assert all(line.startswith(start) for line, start in zip(said, warned, strict=True)), said


def test_identical_samples_are_warned_of(folder: Path) -> None:
    np.savez(folder / "a.npz", images=IMAGES[[0, 0, 0]])
    assert intake(folder)[1:] == ["warning: all 3 samples are identical"]
    np.savez(folder / "a.npz", images=IMAGES[[0, 1, 0]])
    assert intake(folder)[1:] == ["warning: only 2 of 3 samples are distinct: the others are identical copies"]


def test_the_folder_must_be_named_after_a_dataset(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="openmoji_faces"):
        import_samples(tmp_path / "stylegan" / "no_such_set", 32, tmp_path / "samples.npz")
    with pytest.raises(UserError, match="does not exist"):
        import_samples(tmp_path / "stylegan" / "openmoji_faces", 32, tmp_path / "samples.npz")
