"""Hostile samples from elsewhere: one sentence, little memory, and nothing written.

Limit: MAX_BYTES of data/external.py (4 GiB of samples in memory).  The ordinary mistakes are in
tests/data/test_external.py.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.external import MAX_BYTES, import_samples
from tests.files import npy
from tests.reliability.confined import confined, snapshot

LEAST = 64  # MiB


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    folder = tmp_path / "stylegan" / "openmoji_faces"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def refused(samples: Path, tmp_path: Path, tally) -> Callable[[str], None]:
    def check(reason: str) -> None:
        out = tmp_path / "out" / "samples.npz"
        out.parent.mkdir()
        before = snapshot(tmp_path)
        with tally.input("external samples"):
            outcome = confined(f"external.import_samples(Path({str(samples)!r}), 32, Path({str(out)!r}))")
            assert reason in outcome.said
            assert outcome.mebibytes < LEAST
            assert snapshot(tmp_path) == before

    return check


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (npy((2**60, 32, 32, 3)), f"at 32 px at most {MAX_BYTES // 3072} are read; remove some"),
        (npy((1, 2**20, 2**20, 3)), "more than the limit of 67108864"),
        (npy((1_000_000, 32, 32, 3), bytes(10_000)), "not enough image data"),
        (npy((-1, 32, 32, 3)), "must be uint8 (n, height, width, 3)"),
        (npy((2, 32, 32, 3), bytes(6144), fortran=True), "in Fortran order"),
        (npy((2, 32, 32, 3), bytes(100), kind="|O"), "must be uint8"),
        (b"\x93NUMPY\1\0\xff\xff" + b"(" * 65535, "the archive is damaged"),
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
        member.write(npy((n, 32, 32, 3)))
        for _ in range(2048 if stress else 64):
            member.write(bytes(2**20))
    refused("remove some")


def loop(folder: Path) -> None:
    folder.rmdir()
    folder.symlink_to(folder)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (loop, "openmoji_faces does not exist; name a folder of images"),
        (lambda folder: (folder / "a.npz").write_bytes(npy((2, 32, 32, 3), bytes(6144))), "neither a zip nor a tar"),
        (lambda folder: (folder / "a.npz").symlink_to("a.npz"), "a.npz is not a regular file, or is a broken link"),
    ],
)
def test_file_that_cannot_be_used_is_named(samples: Path, refused, make, reason: str) -> None:
    make(samples)
    refused(reason)


def test_link_to_a_folder_elsewhere_keeps_the_name_it_was_given(samples: Path, tmp_path: Path, tally) -> None:
    samples.rename(tmp_path / "elsewhere")
    samples.symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    Image.new("RGB", (32, 32)).save(samples / "-rf {x}.png")
    with tally.input("external samples"):
        import_samples(samples, 32, tmp_path / "samples.npz")
    with np.load(tmp_path / "samples.npz") as file:
        assert '"method": "stylegan"' in str(file["meta"]) and file["images"].shape == (1, 32, 32, 3)
