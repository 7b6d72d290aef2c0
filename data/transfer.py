"""One URL to one file: with time limits, and resumed where an earlier run or a broken connection left off."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from common.console import Progress, UserError, say
from common.files import write_json
from data.archive import SourceError

if TYPE_CHECKING:
    from requests import Response

CONNECT_SECONDS = 5  # a firewall that drops packets must not hold up a machine that has mirrors
STALL_SECONDS = 30  # a server that sends nothing for this long is given up
MAX_BYTES = 8 * 2**30  # of one file; the largest known archive has a seventh of it
CHUNK = 2**16
MIB = 2**20


class BrokenOff(SourceError):
    """The server stopped before the last byte; what came is kept."""


def transfer(url: str, part: Path) -> None:
    """Download `url` to `part`, which holds what came so far whenever this ends early.

    Beside an unfinished `part`, `part`.json names its URL and the server's validator (ETag or Last-Modified).  With
    them the rest alone is asked for, on condition that the file has not changed; a server that has no validator or
    sends the whole file anyway makes the download begin anew.  A transfer that breaks off is resumed once.

    Raises `SourceError`, and `UserError` if `part` cannot be written.
    """
    import requests

    try:
        try:
            _attempt(url, part)
        except BrokenOff as error:
            say(f"{url}: {error}; trying once more")
            _attempt(url, part)
    except requests.HTTPError as error:
        raise SourceError(f"the server answered {error.response.status_code} {error.response.reason}") from None
    except requests.Timeout:
        raise SourceError(f"the server sent nothing for {STALL_SECONDS} s") from None
    except requests.ConnectionError as error:
        stalled = "Read timed out" in str(error)  # how requests reports a stall after the first byte
        raise SourceError(f"the server sent nothing for {STALL_SECONDS} s" if stalled else "no connection") from None
    except requests.RequestException as error:
        raise SourceError(f"the transfer failed ({type(error).__name__})") from None
    except OSError as error:
        raise UserError(f"{part} cannot be written ({error.strerror}); make room, then run again") from None


def _attempt(url: str, part: Path) -> None:
    import requests

    note = part.with_name(f"{part.name}.json")
    size, validator = _held(url, part, note)
    headers = {"Accept-Encoding": "identity"}  # lengths and offsets count the file's own bytes
    if size:
        headers |= {"Range": f"bytes={size}-", "If-Range": validator}
    with requests.get(url, headers=headers, stream=True, timeout=(CONNECT_SECONDS, STALL_SECONDS)) as response:
        if response.status_code == 416 and response.headers.get("Content-Range") == f"bytes */{size}":
            note.unlink()
            return  # the last run ended between the last byte and the file's final name
        if response.status_code == 416 or (response.status_code == 206 and not _continues(response, size, validator)):
            note.unlink(missing_ok=True)
            raise BrokenOff("the server cannot resume the transfer")
        response.raise_for_status()
        start = size if response.status_code == 206 else 0
        length = response.headers.get("Content-Length", "")
        announced = re.fullmatch("[0-9]{1,18}", length) and "Content-Encoding" not in response.headers
        total = start + int(length) if announced else None
        write_json(note, {"url": url, "validator": _validator(response)})
        _receive(response, part, start, total, Path(urlsplit(url).path).name)
    note.unlink()


def _receive(response: Response, part: Path, start: int, total: int | None, label: str) -> None:
    import requests

    done, broken = start, False
    with open(part, "r+b" if start else "wb") as file, shown(label) as show:
        file.seek(start)
        try:
            for chunk in response.iter_content(CHUNK):
                file.write(chunk)
                done += len(chunk)
                if done > MAX_BYTES:
                    break
                show(done, total)
        except requests.exceptions.ChunkedEncodingError:
            broken = True
    if done > MAX_BYTES:
        part.unlink()
        raise SourceError(f"the file is larger than {MAX_BYTES} bytes")
    if broken or done != (total or done):
        raise BrokenOff(f"the transfer broke off after {done} of {total or 'unknown'} bytes")


def _held(url: str, part: Path, note: Path) -> tuple[int, str]:
    """How many bytes of `url` are here, and under which validator; (0, "") where they cannot be built upon."""
    try:
        known = json.loads(note.read_text(encoding="utf-8"))
        if known["url"] == url and known["validator"]:
            return part.stat().st_size, known["validator"]
    except (OSError, ValueError, KeyError, TypeError):  # no earlier attempt, or damaged
        pass
    return 0, ""


def _validator(response: Response) -> str:
    """A strong ETag, else the date of the last change, else nothing: only these may vouch for a range."""
    etag = response.headers.get("ETag", "W/")
    return response.headers.get("Last-Modified", "") if etag.startswith("W/") else etag


def _continues(response: Response, size: int, validator: str) -> bool:
    """Is this partial answer the rest of the same file?  Some servers ignore If-Range."""
    same = _validator(response) in ("", validator)
    return same and response.headers.get("Content-Range", "").startswith(f"bytes {size}-")


@contextmanager
def shown(label: str) -> Iterator[Callable[[int, int | None], None]]:
    """Yield show(bytes so far, bytes in all): progress in MiB, or none where the server announces no length."""
    bar: Progress | None = None
    with ExitStack() as stack:

        def show(done: int, total: int | None) -> None:
            nonlocal bar
            if bar is None and total:
                bar = stack.enter_context(Progress(total // MIB, f"{label}, MiB", initial=done // MIB))
            if bar is not None and (step := done // MIB - bar.done):
                bar.advance(step)

        yield show
