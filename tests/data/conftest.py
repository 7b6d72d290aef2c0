"""A toy dataset of four images and a web server on this machine that can also misbehave."""

from __future__ import annotations

import io
import json
import threading
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

import data.load
from data.fetch import fetch

TOY = {
    "title": "Toy",
    "count": 4,
    "licence": "none",
    "citation": "none",
    "attribution": "none",
    "shareable": True,
    "split": "lexicographic",
    "sources": [],
}


@dataclass
class Page:
    """What one address serves, and how it misbehaves."""

    content: bytes = b""
    etag: str = ""  # none: the server has no validator
    ranges: bool = True  # does it honour Range?
    cuts: list[int] = field(default_factory=list)  # bytes after which the next requests break off
    stalls: bool = False  # after the first thousand bytes nothing more comes
    length: int | None = None  # what Content-Length claims, if not the truth
    location: str = ""  # a redirection
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "application/zip"})


@dataclass
class Server:
    """Serves `pages`; `requests` lists the paths that were asked for, `ranges` the ranges."""

    url: str = ""
    pages: dict[str, bytes | Page] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    ranges: list[str | None] = field(default_factory=list)


@pytest.fixture
def page() -> type[Page]:
    return Page


@pytest.fixture
def server() -> Iterator[Server]:
    """What is no page answers 404."""
    state = Server()
    stop = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            state.requests.append(path)
            state.ranges.append(self.headers.get("Range"))
            found = state.pages.get(path)
            if found is None:
                self.send_error(404)
                return
            self.answer(found if isinstance(found, Page) else Page(found))

        def answer(self, page: Page) -> None:
            if page.location:
                self.begin(302, Location=page.location)
                return
            size, start = len(page.content), 0
            if page.ranges and self.headers.get("Range") and self.headers.get("If-Range") in (None, page.etag):
                start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
                if start >= size:
                    self.begin(416, Content_Range=f"bytes */{size}")
                    return
            length = size - start if page.length is None else page.length
            part = {"Content_Range": f"bytes {start}-{size - 1}/{size}"} if start else {}
            self.begin(206 if start else 200, Content_Length=str(length), ETag=page.etag, **part, **page.headers)
            cut = 1000 if page.stalls else page.cuts.pop(0) if page.cuts else size
            with suppress(ConnectionError):  # gdown looks at the headers first and hangs up
                self.wfile.write(page.content[start : start + cut])
            if page.stalls:
                self.wfile.flush()
                stop.wait(10)

        def begin(self, status: int, **headers: str) -> None:
            self.send_response(status)
            for key, value in headers.items():
                if value:
                    self.send_header(key.replace("_", "-"), value)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        state.url = f"http://127.0.0.1:{http.server_port}"
        thread = threading.Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        yield state
        stop.set()
        http.shutdown()
        thread.join()


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """`toy(**keys)` makes datasets.yaml hold the one dataset `toy`, with these keys changed."""
    versions = iter(range(100))

    def write(**keys: object) -> None:
        path = tmp_path / f"datasets-{next(versions)}.yaml"
        path.write_text(yaml.safe_dump({"toy": TOY | keys}))
        monkeypatch.setattr(data.load, "DATASETS", path)

    write()
    return write


def pixels(index: int, side: int = 20) -> np.ndarray:
    return np.random.default_rng(index).integers(0, 256, (side, side, 3), dtype=np.uint8)


def png(index: int, side: int = 20) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels(index, side)).save(stream, "png")
    return stream.getvalue()


@pytest.fixture
def four() -> dict[str, bytes]:
    """Four PNG files by name; lexicographic and numeric order differ."""
    return {name: png(index) for index, name in enumerate(["1.png", "10.png", "2.png", "3.png"])}


@pytest.fixture
def pack():
    """`pack(files)` is a zip archive's bytes."""

    def make(files: dict[str, bytes]) -> bytes:
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        return stream.getvalue()

    return make


@pytest.fixture
def place(tmp_path: Path):
    """`place(files)` puts files into the folder manual/toy and returns the folder manual."""

    def write(files: dict[str, bytes]) -> Path:
        folder = tmp_path / "manual" / "toy"
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (folder / name).write_bytes(content)
        return folder.parent

    return write


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return tmp_path / "raw"


@pytest.fixture
def get(tmp_path: Path, raw: Path):
    """`get()` fetches the toy dataset; returns the record it wrote."""
    return lambda **keys: json.loads(fetch("toy", raw, tmp_path / "manual", **keys).read_text())
