"""Hostile weights: no pickle is run, and a file that is not what was recorded is named with both digests.

That a wrong digest of a download is refused is in tests/networks/test_weights.py.
"""

from __future__ import annotations

import io
import os
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from common.console import UserError
from common.files import write_json
from common.hashing import sha256_file
from data.archive import SourceError
from data.load import data_hash
from networks import weights
from networks.weight_readers import READERS
from training.config import RunConfig
from training.loop import train
from training.sampling import load_run
from training.sections import Training


class Intruder:
    """Unpickled carelessly, this makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch '{self.path}'",)


@pytest.fixture
def hostile_pickle(tmp_path: Path):
    yield pickle.dumps({"weight": Intruder(tmp_path / "ran")})
    assert not (tmp_path / "ran").exists()


def zipped(content: bytes) -> bytes:
    """As torch.save and TorchScript pack it."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        file.writestr("toy/data.pkl", content)
        file.writestr("toy/version", "3\n")
        file.writestr("toy/byteorder", "little")
    return stream.getvalue()


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("pack", [bytes, zipped])
def test_no_reader_runs_a_pickle(tally, hostile_pickle: bytes, reader: str, pack) -> None:
    """Refused by each reader, even if the digest is right."""
    with tally.input("weights"), pytest.raises((SourceError, pickle.UnpicklingError, zipfile.BadZipFile, RuntimeError)):
        READERS[reader](io.BytesIO(pack(hostile_pickle)))


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(weights, "FOLDER", tmp_path)
    return tmp_path / "toy.safetensors"


def header_of_a_terabyte() -> bytes:
    text = b'{"a":{"dtype":"F32","shape":[274877906944],"data_offsets":[0,1099511627776]}}'
    return struct.pack("<Q", len(text)) + text


@pytest.mark.parametrize("digest_is_right", [False, True])
@pytest.mark.parametrize(
    "content", [b"", b"\xff" * 8, struct.pack("<Q", 2**60), header_of_a_terabyte(), zipped(b"x"), None]
)
def test_what_is_no_safetensors_is_refused(
    stored: Path, tally, hostile_pickle, content: bytes | None, digest_is_right: bool
) -> None:
    stored.write_bytes(hostile_pickle if content is None else content)
    actual = sha256_file(stored)
    write_json(stored.with_suffix(".json"), {"sha256": actual if digest_is_right else "0" * 64})
    reason = "is not a safetensors file" if digest_is_right else f"it has sha256 {actual}, but {'0' * 64}"
    with tally.input("weights"), pytest.raises(UserError, match=rf"toy\.safetensors .*{reason}") as error:
        weights.load_tensors("toy")
    assert "python -m networks fetch toy" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("record", [[], {}, {"sha256": 1}, None])
def test_record_without_a_digest_is_refused(stored: Path, tally, record: Any) -> None:
    stored.touch()
    write_json(stored.with_suffix(".json"), record)
    for ask in (weights.load_tensors, weights.weights_digest):
        with tally.input("weights"), pytest.raises(UserError, match=r"toy\.json records no sha256: delete"):
            ask("toy")


def test_run_whose_weights_became_a_pickle_is_refused(tmp_path: Path, monkeypatch, tally, hostile_pickle) -> None:
    monkeypatch.chdir(tmp_path)
    images = np.random.default_rng(0).integers(0, 255, (10, 16, 16, 3), dtype=np.uint8)
    folder = tmp_path / "data/prepared/16/openmoji_faces"
    folder.mkdir(parents=True)
    np.save(folder / "images.npy", images)
    split = {"train": list(range(9)), "heldout": [9]}
    write_json(folder / "manifest.json", {"title": "toy", "array_sha256": data_hash(images), "split": split})
    run = RunConfig("toy", "openmoji_faces", "control_real", 0, "full", 16, 0, 1, {})
    train(run, intervals=Training(), out=Path("out"))
    load_run(Path("out"), torch.device("cpu"))
    Path("out/model.safetensors").write_bytes(hostile_pickle)
    with tally.input("weights"), pytest.raises(UserError, match=r"model\.safetensors has sha256 [0-9a-f]{64}, but"):
        load_run(Path("out"), torch.device("cpu"))
