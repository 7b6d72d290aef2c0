"""Fetching from a real server on this machine: order of sources, failures, verification, interruption."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from data import download
from data import fetch as fetching
from data.console import UserError
from data.fetch import expand, fetch, manifest_sha256
from data.files import sha256_bytes
from data.prepare import prepare


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return tmp_path / "raw"


@pytest.fixture
def get(tmp_path: Path, raw: Path):
    """`get()` fetches the toy dataset; returns the record it wrote."""
    return lambda: json.loads(fetch("toy", raw, tmp_path / "manual").read_text())


def files_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_images_keep_their_bytes_and_are_recorded(server, toy, get, raw, four, pack) -> None:
    server.pages["/a.zip"] = pack({f"bundle/toy/{name}": content for name, content in four.items()} | {"x/9.png": b""})
    source = {"kind": "http", "url": f"{server.url}/a.zip", "folders": ["toy"]}
    toy(sources=[source])
    record = get()
    assert record["source"] == source
    assert {entry["file"]: entry["sha256"] for entry in record["files"]} == {
        name: sha256_bytes(content) for name, content in four.items()
    }
    assert {name: (raw / "toy" / name).read_bytes() for name in four} == four


def test_next_source_is_tried_until_one_delivers(server, toy, get, four, pack, monkeypatch, capsys) -> None:
    monkeypatch.setattr(download, "STALL_SECONDS", 0.3)
    server.pages |= {"/a.zip": pack(four), "/quota.html": b"<html>quota</html>", "/three.zip": pack({"1.png": b"x"})}
    paths = ["/missing", "/stall", "/short", "/quota.html", "/three.zip", "/a.zip"]
    toy(sources=[{"kind": "http", "url": server.url + path} for path in paths])
    assert get()["source"]["url"].endswith("/a.zip")
    assert server.requests == paths
    told = capsys.readouterr().err
    for reason in ("404", "sent nothing for 0.3 s", "broke off", "neither a zip nor a tar", "1 images were found"):
        assert reason in told


def test_error_lists_every_source_and_the_way_out(server, toy, get, raw) -> None:
    toy(sources=[{"kind": "http", "url": f"{server.url}/{name}"} for name in ("missing", "gone")])
    with pytest.raises(UserError) as error:
        get()
    for part in (f"{server.url}/missing: the server answered 404", f"{server.url}/gone", "4 images", "manual/toy/"):
        assert part in str(error.value)
    assert files_in(raw / "toy") == set()


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


def test_images_with_the_wrong_manifest_are_refused_with_both_digests(toy, get, four, place, raw) -> None:
    place(four)
    actual = manifest_sha256([{"file": name, "sha256": sha256_bytes(four[name])} for name in four])
    toy(manifest_sha256="1" * 64)
    with pytest.raises(UserError, match=f"(?s)manual/toy .*{actual}.*{'1' * 64}"):
        get()
    toy(manifest_sha256=actual)
    assert len(get()["files"]) == 4


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


def test_manual_folder_comes_first_and_is_read_each_time(server, toy, get, raw, four, place, pack) -> None:
    server.pages["/a.zip"] = pack(four)
    toy(sources=[{"kind": "http", "url": f"{server.url}/a.zip"}])
    manual = place(four | {"readme.txt": b"mine"})
    assert get()["source"] == {"kind": "manual", "folder": str(manual / "toy")}
    place({"1.png": four["2.png"]})
    get()
    assert (raw / "toy" / "1.png").read_bytes() == four["2.png"]
    assert server.requests == []


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"5.png": b"x"}, "5 images were found, 4 are expected"),
        ({"2.png": b""}, r"2\.png is empty"),
        ({"2.png": b"text"}, r"2\.png is not a JPEG"),
    ],
)
def test_unusable_manual_folder_is_named_with_the_file(toy, get, four, place, changed, reason) -> None:
    place(four | changed)
    with pytest.raises(UserError, match=f"manual/toy cannot be used for toy: {reason}"):
        get()


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


@pytest.mark.parametrize("moment", ["verified", "write_json"])
def test_interrupted_fetch_is_never_taken_for_whole(toy, get, raw, tmp_path, four, place, monkeypatch, moment) -> None:
    """Interrupted before the images are in place, and after that but before the record is."""
    place(four)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(fetching, moment, interrupt)
        with pytest.raises(KeyboardInterrupt):
            get()
    assert files_in(raw) == {"toy"}  # nothing staged is left
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


def test_google_drive_is_a_source_like_the_others(server, toy, get, four, pack, monkeypatch) -> None:
    """gdown itself, sent to the local server in place of Google's; then its refusal as a reason."""
    import gdown

    original = gdown.download
    monkeypatch.setattr(gdown, "download", lambda id, **keys: original(url=f"{server.url}/{id}", **keys))
    server.pages["/bundle"] = pack(four)
    toy(sources=[{"kind": "gdrive", "id": "missing"}, {"kind": "gdrive", "id": "bundle"}])
    assert get()["source"]["id"] == "bundle"
    toy(sources=[{"kind": "gdrive", "id": "missing"}])
    with pytest.raises(UserError, match="Google Drive file missing: Google Drive did not serve it"):
        get()


def test_code_points_are_expanded() -> None:
    assert expand(["1F400-1F402", "00A9"]) == ["1F400", "1F401", "1F402", "00A9"]
