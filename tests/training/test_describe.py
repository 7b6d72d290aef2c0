"""`python -m training describe`: the sizes and the schedule that a preset stands for."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from training.__main__ import describe, main
from training.config import read_preset
from training.registry import methods


@pytest.fixture(scope="module")
def paper() -> dict[str, dict[str, Any]]:
    """The entries of the paper preset by method."""
    return {entry["method"]: entry for entry in describe(read_preset("paper"))}


@pytest.mark.parametrize(
    ("method", "parameters", "latent_size", "steps"),
    [
        ("adaptive_imle", {"generator": 36_588_937}, 1024, 500_000),
        ("vanilla_imle", {"generator": 36_588_937}, 1024, 500_000),
        ("fastgan", {"generator": 29_127_846, "discriminator": 11_526_160}, 256, 50_000),
        # The discriminator with its 512-to-512 projection; the patch heads are counted by themselves.
        ("mixdl", {"generator": 30_034_338, "discriminator": 29_126_785, "patch_heads": 18_436}, 512, 150_000),
    ],
)
def test_the_paper_s_sizes_and_steps(
    paper: dict[str, dict[str, Any]], method: str, parameters: dict[str, int], latent_size: int, steps: int
) -> None:
    entry = paper[method]
    assert (entry["parameters"], entry["latent_size"], entry["steps"]) == (parameters, latent_size, steps)


def test_text_names_every_method_of_the_preset_by_title(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["training", "describe", "--config", "demo"])
    main()
    lines = capsys.readouterr().out.splitlines()
    titled = {line for line in lines if not line.startswith(" ")}
    assert titled == {f"{methods()[name].title} ({name})" for name in read_preset("demo").methods}


def test_a_row_is_described_by_a_task_that_the_preset_runs() -> None:
    """The first task has no classes, which rebalancing needs; and blank images have no rare colours."""
    described = {entry["method"]: entry for entry in describe(read_preset("multimodal"))}
    assert described["cond_imle-rebalanced"]["config"]["network"] == "crn"
    assert described["cond_imle-rebalanced"]["config"]["rebalance"] == "dataset"
    assert described["cond_imle"]["config"]["network"] == "srim"
