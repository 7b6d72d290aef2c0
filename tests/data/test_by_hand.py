"""What is placed by hand: images, the set's own archive, a bundle for several sets; and what is refused, by name."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from common.console import UserError


def test_manual_folder_comes_first_and_is_read_each_time(server, toy, get, raw, four, place, pack) -> None:
    server.pages["/a.zip"] = pack(four)
    toy(sources=[{"kind": "http", "url": f"{server.url}/a.zip"}])
    manual = place(four | {".hidden": b"mine"})
    assert get()["source"] == {"kind": "manual", "folder": str(manual / "toy")}
    (manual / "toy" / "2.png").unlink()
    with pytest.raises(UserError, match="3 images were found"):
        get()
    assert server.requests == []


def saved(image: Image.Image, **keys: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "png", **keys)
    return stream.getvalue()


GREY = Image.new("RGB", (20, 20), "grey")


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"5.png": saved(GREY)}, "5 images were found, 4 are expected"),
        ({"2.png": b""}, r"2\.png is empty"),
        ({"2.png": b"text"}, r"2\.png is not a JPEG"),
        ({"readme.txt": b"mine"}, r"only JPEG, PNG and WebP images may lie there, not readme\.txt"),
        ({"a.zip": b"PK"}, r"only .* images may lie there, not a\.zip"),
        ({"2.png": saved(GREY), "3.png": saved(GREY)}, r"2\.png and 3\.png have the same bytes"),
        ({"2.png": saved(GREY), "3.png": saved(GREY, compress_level=0)}, r"2\.png and 3\.png have the same pixels"),
        ({"2.png": saved(GREY.resize((30, 20)))}, r"2\.png is 30x20 pixels, but all of Toy are 20 square"),
    ],
)
def test_unusable_folder_is_named_with_the_file(toy, get, four, place, changed, reason: str) -> None:
    toy(size=20)
    place(four | changed)
    with pytest.raises(UserError, match=f"manual/toy cannot be used for toy: {reason}") as error:
        get()
    assert "\n" not in str(error.value) and "mend or remove that folder" in str(error.value)


def test_folder_inside_is_a_stray(toy, get, four, place) -> None:
    (place(four) / "toy" / "img").mkdir()
    with pytest.raises(UserError, match="may lie there, not img"):
        get()


def test_mixed_sizes_are_noted_where_the_size_is_not_known(toy, get, four, place, capsys) -> None:
    """AnimalFace's native sizes are published nowhere."""
    place(four | {"2.png": saved(GREY.resize((30, 20)))})
    assert len(get()["files"]) == 4
    assert "toy: note that its images have 2 sizes, such as 20x20 and 30x20" in capsys.readouterr().err


def test_archive_is_taken_as_its_authors_packed_it_but_twins_are_noted(toy, get, four, place, pack, capsys) -> None:
    place({"a.zip": pack(four | {"3.png": four["1.png"]})})
    assert len(get()["files"]) == 4
    assert "toy: note that 1.png and 3.png have the same bytes" in capsys.readouterr().err


@pytest.mark.parametrize("inside", ["{}", "toy/img/{}", "some/where/{}"])
def test_original_archive_stands_for_the_folder(toy, get, raw, four, place, pack, inside: str) -> None:
    toy(folders=["toy"])
    manual = place({"Toy Set.ZIP": pack({inside.format(name): content for name, content in four.items()})})
    assert get()["source"] == {"kind": "manual", "archive": str(manual / "toy" / "Toy Set.ZIP")}
    assert {name: (raw / "toy" / name).read_bytes() for name in four} == four
    assert (manual / "toy" / "Toy Set.ZIP").exists()


def test_archive_that_is_none_or_has_an_unknown_layout_is_named_and_kept(toy, get, four, place, pack) -> None:
    manual = place({"a.zip": pack({"x/1.png": b"", "y/1.png": b"", "y/2.png": b""})})
    with pytest.raises(
        UserError, match=r"manual/toy cannot .* it has y \(2\), x \(1\); unpack .* by hand from .*a\.zip"
    ):
        get()
    place({"a.zip": b"<html>quota</html>"})
    with pytest.raises(UserError, match="neither a zip nor a tar archive"):
        get()
    assert (manual / "toy" / "a.zip").exists()


def test_bundle_beside_the_folders_serves_the_sets_it_knows(server, toy, get, tmp_path: Path, four, pack) -> None:
    """An archive without the set is passed over with a reason, and the web is tried after it."""
    server.pages["/a.zip"] = pack(four)
    source = {"kind": "http", "url": f"{server.url}/a.zip"}
    toy(folders=["toy"], sources=[source])
    (tmp_path / "manual").mkdir()
    (tmp_path / "manual/a.zip").write_bytes(pack({f"toys/{name}": content for name, content in four.items()}))
    assert get()["source"] == source
    (tmp_path / "raw/toy/.complete.json").unlink()
    (tmp_path / "manual/b.zip").write_bytes(pack({f"x/toy/img/{name}": content for name, content in four.items()}))
    assert get()["source"] == {"kind": "manual", "archive": str(tmp_path / "manual/b.zip"), "bundle": True}
    assert server.requests == ["/a.zip"]


def test_downloaded_archive_of_unknown_layout_is_kept_and_named(server, toy, get, raw, four, pack) -> None:
    server.pages["/a.zip"] = pack({f"x/{name}": content for name, content in four.items()})
    toy(folders=["toy"], sources=[{"kind": "http", "url": f"{server.url}/a.zip", "bundle": True}])
    for _ in range(2):
        with pytest.raises(UserError, match=r"it has x \(4\); unpack the right one by hand from .*\.downloads/http-"):
            get()
    assert server.requests == ["/a.zip"]
