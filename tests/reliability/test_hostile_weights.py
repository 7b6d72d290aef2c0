"""Weights and arrays made to harm: no pickle is run, both digests are named, and no header decides how much is taken.

Limits: data/external.py MAX_BYTES (4 GiB of samples in memory); a prepared array takes the size of its file.
That a wrong digest of a download is refused and what a pickle may name is in tests/metrics/test_weights.py.
"""

from __future__ import annotations

import io
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from common.console import UserError
from common.files import write_json
from common.hashing import sha256_file
from data.external import MAX_BYTES, import_samples
from data.load import data_hash, load
from metrics import weights
from tests.reliability.confined import confined, snapshot
from training.loop import train
from training.sampling import load_run

LEAST = 64  # MiB


class Intruder:
    """Unpickled carelessly, this makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch '{self.path}'",)


@pytest.fixture
def hostile_pickle(tmp_path: Path) -> bytes:
    return pickle.dumps({"weight": Intruder(tmp_path / "ran")})


def zipped(content: bytes) -> bytes:
    """As torch.save and TorchScript pack it."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        file.writestr("toy/data.pkl", content)
        file.writestr("toy/version", "3\n")
        file.writestr("toy/byteorder", "little")
    return stream.getvalue()


@pytest.mark.parametrize("reader", weights.READERS)
@pytest.mark.parametrize("pack", [bytes, zipped])
def test_no_reader_runs_a_pickle(tmp_path: Path, tally, hostile_pickle: bytes, reader: str, pack) -> None:
    """Even behind the digest, which nobody could have met: refused by each reader, whatever it raises."""
    with tally.input("weights"), pytest.raises(Exception, match=r".") as error:
        weights.READERS[reader](io.BytesIO(pack(hostile_pickle)))
    assert not isinstance(error.value, MemoryError | RecursionError)
    assert not (tmp_path / "ran").exists()


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(weights, "FOLDER", tmp_path)
    return tmp_path / "toy.safetensors"


def test_pickle_in_the_place_of_weights_is_refused_with_both_digests(stored: Path, tally, hostile_pickle) -> None:
    stored.write_bytes(hostile_pickle)
    write_json(stored.with_suffix(".json"), {"sha256": "0" * 64})
    with tally.input("weights"), pytest.raises(UserError) as error:
        weights.load_tensors("toy")
    assert "0" * 64 in str(error.value) and sha256_file(stored) in str(error.value)
    assert not stored.with_name("ran").exists()


def header_of_a_terabyte() -> bytes:
    text = b'{"a":{"dtype":"F32","shape":[274877906944],"data_offsets":[0,1099511627776]}}'
    return struct.pack("<Q", len(text)) + text


@pytest.mark.parametrize(
    "content", [b"", b"\xff" * 8, struct.pack("<Q", 2**60), header_of_a_terabyte(), zipped(b"x"), None]
)
def test_what_is_no_safetensors_is_refused_though_its_digest_is_right(
    stored: Path, tally, hostile_pickle, content: bytes | None
) -> None:
    stored.write_bytes(hostile_pickle if content is None else content)
    write_json(stored.with_suffix(".json"), {"sha256": sha256_file(stored)})
    with tally.input("weights"), pytest.raises(UserError, match=r"toy\.safetensors is no safetensors file") as error:
        weights.load_tensors("toy")
    assert "python -m metrics fetch toy" in str(error.value) and "\n" not in str(error.value)
    assert not stored.with_name("ran").exists()


@pytest.mark.parametrize("record", [[], {}, {"sha256": 1}, None])
def test_record_without_a_digest_vouches_for_nothing(stored: Path, tally, record: Any) -> None:
    stored.touch()
    write_json(stored.with_suffix(".json"), record)
    for ask in (weights.load_tensors, weights.weights_digest):
        with tally.input("weights"), pytest.raises(UserError, match=r"toy\.json records no sha256: delete"):
            ask("toy")


# The finished weights of a run


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a finished run, of a control that trains nothing."""
    monkeypatch.chdir(tmp_path)
    images = np.random.default_rng(0).integers(0, 255, (10, 16, 16, 3), dtype=np.uint8)
    folder = tmp_path / "data/prepared/16/openmoji_faces"
    folder.mkdir(parents=True)
    np.save(folder / "images.npy", images)
    split = {"train": list(range(9)), "heldout": [9]}
    write_json(folder / "manifest.json", {"title": "toy", "array_sha256": data_hash(images), "split": split})
    settings = {"preset": "toy", "dataset": "openmoji_faces", "method": "control_real", "seed": 0, "split": "full"}
    settings |= {"resolution": 16, "steps": 0, "threads": 1, "config": {}}
    train(settings, Path("out"), intervals={"log_every": 5, "save_every": 5, "grid_every": 5})
    return tmp_path / "out"


def test_run_whose_weights_became_a_pickle_is_refused(run: Path, tally, hostile_pickle: bytes) -> None:
    load_run(run, torch.device("cpu"))
    (run / "model.safetensors").write_bytes(hostile_pickle)
    with tally.input("weights"), pytest.raises(UserError, match=r"model\.safetensors has sha256 [0-9a-f]{64}, but"):
        load_run(run, torch.device("cpu"))
    assert not run.with_name("ran").exists()


# Arrays


def npy(shape: tuple[int, ...], content: bytes, kind: str = "|u1", fortran: bool = False) -> bytes:
    header = repr({"descr": kind, "fortran_order": fortran, "shape": shape}).encode().ljust(117) + b"\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header + content


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    folder = tmp_path / "stylegan" / "openmoji_faces"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def refused(samples: Path, tmp_path: Path, tally) -> Callable[..., None]:
    def check(reason: str, most: float = LEAST) -> None:
        out = tmp_path / "out" / "samples.npz"
        out.parent.mkdir()
        before = snapshot(tmp_path)
        with tally.input("external samples"):
            call = f"external.import_samples(Path({str(samples)!r}), 32, Path({str(out)!r}))"
            outcome = confined(call, imports="from metrics import external")
            assert reason in outcome.said
            assert outcome.said.isprintable()
            assert outcome.mebibytes < most
            assert snapshot(tmp_path) == before

    return check


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (npy((2**60, 32, 32, 3), b""), f"at 32 px at most {MAX_BYTES // 3072} are read; take some away"),
        (npy((2**20, 1, 1, 3), b""), "is 1x1 pixels, but each side must have at least 16"),
        (npy((1, 2**20, 2**20, 3), b""), "more than the limit of 67108864"),
        (npy((1_000_000, 32, 32, 3), bytes(10_000)), "not enough image data"),
        (npy((-1, 32, 32, 3), b""), "must be uint8 (n, height, width, 3)"),
        (npy((2, 32, 32, 3), bytes(6144), fortran=True), "in Fortran order"),
        (npy((2, 32, 32, 3), bytes(100), kind="|O"), "must be uint8"),
        (npy((2, 32, 32, 3), bytes(100), kind="os.system"), "descr is not a valid dtype descriptor"),
        (b"\x93NUMPY\1\0\xff\xff" + b"(" * 65535, "the archive is damaged"),
        (pickle.dumps(Intruder(Path("/nowhere"))), "the archive is damaged"),
        (b"", "the archive is damaged"),
    ],
)
def test_array_that_promises_what_it_does_not_hold(samples: Path, refused, array: bytes, reason: str) -> None:
    with zipfile.ZipFile(samples / "a.npz", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("images.npy", array)
    refused(reason)


def test_compressed_array_of_more_than_the_limit(samples: Path, refused, stress: bool) -> None:
    """A few MiB (in the long form 2 GiB) of the pixels that it promises, one image more than is read."""
    n = MAX_BYTES // 3072 + 1
    packing = zipfile.ZipFile(samples / "a.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1)
    with packing as file, file.open("images.npy", "w", force_zip64=True) as member:
        member.write(npy((n, 32, 32, 3), b""))
        for _ in range(2048 if stress else 64):
            member.write(bytes(2**20))
    refused("take some away")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (npy((2, 32, 32, 3), bytes(6144)), "neither a zip nor a tar archive"),
        (b"", "neither a zip nor a tar archive"),
    ],
)
def test_npz_that_is_none(samples: Path, refused, content: bytes, reason: str) -> None:
    (samples / "a.npz").write_bytes(content)
    refused(reason)


def test_array_with_a_flipped_bit_is_refused(samples: Path, refused) -> None:
    np.savez(samples / "a.npz", images=np.zeros((2, 32, 32, 3), np.uint8))
    content = bytearray((samples / "a.npz").read_bytes())
    content[3000] ^= 1  # one pixel's
    (samples / "a.npz").write_bytes(content)
    refused("Bad CRC-32")


def test_folder_with_one_bomb_among_its_images(samples: Path, refused) -> None:
    Image.new("RGB", (32, 32)).save(samples / "a.png")
    Image.new("1", (16_000, 16_000)).save(samples / "b.png")
    refused("b.png has more pixels than the limit")


@pytest.mark.parametrize("name", ["a.png", "a.npz"])
def test_links_that_lead_nowhere_are_not_passed_over(samples: Path, refused, name: str) -> None:
    Image.new("RGB", (32, 32)).save(samples / "b.png")
    (samples / name).symlink_to(samples / name)
    refused(f"{name} is no file or a link that leads nowhere; remove it")


def test_folder_that_is_a_loop_is_refused(samples: Path, refused) -> None:
    samples.rmdir()
    samples.symlink_to(samples)
    refused("openmoji_faces does not exist; put samples there")


def test_link_to_a_folder_elsewhere_keeps_the_name_it_was_given(samples: Path, tmp_path: Path, tally) -> None:
    samples.rename(tmp_path / "elsewhere")
    samples.symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    Image.new("RGB", (32, 32)).save(samples / "-rf {x}.png")
    with tally.input("external samples"):
        import_samples(samples, 32, tmp_path / "samples.npz")
    with np.load(tmp_path / "samples.npz") as file:
        assert '"method": "stylegan"' in str(file["meta"]) and file["images"].shape == (1, 32, 32, 3)


@pytest.mark.parametrize(
    "content",
    [
        npy((2**60, 16, 16, 3), b""),
        npy((2**40, 16, 16, 3), bytes(1000)),
        npy((-5, 16, 16, 3), bytes(1000)),
        npy((2, 16, 16, 3), bytes(1536), kind="|O"),
        b"\x93NUMPY\1\0\xff\xff" + b"(" * 65535,
        zipped(b"x"),
    ],
)
def test_prepared_array_takes_no_more_than_its_file(tmp_path: Path, tally, content: bytes) -> None:
    folder = tmp_path / "16" / "openmoji_faces"
    folder.mkdir(parents=True)
    (folder / "images.npy").write_bytes(content)
    write_json(folder / "manifest.json", {"array_sha256": "0" * 64, "split": {}})
    with tally.input("prepared images"):
        call = f"load.load('openmoji_faces', 16, root=Path({str(tmp_path)!r}))"
        outcome = confined(call, imports="from data import load")
        assert "images.npy cannot be read" in outcome.said
        assert outcome.mebibytes < LEAST


@pytest.mark.parametrize(
    "manifest", [[], {}, None, {"array_sha256": "", "split": 3}, {"array_sha256": None, "split": {}}]
)
def test_manifest_that_describes_nothing_is_refused(tmp_path: Path, tally, manifest: Any) -> None:
    folder = tmp_path / "16" / "openmoji_faces"
    folder.mkdir(parents=True)
    np.save(folder / "images.npy", np.zeros((2, 16, 16, 3), np.uint8))
    write_json(folder / "manifest.json", manifest)
    with tally.input("prepared images"), pytest.raises(UserError, match="run: python -m data prepare"):
        load("openmoji_faces", 16, "train90", root=tmp_path)
