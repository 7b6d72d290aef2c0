"""A toy dataset of four images and a web server on this machine that can also misbehave."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from data import datasets
from data.fetch import fetch
from tests.files import encoded

TOY = {
    **dict.fromkeys(["title", "licence", "citation", "attribution"], "Toy"),
    "count": 4,
    "shareable": True,
    "split": "lexicographic",
    "sources": [],
}
ZIP = {"Content-Type": "application/zip"}


@dataclass
class Page:
    """What one address serves, and how it misbehaves."""

    content: bytes = b""
    etag: str = ""  # none: the server has no validator
    ranges: bool = True  # does it honour Range?
    conditions: bool = True  # does it honour If-Range?
    cuts: list[int] = field(default_factory=list)  # bytes after which the next requests break off
    stalls: bool = False  # after the first thousand bytes nothing more comes
    length: int | None = None  # what Content-Length claims, if not the truth
    location: str = ""  # a redirection
    headers: dict[str, str] = field(default_factory=lambda: ZIP)


class Server(ThreadingHTTPServer):
    """Serves `pages`; `requests` lists the paths that were asked for, `ranges` the ranges."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.pages: dict[str, bytes | Page] = {}
        self.requests: list[str] = []
        self.ranges: list[str | None] = []
        self.stop = threading.Event()

    def source(self, name: str, **keys: object) -> dict[str, object]:
        return {"kind": "http", "url": f"{self.url}/{name}", **keys}


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.server.requests.append(path)
        self.server.ranges.append(self.headers.get("Range"))
        found = self.server.pages.get(path)
        if found is None:
            self.send_error(404)
        else:
            self.answer(found if isinstance(found, Page) else Page(found))

    def answer(self, page: Page) -> None:
        if page.location:
            return self.begin(302, Location=page.location)
        size, start = len(page.content), 0
        same = not page.conditions or self.headers.get("If-Range") in (None, page.etag)
        if page.ranges and same and self.headers.get("Range"):
            start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
            if start >= size:
                return self.begin(416, Content_Range=f"bytes */{size}")
        length = size - start if page.length is None else page.length
        part = {"Content_Range": f"bytes {start}-{size - 1}/{size}"} if start else {}
        self.begin(206 if start else 200, Content_Length=str(length), ETag=page.etag, **part, **page.headers)
        cut = 1000 if page.stalls else page.cuts.pop(0) if page.cuts else size
        with suppress(ConnectionError):  # gdown looks at the headers first and hangs up
            self.wfile.write(page.content[start : start + cut])
        if page.stalls:
            self.wfile.flush()
            self.server.stop.wait(10)

    def begin(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for key, value in headers.items():
            if value:
                self.send_header(key.replace("_", "-"), value)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def page() -> type[Page]:
    return Page


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """What is no page answers 404."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server() as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        yield http
        http.stop.set()
        http.shutdown()
        thread.join()


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`toy(**keys)` makes datasets.yaml hold the one dataset `toy`, with these keys changed; `toy(name)` names it."""
    versions = iter(range(100))

    def write(name: object = "toy", **keys: object) -> None:
        path = tmp_path / f"datasets-{next(versions)}.yaml"
        path.write_text(yaml.safe_dump({name: TOY | keys}))
        monkeypatch.setattr(datasets, "DATASETS", path)

    write()
    return write


@pytest.fixture
def four() -> dict[str, bytes]:
    """Four PNG files by name; lexicographic and numeric order differ."""
    files = {}
    for index, name in enumerate(["1.png", "10.png", "2.png", "3.png"]):
        pixels = np.random.default_rng(index).integers(0, 256, (20, 20, 3), dtype=np.uint8)
        files[name] = encoded(Image.fromarray(pixels))
    return files


@pytest.fixture
def place(tmp_path: Path) -> Callable[[dict[str, bytes]], Path]:
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
def get(tmp_path: Path, raw: Path) -> Callable[..., dict[str, object]]:
    """`get()` fetches the toy dataset; returns the record it wrote."""
    return lambda **keys: json.loads(fetch("toy", raw, tmp_path / "manual", **keys).read_text())
