"""`--config images=FOLDER`: which preset it takes, its jobs, and sentences for what cannot work.  Dry runs."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.data.test_mine import fill
from tests.pipeline.conftest import ENVIRONMENT, Completed, assert_refused, copy_project, jobs

NO_GPU = {"CUDA_VISIBLE_DEVICES": ""}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_project(tmp_path_factory.mktemp("own") / "project")


def dry_run(project: Path, *arguments: str, **environment: str) -> Completed:
    command = ["snakemake", *arguments, "--cores", "2", "--dry-run", "--quiet", "rules"]
    variables = {**ENVIRONMENT, **NO_GPU, **environment}
    return subprocess.run(command, cwd=project, env=variables, capture_output=True, text=True, check=False)


def test_one_line_plans_everything_from_the_folder_to_the_page(project: Path, tmp_path: Path) -> None:
    """The folder has a name that Snakemake, YAML and the shell would each read as something else."""
    folder = fill(tmp_path / "it's: {best} #1 Zoë", 12)
    done = dry_run(project, "--config", f"images={folder}/")
    counts = jobs(done)
    expected = {"adopt_pictures": 1, "prepare": 1, "estimate": 1, "backtrack": 2, "evaluate": 4, "report": 1}
    expected["train"] = 2 * 2 + 2  # two methods, full and 90 %; two controls
    assert expected.items() <= counts.items()
    assert "fetch_dataset" not in counts
    assert f"images: {folder}: 12 files found; 12 pictures taken, 0 left out" in done.stderr
    assert "no GPU is visible, so the pictures have 32 pixels a side" in done.stderr


def test_with_a_gpu_the_pictures_have_64_pixels(project: Path, tmp_path: Path) -> None:
    tool = tmp_path / "bin" / "nvidia-smi"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\necho 'GPU 0: Some GPU (UUID: GPU-0)'\n")
    tool.chmod(0o755)
    path = f"{tool.parent}:{ENVIRONMENT['PATH']}"
    folder = fill(tmp_path / "pictures", 10)
    target = "data/prepared/64/mine/images.npy"
    done = dry_run(project, target, "--config", f"images={folder}", PATH=path, CUDA_VISIBLE_DEVICES="0")
    assert done.returncode == 0, done.stderr
    assert "a GPU is visible, so the pictures have 64 pixels a side" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--config", "images="], r"images: no folder is named"),
        (["--config", "IMAGES=docs"], r"--config IMAGES=: the folder of your own pictures is named by images="),
        (
            ["--configfile", "config/smoke.yaml", "--config", "datasets=5"],
            r"config/smoke\.yaml: datasets: input should",
        ),
        (["--configfile", "config/smoke.yaml", "--config", "images=docs"], r"images= makes the dataset `mine`, which"),
    ],
)
def test_what_cannot_work_ends_in_one_sentence(project: Path, arguments: list[str], sentence: str) -> None:
    assert_refused(dry_run(project, *arguments), sentence)


def test_make_asks_for_the_folder_before_it_installs(project: Path) -> None:
    of_make = ("IMAGES", "MAKEFLAGS", "MAKELEVEL", "MFLAGS")  # `make test` sets them for the tests
    variables = {name: value for name, value in ENVIRONMENT.items() if name not in of_make}
    command = ["make", "mine", "PYTHON=false"]  # which cannot install
    done = subprocess.run(command, cwd=project, env=variables, capture_output=True, text=True, check=False)
    assert done.stdout == "error: name the folder of the pictures: make mine IMAGES=path/to/folder\n", done.stderr


def test_a_broken_registry_is_one_sentence_for_a_preset_that_lists_mine_too(project: Path) -> None:
    registry = project / "data/datasets.yaml"
    intact = registry.read_text()
    registry.write_text(intact + "\nbad_set: {title: 3}\n")
    done = dry_run(project, "--configfile", "config/mine.yaml")
    registry.write_text(intact)
    assert_refused(done, ".*bad_set")


def test_the_preset_alone_asks_for_the_folder(project: Path) -> None:
    (project / "data/mine.json").unlink(missing_ok=True)
    sentence = "the dataset `mine` is made of your own pictures: add --config images=path/to/folder"
    assert_refused(dry_run(project, "--configfile", "config/mine.yaml"), sentence)
