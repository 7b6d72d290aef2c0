"""FFHQ-100 exists only in the authors' archive: the benchmark runs without it, and its cells say why."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from common.files import read_yaml

ROOT = Path(__file__).resolve().parents[2]
OVERLAY = "config/overlays/without_ffhq.yaml"


def test_no_job_of_ffhq_is_left_under_the_overlay() -> None:
    command = [Path(sys.executable).parent / "snakemake", "--dry-run", "--forceall", "--cores", "1"]
    command += ["--configfile", "config/paper.yaml", OVERLAY]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "fetching the images of panda" in done.stdout + done.stderr
    assert "ffhq_100" not in done.stdout + done.stderr


def test_readme_shows_the_overlay() -> None:
    _, _, block = (ROOT / "data/README.md").read_text().partition("### Without FFHQ-100")
    block = block.split("```yaml\n")[1].split("```")[0]
    assert block in (ROOT / OVERLAY).read_text()
    assert [skip["dataset"] for skip in read_yaml(ROOT / OVERLAY)["skip"]] == ["ffhq_100"]
