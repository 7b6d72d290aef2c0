"""A folder of samples made elsewhere in real Snakemake runs: what is said of it, and when it is read again."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from PIL import Image

from tests.pipeline.conftest import assert_refused, copy_project, run_snakemake, status

SAMPLES = "results/smoke/samples/openmoji_faces/gan/seed0.npz"


def test_the_run_says_what_it_read_and_reads_again_what_has_other_content(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "project")
    folder = project / "data/external/gan/openmoji_faces"
    folder.mkdir(parents=True)
    for index, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)):
        Image.fromarray(pixels).save(folder / f"{{{index}}}.png", compress_level=0)
    (folder / "more").mkdir()
    for unused in ("gan/obama/0.png", "gan/0.png"):
        (project / "data/external" / unused).parent.mkdir(exist_ok=True)
        (project / "data/external" / unused).touch()
    config = project / "config/smoke.yaml"
    config.write_text(config.read_text().replace("inception-k5-n40", "inception-k99-n101").replace("n: 40", "n: 101"))
    done = run_snakemake(project, SAMPLES)
    assert done.returncode == 0, done.stderr
    assert (
        "note: openmoji_faces: real images: 100, but precision and recall with k = 99 need k + 2 = 101" in done.stderr
    )
    said = [
        "note: data/external/gan holds files that are not read: put samples into data/external/NAME/DATASET/",
        "note: data/external/gan/obama is not used: the preset has no data set 'obama', only openmoji_faces",
        "data/external/gan/openmoji_faces: samples found: 3, taken: 3",
        "data/external/gan/openmoji_faces: left out: sub-folders are not read: more; move their samples up",
    ]
    assert [line for line in said if line not in done.stderr.splitlines()] == []
    assert said[-1] in (project / "results/smoke/logs/external/openmoji_faces_gan.log").read_text()

    sample = folder / "{1}.png"
    sample.touch()
    assert status(project, SAMPLES) == {}, "a date is no content"
    sample.write_bytes((folder / "{2}.png").read_bytes())
    os.utime(sample, (1e9, 1e9))
    assert status(project, SAMPLES) == {"samples/openmoji_faces/gan/seed0.npz": "params changed"}


def test_a_folder_that_cannot_be_read_ends_the_run_before_its_first_job(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "project")
    (project / "data/external/gan/openmoji_faces/epoch 9").mkdir(parents=True)
    sentence = r"gan/openmoji_faces holds 0 images and 0 .npz files \(sub-folders are not read: epoch 9"
    assert_refused(run_snakemake(project, SAMPLES), f"data/external/{sentence}")
    assert not (project / "results/smoke/config.json").exists()
