"""A toy dataset of four images and a web server on this machine that can also misbehave."""

from __future__ import annotations

import io
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

import data.load

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
class Server:
    """Serves `pages`; `requests` lists the paths that were asked for."""

    url: str = ""
    pages: dict[str, bytes] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)


@pytest.fixture
def server() -> Iterator[Server]:
    """/missing answers 404, /stall sends a first byte and then nothing, /short breaks off; the rest is `pages`."""
    state = Server()
    stop = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.requests.append(self.path)
            content = b"x" * 1000 if self.path in ("/stall", "/short") else state.pages.get(self.path)
            if content is None:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.path in ("/stall", "/short"):
                self.wfile.write(content[:1])
                self.wfile.flush()
                if self.path == "/stall":
                    stop.wait(10)
                return
            self.wfile.write(content)

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
