"""`--config images=FOLDER` for real, from ten pictures to the page; a few training steps."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pandas as pd
import pytest
import yaml

from tests.data.test_mine import fill, picture
from tests.pipeline.conftest import ENVIRONMENT, ROOT, Completed, copy_project

TINY = {
    "methods": {"adaptive_imle": {"steps": 4, "perceptual": "alex"}, "fastgan": {"steps": 4}},
    "sampling": {"n": 10},
    "metrics": {"precision_recall": ["inception-k5-n10"], "backtracking": {"steps": 2, "restarts": 1}},
}


@pytest.mark.long
def test_ten_pictures_become_a_page(tmp_path: Path, downloads: None) -> None:
    project = copy_project(tmp_path / "project", downloads=False)
    (project / "data/raw").mkdir()
    (project / "data/raw/weights").symlink_to(ROOT / "data/raw/weights")
    (project / "tiny.yaml").write_text(yaml.safe_dump(TINY))
    folder = fill(tmp_path / "it's: {best} #1 Zoë", 8)
    for number in range(8, 10):
        picture(number, (70, 50)).convert("L").save(folder / f"{number}.jpg")
    (folder / "notes.txt").touch()

    def run(*targets: str) -> Completed:
        files = ["--configfile", "config/mine.yaml", "tiny.yaml"]
        command = ["snakemake", *targets, "--cores", "2", *files, "--config", f"images={folder}"]
        variables = {**ENVIRONMENT, "CUDA_VISIBLE_DEVICES": ""}
        done = subprocess.run(command, cwd=project, env=variables, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
        return done

    said = run().stderr
    page = project / "results/mine/report.html"
    assert f"Your page: {page}" in said
    assert "finished at" in (project / "results/mine/estimate.txt").read_text()
    html = page.read_text()
    assert "<h1>Your own pictures: it s best 1 Zoë</h1>" in html
    assert "11 files found; 10 pictures taken, 1 left out" in html
    # Training images, targets, and three sheets of each method, though no licence lets others see the pictures.
    assert html.count("data:image/webp;base64,") == 8
    assert "no licence allows copies" not in html
    table = pd.read_csv(project / "results/mine/metrics.csv")
    for method in ("adaptive_imle", "fastgan"):
        assert {"fid", "precision", "recall", "lpips_backtracking"} <= set(table.metric[table.method == method])
    assert set(table.n_real[table.metric == "fid"]) == {10, 5}  # all, and one half for the floor
    assert "intact" in run("verify").stdout
    assert "Nothing to be done" in run().stderr

    old = (folder / "03.png").stat()
    picture(99).save(folder / "03.png")
    os.utime(folder / "03.png", (old.st_atime - 1000, old.st_mtime - 1000))
    assert "copying your pictures" in run("--dry-run").stdout
