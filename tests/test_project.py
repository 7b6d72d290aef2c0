"""The project keeps its own rules that no linter knows (`make lint` runs the linters)."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import yaml

from common import __version__

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("common", "data", "networks", "methods", "training", "metrics", "workflow", "benchmarks")
LONGEST = 300  # lines of a module


def test_the_conda_environment_has_the_pins_of_requirements_but_for_the_tests() -> None:
    running, tests = re.split(r"^# Tests.*\n", (ROOT / "requirements.txt").read_text(), flags=re.MULTILINE)
    pins = [line for line in running.splitlines() if line and not line.startswith("#")]
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert environment["dependencies"][-1] == {"pip": pins}
    assert all("==" in pin for pin in [*pins, *tests.split()])


def test_the_version_is_the_same_everywhere() -> None:
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == __version__
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == __version__


def test_no_module_is_long() -> None:
    modules = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in modules}
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST} == {}
