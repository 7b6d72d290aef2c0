"""The pipeline end to end on the smoke preset: every method, real networks, a few steps each."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from safetensors.torch import load_file

from common.files import read_json
from data.load import data_hash
from tests.pipeline.conftest import run_snakemake

METHODS = ["adaptive_imle", "vanilla_imle", "fastgan", "mixdl", "control_real", "control_noise"]


def test_the_smoke_run_could_not_have_used_a_network(no_network: tuple[str, ...]) -> None:
    """The prefix under which it ran denies even a server on this very machine."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        code = f"import socket; socket.create_connection({server.getsockname()!r}, timeout=5)"
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
        denied = subprocess.run([*no_network, sys.executable, "-c", code], capture_output=True, check=False)
        assert denied.returncode != 0


def test_every_table_figure_and_the_report_exist(smoke: Path) -> None:
    results = smoke / "results" / "smoke"
    for number in (1, 2, 3, 4):
        assert {path.suffix for path in results.glob(f"tables/table{number}.*")} == {".csv", ".md", ".tex"}
    for figure in ("figure2", "figure3", "interpolation", "memorisation", "curves"):
        with Image.open(results / "figures" / f"{figure}.png") as image:
            assert min(image.size) > 200
        assert (results / "figures" / f"{figure}.pdf").read_bytes().startswith(b"%PDF")
    report = (results / "report.html").read_text().lower()
    assert all(method in report for method in ("adaptive imle", "fastgan", "mixdl"))
    table = (results / "tables/table2.md").read_text()
    assert all(name in table for name in ("their_gan", "their_vae"))


def test_every_cell_has_its_numbers_and_they_are_plausible(smoke: Path) -> None:
    table = pd.read_csv(smoke / "results" / "smoke" / "metrics.csv")
    value = table.dropna(subset="value").set_index(["method", "metric"])["value"].sort_index()
    for method in [*METHODS, "their_gan", "their_vae"]:
        assert {"fid", "kid", "precision", "recall", "copy_rate", "mode_distance"} <= set(value[method].index)
    # The controls say which way each metric points: the training set itself against uniform noise.
    assert value["control_real", "fid"] < value["floor", "fid"] < value["control_noise", "fid"]
    assert value["control_real", "precision"] == 1
    assert value["control_real", "recall"] > 0.9  # 40 of the 100 images were drawn
    assert value["control_noise", "precision"] == 0
    assert (value["control_real", "copy_rate"] == 1).all(), "in pixels and in LPIPS"
    assert (value["control_noise", "copy_rate"] == 0).all()
    backtracked = set(table[table.metric == "lpips_backtracking"].method)
    assert backtracked == {"adaptive_imle", "vanilla_imle", "fastgan", "mixdl"}
    assert table.run_hash[table.method == "fastgan"].notna().all()


def test_backtracking_starts_from_a_training_without_the_images_that_it_measures(smoke: Path) -> None:
    results, prepared = smoke / "results/smoke", smoke / "data/prepared/32/openmoji_faces"
    images, split = np.load(prepared / "images.npy"), read_json(prepared / "manifest.json")["split"]
    run = read_json(results / "runs/openmoji_faces/fastgan/seed0/train90/run.json")
    assert (run["n_train"], run["data_hash"]) == (90, data_hash(images[split["train"]]))
    with np.load(results / "metrics/openmoji_faces/fastgan/seed0/backtracking.npz") as file:
        assert np.array_equal(file["target"], images[split["heldout"]])


def test_exported_weights_have_the_batch_statistics_of_sampling(smoke: Path) -> None:
    """Of 100 latents, 50 at a time; those of the training have one count for each step."""
    weights = load_file(smoke / "results/smoke/runs/openmoji_faces/fastgan/seed0/full/model.safetensors")
    assert {int(count) for name, count in weights.items() if name.endswith("num_batches_tracked")} == {2}


def test_a_second_run_has_nothing_to_do(smoke: Path) -> None:
    done = run_snakemake(smoke)
    assert done.returncode == 0
    assert "Nothing to be done" in done.stdout + done.stderr
