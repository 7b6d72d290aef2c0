"""Fetching from a real server on this machine: order of sources, failures, verification, interruption."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
import yaml

from common.console import UserError
from common.files import read_yaml
from common.hashing import sha256_bytes
from data import download, transfer
from data import fetch as fetching
from data.drawings import expand
from data.load import dataset_info, dataset_names
from data.prepare import prepare
from data.verify import manifest_sha256


def files_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_images_keep_their_bytes_and_are_recorded(server, toy, get, raw, four, pack) -> None:
    server.pages["/a.zip"] = pack({f"bundle/toy/{name}": content for name, content in four.items()} | {"x/9.png": b""})
    source = {"kind": "http", "url": f"{server.url}/a.zip", "bundle": True}
    toy(sources=[source], folders=["toy"])
    record = get()
    assert record["source"] == source
    assert {entry["file"]: entry["sha256"] for entry in record["files"]} == {
        name: sha256_bytes(content) for name, content in four.items()
    }
    assert {name: (raw / "toy" / name).read_bytes() for name in four} == four


def test_next_source_is_tried_until_one_delivers(server, toy, get, four, pack, page, monkeypatch, capsys) -> None:
    monkeypatch.setattr(transfer, "STALL_SECONDS", 3)
    monkeypatch.setattr(transfer, "CHUNK", 100)
    quota = b"\n<!DOCTYPE html><html><head><title>Google Drive -\n Quota exceeded</title></head></html>"
    server.pages |= {
        "/stall": page(bytes(2000), stalls=True),
        "/short": page(bytes(2000), length=3000),
        "/little": page(pack(four), length=100),  # claims fewer bytes than the archive has
        "/quota.html": quota,
        "/text": b"an error",
        "/one.zip": pack({"1.png": b"x"}),
        "/bad.zip": pack(dict.fromkeys(four, b"x")),
        "/loop": page(location="/loop"),
        "/moved": page(location="/a.zip"),
        "/a.zip": pack(four),
    }
    names = ["missing", "stall", "short", "little", "quota.html", "text", "one.zip", "bad.zip", "loop", "moved"]
    paths = [f"/{name}" for name in names]
    toy(sources=[{"kind": "http", "url": server.url + path} for path in paths])
    assert get()["source"]["url"].endswith("/moved")
    assert list(dict.fromkeys(server.requests)) == [*paths, "/a.zip"]
    assert server.requests.count("/short") == 2  # a truncation is tried once more
    told = capsys.readouterr().err
    for reason in (
        "/missing: the server answered 404",
        "/stall: the server sent nothing for 3 s",
        "/short: the transfer broke off after 2000 of 3000 bytes",
        "/little: it is neither a zip nor a tar archive",
        '/quota.html: it sent a web page titled "Google Drive - Quota exceeded" and not the file',
        "/text: it is neither a zip nor a tar archive",
        "/one.zip: the archive has no single folder with 4 images; it has . (1)",
        "/bad.zip: 1.png is not a JPEG, PNG or WebP image",
        "/loop: the transfer failed (TooManyRedirects)",
    ):
        assert reason in told


def test_error_lists_every_source_and_the_way_out(server, toy, get, raw) -> None:
    toy(sources=[{"kind": "http", "url": f"{server.url}/{name}"} for name in ("missing", "gone")])
    with pytest.raises(UserError) as error:
        get()
    for part in (
        f"1. {server.url}/missing: the server answered 404",
        f"2. {server.url}/gone",
        "4 images",
        "manual/toy/",
    ):
        assert part in str(error.value)
    assert "skip:" not in str(error.value)
    assert files_in(raw / "toy") == set()


def test_error_of_an_optional_dataset_ends_in_the_lines_that_leave_it_out(toy, get) -> None:
    toy(optional=True)
    with pytest.raises(UserError) as error:
        get()
    _, _, lines = str(error.value).partition("overlays/without_ffhq.yaml):\n")
    assert yaml.safe_load(lines) == {"skip": [{"dataset": "toy", "reason": "its images could not be fetched"}]}


def test_overlay_for_ffhq_is_what_the_error_names() -> None:
    overlay = read_yaml(Path(fetching.__file__).parents[1] / "config/overlays/without_ffhq.yaml")
    assert [skip.keys() for skip in overlay.pop("skip")] == [{"dataset", "reason"}]
    assert overlay == {}
    assert [name for name in dataset_names() if dataset_info(name).optional] == ["ffhq_100"]


def test_server_that_is_not_there_is_a_reason(toy, get) -> None:
    toy(sources=[{"kind": "http", "url": "http://127.0.0.1:9/a.zip"}])
    with pytest.raises(UserError, match="no connection"):
        get()


def test_archive_with_the_wrong_hash_is_refused_with_both_digests(server, toy, get, raw, four, pack) -> None:
    server.pages["/a.zip"] = pack(four)
    toy(sources=[{"kind": "http", "url": f"{server.url}/a.zip", "sha256": "0" * 64}])
    with pytest.raises(UserError) as error:
        get()
    assert "0" * 64 in str(error.value) and sha256_bytes(pack(four)) in str(error.value)
    assert [path for path in (raw / ".downloads").iterdir() if path.suffix != ".lock"] == []


def test_manifest_digest_is_that_of_sha256sum_in_natural_order() -> None:
    """`sha256sum $(ls -v) | sha256sum` for files 1, 2 and 10."""
    files = [{"file": f"{number}.jpg", "sha256": f"{number:064d}"} for number in (1, 10, 2)]
    lines = "".join(f"{number:064d}  {number}.jpg\n" for number in (1, 2, 10))
    assert manifest_sha256(files) == sha256_bytes(lines.encode())


def test_hostile_archive_leaves_nothing(server, toy, get, tmp_path, four, pack, raw) -> None:
    server.pages["/a.zip"] = pack(four | {"../../evil.png": b"x"})
    toy(sources=[{"kind": "http", "url": f"{server.url}/a.zip"}])
    with pytest.raises(UserError, match="outside its folder"):
        get()
    assert not list(tmp_path.rglob("*evil*"))
    assert files_in(raw / "toy") == set()


def test_failed_refetch_keeps_what_was_fetched(toy, get, raw, four, place) -> None:
    place(four)
    before = get()
    place({"2.png": b"text"})
    with pytest.raises(UserError):
        get()
    assert json.loads((raw / "toy" / "fetched.json").read_text()) == before
    assert {name: (raw / "toy" / name).read_bytes() for name in four} == four


def test_whole_fetch_is_not_repeated_even_if_its_declared_record_is_gone(server, toy, get, raw, four, pack) -> None:
    """Snakemake deletes fetched.json before it runs the job again."""
    server.pages["/a.zip"] = pack(four)
    toy(sources=[{"kind": "http", "url": f"{server.url}/a.zip"}])
    first = get()
    (raw / "toy" / "fetched.json").unlink()
    for archive in (raw / ".downloads").iterdir():
        archive.unlink()
    assert get() == first
    assert server.requests == ["/a.zip"]


@pytest.mark.parametrize("damage", ["changed", "missing"])
def test_damaged_image_is_fetched_again(server, toy, get, raw, four, pack, damage) -> None:
    server.pages["/a.zip"] = pack(four)
    toy(sources=[{"kind": "http", "url": f"{server.url}/a.zip"}])
    get()
    if damage == "changed":
        (raw / "toy" / "2.png").write_bytes(four["1.png"])
    else:
        (raw / "toy" / "2.png").unlink()
    get()
    assert (raw / "toy" / "2.png").read_bytes() == four["2.png"]


def test_source_that_is_no_longer_listed_is_fetched_anew(server, toy, get, four, pack) -> None:
    server.pages |= {"/a.zip": pack(four), "/b.zip": pack(four)}
    toy(sources=[{"kind": "http", "url": f"{server.url}/a.zip"}])
    get()
    toy(sources=[{"kind": "http", "url": f"{server.url}/b.zip"}])
    assert get()["source"]["url"].endswith("/b.zip")


@pytest.mark.parametrize("moment", ["verified", "settle", "write_json"])
def test_interrupted_fetch_is_never_taken_for_whole(toy, get, raw, tmp_path, four, place, monkeypatch, moment) -> None:
    """Interrupted before the images are in place, and after that but before the record is."""
    place(four)

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(fetching, moment, interrupt)
        with pytest.raises(KeyboardInterrupt):
            get()
    assert {name for name in files_in(raw) if "lock" not in name} == {"toy"}  # nothing staged is left
    with pytest.raises(UserError, match="no complete fetch"):
        prepare("toy", 16, raw, tmp_path / "prepared")
    assert len(get()["files"]) == 4


def test_archive_is_downloaded_once_for_all_who_want_it_at_once(server, tmp_path, pack) -> None:
    """FastGAN's bundle holds five of the sets, and Snakemake fetches them in parallel."""
    server.pages["/a.zip"] = pack({"1.png": bytes(1_000_000)})
    threads = [
        threading.Thread(target=download.http, args=(f"{server.url}/a.zip", tmp_path / "cache")) for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert server.requests == ["/a.zip"]


def test_code_points_are_expanded() -> None:
    assert expand(["1F400-1F402", "00A9"]) == ["1F400", "1F401", "1F402", "00A9"]
