"""A download resumes where it broke off, is never joined from two files, and counts as complete only when it is."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from common.hashing import sha256_bytes
from data import download
from data.archive import SourceError

ROOT = Path(__file__).resolve().parents[2]
CONTENT = b"\x89" + os.urandom(9_998) + b"\x89"  # a file that begins with "<", also reversed, is taken for a web page
ATTACHMENT = {"Content-Type": "application/zip", "Content-Disposition": 'attachment; filename="b.zip"'}


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "CHUNK", 100)


@pytest.fixture
def ask(server, tmp_path: Path) -> Callable[[], bytes]:
    """`ask()` downloads /a and returns what came."""
    return lambda: download.http(f"{server.url}/a", tmp_path).read_bytes()


@pytest.fixture
def broken(server, page, ask) -> None:
    """An earlier run that broke off twice, after 7,000 bytes in all."""
    server.pages["/a"] = page(CONTENT, etag='"1"', cuts=[4000, 3000])
    with pytest.raises(SourceError, match="broke off after 7000 bytes"):
        ask()
    assert server.ranges == [None, "bytes=4000-"]


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


def test_a_server_that_is_away_for_a_while_costs_no_bytes(server, broken, ask) -> None:
    away = server.pages.pop("/a")
    with pytest.raises(SourceError, match="404"):
        ask()
    server.pages["/a"] = away
    assert ask() == CONTENT
    assert server.ranges[-1] == "bytes=7000-"


@pytest.mark.parametrize(
    "now",
    [
        {"etag": '"2"'},
        {"etag": '"2"', "conditions": False},
        {"etag": '"1"', "ranges": False},
        {"etag": '"1"', "content": CONTENT[:2000]},
        {"etag": "", "conditions": False},
    ],
    ids=["changed", "If-Range ignored", "no ranges", "shorter", "no validator any more"],
)
def test_another_file_is_never_joined_to_the_part(server, broken, page, ask, now) -> None:
    server.pages["/a"] = page(**{"content": CONTENT[::-1], **now})
    assert ask() == server.pages["/a"].content


def test_server_without_a_validator_begins_again(server, page, ask) -> None:
    server.pages["/a"] = page(CONTENT, cuts=[4000])
    assert ask() == CONTENT
    assert server.ranges == [None, None]


@pytest.mark.parametrize("note", [b"", b'"3"', b"\n\xff\r\n\0"])
def test_damaged_validator_begins_again(server, broken, ask, tmp_path: Path, note: bytes) -> None:
    [path] = tmp_path.glob("*.validator")
    path.write_bytes(note)
    assert ask() == CONTENT


def test_stalled_transfer_keeps_what_came(server, page, ask, monkeypatch) -> None:
    monkeypatch.setattr(download, "STALL_SECONDS", 0.5)
    server.pages["/a"] = page(CONTENT, etag='"1"', stalls=True)
    with pytest.raises(SourceError, match=r"no data for 0\.5 s"):
        ask()
    server.pages["/a"].stalls = False
    assert ask() == CONTENT
    assert server.ranges == [None, "bytes=1000-"]


def test_killed_download_is_resumed(server, page, ask, tmp_path: Path) -> None:
    server.pages["/a"] = page(CONTENT, etag='"1"', stalls=True)
    code = (
        "import sys; from pathlib import Path; from data import download; download.CHUNK = 100; "
        "download.http(sys.argv[1], Path(sys.argv[2]))"
    )
    command = [sys.executable, "-c", code, f"{server.url}/a", str(tmp_path)]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not any(path.stat().st_size for path in tmp_path.glob("*.validator")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert {Path(name).suffix for name in left(tmp_path)} == {".part", ".validator"}
    server.pages["/a"].stalls = False
    held = next(tmp_path.glob("*.part")).stat().st_size
    assert ask() == CONTENT
    assert server.ranges[-1] == (f"bytes={held}-" if held else None)


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"content": b"<html><title>Quota\n exceeded</title>"}, 'a web page titled "Quota exceeded" instead of'),
        ({"content": b"\xef\xbb\xbf\n<!DOCTYPE html>"}, "a web page instead of the file"),
        ({"content": CONTENT + b"x"}, "larger than 10000 bytes"),
        ({"content": CONTENT, "length": 20_000}, "broke off after 10000 bytes"),
        ({"location": "/a"}, "the request failed .TooManyRedirects"),
    ],
)
def test_what_is_not_the_file_is_refused_and_not_resumed(
    server, page, ask, tmp_path: Path, monkeypatch, keys, reason: str
) -> None:
    monkeypatch.setattr(download, "MAX_BYTES", 10_000)
    server.pages["/a"] = page(**keys)
    with pytest.raises(SourceError, match=reason):
        ask()
    server.pages["/a"] = page(CONTENT, etag='"1"')
    assert ask() == CONTENT
    assert set(server.ranges) == {None}


def test_wrong_digest_names_both(server, tmp_path: Path) -> None:
    server.pages["/a"] = CONTENT
    with pytest.raises(SourceError, match=f"has sha256 {sha256_bytes(CONTENT)}, but {'0' * 64} is expected"):
        download.http(f"{server.url}/a", tmp_path, "0" * 64)
    assert left(tmp_path) == []


def test_file_is_downloaded_once_for_all_processes_that_need_it(server, tmp_path: Path, ask) -> None:
    """FastGAN's bundle holds five of the sets, and Snakemake fetches them in parallel."""
    server.pages["/a"] = bytes(1_000_000)
    threads = [threading.Thread(target=ask) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert server.requests == ["/a"]


def test_log_tells_progress(server, ask, monkeypatch, capsys) -> None:
    monkeypatch.setattr(download, "REPORT_SECONDS", 0)
    monkeypatch.setattr(download, "CHUNK", 2**20)
    server.pages["/a"] = bytes(3 * 2**20)
    ask()
    assert "/a: 3 of 3 MiB" in capsys.readouterr().err


# Google Drive: gdown itself, with Google's host replaced by the local server.


@pytest.fixture
def drive(server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], bytes]:
    import gdown  # noqa: F401  (loads the module that is patched)

    get = requests.Session.get

    def local(session: requests.Session, url: str, **keys: object) -> requests.Response:
        return get(session, url.replace("https://drive.google.com", server.url), **keys)

    monkeypatch.setattr(requests.Session, "get", local)
    monkeypatch.setattr(sys.modules["gdown.download"], "CHUNK_SIZE", 100)  # the name gdown.download is its function
    monkeypatch.setattr("random.uniform", lambda *_: 0.0)  # gdown's pause before it tries again
    return lambda: download.gdrive("bundle", tmp_path).read_bytes()


def test_drive_file_is_resumed_at_once_and_by_the_next_run(server, page, drive, tmp_path: Path) -> None:
    server.pages["/uc"] = page(CONTENT, etag='"1"', headers=ATTACHMENT, cuts=[4000, 3000])
    with pytest.raises(SourceError, match=r"Google Drive refused .*received 7000 bytes but the server announced 10000"):
        drive()
    assert drive() == CONTENT
    assert server.ranges[1] == "bytes=4000-" and server.ranges[-1] == "bytes=7000-"
    assert len(left(tmp_path)) == 1


def test_drive_that_does_not_resume_begins_again_in_the_next_run(server, page, drive) -> None:
    server.pages["/uc"] = page(CONTENT, etag='"1"', headers=ATTACHMENT, cuts=[4000, 0], ranges=False)
    with pytest.raises(SourceError, match=r"Google Drive refused .*byte range"):
        drive()
    assert drive() == CONTENT


def test_refusal_of_drive_is_given(server, page, drive) -> None:
    reason = "Too many users have viewed or downloaded this file recently"
    content = f'<html><p class="uc-error-subcaption">{reason}</p></html>'.encode()
    server.pages["/uc"] = page(content, headers={"Content-Type": "text/html"})
    with pytest.raises(SourceError, match=f"Google Drive refused .*{reason}"):
        drive()
    server.url = "http://127.0.0.1:9"
    with pytest.raises(SourceError, match=r"Google Drive refused .*Max retries exceeded"):
        drive()
