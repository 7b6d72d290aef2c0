"""CONTRIBUTING.md's worked example works: its file and its line add GLO, a real method, and disturb nothing."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from tests.pipeline.conftest import METRICS, ROOT, run_snakemake, status

TABLE = "results/smoke/tables/table1.md"
CONFIG = ("config/smoke.yaml", "glo.yaml")  # the text's command


def block(language: str) -> str:
    """The one fenced block of that language in CONTRIBUTING.md."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), flags=re.DOTALL)
    return found


@pytest.fixture
def with_glo(smoke_copy: Path) -> Path:
    """The finished smoke project after the two steps of the text."""
    (smoke_copy / "methods" / "glo.py").write_text(block("python"))
    (smoke_copy / "glo.yaml").write_text(block("yaml"))
    return smoke_copy


def test_the_example_trains_is_measured_and_repeats_nothing(with_glo: Path) -> None:
    assert {name for name in status(with_glo, config=CONFIG) if "glo" not in name} == {"metrics.csv"}
    done = run_snakemake(with_glo, TABLE, config=CONFIG)
    assert done.returncode == 0, done.stderr[-4000:]
    table = pd.read_csv(with_glo / METRICS)
    assert {"fid", "precision", "recall", "lpips_backtracking"} <= set(table[table.method == "glo"].metric)
    assert "GLO" in (with_glo / TABLE).read_text()


def test_the_example_keeps_the_contract(with_glo: Path) -> None:
    """The contract tests find the new file by themselves."""
    shutil.copytree(ROOT / "tests", with_glo / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "pytest", "tests/contract", "-k", "glo", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=with_glo, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:]
