"""The pipeline end to end on the smoke preset: every method, real networks, a few steps each."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from common.files import read_json

METHODS = ["adaptive_imle", "vanilla_imle", "fastgan", "mixdl", "control_real", "control_noise"]
Snakemake = Callable[..., subprocess.CompletedProcess[str]]


def planned(done) -> dict[str, int]:
    """Jobs per rule that a dry run announces."""
    assert done.returncode == 0, done.stderr
    return {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", done.stdout + done.stderr, re.MULTILINE)}


def test_the_smoke_run_could_not_have_used_a_network(no_network: tuple[str, ...]) -> None:
    """The prefix under which it ran denies even a server on this very machine."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        code = f"import socket; socket.create_connection({server.getsockname()!r}, timeout=5)"
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
        denied = subprocess.run([*no_network, sys.executable, "-c", code], capture_output=True, check=False)
        assert denied.returncode != 0


def test_every_table_figure_and_the_report_exist(smoke: Path) -> None:
    results = smoke / "results" / "smoke"
    for number in (1, 2, 3):
        assert {path.suffix for path in results.glob(f"tables/table{number}.*")} == {".csv", ".md", ".tex"}
    for figure in ("figure2", "figure3", "interpolation", "memorisation", "curves"):
        with Image.open(results / "figures" / f"{figure}.png") as image:
            assert min(image.size) > 200
        assert (results / "figures" / f"{figure}.pdf").read_bytes().startswith(b"%PDF")
    report = (results / "report.html").read_text()
    assert all(method.title() in report.title() for method in ("Adaptive IMLE", "FastGAN", "MixDL"))


def test_every_cell_has_its_numbers_and_they_are_plausible(smoke: Path) -> None:
    table = pd.read_csv(smoke / "results" / "smoke" / "metrics.csv")
    value = table.set_index(["method", "metric"])["value"].sort_index()
    for method in METHODS:
        assert {"fid", "kid", "precision", "recall"} <= set(value[method].index)
    # The controls say which way each metric points: the training set itself against uniform noise.
    assert value["control_real", "fid"] < value["floor", "fid"] < value["control_noise", "fid"]
    assert value["control_real", "precision"] == 1
    assert value["control_real", "recall"] > 0.9  # 40 of the 100 images were drawn
    assert value["control_noise", "precision"] == 0
    backtracked = set(table[table.metric == "lpips_backtracking"].method)
    assert backtracked == {"adaptive_imle", "vanilla_imle", "fastgan", "mixdl"}
    assert table.run_hash[table.method == "fastgan"].notna().all()


def test_a_second_run_has_nothing_to_do(smoke: Path, snakemake: Snakemake) -> None:
    done = snakemake(smoke)
    assert done.returncode == 0
    assert "Nothing to be done" in done.stdout + done.stderr


def test_touched_sources_rerun_nothing_and_edited_ones_only_their_method(
    smoke_copy: Path, snakemake: Snakemake
) -> None:
    source = smoke_copy / "methods" / "fastgan.py"
    source.touch()
    assert "Nothing to be done" in (done := snakemake(smoke_copy, "--dry-run")).stdout + done.stderr
    source.write_text(source.read_text() + "\nEDITED = True\n")
    jobs = planned(snakemake(smoke_copy, "--dry-run", "--quiet", "rules"))
    assert jobs["train"] == 2  # FastGAN on the full set and on 90 %
    assert jobs["sample"] == jobs["backtrack"] == jobs["evaluate"] == 1


def test_a_changed_hyper_parameter_retrains_that_method_only(smoke_copy: Path, snakemake: Snakemake) -> None:
    path = smoke_copy / "config" / "smoke.yaml"
    config = yaml.safe_load(path.read_text())
    config["methods"]["mixdl"]["steps"] += 1
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    assert planned(snakemake(smoke_copy, "--dry-run", "--quiet", "rules"))["train"] == 2


def test_a_lost_metric_is_recomputed_alone(smoke_copy: Path, snakemake: Snakemake) -> None:
    """Asked for, that is: Snakemake does not miss a file whose every product is there and newer."""
    (smoke_copy / "results/smoke/metrics/openmoji_faces/mixdl/seed0/fid.json").unlink()
    (smoke_copy / "results/smoke/metrics.csv").unlink()
    jobs = planned(snakemake(smoke_copy, "results/smoke/metrics.csv", "--dry-run", "--quiet", "rules"))
    assert jobs["evaluate"] == 1
    assert not {"train", "sample", "sample_features", "backtrack"} & jobs.keys()


def test_deleted_outputs_come_back_from_the_state_without_training(smoke_copy: Path, snakemake: Snakemake) -> None:
    folder = smoke_copy / "results/smoke/runs/openmoji_faces/fastgan/seed0/full"
    before = read_json(folder / "run.json")
    shutil.rmtree(folder)
    done = snakemake(smoke_copy, str((folder / "run.json").relative_to(smoke_copy)))
    assert done.returncode == 0, done.stderr
    assert read_json(folder / "run.json") == before


def test_samples_made_elsewhere_get_their_column_without_code(smoke_copy: Path, snakemake: Snakemake) -> None:
    """A folder of images and an .npz, dropped into data/external/, are evaluated and stand in the tables."""
    images = np.load(smoke_copy / "data/prepared/32/openmoji_faces/images.npy")
    folder = smoke_copy / "data/external/their_gan/openmoji_faces"
    folder.mkdir(parents=True)
    for index, image in enumerate(images[:40]):
        Image.fromarray(image).save(folder / f"{index}.png")
    other = smoke_copy / "data/external/their_vae/openmoji_faces"
    other.mkdir(parents=True)
    np.savez(other / "samples.npz", images=images[40:80])
    jobs = planned(snakemake(smoke_copy, "--dry-run", "--quiet", "rules"))
    assert "train" not in jobs
    assert jobs["import_external"] == jobs["evaluate"] == 2
    done = snakemake(smoke_copy)
    assert done.returncode == 0, done.stderr[-4000:]
    table = (smoke_copy / "results/smoke/tables/table2.md").read_text()
    assert "their_gan" in table
    assert "their_vae" in table


def test_an_external_folder_that_takes_a_methods_name_is_refused(smoke_copy: Path, snakemake: Snakemake) -> None:
    folder = smoke_copy / "data/external/fastgan/openmoji_faces"
    folder.mkdir(parents=True)
    (folder / "0.png").touch()
    done = snakemake(smoke_copy, "--dry-run")
    assert done.returncode != 0
    assert "data/external/fastgan has the name of a method" in done.stderr


@pytest.mark.parametrize("name", ["{dataset}.png", "two\nlines.png", "\udcff.png", "nowhere.png"])
def test_an_external_file_that_snakemake_cannot_have_is_named(
    smoke_copy: Path, snakemake: Snakemake, name: str
) -> None:
    folder = smoke_copy / "data/external/their_gan/openmoji_faces"
    folder.mkdir(parents=True)
    (folder / name).symlink_to("missing" if name == "nowhere.png" else smoke_copy / "README.md")
    done = snakemake(smoke_copy, "--dry-run")
    assert done.returncode != 0
    assert f"error: data/external/their_gan/openmoji_faces: {name!a} cannot be used" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_damaged_external_image_is_named(smoke_copy: Path, snakemake: Snakemake) -> None:
    folder = smoke_copy / "data/external/broken/openmoji_faces"
    folder.mkdir(parents=True)
    (folder / "0.png").write_bytes(b"not an image")
    done = snakemake(smoke_copy)
    assert done.returncode != 0
    assert "0.png" in done.stdout + done.stderr
    assert not (smoke_copy / "results/smoke/samples/openmoji_faces/broken/seed0.npz").exists()


@pytest.mark.parametrize("kind", ["table", "figure"])
def test_captions_say_preset_and_counts(smoke: Path, kind: str) -> None:
    report = (smoke / "results/smoke/report.html").read_text()
    assert "smoke" in report
    if kind == "table":
        tex = (smoke / "results/smoke/tables/table1.tex").read_text()
        assert "smoke" in tex
        assert r"\toprule" in tex
