"""The commands as a user types them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from data.datasets import dataset_names

ROOT = Path(__file__).resolve().parents[2]


def data(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "data", *arguments], capture_output=True, text=True, cwd=ROOT)


def test_list_shows_every_dataset_on_standard_output() -> None:
    done = data("list")
    assert done.returncode == 0
    assert [line.split()[0] for line in done.stdout.splitlines()] == dataset_names()


def test_fetch_and_prepare_from_a_folder_filled_by_hand(tmp_path: Path) -> None:
    (tmp_path / "manual/obama").mkdir(parents=True)
    for index in range(100):
        Image.new("RGB", (256, 256), (index, index, index)).save(tmp_path / f"manual/obama/{index}.png")
    raw, manual, out = (str(tmp_path / name) for name in ("raw", "manual", "prepared"))
    assert data("fetch", "obama", "--out", raw, "--manual", manual).returncode == 0
    done = data("prepare", "--dataset", "obama", "--resolution", "16", "--raw", raw, "--out", out)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "prepared/16/obama/manifest.json").exists()


@pytest.mark.parametrize(
    ("modules", "slow"),
    [("data.datasets, data.load", "torch numpy PIL requests"), ("data.fetch, data.prepare", "torch")],
)
def test_start_up_imports_nothing_slow(modules: str, slow: str) -> None:
    """The Snakefile imports the first ones each time a command is typed."""
    code = f"import sys, {modules}; sys.exit(' '.join(set({slow.split()}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stderr.strip() == ""
