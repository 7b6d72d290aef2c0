"""A folder of the user's own pictures: what is taken, what is said about the rest, and what a change in it does."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from common.console import UserError
from common.files import read_json
from data import datasets, mine
from data.datasets import dataset_info
from data.images import decode
from data.load import load
from data.mine import adopt, look, save
from data.mine_report import report
from data.prepare import prepare
from tests.files import encoded

ORIENTATION, TURNED = 0x0112, 6  # the EXIF tag, and the value for a camera held upright


@pytest.fixture(autouse=True)
def own_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not that of this checkout."""
    for module in (datasets, mine):
        monkeypatch.setattr(module, "MINE_RECORD", tmp_path / "mine.json")


def picture(number: int, size: tuple[int, int] = (40, 40)) -> Image.Image:
    """Noise that is different for each number."""
    width, height = size
    return Image.fromarray(np.random.default_rng(number).integers(0, 256, (height, width, 3), np.uint8))


def fill(folder: Path, count: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        picture(number).save(folder / f"{number:02d}.png")
    return folder


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """22 pictures that can be used and 9 files that cannot, in a folder with an awkward name."""
    folder = fill(tmp_path / "Aunt Zoë's {best} $50%", 12)
    (folder / "trip" / "day 1").mkdir(parents=True)
    picture(12, (60, 40)).save(folder / "12.jpg")
    picture(20, (40, 50)).save(folder / "trip" / "day 1" / "20.WEBP")
    picture(28).convert("P").save(folder / "28 palette.png")
    picture(31).convert("L").save(folder / "31 grey.jpeg")
    sixteen = np.random.default_rng(33).integers(0, 2**16, (40, 40), np.uint16)
    Image.fromarray(sixteen).save(folder / "33 sixteen.png")
    clear = picture(35).convert("RGBA")
    clear.putalpha(100)
    clear.save(folder / "35 clear.png")
    exif = Image.Exif()
    exif[ORIENTATION] = TURNED
    picture(36, (60, 40)).save(folder / "36 turned.jpg", exif=exif)
    for number, suffix in enumerate((".bmp", ".tiff", ".png"), 37):
        picture(number, (20, 20)).save(folder / f"{number} small{suffix}")

    decode(folder / "12.jpg").save(folder / "zz the same.png")  # the same pixels in another format
    (folder / "notes.jpg").write_text("not a picture")
    (folder / "cut.png").write_bytes((folder / "00.png").read_bytes()[:500])
    picture(50, (9, 9)).save(folder / "icon.png")
    (folder / "IMG_1.HEIC").touch()
    (folder / "IMG_2.jpg").write_bytes(b"\0\0\0\x20ftypheic" + bytes(40))
    (folder / "IMG_3.CR2").touch()
    (folder / "list.txt").touch()
    (folder / "broken link.jpg").symlink_to("nowhere")
    (folder / ".hidden.png").touch()
    return folder


def test_pictures_of_mixed_formats_are_reported_and_prepared(mixed: Path, tmp_path: Path) -> None:
    record = look(str(mixed), "")
    told = report(record, 32)
    assert told["found"] == "31 files found, also in 1 sub-folder; 22 pictures taken, 9 left out"
    assert "the same picture as another: 1 (zz the same.png = 12.jpg)" in told["left_out"]
    assert "RAW format of a camera, export as JPEG to use it: 1 (IMG_3.CR2)" in told["left_out"]
    assert "HEIC or AVIF format, export as JPEG to use it: 2 (IMG_1.HEIC, IMG_2.jpg)" in told["left_out"]
    assert "9x9 pixels, but each side must have at least 16: 1 (icon.png)" in told["left_out"]
    named = "\n".join(told["left_out"])
    assert all(name in named for name in ("notes.jpg", "cut.png", "list.txt", "broken link.jpg"))
    changed = {line.rpartition(": ")[0]: int(re.findall(r": (\d+) \(", line)[0]) for line in told["changed"][:-1]}
    assert changed["not square, cropped to the square in the centre"] == 3
    assert changed["smaller than 32 pixels, enlarged"] == 3
    assert changed["turned upright by the EXIF orientation"] == 1
    assert changed["transparent parts set on white"] == 1
    assert changed["converted to RGB from a palette"] == 1
    assert changed["converted to 8 bits from 16"] == changed["converted to RGB from grey"] == 1

    save(record)
    adopt(tmp_path / "raw")
    prepare("mine", 32, tmp_path / "raw", tmp_path)
    images, manifest = load("mine", 32, root=tmp_path)
    assert images.shape == (22, 32, 32, 3)
    assert (manifest["title"], manifest["shareable"]) == ("Aunt Zoë s best 50", False)
    assert [len(manifest["split"][part]) for part in ("train", "heldout")] == [19, 3]
    assert dataset_info("mine").pixels_sha256 == read_json(tmp_path / "raw/mine/fetched.json")["pixels_sha256"]


def test_a_damaged_second_page_is_no_reason_to_stop(tmp_path: Path) -> None:
    folder = fill(tmp_path / "scans", 10)
    for number, name in ((10, "whole.tif"), (20, "cut.tif")):
        picture(number).save(folder / name, save_all=True, append_images=[picture(number + 1)])
    (folder / "cut.tif").write_bytes((folder / "cut.tif").read_bytes()[:6000])
    taken = {entry["path"]: entry["changes"] for entry in look(str(folder), "")["taken"]}
    assert taken["whole.tif"] == taken["cut.tif"] == ["several frames or pages, only the first taken"]


def test_equal_names_in_different_folders_are_all_taken(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    for number, place in enumerate(["", "a/b", "a_b", "a b", "A/B"]):
        fill(folder / place, 0)
        for index in range(2):
            picture(10 * number + index).save(folder / place / f"{index}.png")
    save(look(str(folder), ""))
    adopt(tmp_path / "raw")
    assert len({path.name.lower() for path in (tmp_path / "raw/mine").glob("*.png")}) == 10


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda place: None, "does not exist"),
        (lambda place: place.touch(), "is a file; name the folder"),
        (lambda place: place.mkdir(), "holds no files"),
        (lambda place: fill(place, 9), "holds 9 usable pictures, but at least 10 different ones are needed"),
        (lambda place: place.symlink_to(datasets.DATASETS.parent), "contains this checkout or its data"),
    ],
)
def test_a_folder_that_cannot_be_used_is_one_sentence(tmp_path: Path, make, sentence: str) -> None:
    make(tmp_path / "pictures")
    with pytest.raises(UserError, match=rf"^images: .*{sentence}"):
        look(str(tmp_path / "pictures"), "")
    assert not (tmp_path / "mine.json").exists()


def test_a_change_of_content_is_noticed_whatever_its_date_and_nothing_else_is(tmp_path: Path, monkeypatch) -> None:
    folder = fill(tmp_path / "pictures", 12)
    before = look(str(folder), "")
    save(before)
    os.utime(folder / "03.png", (0, 0))
    with monkeypatch.context() as patch:
        patch.setattr(mine, "decode", None)  # nothing is decoded again
        assert look(f"{folder}/", "") == before
    old = (folder / "03.png").stat()
    (folder / "03.png").write_bytes(encoded(picture(99)))
    os.utime(folder / "03.png", (old.st_atime, old.st_mtime))
    replaced = look(str(folder), "")
    (folder / "05.png").unlink()
    removed = look(str(folder), "")
    picture(98).save(folder / "new.png")
    added = look(str(folder), "")
    assert len({record["digest"] for record in (before, replaced, removed, added)}) == 4
    assert [len(record["taken"]) for record in (replaced, removed, added)] == [12, 11, 12]


def test_a_picture_that_changes_during_the_run_is_named(tmp_path: Path) -> None:
    folder = fill(tmp_path / "pictures", 10)
    save(look(str(folder), ""))
    picture(99).save(folder / "04.png")
    with pytest.raises(
        UserError, match=r"04\.png changed or is gone since the folder was read; run with: --config images=/"
    ):
        adopt(tmp_path / "raw")
    assert not (tmp_path / "raw/mine").exists()


def test_names_as_macos_writes_them(tmp_path: Path) -> None:
    """Screenshots have a narrow no-break space before AM, and an accent is stored apart from its letter."""
    folder = fill(tmp_path / "Zoe\u0308", 9)
    picture(9).save(folder / "Screenshot at 9.41.00\u202fAM.png")
    record = look(f"{folder} ", "")  # and the space that was typed by mistake
    assert (len(record["taken"]), record["entry"]["title"]) == (10, "Zoë")


def test_damaged_metadata_are_neither_shown_nor_called_a_change(tmp_path: Path, recwarn) -> None:
    folder, exif = fill(tmp_path / "pictures", 8), Image.Exif()
    exif[ORIENTATION] = 99
    picture(8).save(folder / "odd.jpg", exif=exif)
    exif[ORIENTATION] = TURNED
    whole = encoded(picture(9), "jpeg", exif=exif)
    start = whole.index(b"Exif") + 10  # the offset of the first directory
    (folder / "cut.jpg").write_bytes(whole[:start] + b"\xff" * 4 + whole[start + 4 :])
    assert report(look(str(folder), ""), 32)["changed"] == []
    assert not recwarn.list


def test_a_profile_that_cannot_be_used_is_not_called_converted(tmp_path: Path) -> None:
    folder = fill(tmp_path / "pictures", 9)
    picture(9).save(folder / "odd.png", icc_profile=bytes(200))
    changed = report(look(str(folder), ""), 32)["changed"]
    assert [line.partition(" (")[0] for line in changed] == ["has a colour profile that cannot be used"]


@pytest.mark.parametrize("content", ["{", "[1]"])
def test_a_damaged_record_is_written_anew(tmp_path: Path, content: str) -> None:
    (tmp_path / "mine.json").write_text(content)
    with pytest.raises(UserError, match=r"mine\.json"):
        dataset_info("mine")
    save(look(str(fill(tmp_path / "pictures", 10)), ""))
    assert dataset_info("mine").count == 10


def test_links_between_folders_are_followed_once(tmp_path: Path) -> None:
    fill(tmp_path / "elsewhere", 10)
    folder = fill(tmp_path / "pictures", 0)
    (folder / "linked").symlink_to(tmp_path / "elsewhere")
    (folder / "round").symlink_to(folder)
    assert len(look(str(folder), "")["taken"]) == 10
