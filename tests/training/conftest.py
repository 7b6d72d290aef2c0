"""A preset that trains in a blink, and a folder with the images that it trains on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.prepared import write_prepared
from training.config import Preset, RunConfig, parse_preset

MIXDL = {"steps": 12, "style_dim": 8, "mapping_depth": 1, "channel_base": 64, "channel_max": 4, "batch": 2}


def toy_preset(**mixdl: Any) -> Preset:
    """mixdl: changes of its entry."""
    methods = {"mixdl": {**MIXDL, **mixdl}, "control_real": {}}
    content = {"preset": "toy", "resolution": 16, "datasets": ["openmoji_faces"], "seeds": [0, 1], "methods": methods}
    content["training"] = {"log_every": 5, "save_every": 5, "grid_every": 5}
    return parse_preset(content, "toy")


def toy_run(method: str = "mixdl", seed: int = 0, split: str = "full", **mixdl: Any) -> RunConfig:
    return toy_preset(**mixdl).run("openmoji_faces", method, seed, split)


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: ten random images of 16 px as openmoji_faces."""
    images = np.random.default_rng(0).integers(0, 255, (10, 16, 16, 3), dtype=np.uint8)
    write_prepared(tmp_path / "data" / "prepared" / "16" / "openmoji_faces", images)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def change_images() -> None:
    """Other images under the same name, prepared properly."""
    folder = Path("data/prepared/16/openmoji_faces")
    write_prepared(folder, 255 - np.load(folder / "images.npy"))
