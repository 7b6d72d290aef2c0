"""Samples of assigned codes against samples of the prior, from the training to the table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from common.console import UserError
from methods.api import Latents
from metrics import codes
from tests.training.conftest import MIXDL, workplace  # noqa: F401
from training.config import Preset, parse_preset
from training.loop import train

VANILLA = {
    **{"steps": 6, "blocks": "4m1,4x1,8m4,8x1,16m8", "width": 4, "latent_dim": 4, "mapping_depth": 1, "batch": 5},
    **{"lpips_weight": 0.0, "mse_weight": 1.0, "search": "exact", "pool_factor": 2.0, "reassign_every": 1},
    **{"sample_from": "ema", "ema_decay": 0.5},
}
RUNS = Path("results/toy/runs/openmoji_faces")
CPU = torch.device("cpu")


def preset() -> Preset:
    methods = {"vanilla_imle": VANILLA, "mixdl": MIXDL}
    return parse_preset({"preset": "toy", "resolution": 16, "datasets": ["openmoji_faces"], "methods": methods}, "toy")


def trained(method: str) -> Path:
    folder = RUNS / method / "seed0" / "full"
    train(preset().run("openmoji_faces", method, 0, "full"), preset().training, folder)
    return folder


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Latents]:
    """The latents of every row, in order; colours of quarters of an image in place of Inception's features."""
    latents, draw = [], codes.draw

    def kept(generate: codes.Generate, some: Latents) -> np.ndarray:
        latents.append(Latents(some.z.clone()))
        return draw(generate, some)

    def extract(images: np.ndarray, network: str, device: torch.device) -> np.ndarray:
        return images[:, 4::8, 4::8].reshape(len(images), -1).astype(np.float32)

    monkeypatch.setattr(codes, "draw", kept)
    monkeypatch.setattr(codes, "extract", extract)
    return latents


def test_assigned_codes_are_those_of_the_last_step(workplace: Path, drawn: list[Latents]) -> None:  # noqa: F811
    folder = trained("vanilla_imle")
    rows = codes.measure(folder, Path("state"), CPU)
    assert [(row["codes"], row["weights"]) for row in rows] == [
        (kind, weights) for kind in ("prior", "assigned", "selected") for weights in ("raw", "averaged")
    ]
    [state] = Path("state").glob("*/000000006.pt")
    assert torch.equal(drawn[2].z, torch.load(state, weights_only=True)["z"])
    assert len(drawn[0]) == codes.SAMPLES and len(drawn[4]) == 10
    assert not torch.isclose(drawn[4].z, drawn[2].z).any()
    assert len({row["pixel_spread"] for row in rows}) == 6  # no two kinds are the same images


def test_rows_of_other_runs_are_kept(tmp_path: Path) -> None:
    table = tmp_path / "codes.csv"
    for run_hash, value in (("a", 1.0), ("b", 2.0), ("a", 3.0)):
        codes.extend(table, [{"run_hash": run_hash, "fid": value}])
    assert pd.read_csv(table).to_dict("list") == {"run_hash": ["b", "a"], "fid": [2.0, 3.0]}


@pytest.mark.parametrize("content", ["", "a,b\n1,2\n", "\x00"])
def test_a_file_that_is_no_table_of_codes_is_not_replaced(tmp_path: Path, content: str) -> None:
    table = tmp_path / "codes.csv"
    table.write_text(content)
    with pytest.raises(UserError, match=f"{table} is not a table of codes; name another file"):
        codes.extend(table, [{"run_hash": "a"}])
    assert table.read_text() == content


def test_another_method_is_refused(workplace: Path) -> None:  # noqa: F811
    with pytest.raises(UserError, match=r"is a run of mixdl, which assigns no codes"):
        codes.measure(trained("mixdl"), Path("state"), CPU)


def test_a_run_whose_state_is_elsewhere_is_refused(workplace: Path) -> None:  # noqa: F811
    folder = trained("vanilla_imle")
    with pytest.raises(UserError, match=r"only the machine that trained .*full has the assigned codes"):
        codes.measure(folder, Path("elsewhere"), CPU)


def test_spread_is_a_share_of_that_of_the_training_images() -> None:
    real = np.random.default_rng(0).integers(0, 256, (50, 8, 8, 3), dtype=np.uint8)
    assert codes.spread(real, real // 2)["pixel_spread"] == pytest.approx(0.5, abs=0.01)
    grey = np.broadcast_to(real.mean(axis=(1, 2), keepdims=True), real.shape)  # only the mean colours
    found = codes.spread(real, grey)
    assert found["colour_spread"] == pytest.approx(1) and found["pixel_spread"] < 0.3
