"""FFHQ-100 exists only in the authors' archive: the benchmark runs without it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_no_job_of_ffhq_is_left_under_the_overlay() -> None:
    command = ["snakemake", "--dry-run", "--forceall", "--cores", "1", "--configfile", "config/paper.yaml"]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        [*command, "config/overlays/without_ffhq.yaml"], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "fetching the images of panda" in done.stdout + done.stderr
    assert "ffhq_100" not in done.stdout + done.stderr
