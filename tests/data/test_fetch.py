"""Fetching from a real server on this machine and from folders placed by hand: order, failures, interruption."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from PIL import Image

from common.console import UserError
from common.files import read_yaml
from common.hashing import sha256_file
from data import fetch as fetching
from data.prepare import prepare
from tests.files import encoded, zipped


@pytest.fixture
def served(server, toy, four) -> None:
    """The toy dataset, in the archive /a.zip."""
    server.pages["/a.zip"] = zipped(four)
    toy(sources=[server.source("a.zip")])


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.png")}


def saved(colour: str = "grey", size: tuple[int, int] = (20, 20), level: int = 6) -> bytes:
    return encoded(Image.new("RGB", size, colour), compress_level=level)


def test_next_source_is_tried_until_one_delivers(server, toy, get, four, page, capsys) -> None:
    server.pages |= {
        "/page.html": b"<html><head><title>Quota exceeded</title></head></html>",
        "/one.zip": zipped({"1.png": b"x"}),
        "/bad.zip": zipped(dict.fromkeys(four, b"x")),
        "/evil.zip": zipped(four | {"../../evil.png": b"x"}),
        "/moved": page(location="/a.zip"),
        "/a.zip": zipped(four),
    }
    names = ["missing", "page.html", "one.zip", "bad.zip", "evil.zip", "moved"]
    toy(sources=[*map(server.source, names), {"kind": "http", "url": "http://127.0.0.1:9/never"}])
    assert get()["source"] == server.source("moved")
    assert server.requests == [*(f"/{name}" for name in names), "/a.zip"]
    assert "/bad.zip: 1.png is not a JPEG, PNG, WebP, BMP or TIFF image" in capsys.readouterr().err


def test_error_lists_every_source_and_the_way_out(server, toy, get, raw) -> None:
    toy(sources=[server.source("missing"), {"kind": "http", "url": "http://127.0.0.1:9/a.zip"}])
    with pytest.raises(UserError) as error:
        get()
    for part in (
        f"1. {server.url}/missing: the server answered 404",
        "2. http://127.0.0.1:9/a.zip: the request failed (ConnectionError)",
        *("4 images", "manual/toy/"),
    ):
        assert part in str(error.value)
    assert "skip:" not in str(error.value)
    assert files_in(raw / "toy") == {}


def test_error_of_an_optional_dataset_ends_in_the_lines_that_leave_it_out(toy, get) -> None:
    toy(optional=True)
    with pytest.raises(UserError) as error:
        get()
    _, _, lines = str(error.value).partition("overlays/without_ffhq.yaml):\n")
    assert yaml.safe_load(lines) == {"skip": [{"dataset": "toy", "reason": "its images could not be fetched"}]}
    overlay = read_yaml(Path(fetching.__file__).parents[1] / "config/overlays/without_ffhq.yaml")
    assert [skip["dataset"] for skip in overlay["skip"]] == ["ffhq_100"]


def test_complete_fetch_is_not_repeated_even_if_its_declared_record_is_gone(server, served, get, raw) -> None:
    """Snakemake deletes fetched.json before it runs the job again."""
    first = get()
    (raw / "toy" / "fetched.json").unlink()
    for archive in (raw / ".downloads").iterdir():
        archive.unlink()
    assert get() == first
    assert server.requests == ["/a.zip"]


@pytest.mark.parametrize("content", [None, b"changed"])
def test_damaged_image_is_fetched_again(served, get, raw, four, content: bytes | None) -> None:
    get()
    (raw / "toy" / "2.png").unlink()
    if content is not None:
        (raw / "toy" / "2.png").write_bytes(content)
    get()
    assert files_in(raw / "toy") == four


def test_source_that_is_no_longer_listed_is_fetched_again(server, served, toy, get, four) -> None:
    get()
    server.pages["/b.zip"] = zipped(four)
    toy(sources=[server.source("b.zip")])
    assert get()["source"] == server.source("b.zip")


@pytest.mark.parametrize("moment", ["verified", "compare_digests", "write_json"])
def test_interrupted_fetch_never_counts_as_complete(toy, get, raw, tmp_path, four, place, monkeypatch, moment) -> None:
    """Interrupted before the images are in place, and after that but before the record is."""
    place(four)

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(fetching, moment, interrupt)
        with pytest.raises(KeyboardInterrupt):
            get()
    assert {path.name for path in raw.iterdir() if "lock" not in path.name} == {"toy"}  # nothing staged is left
    with pytest.raises(UserError, match="no complete fetch"):
        prepare("toy", 16, raw, tmp_path / "prepared")
    assert len(get()["files"]) == 4


def test_damaged_archive_is_downloaded_again_and_one_of_unknown_layout_is_kept(server, toy, get, four) -> None:
    """A bundle of a gigabyte may be sound for the other sets."""
    toy(folders=["toy"], sources=[server.source("a.zip", bundle=True)])
    unknown = zipped({f"x/{name}": content for name, content in four.items()})
    twins = zipped({f"toy/{folder}/1.png": four["1.png"] for folder in "abcd"})
    for content, reason in ((b"PK", "neither a zip"), (unknown, r"it has x \(4\); unpack"), (twins, "it has x")):
        server.pages["/a.zip"] = content
        with pytest.raises(UserError, match=reason):
            get()
    assert server.requests == ["/a.zip"] * 2


# Placed by hand


def test_manual_folder_comes_first_is_read_each_time_and_a_failure_keeps_what_was_fetched(
    server, served, get, raw, four, place
) -> None:
    manual = place(four | {".hidden": b"mine"})
    record = get()
    assert record["source"] == {"kind": "manual", "path": str(manual / "toy")}
    (manual / "toy" / "2.png").unlink()
    with pytest.raises(UserError, match="3 images were found"):
        get()
    assert server.requests == []
    assert files_in(raw / "toy") == four
    assert json.loads((raw / "toy" / "fetched.json").read_text()) == record


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"5.png": saved()}, "5 images were found, 4 are expected"),
        ({"2.png": b""}, r"2\.png is empty"),
        ({"2.png": b"text"}, r"2\.png is not a JPEG"),
        ({"readme.txt": b"mine"}, r"only JPEG, PNG, WebP, BMP or TIFF images are allowed there, not readme\.txt"),
        ({"a.zip": b"PK"}, r"only .* images are allowed there, not a\.zip"),
        ({"2.png": saved(), "3.png": saved()}, r"2\.png and 3\.png have the same bytes"),
        ({"2.png": saved(), "3.png": saved(level=0)}, r"2\.png and 3\.png have the same pixels"),
        ({"2.png": saved(size=(30, 20))}, r"2\.png is 30x20 pixels, but all of Toy are 20 square"),
        ({"img": None}, "only .* images are allowed there, not img"),
    ],
)
def test_unusable_folder_is_named_with_the_file(toy, get, four, place, changed, reason: str) -> None:
    toy(size=20)
    if "img" in changed:
        (place(four) / "toy" / "img").mkdir()
    else:
        place(four | changed)
    with pytest.raises(UserError, match=f"manual/toy cannot be used for toy: {reason}") as error:
        get()
    assert "\n" not in str(error.value) and "correct or remove that folder" in str(error.value)


@pytest.mark.parametrize("inside", ["{}", "toy/img/{}", "some/where/{}"])
def test_one_archive_replaces_the_folder(toy, get, raw, four, place, inside: str) -> None:
    toy(folders=["toy"])
    manual = place({"Toy Set.ZIP": zipped({inside.format(name): content for name, content in four.items()})})
    archive = manual / "toy" / "Toy Set.ZIP"
    assert get()["source"] == {"kind": "manual", "path": str(archive), "sha256": sha256_file(archive)}
    assert files_in(raw / "toy") == four


@pytest.mark.parametrize("content", [{"x/1.png": b"", "y/1.png": b""}, None])
def test_unusable_archive_is_named_and_kept(toy, get, place, content) -> None:
    manual = place({"a.zip": zipped(content) if content else b"<html>quota</html>"})
    reason = r"it has x \(1\), y \(1\); unpack .* by hand from .*a\.zip" if content else "neither a zip nor a tar"
    with pytest.raises(UserError, match=f"manual/toy cannot be used for toy: .*{reason}"):
        get()
    assert (manual / "toy" / "a.zip").exists()


def test_bundle_beside_the_folders_serves_the_sets_that_it_has(server, toy, get, tmp_path, four) -> None:
    """An archive without the set is passed over with a reason, and the web is tried after it."""
    server.pages["/a.zip"] = zipped(four)
    toy(folders=["toy"], sources=[server.source("a.zip")])
    bundle = tmp_path / "manual" / "a.zip"
    bundle.parent.mkdir()
    bundle.write_bytes(zipped({f"toys/{name}": content for name, content in four.items()}))
    assert get()["source"] == server.source("a.zip")
    (tmp_path / "raw/toy/.complete.json").unlink()
    bundle.write_bytes(zipped({f"x/toy/img/{name}": content for name, content in four.items()}))
    source = {"kind": "manual", "path": str(bundle), "bundle": True, "sha256": sha256_file(bundle)}
    assert get()["source"] == source
    assert server.requests == ["/a.zip"]


def test_what_is_odd_but_usable_is_noted(toy, get, four, place, capsys) -> None:
    """AnimalFace's native sizes are published nowhere; an archive is taken as its authors packed it."""
    place({"a.zip": zipped(four | {"2.png": saved(size=(30, 20)), "3.png": four["1.png"]})})
    assert len(get()["files"]) == 4
    told = capsys.readouterr().err
    assert "toy: note that its images have 2 sizes, such as 20x20 and 30x20" in told
    assert "toy: note that 1.png and 3.png have the same bytes" in told
