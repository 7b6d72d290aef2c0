"""`snakemake --configfile config/reference.yaml`: the committed tables again, without torch and without a network."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PRESETS = yaml.safe_load((ROOT / "config/reference.yaml").read_text())["reference"]
HEAVY = ("torch", "torchvision", "lpips", "cleanfid", "prdc", "sklearn", "scipy", "safetensors")


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory, no_network: tuple[str, ...]) -> tuple[Path, str]:
    """A clone's files, no data, in which the command has run; and what Snakemake said."""
    folder = tmp_path_factory.mktemp("reference")
    blocked = folder / "blocked"
    for name in HEAVY:
        (blocked / name).mkdir(parents=True)
        (blocked / name / "__init__.py").write_text(f"raise ImportError('{name} is not installed here')\n")
    project = folder / "project"
    made = ("raw", "prepared", "manual", "external", "results", "state", "tests")
    shutil.copytree(ROOT, project, ignore=shutil.ignore_patterns(".*", "__pycache__", *made))
    shutil.copytree(ROOT / "results/reference", project / "results/reference")
    environment = {
        **os.environ,
        "PYTHONPATH": str(blocked),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    command = [*no_network, "snakemake", "--cores", "1", "--configfile", "config/reference.yaml"]
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return project, done.stdout + done.stderr


def test_only_rendering_is_done(rendered: tuple[Path, str]) -> None:
    jobs = dict(re.findall(r"^(\w+) +(\d+)$", rendered[1], re.MULTILINE))
    assert jobs == {"render": str(len(PRESETS)), "all": "1", "total": str(len(PRESETS) + 1)}


@pytest.mark.parametrize("preset", PRESETS)
def test_tables_and_curves_are_the_committed_ones(rendered: tuple[Path, str], preset: str) -> None:
    """Committed tables were rendered by the code that is committed with them."""
    kept, made = ROOT / "results/reference" / preset, rendered[0] / "results/rendered" / preset
    names = [path.relative_to(kept) for path in sorted(kept.glob("tables/*"))]
    assert len(names) >= 8
    assert [str(name) for name in names if (kept / name).read_bytes() != (made / name).read_bytes()] == []
    assert (kept / "figures/curves.png").read_bytes() == (made / "figures/curves.png").read_bytes()
    assert (made / "report.html").stat().st_size > 100_000
