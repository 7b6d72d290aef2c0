"""The same configuration and seed give the same numbers, whatever else is going on."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from tests.contract.test_contract import TRAINED, drawn, latents_of, make
from tests.reliability.project import Project


@pytest.mark.long
def test_two_fresh_folders_give_the_same_numbers_one_with_two_jobs_at_a_time_and_one_with_one(
    baseline: Project, fresh: Callable[[], Project]
) -> None:
    """Every file.  In the short form, tests of interrupted trainings compare copies with the baseline."""
    project = fresh()
    project.run(cores=1)
    assert project.differences(baseline, "**/*") == []


def shared_generators() -> list[Any]:
    """The state of every generator that a whole process shares."""
    name, keys, *position = np.random.get_state()
    return [torch.get_rng_state().tolist(), name, keys.tolist(), position, random.getstate()]


@pytest.mark.parametrize("name", TRAINED)
def test_a_method_neither_uses_nor_disturbs_the_generators_that_a_process_shares(
    name: str, lpips_weights: None
) -> None:
    """What else draws from them, before or meanwhile, can then change nothing."""
    before = shared_generators()
    method = make(name)
    for step in range(2):
        method.train_step(step)
    method.freeze()
    drawn(method, latents_of(method, 2))
    assert shared_generators() == before
