"""`snakemake plan`, and the refusal of a preset that needs a GPU; neither fetches anything."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.pipeline.conftest import ENVIRONMENT, Completed, assert_refused, copy_project

CONFIGURATION = ("--configfile", "config/smoke.yaml", "config/needs_gpu.yaml")
no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")


def run(project: Path, *command: str) -> Completed:
    return subprocess.run(command, cwd=project, env=ENVIRONMENT, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The code without any download, and `needs_gpu`: the smoke preset for a GPU."""
    target = copy_project(tmp_path_factory.mktemp("plan") / "project", downloads=False)
    (target / "config/needs_gpu.yaml").write_text(json.dumps({"training": {"require_gpu": True}}))
    return target


@no_gpu
def test_a_preset_that_needs_a_gpu_is_refused_before_anything_is_fetched(project: Path) -> None:
    done = run(project, "snakemake", "--cores", "2", *CONFIGURATION)
    assert_refused(done, ".*there is no GPU: `snakemake --cores all plan`.*config/demo.yaml")
    assert not (project / "data/raw").exists()
    # The folder is not left locked, and `plan` times what it can; it fetches and trains nothing.
    after = run(project, "snakemake", "plan", "--cores", "1", *CONFIGURATION)
    assert after.returncode == 0, after.stderr
    assert re.search(r"^mixdl +2 +12 ", after.stdout, flags=re.MULTILINE)  # two trainings of 6 steps
    assert "not counted: fastgan: data/raw/weights/lpips_alex.safetensors is missing: run `python -m" in after.stdout
    assert not (project / "data/raw").exists() and not (project / "state").exists()
    assert {path.name for path in (project / "results/smoke").iterdir()} == {"logs"}, "config.json is kept"


def test_a_training_by_hand_that_needs_a_gpu_is_refused(project: Path) -> None:
    arguments = ("--config", "paper", "--method", "fastgan", "--dataset", "panda", "--device", "cpu")
    done = run(project, sys.executable, "-m", "training", "train", *arguments)
    assert done.returncode == 1
    assert done.stderr.startswith("error: --device cpu contradicts training.require_gpu of the preset")
