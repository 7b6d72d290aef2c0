"""`python -m metrics`: every command explains itself, and features reach the table through files alone."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from common.console import UserError
from common.files import read_json, read_sealed, write_sealed
from metrics.__main__ import main
from metrics.collect import collect
from tests.conftest import ROOT
from tests.metrics.test_lpips_backtracking import SIDE, Toy
from tests.prepared import write_prepared
from training.identity import sources_hash

RUN = {"dataset": "faces", "method": "fastgan", "seed": 0, "split": "full", "steps": 9, "run_hash": "abc"}
Call = Callable[..., None]


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Runs a command in an empty folder, in which toy.yaml is a preset."""
    monkeypatch.chdir(tmp_path)
    preset = {"preset": "toy", "resolution": 16, "datasets": ["openmoji_faces"], "methods": {"control_real": {}}}
    preset["sampling"] = {"n": 40}
    backtracking = {"net": "alex", "upsample": 2, "steps": 2, "restarts": 2}
    preset["metrics"] = {"precision_recall": ["inception-k3-n30"], "backtracking": backtracking}
    Path("toy.yaml").write_text(yaml.safe_dump(preset))

    def run(*arguments: object) -> None:
        monkeypatch.setattr(sys, "argv", ["metrics", *map(str, arguments)])
        main()

    return run


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of threads that numpy was limited to."""
    seen: list[int] = []

    @contextmanager
    def note(limit: int) -> Iterator[None]:
        seen.append(limit)
        yield

    monkeypatch.setattr("threadpoolctl.threadpool_limits", note)
    return seen


def write_inputs(**meta: object) -> None:
    """50 samples, and a prepared dataset of 24 random images of 16 pixels."""
    np.savez("samples.npz", images=np.zeros((50, 16, 16, 3), np.uint8), meta=np.array(json.dumps({**RUN, **meta})))
    images = np.random.default_rng(0).integers(0, 256, (24, 16, 16, 3), dtype=np.uint8)
    write_prepared(Path("prepared/16/faces"), images, dataset="faces", resolution=16)


@pytest.fixture
def stub_inception(lpips_weights: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pixels in place of Inception's features; LPIPS is the real one."""

    def extract(images: np.ndarray, network: str, *_: object, **__: object) -> np.ndarray:
        return np.resize(images.reshape(len(images), -1)[:, :768] / 255, (len(images), 2048)).astype(np.float32)

    monkeypatch.setattr("metrics.features.extract", extract)
    monkeypatch.setattr("metrics.features.weights_digest", lambda network: "w")
    monkeypatch.setattr("networks.weights.FOLDER", ROOT / "data/raw/weights")


def test_images_and_samples_to_the_table(call: Call, stub_inception: None, limits: list[int]) -> None:
    """Twenty samples are training images, the first of them mirrored: the arrays of the figure name them."""
    write_inputs()
    real = np.load("prepared/16/faces/images.npy")
    other = np.random.default_rng(1).integers(0, 256, (25, *real.shape[1:]), dtype=np.uint8)
    images = np.concatenate([real[:1, :, ::-1], real[1:20], other])
    described = {**RUN, "sources_hash": sources_hash("fastgan")}
    np.savez("samples.npz", images=images, meta=np.array(json.dumps(described)))
    call("features", "--images", "prepared/16/faces/images.npy", "--out", "real.npz", "--device", "cpu")
    call("features", "--samples", "samples.npz", "--out", "fake.npz", "--device", "cpu")
    sets = ("--config", "toy.yaml", "--device", "cpu", "--images", "prepared/16/faces/images.npy", "--real", "real.npz")
    call("evaluate", *sets, "--samples", "samples.npz", "--fake", "fake.npz", "--out", "fastgan", "--threads", 3)
    call("evaluate", *sets, "--out", "floor", "--threads", 2)
    assert limits == [3, 2]
    collect([*Path("fastgan").glob("*.json"), *Path("floor").glob("*.json")], "metrics.csv")

    table = pd.read_csv("metrics.csv").set_index(["method", "metric", "protocol"])
    assert set(table.preset) == {"toy"}
    assert table.loc[("fastgan", "fid", "inception-clean"), ["n_real", "n_fake"]].tolist() == [24, 40]
    assert table.loc[("floor", "fid", "inception-clean"), ["n_real", "n_fake"]].tolist() == [12, 12]
    assert table.loc[("fastgan", "recall", "inception-k3-n30"), "n_fake"] == 30
    assert table.loc[("fastgan", "copy_rate", "pixels32"), "value"] == 0.5
    assert table.loc[("fastgan", "copy_rate", "lpips-alex-x2"), "n_fake"] == 30, "the n of precision and recall"
    assert table.loc[("floor", "copy_rate", "pixels32"), "value"] == 0
    assert table.loc[("fastgan", "coverage", "inception-k3-nreal-d20"), ["n_real", "n_fake"]].tolist() == [24, 24]
    assert table.loc[("floor", "recall", "inception-k3-n30"), "n_fake"] == 12, "the ceiling of Table 2"
    for name in ("fid", "precision_recall", "diversity"):
        assert set(read_sealed(f"fastgan/{name}.json")["inputs"]) == {"real.npz", "fake.npz"}
    with np.load("fastgan/diversity.npz") as copies:
        assert copies["nearest"][:20].tolist() == list(range(20))
        assert copies["mirrored"][:2].tolist() == [True, False]
        assert (copies["ratio"] < 0.5).tolist() == [True] * 20 + [False] * 20
    with pytest.raises(UserError, match=r"real.npz does not hold the features of samples.npz"):
        call("evaluate", *sets, "--samples", "samples.npz", "--fake", "real.npz", "--out", "fastgan")
    with pytest.raises(UserError, match="--samples needs one --fake for each --real"):
        call("evaluate", *sets, "--samples", "samples.npz", "--out", "fastgan")


def test_score_of_a_folder_needs_no_preset(
    call: Call, stub_inception: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder of pictures of 48 px against an .npz of 32 px: both are measured at 32 px."""
    fetched: list[str] = []
    monkeypatch.setattr("metrics.score.fetch", fetched.append)
    generator = np.random.default_rng(0)
    for folder in ("mine", "photographs"):
        Path(folder).mkdir()
    for index in range(20):
        picture = generator.integers(0, 256, (48, 50, 3), dtype=np.uint8)
        Image.fromarray(picture).save(f"mine/{index:02}.png")
    np.savez("photographs/all.npz", images=generator.integers(0, 256, (16, 32, 32, 3), dtype=np.uint8))
    call("score", "mine", "--against", "photographs", "--json", "score.json", "--device", "cpu")

    scored = read_json("score.json")
    assert scored["resolution"] == 32
    assert fetched == ["inception", "lpips_alex"]
    found = {(row["metric"], row["protocol"]): row for row in scored["samples"]}
    assert (found["fid", "inception-clean"]["n_fake"], found["fid", "inception-clean"]["n_real"]) == (20, 16)
    expected = {"fid", "kid", "precision", "recall", "density", "coverage", "copy_rate", "vendi", "mode_distance"}
    assert expected <= {metric for metric, _ in found}
    printed, told = capsys.readouterr()
    assert "photographs: images found: 16, taken: 16" in told and "mine: warning: 20 of 20 samples (50x48" in told
    for protocol in ("inception-k5-n20", "inception-k5-nreal-d20"):
        assert re.search(rf"^recall +\S+ .* {protocol}$", printed, re.M)

    Path("few").mkdir()
    for index in range(5):
        Image.fromarray(generator.integers(0, 256, (32, 32), dtype=np.uint8)).save(f"few/{index}.png")
    call("score", "few", "--against", "mine", "--device", "cpu")
    printed, told = capsys.readouterr()
    assert re.search(r"^fid +\d", printed, re.M)
    assert "precision, recall, density, coverage (samples: 5, but precision and recall with k = 5 need" in printed
    assert "warning: 5 of 5 samples are files without colour" in told
    assert "the samples have 32 px, the training images 48: both are measured at 32 px" in told

    with pytest.raises(UserError, match=r"0\.png is a file; name the folder that holds it"):
        call("score", "few/0.png", "--against", "mine", "--device", "cpu")
    with pytest.raises(UserError, match=r"inception-k5-n30 takes 30 samples, but mine has 20"):
        call("score", "mine", "--against", "photographs", "--protocol", "inception-k5-n30", "--device", "cpu")


def test_samples_of_a_method_that_was_edited_since_are_refused(call: Call) -> None:
    write_inputs(sources_hash="of yesterday")
    with pytest.raises(UserError, match=r"samples.npz: fastgan was edited since it drew these samples"):
        call("features", "--samples", "samples.npz", "--out", "fake.npz", "--device", "cpu")


def test_a_run_gives_a_metric_file_and_the_images_of_figure_3(
    call: Call, lpips_weights: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, SIDE, SIDE, 3), dtype=np.uint8)
    monkeypatch.setattr("training.sampling.load_run", lambda folder, device: Toy())
    monkeypatch.setattr("data.load.load", lambda *_: (images, {"split": {"heldout": [3, 8]}}))
    monkeypatch.setattr("networks.weights.FOLDER", ROOT / "data/raw/weights")
    header = {**RUN, "method": "toy", "split": "train90"}
    Path("run").mkdir()
    Path("run/model.safetensors").write_bytes(b"weights")
    write_sealed("run/run.json", {**header, "resolution": SIDE})
    arguments = ("backtrack", "--config", "toy.yaml", "--run", "run", "--out", "b.json", "--device", "cpu")
    call(*arguments, "--batch", 3)

    measured, arrays = read_sealed("b.json"), np.load("b.npz")
    assert {key: measured[key] for key in header} == header
    scores = [row for row in measured["rows"] if row["metric"] == "lpips_backtracking_image"]
    assert [row["item"] for row in scores] == list(arrays["index"]) == [3, 8]
    assert [row["value"] for row in scores] == pytest.approx(list(arrays["score"]))
    means = {row["metric"]: row["value"] for row in measured["rows"] if "item" not in row}
    assert means["lpips_backtracking"] == pytest.approx(arrays["score"].mean())
    assert {row["protocol"] for row in measured["rows"]} == {"lpips-alex-x2-s2-r2"}
    assert np.array_equal(arrays["target"], images)
    assert (arrays["reconstruction"].dtype, arrays["reconstruction"].shape) == (np.uint8, images.shape)

    write_sealed("run/run.json", {**header, "split": "full"})
    with pytest.raises(UserError, match="was trained on the split full; backtracking needs train90"):
        call(*arguments)
