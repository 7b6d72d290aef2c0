"""A training leaves its files and provenance, and says what keeps it from doing so (see also tests/reliability)."""

from __future__ import annotations

import csv
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from common.console import UserError
from common.files import read_json, write_json
from data.load import data_hash
from training.device import pick_device
from training.loop import FILES, train
from training.registry import ROOT

TINY = {"blocks": "1x1,4m1,8m4,16m8", "width": 8, "latent_dim": 8, "mapping_depth": 1, "lpips_weight": 0.0}
TINY |= {"pool_factor": 1.0, "search": "exact"}


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a prepared toy dataset of ten 16 px images."""
    images = np.random.default_rng(0).integers(0, 255, (10, 16, 16, 3), dtype=np.uint8)
    folder = tmp_path / "data" / "prepared" / "16" / "openmoji_faces"
    folder.mkdir(parents=True)
    np.save(folder / "images.npy", images)
    split = {"train": list(range(9)), "heldout": [9]}
    write_json(folder / "manifest.json", {"title": "toy", "array_sha256": data_hash(images), "split": split})
    monkeypatch.chdir(tmp_path)
    return tmp_path


def settings(steps: int = 12, **config: Any) -> dict[str, Any]:
    return {
        "preset": "toy",
        "dataset": "openmoji_faces",
        "method": "vanilla_imle",
        "seed": 0,
        "split": "full",
        "resolution": 16,
        "steps": steps,
        "threads": 1,
        "config": {**TINY, **config},
    }


def test_a_run_leaves_all_its_files_and_its_provenance(workplace: Path) -> None:
    train(settings(), Path("out"), intervals={"log_every": 5, "save_every": 5, "grid_every": 5})
    assert {path.name for path in Path("out").iterdir()} == set(FILES)
    run = read_json("out/run.json")
    assert {"git_commit", "git_dirty", "versions", "hardware", "config_hash", "data_hash", "seconds"} <= run.keys()
    assert run["versions"]["torch"] == torch.__version__.split("+")[0] or run["versions"]["torch"] == torch.__version__
    assert (run["steps"], run["n_train"]) == (12, 10)
    with Path("out/history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == [5, 10, 12]
    assert all(float(row["loss"]) > 0 for row in rows)


def test_a_finished_run_is_copied_not_repeated(workplace: Path) -> None:
    train(settings(), Path("out"))
    finished = read_json("out/run.json")["finished"]
    for file in Path("out").iterdir():
        file.unlink()
    time.sleep(1.1)
    train(settings(), Path("out"))
    assert read_json("out/run.json")["finished"] == finished


def test_a_changed_setting_starts_a_new_run_beside_the_old(workplace: Path) -> None:
    train(settings(), Path("out"))
    train(settings(learning_rate=0.01), Path("out"))
    assert len(list(Path("state").iterdir())) == 2


def test_a_loss_that_explodes_stops_the_run_and_keeps_the_last_good_state(workplace: Path) -> None:
    with pytest.raises(UserError, match=r"loss became (nan|inf) at step \d+ of vanilla_imle.*last good state is kept"):
        train(settings(400, learning_rate=1e18, warmup_steps=0), Path("out"), intervals={"save_every": 1})
    (state,) = Path("state").iterdir()
    assert list(state.glob("0*.json"))
    assert not Path("out").exists()


def test_damaged_data_is_refused(workplace: Path) -> None:
    images = np.load("data/prepared/16/openmoji_faces/images.npy")
    images[0, 0, 0] ^= 1
    np.save("data/prepared/16/openmoji_faces/images.npy", images)
    with pytest.raises(UserError, match=r"images.npy has sha256 .* but its manifest says"):
        train(settings(), Path("out"))


def test_an_absent_gpu_is_one_sentence(workplace: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(UserError, match=r"--device cuda: .* sees no GPU; use --device cpu"):
        pick_device("cuda")
    with pytest.raises(UserError, match=r"--configfile config/demo.yaml"):
        train(settings(), Path("out"), require_gpu=True)
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--config", "demo", "--method", "fastgn", "--dataset", "openmoji_faces"], "no method is named 'fastgn'"),
        (
            ["--config", "demo", "--method", "fastgan", "--dataset", "panda"],
            "--dataset panda: demo lists openmoji_faces",
        ),
        (["--config", "dmo", "--method", "fastgan", "--dataset", "panda"], "config/dmo.yaml does not exist"),
        (["--method", "fastgan"], "train needs --config, --method and --dataset"),
    ],
)
def test_a_wrong_argument_is_one_sentence(arguments: list[str], sentence: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "training", "train", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1


def test_help_shows_examples() -> None:
    for words in (["train"], ["sample"], ["describe"]):
        done = subprocess.run(
            [sys.executable, "-m", "training", *words, "--help"], cwd=ROOT, capture_output=True, text=True, check=True
        )
        assert "examples:\n  python -m methods" in done.stdout
