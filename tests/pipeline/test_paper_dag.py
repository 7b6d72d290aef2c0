"""The paper's DAG can be built anywhere: no data, no GPU, no torch."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SNAKEMAKE = Path(sys.executable).parent / "snakemake"


def dry_run(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [SNAKEMAKE, "--dry-run", "--forceall", "--quiet", "rules", "--cores", "2", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def job_counts(output: str) -> dict[str, int]:
    """The "Job stats" table of a dry run."""
    return {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", output, flags=re.MULTILINE)}


def test_paper_dag_has_every_job_of_the_paper() -> None:
    done = dry_run()
    assert done.returncode == 0, done.stderr
    counts = job_counts(done.stdout + done.stderr)
    datasets, methods, controls = 6, 4, 2
    assert counts["fetch_dataset"] == counts["prepare"] == counts["floor"] == datasets
    assert counts["train"] == datasets * (2 * methods + controls)  # full and 90 % of every method; controls once
    assert counts["sample"] == counts["evaluate"] == datasets * (methods + controls)
    assert counts["sample_features"] == 2 * datasets * (methods + controls)  # Inception and VGG16
    assert counts["backtrack"] == datasets * methods
    assert counts["collect"] == counts["report"] == 1


def test_a_second_seed_doubles_the_runs(tmp_path: Path) -> None:
    one, two = dry_run(), dry_run("--config", "seeds=[0,1]")
    assert two.returncode == 0, two.stderr
    assert job_counts(two.stdout + two.stderr)["train"] == 2 * job_counts(one.stdout + one.stderr)["train"]


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("resolution=big", "resolution: 'big' is not one of"),
        ("datasets=[obma]", "unknown dataset 'obma'"),
        ("resolutoin=64", "'resolutoin' was unexpected"),
        ("methods={dcgan: {}}", "no method is named 'dcgan'"),
        ("methods={fastgan: {steps: 5, batch: x}}", "methods.fastgan.batch must be int, not 'x'"),
    ],
)
def test_a_configuration_mistake_ends_in_one_sentence(override: str, sentence: str) -> None:
    done = dry_run("--config", override)
    assert done.returncode != 0
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_use_conda_without_conda_says_what_is_missing(tmp_path: Path) -> None:
    """Snakemake's own message: conda has to be found before anything runs."""
    if shutil.which("conda"):
        pytest.skip("conda is installed here")
    done = subprocess.run(
        [SNAKEMAKE, "--cores", "1", "--use-conda", "--configfile", "config/demo.yaml", "fetch", "--forceall", "-n"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "conda" in done.stderr
