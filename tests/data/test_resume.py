"""A download goes on where it broke off, is never spliced from two files, and never taken for whole too early."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests

from common.console import UserError
from data import download, transfer
from data.archive import SourceError

ROOT = Path(__file__).resolve().parents[2]
CONTENT = os.urandom(10_000)
FILE = {"Content-Type": "application/zip", "Content-Disposition": 'attachment; filename="b.zip"'}


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "CHUNK", 100)


@pytest.fixture
def ask(server, tmp_path: Path):
    """`ask()` downloads /a and returns what came; a file left in the cache is dropped first."""

    def download_it() -> bytes:
        return download.http(f"{server.url}/a", tmp_path).read_bytes()

    return download_it


def parts(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if ".part" in path.name)


def test_transfer_that_breaks_off_is_resumed_at_once(server, page, ask, tmp_path) -> None:
    server.pages["/a"] = page(CONTENT, etag='"1"', cuts=[4000])
    assert ask() == CONTENT
    assert server.ranges == [None, "bytes=4000-"]
    assert parts(tmp_path) == []


def test_the_next_run_goes_on_where_the_last_one_ended(server, page, ask, tmp_path) -> None:
    server.pages["/a"] = page(CONTENT, etag='"1"', cuts=[4000, 3000])
    with pytest.raises(SourceError, match="broke off after 7000 of 10000 bytes"):
        ask()
    assert len(parts(tmp_path)) == 2 and not [path for path in tmp_path.iterdir() if path.suffix == ""]
    assert ask() == CONTENT
    assert server.ranges == [None, "bytes=4000-", "bytes=7000-"]


def test_stalled_transfer_keeps_what_came(server, page, ask, monkeypatch) -> None:
    monkeypatch.setattr(transfer, "STALL_SECONDS", 3)
    server.pages["/a"] = page(CONTENT, etag='"1"', stalls=True)
    with pytest.raises(SourceError, match="sent nothing for 3 s"):
        ask()
    monkeypatch.setattr(transfer, "STALL_SECONDS", 30)
    server.pages["/a"] = page(CONTENT, etag='"1"')
    assert ask() == CONTENT
    assert server.ranges == [None, "bytes=1000-"]


@pytest.mark.parametrize("keys", [{"ranges": False, "etag": '"1"'}, {"etag": ""}, {"etag": 'W/"1"'}])
def test_server_without_ranges_or_a_strong_validator_starts_anew(server, page, ask, keys) -> None:
    server.pages["/a"] = page(CONTENT, cuts=[4000], **keys)
    assert ask() == CONTENT


def test_file_that_changed_in_between_is_not_spliced(server, page, ask) -> None:
    server.pages["/a"] = page(CONTENT, etag='"1"', cuts=[4000, 100])
    with pytest.raises(SourceError):
        ask()
    server.pages["/a"] = page(CONTENT[::-1], etag='"2"')
    assert ask() == CONTENT[::-1]


def test_server_that_ignores_if_range_does_not_splice_either(server, page, ask, monkeypatch) -> None:
    server.pages["/a"] = page(CONTENT, etag='"1"', cuts=[4000, 100])
    with pytest.raises(SourceError):
        ask()
    changed = page(CONTENT[::-1], etag='"2"')
    server.pages["/a"] = changed
    get = requests.get
    monkeypatch.setattr(requests, "get", lambda url, headers, **keys: get(url, headers=without(headers), **keys))
    assert ask() == CONTENT[::-1]
    assert server.ranges[-2:] == ["bytes=4100-", None]


def without(headers: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in headers.items() if key != "If-Range"}


def test_shorter_file_than_the_part_starts_anew(server, page, ask, monkeypatch) -> None:
    server.pages["/a"] = page(CONTENT, etag='"1"', cuts=[4000, 0])
    with pytest.raises(SourceError):
        ask()
    server.pages["/a"] = page(CONTENT[:2000], etag='"1"')
    assert ask() == CONTENT[:2000]


def test_run_that_ended_before_the_final_name_asks_for_nothing_more(server, page, ask, tmp_path) -> None:
    server.pages["/a"] = page(CONTENT, etag='"1"', cuts=[4000, 0])
    with pytest.raises(SourceError):
        ask()
    [part, _] = sorted(tmp_path.glob("*.part*"))
    part.write_bytes(CONTENT)
    assert ask() == CONTENT
    assert server.ranges[-1] == "bytes=10000-"


def test_damaged_note_beside_a_part_starts_anew(server, page, ask, tmp_path) -> None:
    server.pages["/a"] = page(CONTENT, etag='"1"', cuts=[4000, 0])
    with pytest.raises(SourceError):
        ask()
    [note] = tmp_path.glob("*.part.json")
    note.write_text("{")
    assert ask() == CONTENT
    assert server.ranges[-1] is None


def test_killed_download_is_resumed(server, page, tmp_path) -> None:
    """SIGKILL in the middle: nothing under the final name, and the rest alone is asked for."""
    server.pages["/a"] = page(bytes(200_000), etag='"1"', stalls=True)
    code = (
        "import sys; from pathlib import Path; from data import download, transfer; transfer.CHUNK = 100; "
        "download.http(sys.argv[1], Path(sys.argv[2]))"
    )
    command = [sys.executable, "-c", code, f"{server.url}/a", str(tmp_path)]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not any(path.stat().st_size for path in tmp_path.glob("*.part.json")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    process.wait()
    server.pages["/a"] = page(bytes(200_000), etag='"1"')
    held = next(tmp_path.glob("*.part")).stat().st_size
    assert download.http(f"{server.url}/a", tmp_path).read_bytes() == bytes(200_000)
    assert server.ranges[-1] == (f"bytes={held}-" if held else None)


def test_web_page_leaves_no_part_to_build_upon(server, page, ask, tmp_path) -> None:
    server.pages["/a"] = page(b"<html>quota</html>", etag='"1"')
    with pytest.raises(SourceError, match="a web page and not the file"):
        ask()
    assert parts(tmp_path) == []


def test_part_that_cannot_be_written_is_the_users_to_mend(server, page, tmp_path) -> None:
    server.pages["/a"] = page(CONTENT)
    name = download.http(f"{server.url}/a", tmp_path).name
    (tmp_path / name).unlink()
    (tmp_path / f"{name}.part").mkdir()
    with pytest.raises(UserError, match=r"\.part cannot be written \(Is a directory\)"):
        download.http(f"{server.url}/a", tmp_path)


def test_log_tells_progress_in_mebibytes(server, page, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(transfer, "CHUNK", 2**16)
    server.pages["/set.zip"] = page(bytes(3 * 2**20))
    download.http(f"{server.url}/set.zip", tmp_path)
    assert "set.zip, MiB 3/3, 0:00:00 left" in capsys.readouterr().err


# Google Drive: gdown itself, with Google's host replaced by the local server.


@pytest.fixture
def drive(server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import gdown  # noqa: F401  (loads the module that is patched)

    get = requests.Session.get

    def local(session: requests.Session, url: str, **keys: object) -> requests.Response:
        return get(session, url.replace("https://drive.google.com", server.url), **keys)

    monkeypatch.setattr(requests.Session, "get", local)
    monkeypatch.setattr(sys.modules["gdown.download"], "CHUNK_SIZE", 100)  # the name gdown.download is its function
    monkeypatch.setattr("random.uniform", lambda *_: 0.0)  # gdown's pause before it tries again
    return lambda: download.gdrive("bundle", tmp_path).read_bytes()


@pytest.fixture
def attachment(page):
    """A page as Drive serves a file."""
    return lambda **keys: page(CONTENT, etag='"1"', headers=FILE, **keys)


def test_drive_file_is_downloaded_and_a_broken_transfer_resumed(server, attachment, drive, tmp_path) -> None:
    server.pages["/uc"] = attachment(cuts=[4000])
    assert drive() == CONTENT
    assert server.ranges == [None, "bytes=4000-"]
    assert parts(tmp_path) == []


def test_next_run_resumes_a_drive_file(server, attachment, drive, tmp_path) -> None:
    server.pages["/uc"] = attachment(cuts=[4000, 3000])
    reason = "Google Drive refused .*received 7000 bytes but the server announced 10000 bytes"
    with pytest.raises(SourceError, match=reason):
        drive()
    assert len(parts(tmp_path)) == 1
    assert drive() == CONTENT
    assert server.ranges[-1] == "bytes=7000-"


def test_drive_that_does_not_resume_starts_anew(server, attachment, drive) -> None:
    server.pages["/uc"] = attachment(cuts=[4000, 0], ranges=False)
    assert drive() == CONTENT


def test_quota_page_of_drive_is_named(server, page, drive) -> None:
    reason = "Too many users have viewed or downloaded this file recently"
    content = f'<html><p class="uc-error-subcaption">{reason}</p></html>'.encode()
    server.pages["/uc"] = page(content, headers={"Content-Type": "text/html"})
    with pytest.raises(SourceError, match=f"Google Drive refused .*{reason}"):
        drive()


def test_drive_without_the_file_or_the_network_is_a_reason(server, drive) -> None:
    server.pages["/uc"] = b"<html>no such file</html>"
    with pytest.raises(SourceError, match="Google Drive refused"):
        drive()
    server.url = "http://127.0.0.1:9"
    with pytest.raises(SourceError, match=r"Google Drive did not serve it \(ConnectionError\)"):
        drive()


def test_endless_file_is_given_up_and_leaves_nothing(server, page, ask, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(transfer, "MAX_BYTES", 5_000)
    server.pages["/a"] = page(CONTENT, etag='"1"')
    with pytest.raises(SourceError, match="larger than 5000 bytes"):
        ask()
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".part")]
