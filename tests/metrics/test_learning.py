"""Metrics of the checkpoints of a run, from the training to the rows of learning.csv."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from common.console import UserError
from common.files import write_sealed
from metrics import learning
from metrics.collect import collect_learning
from tests.conftest import ROOT
from tests.training.conftest import MIXDL, workplace  # noqa: F401
from training.config import Preset, parse_preset
from training.loop import train
from training.sections import Metrics

RUN = Path("results/toy/runs/openmoji_faces/mixdl/seed0")


def preset(*checkpoints: float) -> Preset:
    content = {
        **{"preset": "toy", "resolution": 16, "datasets": ["openmoji_faces"], "methods": {"mixdl": MIXDL}},
        **{"training": {"checkpoints": list(checkpoints)}, "sampling": {"n": 20}},
        "metrics": {
            "precision_recall": ["inception-k3-n20"],
            "backtracking": {"net": "alex", "upsample": 2, "steps": 2, "restarts": 1},
        },
    }
    return parse_preset(content, "toy")


@pytest.fixture
def features(monkeypatch: pytest.MonkeyPatch) -> None:
    """Colours of the four quarters of an image in place of Inception's features."""

    def extract(images: np.ndarray, network: str, device: torch.device) -> np.ndarray:
        return images[:, 4::8, 4::8].reshape(len(images), -1).astype(np.float32)

    monkeypatch.setattr("metrics.features.extract", extract)


@pytest.mark.parametrize("split", ["full", "train90"])
def test_each_checkpoint_of_the_preset_and_the_last_step_are_measured(
    split: str,
    workplace: Path,  # noqa: F811
    lpips_weights: None,
    features: None,
) -> None:
    (workplace / "data" / "raw").symlink_to(ROOT / "data" / "raw")
    toy, one_more = preset(0.25, 0.5), preset(0.25, 0.5, 0.75)
    train(toy.run("openmoji_faces", "mixdl", 0, split), one_more.training, RUN / split)
    measured = learning.measure(RUN / split, toy, torch.device("cpu"))
    write_sealed("learning.json", measured)
    collect_learning(["learning.json"], "learning.csv")
    frame = pd.read_csv("learning.csv")
    name = "fid" if split == "full" else "lpips_backtracking"
    curve = frame[frame["metric"] == name]
    assert curve["step"].tolist() == [3, 6, 12]
    assert curve["processor_seconds"].is_monotonic_increasing and curve["value"].nunique() == 3
    assert (frame["split"] == split).all()
    assert len(measured["inputs"]) == 3


def test_a_run_without_a_checkpoint_of_the_preset_is_refused(workplace: Path) -> None:  # noqa: F811
    """It was trained before `training.checkpoints` was set: its curve would lack points without a word."""
    train(preset().run("openmoji_faces", "mixdl", 0, "full"), preset().training, RUN / "full")
    told = r"full has no weights of step 6: `training\.checkpoints` was .*; delete this folder and state/\w{16} to"
    with pytest.raises(UserError, match=told):
        learning.measure(RUN / "full", preset(0.5), torch.device("cpu"))


def test_protocols_that_are_equal_on_few_samples_are_measured_once() -> None:
    asked = Metrics(precision_recall=("inception-k5-n1000", "inception-k5-n5000", "inception-k3-n100"))
    limited = learning.limited(asked, 500).precision_recall
    assert [str(protocol) for protocol in limited] == ["inception-k5-n500", "inception-k3-n100"]
