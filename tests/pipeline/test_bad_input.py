"""Images that cannot be used, met by a real Snakemake run: one sentence, and nothing left half-made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

MANUAL = Path("data/manual/openmoji_animals")
PREPARED = Path("data/prepared/32/openmoji_animals")
COUNT = 100  # images of openmoji_animals in data/datasets.yaml


def truncate(image: Path) -> None:
    image.write_bytes(image.read_bytes()[:-400])


def write_words(image: Path) -> None:
    image.write_text("not an image")


def shrink(image: Path) -> None:
    Image.new("RGB", (15, 40)).save(image)


@pytest.fixture
def by_hand(smoke_copy: Path) -> Path:
    """A project whose data/manual/ holds a hundred sound images of a dataset that nobody has fetched yet."""
    raw = smoke_copy / "data/raw"
    raw.unlink()  # a link to the downloads of this checkout, which stay as they are
    raw.mkdir()
    folder = smoke_copy / MANUAL
    folder.mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 256, (COUNT, 20, 20, 3), np.uint8)
    for index, pixels in enumerate(noise):
        Image.fromarray(pixels).save(folder / f"{index:03d}.png")
    return smoke_copy


@pytest.mark.parametrize(
    ("spoil", "at_fault"),
    [
        pytest.param(truncate, "041.png is damaged or truncated", id="truncated"),
        pytest.param(write_words, "041.png is not a JPEG, PNG or WebP image", id="not an image"),
        pytest.param(shrink, "041.png is 15x40 pixels, but each side must have at least 16", id="too small"),
        pytest.param(Path.unlink, "99 images were found, 100 are expected", id="too few"),
    ],
)
def test_one_bad_file_stops_the_run_in_one_sentence_and_leaves_nothing(
    by_hand: Path, snakemake: Callable[..., Any], spoil: Callable[[Path], None], at_fault: str
) -> None:
    spoil(by_hand / MANUAL / "041.png")
    done = snakemake(by_hand, str(PREPARED / "manifest.json"))
    assert done.returncode != 0
    said = (done.stdout + done.stderr).splitlines()
    [sentence] = {line.strip() for line in said if line.strip().startswith("error: ")}
    assert sentence.startswith(f"error: {MANUAL} cannot be used for openmoji_animals: {at_fault}")
    assert sentence.endswith("; mend or remove that folder")
    assert not any("Traceback" in line for line in said)
    assert not any((by_hand / PREPARED).glob("*"))
    assert not [path for path in (by_hand / "data/raw").rglob("*") if path.is_file()]


def test_the_same_folder_without_a_bad_file_is_prepared(by_hand: Path, snakemake: Callable[..., Any]) -> None:
    """So that what the cases above refuse is the one file, not the folder."""
    done = snakemake(by_hand, str(PREPARED / "manifest.json"))
    assert done.returncode == 0, done.stderr
    assert np.load(by_hand / PREPARED / "images.npy").shape == (COUNT, 32, 32, 3)
