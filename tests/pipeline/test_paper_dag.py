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
    (tmp_path / "two.yaml").write_text("seeds: [0, 1]")
    one, two = dry_run(), dry_run("--configfile", "config/paper.yaml", str(tmp_path / "two.yaml"))
    assert two.returncode == 0, two.stderr
    assert job_counts(two.stdout + two.stderr)["train"] == 2 * job_counts(one.stdout + one.stderr)["train"]


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("resolution: big", "resolution: 'big' is not one of"),
        ("datasets: [obma]", "unknown dataset 'obma'"),
        ("resolutoin: 64", "'resolutoin' was unexpected"),
        ("methods: {dcgan: {}}", "no method is named 'dcgan'"),
        ("methods: {fastgan: {batch: x}}", "methods.fastgan.batch must be int, not 'x'"),
    ],
)
def test_a_configuration_mistake_ends_in_one_sentence(tmp_path: Path, override: str, sentence: str) -> None:
    (tmp_path / "mistake.yaml").write_text(override)
    done = dry_run("--configfile", "config/paper.yaml", str(tmp_path / "mistake.yaml"))
    assert done.returncode != 0
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(shutil.which("conda") is not None, reason="conda is installed here")
def test_use_conda_without_conda_is_one_sentence() -> None:
    done = dry_run("--use-conda")
    assert done.returncode != 0
    assert "error: --use-conda needs a conda of 24.7 or newer on the PATH" in done.stderr
    assert "Traceback" not in done.stderr
