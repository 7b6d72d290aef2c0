"""Files that a user supplies count by content: their dates, and sources that were taken away, change nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from data.supplied import contents, difference, manual_difference, manual_digest, placed
from tests.files import zipped


@pytest.fixture
def state(raw: Path, tmp_path: Path) -> Callable[[], tuple[str | None, str | None]]:
    """The rule's parameter, and what `verify` says, both without the temporary folder."""

    def look() -> tuple[str | None, str | None]:
        said = manual_difference("toy", raw, tmp_path / "manual")
        return manual_digest("toy", raw, tmp_path / "manual"), said and said.replace(f"{tmp_path}/", "")

    return look


def rewritten(path: Path, content: bytes) -> None:
    """Other content with an older date."""
    path.write_bytes(content)
    os.utime(path, (1e9, 1e9))


CHANGES: dict[str, Callable[[Path], object]] = {
    "2.png was changed": lambda folder: rewritten(folder / "2.png", (folder / "3.png").read_bytes()),
    "2.png was removed": lambda folder: (folder / "2.png").unlink(),
    "4.png was added": lambda folder: rewritten(folder / "4.png", b""),
    "2.PNG was added, 2.png was removed": lambda folder: (folder / "2.png").rename(folder / "2.PNG"),
    "more was added": lambda folder: (folder / "more").mkdir(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_in_the_folder_of_a_set_is_noticed_and_named(toy, get, place, four, state, change: str) -> None:
    folder = place(four) / "toy"
    get()
    before, said = state()
    assert said is None
    (folder / "2.png").touch()
    (folder / ".DS_Store").touch()
    assert state() == (before, None), "dates and hidden files are no content"
    CHANGES[change](folder)
    after, said = state()
    assert after != before
    assert said == f"manual/toy: {change} since toy was fetched"


def test_a_folder_that_was_added_later_is_noticed_and_one_that_was_taken_away_is_not(
    server, toy, get, place, four, state, tmp_path
) -> None:
    server.pages["/a.zip"] = zipped(four)
    toy(sources=[server.source("a.zip")])
    get()
    web = state()
    assert web[1] is None
    place(four)
    added, said = state()
    assert added != web[0]
    assert said == "manual/toy was added since toy was fetched from another source"
    assert get()["source"]["kind"] == "manual"
    assert state() == (added, None)
    (tmp_path / "manual/toy").rename(tmp_path / "elsewhere")
    assert state() == (added, None), "its images were copied"


@pytest.mark.parametrize("inside", ["", "toy/"])
def test_another_archive_of_the_same_name_is_read_again(toy, get, four, state, tmp_path, capsys, inside: str) -> None:
    """In the folder of the set, or beside it."""
    toy(folders=["toy"])
    archive = tmp_path / "manual" / f"{inside}a.zip"
    archive.parent.mkdir(parents=True)
    archive.write_bytes(zipped({f"toy/{name}": content for name, content in four.items()}))
    first = state()[0]
    get()
    assert state() == (first, None), "the parameter before the first fetch and after it, or it would be repeated"
    rewritten(archive, zipped({f"b/toy/{name}": content for name, content in four.items()}))
    second, said = state()
    assert second != first
    assert "a.zip was changed" in said and said.endswith("since toy was fetched")
    capsys.readouterr()
    get()
    assert "toy: images from" in capsys.readouterr().err
    assert state() == (second, None)
    archive.unlink()
    if not inside:
        assert state() == (second, None), "its images were copied"


def test_sub_folders_of_samples_made_elsewhere_are_not_entered(tmp_path: Path) -> None:
    """They are entered where a user places a data set: a set of pairs has images/ and labels/."""
    (tmp_path / "images").mkdir()
    (tmp_path / "images/a.png").touch()
    assert list(contents(tmp_path)) == ["images"]
    assert list(placed(tmp_path)) == ["images/a.png"]


def test_what_cannot_be_read_is_content_too(tmp_path: Path) -> None:
    """A pipe would otherwise be waited for, and a broken link end in a traceback."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/no/file")
    before = contents(tmp_path)
    assert list(before) == ["link", "pipe"]
    (tmp_path / "pipe").unlink()
    (tmp_path / "\x1b[2J").touch()
    assert difference(contents(tmp_path), before) == r"'\x1b[2J was added', pipe was removed"
