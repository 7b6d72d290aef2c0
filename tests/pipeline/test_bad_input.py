"""An image that cannot be used, met by a real Snakemake run: one sentence, and nothing left half-made."""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from tests.pipeline.conftest import assert_refused, copy_project, run_snakemake, status

MANUAL = Path("data/manual/openmoji_animals")
PREPARED = Path("data/prepared/32/openmoji_animals")
COUNT = 100  # images of openmoji_animals in data/datasets.yaml


def test_a_truncated_image_is_named_and_the_folder_is_prepared_once_it_is_whole(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "project", downloads=False)
    folder = project / MANUAL
    folder.mkdir(parents=True)
    for index, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (COUNT, 20, 20, 3), np.uint8)):
        Image.fromarray(pixels).save(folder / f"{index:03d}.png")
    whole = (folder / "041.png").read_bytes()
    (folder / "041.png").write_bytes(whole[:-400])
    done = run_snakemake(project, str(PREPARED / "manifest.json"))
    assert done.returncode != 0
    [sentence] = {line.strip() for line in (done.stdout + done.stderr).splitlines() if "error: " in line}
    assert sentence.startswith(f"error: {MANUAL} cannot be used for openmoji_animals: 041.png is damaged or truncated")
    assert "Traceback" not in done.stdout + done.stderr
    assert not any((project / PREPARED).glob("*"))
    assert not [path for path in (project / "data/raw").rglob("*") if path.is_file()]
    (folder / "041.png").write_bytes(whole)
    assert run_snakemake(project, str(PREPARED / "manifest.json")).returncode == 0
    assert np.load(project / PREPARED / "images.npy").shape == (COUNT, 32, 32, 3)
    shutil.copy(folder / "000.png", folder / "041.png")
    os.utime(folder / "041.png", (1e9, 1e9))
    reasons = status(project, str(PREPARED / "manifest.json"))
    assert reasons["data/raw/openmoji_animals/fetched.json"] == "params changed", "another image with an older date"


def test_settings_are_not_replaced_under_another_run(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "project", downloads=False)
    settings, lock = project / "results/smoke/config.json", project / "results/smoke/logs/running"
    lock.parent.mkdir(parents=True)
    settings.write_text('{"preset": "smoke"}')
    with lock.open("a") as running:
        fcntl.flock(running, fcntl.LOCK_SH)
        done = run_snakemake(project, "results/smoke/metrics.csv")
    assert_refused(done, "a running command has other settings of the preset smoke; wait for it, or give")
    assert settings.read_text() == '{"preset": "smoke"}'
