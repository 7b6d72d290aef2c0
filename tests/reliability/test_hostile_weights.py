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

import pytest

from common.console import UserError
from common.files import write_json
from common.hashing import sha256_file
from data.archive import SourceError
from networks import weights
from networks.weight_readers import READERS
from tests.files import zipped


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


def packed(content: bytes) -> bytes:
    """As torch.save and TorchScript pack it."""
    return zipped({"toy/data.pkl": content, "toy/version": b"3\n", "toy/byteorder": b"little"})


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("pack", [bytes, packed])
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
    "content", [b"", b"\xff" * 8, struct.pack("<Q", 2**60), header_of_a_terabyte(), packed(b"x"), None]
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
