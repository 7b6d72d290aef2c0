"""`python -m training describe`: the sizes and the schedule that a preset stands for."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from training.config import load_config
from training.registry import methods

ROOT = Path(__file__).resolve().parents[2]


def describe(*arguments: str) -> str:
    command = [sys.executable, "-m", "training", "describe", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def paper() -> dict[str, dict[str, Any]]:
    """The entries of the paper preset by method."""
    return {entry["method"]: entry for entry in json.loads(describe("--preset", "paper", "--json"))}


@pytest.mark.parametrize(
    ("method", "parameters"),
    [
        ("adaptive_imle", {"generator": 36_588_937}),
        ("vanilla_imle", {"generator": 36_588_937}),
        ("fastgan", {"generator": 29_127_846, "discriminator": 11_526_160}),
        # The discriminator with its 512-to-512 projection; the patch heads are counted by themselves.
        ("mixdl", {"generator": 30_034_338, "discriminator": 29_126_785}),
    ],
)
def test_networks_have_the_published_sizes(
    paper: dict[str, dict[str, Any]], method: str, parameters: dict[str, int]
) -> None:
    found = paper[method]["parameters"]
    assert {role: found[role] for role in parameters} == parameters
    assert found.keys() - parameters.keys() <= {"patch_heads"}


@pytest.mark.parametrize(
    ("method", "latent_size", "steps"),
    [
        ("adaptive_imle", 1024, 500_000),
        ("vanilla_imle", 1024, 500_000),
        ("fastgan", 256, 50_000),
        ("mixdl", 512, 150_000),
    ],
)
def test_latent_sizes_and_steps_are_the_papers(
    paper: dict[str, dict[str, Any]], method: str, latent_size: int, steps: int
) -> None:
    assert (paper[method]["latent_size"], paper[method]["steps"]) == (latent_size, steps)


def test_text_names_every_method_of_the_preset_by_title() -> None:
    lines = describe("--preset", "demo").splitlines()
    titled = {line for line in lines if not line.startswith(" ")}
    assert titled == {f"{methods()[name].title} ({name})" for name in load_config("demo")["methods"]}
