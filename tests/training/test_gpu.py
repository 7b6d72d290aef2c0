"""Every method on a real GPU: `pytest -m gpu`; skipped where there is none."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import pytest
import torch

from methods.mixdl import MixDL
from tests.contract.test_accelerator import CASES, UNEQUAL, sample, train
from tests.contract.test_contract import assert_same
from tests.training.conftest import toy_preset, toy_run
from training import loop
from training.device import equal_bits
from training.sections import Training

GPU = torch.device("cuda", 0)

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU"),
    pytest.mark.usefixtures("lpips_weights"),
]


@pytest.mark.parametrize("case", CASES)
def test_training_begins_as_on_the_cpu_and_samples_are_finite(case: str) -> None:
    """The first losses differ by rounding; after that, an assignment may fall on another of two equal candidates."""
    _, (expected, *_), _ = train(case, "cpu", Counter())
    method, found, _ = train(case, GPU, Counter())
    assert found[0] == pytest.approx(expected, rel=1e-2, abs=1e-3)
    assert all(math.isfinite(value) for scalars in found[:4] for value in scalars.values())
    assert sample(method).float().std() > 0


@pytest.mark.parametrize("case", [case for case in CASES if case not in UNEQUAL])
def test_a_resumed_training_has_the_same_bits(case: str) -> None:
    with equal_bits(True, GPU):
        _, found, _ = train(case, GPU, Counter())
        _, repeated, _ = train(case, GPU, Counter())
    assert_same(found[3], found[2])  # the third step, and that of a run resumed before it
    assert_same(repeated, found)


def test_a_killed_training_goes_on_to_the_same_bits(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    intervals = Training(**{**toy_preset().training.model_dump(), "deterministic": True})
    step_of = MixDL.train_step
    loop.train(toy_run(), intervals, Path("undisturbed"), state_root=Path("other"), device="cuda")

    def killed(method: MixDL, step: int) -> loop.Scalars:
        if step == 8:
            raise KeyboardInterrupt
        return step_of(method, step)

    monkeypatch.setattr(MixDL, "train_step", killed)
    with pytest.raises(KeyboardInterrupt):
        loop.train(toy_run(), intervals, Path("killed"), device="cuda")
    monkeypatch.setattr(MixDL, "train_step", step_of)
    loop.train(toy_run(), intervals, Path("killed"), device="cuda")
    weights = [Path(folder, "model.safetensors").read_bytes() for folder in ("undisturbed", "killed")]
    assert weights[0] == weights[1]
