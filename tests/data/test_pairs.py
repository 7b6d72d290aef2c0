"""Pairs that a user supplies: images/ and labels/ with equal names, and what is said of those that cannot be used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from common.console import UserError
from data.archive import SourceError
from data.fetch import fetch
from data.load import load_labels
from data.pairs import label_names
from data.prepare import prepare
from data.supplied import manual_difference, manual_digest
from data.tasks import Layout, load_task
from tests.files import encoded, zipped

LAYOUTS = {"classes": {"above": [0, 0, 255], "below": [128, 64, 128]}}
TASK = Layout(kind="layout", dataset="toy")


@pytest.fixture
def pairs(toy, four, tmp_path: Path) -> Path:
    """Four pairs in manual/toy, whose label maps have two classes, above and below; returns the folder."""
    toy(layouts=LAYOUTS)
    folder = tmp_path / "manual" / "toy"
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    labels = np.zeros((20, 20, 3), np.uint8)
    labels[:10], labels[10:] = LAYOUTS["classes"]["above"], LAYOUTS["classes"]["below"]
    for name, content in four.items():
        (folder / "images" / name).write_bytes(content)
        Image.fromarray(labels).quantize().save(folder / "labels" / name)  # with a palette, as GTA-5 has them
    return folder


@pytest.fixture
def fetched(pairs: Path, raw: Path) -> Callable[[], Path]:
    return lambda: fetch("toy", raw, pairs.parent)


def test_pairs_become_conditions_and_images(pairs, fetched, raw, tmp_path) -> None:
    fetched()
    prepare("toy", 20, raw, tmp_path)
    train = load_task(TASK, 20, "train", tmp_path)
    assert train.conditions.shape == (3, 2, 20, 20) and train.images.shape == (3, 20, 20, 3)
    assert train.inside is None
    assert train.conditions[:, 0, :10].min() == 1 and train.conditions[:, 1, 10:].min() == 1
    assert load_task(TASK, 20, "heldout", tmp_path).images.shape == (1, 20, 20, 3)

    label = raw / "toy/labels/1.png"
    label.write_bytes(b"damaged since")
    fetched()
    assert label.read_bytes() == (pairs / "labels/1.png").read_bytes(), "an earlier fetch counts only if it is intact"


def test_an_archive_with_both_folders_is_read(pairs, raw, tmp_path) -> None:
    files = {f"toy/{path.relative_to(pairs)}": path.read_bytes() for path in pairs.glob("*/*.png")}
    for path in pairs.glob("*/*.png"):
        path.unlink()
    for part in ("images", "labels"):
        (pairs / part).rmdir()
    (pairs / "toy.zip").write_bytes(zipped(files))
    fetch("toy", raw, pairs.parent)
    prepare("toy", 20, raw, tmp_path)
    assert load_labels("toy", 20, tmp_path)[0].shape == (4, 20, 20, 2)


def painted(pairs: Path, name: str, colour: str, size: tuple[int, int] = (20, 20)) -> None:
    Image.new("RGB", size, colour).save(pairs / "labels" / name)


def lossy(pairs: Path) -> None:
    content = encoded(Image.open(pairs / "labels" / "2.png").convert("RGB"), "jpeg")
    (pairs / "labels" / "2.png").rename(pairs / "labels" / "2.jpg").write_bytes(content)


def test_two_images_of_one_name_are_named() -> None:
    with pytest.raises(SourceError, match="the image a does not fit: there must be one for each name"):
        label_names([Path("a.jpg"), Path("a.png"), Path("z.png")], 1)


BAD: dict[str, Callable[[Path], object]] = {
    r"3 images were found in labels/, 4 are expected": lambda pairs: (pairs / "labels" / "2.png").unlink(),
    r"the label map 2\.png in labels/ is missing": lambda pairs: (pairs / "labels/2.png").rename(
        pairs / "labels/4.png"
    ),
    r"1\.jpg and 1\.png in labels/ have the same name": lambda pairs: (pairs / "labels/2.png").rename(
        pairs / "labels/1.jpg"
    ),
    r"labels/2\.png has the colour \(255, 0, 0\) in 100.0% of its pixels": lambda pairs: painted(pairs, "2.png", "red"),
    r"labels/2\.jpg has the colour .* \(label maps must be lossless": lossy,
    r"2\.png is 20x20 pixels, but its label map is 16x20": lambda pairs: painted(pairs, "2.png", "blue", (16, 20)),
    r"it must hold the folders images/ and labels/ and nothing else": lambda pairs: (pairs / "more").mkdir(),
    r"only JPEG, PNG.* are allowed there, not notes\.txt": lambda pairs: (pairs / "labels/notes.txt").touch(),
    r"labels/2\.png is not a JPEG, PNG": lambda pairs: (pairs / "labels/2.png").write_bytes(b"GIF89a"),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_pairs_are_refused_and_the_earlier_ones_kept(pairs, fetched, raw, message: str) -> None:
    fetched()
    before = {path: path.read_bytes() for path in raw.rglob("*.*")}
    BAD[message](pairs)
    with pytest.raises(UserError, match=rf"cannot be used for toy: {message}.*; correct or remove that folder"):
        fetched()
    assert {path: path.read_bytes() for path in raw.rglob("*.*")} == before


def test_a_class_without_a_colour_takes_all_others(toy, pairs, fetched, raw, tmp_path) -> None:
    toy(layouts={"classes": {**LAYOUTS["classes"], "other": None}})
    painted(pairs, "2.png", "red")
    fetched()
    prepare("toy", 20, raw, tmp_path)
    labels, about = load_labels("toy", 20, tmp_path)
    assert about["classes"] == ["above", "below", "other"]
    assert labels[:, 0, 0, 2].tolist() == [0, 0, 255, 0]


def test_a_changed_label_map_is_noticed(pairs, fetched, raw, tmp_path) -> None:
    fetched()
    before = manual_digest("toy", raw, pairs.parent)
    assert manual_difference("toy", raw, pairs.parent) is None
    painted(pairs, "2.png", "blue")
    assert manual_digest("toy", raw, pairs.parent) != before
    assert "labels/2.png was changed since toy" in (manual_difference("toy", raw, pairs.parent) or "")
    with pytest.raises(UserError, match=r"the label maps are not those of .*labels_sha256 is .* --accept"):
        fetched()
    assert fetch("toy", raw, pairs.parent, accept=True)
    (raw / "toy" / "labels" / "3.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"labels/3\.png is missing, or was changed since it was fetched; run: python"):
        prepare("toy", 20, raw, tmp_path)


def test_a_set_without_label_maps_is_none_for_layouts(toy, four, place, raw, tmp_path) -> None:
    fetch("toy", raw, place(four))
    prepare("toy", 20, raw, tmp_path)
    with pytest.raises(UserError, match=r"toy has no label maps; a task of `kind: layout` needs a set with the key"):
        load_task(TASK, 20, "train", tmp_path)
