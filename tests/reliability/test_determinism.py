"""The same configuration and seed give the same numbers, whatever else is going on."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from methods.api import Streams
from tests.reliability.project import SAMPLES, Project
from training.config import load_config, run_settings
from training.loop import build
from training.registry import methods

TRAINED = [name for name, info in methods().items() if info.trains]


def test_two_fresh_folders_give_the_same_numbers_one_with_two_jobs_at_a_time_and_one_with_one(
    baseline: Project, fresh: Callable[[], Project], stress: bool
) -> None:
    """In the long form every file of both; in the short one both trainings, samples and backtracking."""
    project = fresh()
    if stress:
        project.run(cores=1)
        assert project.differences(baseline) == []
        return
    scores = "metrics/openmoji_faces/adaptive_imle/seed0/backtracking.json"
    project.run(f"results/tiny/{SAMPLES}", f"results/tiny/{scores}", cores=1)
    for pattern in ("runs/**/*", SAMPLES, scores.replace(".json", ".*")):
        assert project.differences(baseline, pattern) == []


def test_a_streams_seed_depends_on_everything_that_names_it_and_on_nothing_else() -> None:
    names = list(itertools.product((0, 1), ("panda", "dog"), ("fastgan", "mixdl"), ("full", "train90")))
    seeds = [
        Streams(*name).seed_of(purpose, step)
        for name in names
        for purpose in ("sample", "minibatch", "initialisation")
        for step in range(3)
    ]
    assert len(set(seeds)) == len(seeds) == 144
    stream = Streams(0, "panda", "fastgan", "full")
    first, other, again = (
        torch.randn(8, generator=stream.generator(purpose)) for purpose in ("sample", "minibatch", "sample")
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_seed_is_the_same_on_every_machine() -> None:
    """No hash of Python's own, which differs from process to process."""
    assert Streams(0, "panda", "fastgan", "full").seed_of("sample") == 2065086414514635744


def shared_generators() -> list[Any]:
    """The state of every generator that a whole process shares."""
    name, keys, *position = np.random.get_state()
    return [torch.get_rng_state().tolist(), name, keys.tolist(), position, random.getstate()]


@pytest.mark.parametrize("name", TRAINED)
def test_a_method_neither_uses_nor_disturbs_the_generators_that_a_process_shares(
    name: str, lpips_weights: None
) -> None:
    """What else draws from them, before or meanwhile, can then change nothing."""
    config = load_config("smoke")
    if name not in config["methods"]:
        pytest.skip(f"{name} has no entry in config/smoke.yaml")
    images = np.random.default_rng(0).integers(0, 256, (20, 32, 32, 3), np.uint8)
    settings = run_settings(config, "openmoji_faces", name, 0, "full")
    before = shared_generators()
    method = build(settings, images, torch.device("cpu"))
    for step in range(2):
        method.train_step(step)
    method.freeze()
    method.generate(method.latents(2, method.streams.generator("sample")))
    assert shared_generators() == before
