"""`python -m metrics`: every command explains itself, and features reach the table through files alone."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from metrics.protocols import Backtracking

from common.console import UserError
from data.load import data_hash
from metrics.__main__ import _settings, main

COMMANDS = ("fetch", "external", "features", "evaluate", "floor", "backtrack", "collect")


def call(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["metrics", *map(str, arguments)])
    main()


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        call(monkeypatch, command, "--help")
    assert end.value.code == 0
    assert f"python -m metrics {command}" in capsys.readouterr().out


def prepared(folder: Path) -> Path:
    """A prepared dataset of 24 random images of 16 pixels."""
    folder.mkdir(parents=True)
    images = np.random.default_rng(0).integers(0, 256, (24, 16, 16, 3), dtype=np.uint8)
    np.save(folder / "images.npy", images)
    manifest = {"dataset": folder.name, "resolution": 16, "array_sha256": data_hash(images), "split": {}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder / "images.npy"


def test_images_and_samples_to_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fake_extract(images: np.ndarray, network: str, batch: int, device: object) -> np.ndarray:
        draw = np.random.default_rng(int(images.sum()))
        return draw.random((len(images), 2048)).astype(np.float32)

    monkeypatch.setattr("metrics.features.extract", fake_extract)
    monkeypatch.setattr("networks.weights.weights_digest", lambda network: "w")
    meta = {"preset": "demo", "dataset": "faces", "method": "fastgan", "seed": 0, "split": "full", "steps": 9}
    meta["run_hash"] = "abc"
    np.savez(tmp_path / "samples.npz", images=np.zeros((50, 16, 16, 3), np.uint8), meta=np.array(json.dumps(meta)))
    images = prepared(tmp_path / "prepared" / "16" / "faces")
    real, fake = tmp_path / "real.npz", tmp_path / "fake.npz"
    settings = json.dumps({"preset": "demo", "n_fake": 40, "precision_recall": ["inception-k3-n30"]})
    fid, pr, floor = (tmp_path / name for name in ("fid.json", "precision_recall.json", "floor.json"))

    call(monkeypatch, "features", "--images", images, "--out", real, "--device", "cpu")
    call(monkeypatch, "features", "--samples", tmp_path / "samples.npz", "--limit", 45, "--out", fake)
    call(
        *(monkeypatch, "evaluate", "--real", real, "--fake", fake, "--settings", settings),
        *("--out-fid", fid, "--out-pr", pr),
    )
    call(monkeypatch, "floor", "--real", real, "--settings", '{"preset": "demo"}', "--out", floor)
    call(monkeypatch, "collect", fid, pr, floor, "--out", tmp_path / "metrics.csv")

    table = pd.read_csv(tmp_path / "metrics.csv").set_index(["method", "metric"])
    assert table.loc[("fastgan", "fid"), "protocol"] == "inception-clean"
    assert table.loc[("fastgan", "recall"), "protocol"] == "inception-k3-n30"
    assert table.loc[("fastgan", "fid"), ["n_real", "n_fake"]].tolist() == [24, 40]
    assert table.loc[("floor", "fid"), ["n_real", "n_fake"]].tolist() == [12, 12]
    assert set(table.preset) == {"demo"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("{net: alex}", "not valid JSON"),
        ("3", "lacks the key preset"),
        ('{"preset": "demo"}', "lacks the key backtracking; it needs preset, backtracking"),
        ('{"preset": "demo", "backtracking": {"restart": 3}}', "unknown key backtracking.restart"),
    ],
)
def test_settings_must_be_complete(
    settings: str, message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        call(monkeypatch, "backtrack", "--run", tmp_path, "--settings", settings, "--out", tmp_path / "b.json")
    assert list(tmp_path.iterdir()) == []


def test_a_preset_stands_for_the_settings() -> None:
    arguments = argparse.Namespace(config="demo", settings=None)
    preset, n_fake, backtracking = _settings(arguments, "preset", "n_fake", "backtracking")
    assert (preset, n_fake) == ("demo", 200)
    assert str(Backtracking.parse(backtracking)) == "lpips-alex-x2-s50-r3"
