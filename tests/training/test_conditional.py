"""Conditional runs through the loop of all runs: tasks, identity, resuming, and several answers to a condition."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from common.console import UserError
from common.files import read_json
from data.tasks import Layout, load_task
from methods.conditional import ConditionalMethod
from tests.prepared import write_pairs
from training.conditional import draw_answers
from training.config import Preset, RunConfig, parse_preset
from training.identity import describe_run, differences, recorded_run, run_identity
from training.inputs import hash_of, training_set
from training.loop import train
from training.sampling import load_run, sample

SMALL = {"widths": [4, 4], "encoder_width": 0, "global_code": 2, "noise_channels": 0, "batch": 2, "learning_rate": 0.01}
PIXELS = {"lpips_weight": 0.0, "mse_weight": 1.0}


def preset(**changes: Any) -> Preset:
    methods = {
        "cond_imle": {"steps": 12, "network": "crn", **SMALL, **PIXELS, "m": 3, "select": "joint", "reassign_every": 1},
        "control_real": {},
    }
    tasks = {
        "layouts": {"kind": "layout", "dataset": "openmoji_people"},
        "small": {"kind": "super_resolution", "dataset": "openmoji_faces", "factor": 4, "mirror": False},
    }
    content = {"preset": "toy", "resolution": 16, "tasks": tasks, "datasets": ["openmoji_faces"], "methods": methods}
    content |= {"training": {"log_every": 5, "save_every": 5, "grid_every": 5}}
    return parse_preset(content | changes, "toy")


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: six random label maps with two answers each as openmoji_people, at 16 px."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (12, 16, 16, 3), dtype=np.uint8)
    labels = np.eye(2, dtype=np.uint8)[rng.integers(0, 2, (6, 16, 16))] * 255
    write_pairs(tmp_path / "data" / "prepared" / "16" / "openmoji_people", images, labels)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(**changes: Any) -> RunConfig:
    return preset(**changes).run("layouts", "cond_imle", 0, "train")


def test_tasks_meet_conditional_methods_and_datasets_all_others() -> None:
    toy = preset()
    assert toy.cells("train") == [("layouts", "cond_imle", 0), ("small", "cond_imle", 0)]
    assert toy.cells("full") == [("openmoji_faces", "control_real", 0)]
    assert toy.run("small", "cond_imle", 0, "train").task == {**toy.tasks["small"].model_dump(), "mirror": False}
    assert toy.run("openmoji_faces", "control_real", 0, "full").task is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tasks": {}}, "methods.cond_imle: it needs the key `tasks`"),
        ({"datasets": []}, "methods.control_real: it needs the key `datasets`"),
        ({"datasets": [], "tasks": {}}, "datasets: this key is required, or `tasks` with conditional methods"),
        (
            {"tasks": {"a": {"kind": "layout", "dataset": "openmoji_faces"}}},
            "tasks.a.dataset: openmoji_faces has no label maps",
        ),
        (
            {"tasks": {"a": {"kind": "super_resolution", "dataset": "openmoji_faces", "factor": 16}}},
            "tasks.a.factor: 16 leaves under 2 px; lower it",
        ),
        (
            {"tasks": {"openmoji_faces": {"kind": "layout", "dataset": "openmoji_people"}}},
            "tasks.openmoji_faces: a dataset of the preset has this name",
        ),
        (
            {"tasks": {"a": {"kind": "layout", "dataset": "openmoji_people", "imbalance": 1.5}}},
            "imbalance: .*less than 1",
        ),
        (
            {"methods": {"cond_imle": {"steps": 1, "by_task": {"other": {}}}, "control_real": {}}},
            "methods.cond_imle.by_task: 'other' is not in the preset",
        ),
    ],
)
def test_mistakes_in_tasks_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        preset(**changes)


def test_a_method_and_a_split_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(UserError, match="--split full: cond_imle needs --split train"):
        preset().run("layouts", "cond_imle", 0, "full")
    with pytest.raises(UserError, match="--dataset: 'openmoji_faces' is not in the preset, which has layouts, small"):
        preset().run("openmoji_faces", "cond_imle", 0, "train")


def identity_of(cell: RunConfig) -> dict[str, Any]:
    return describe_run(cell, run_identity(cell, hash_of(training_set(cell)[0]), "cpu"))


def test_a_run_is_named_by_its_task_and_its_conditions(workplace: Path) -> None:
    before = identity_of(run())
    biased = {"layouts": {"kind": "layout", "dataset": "openmoji_people", "imbalance": 0.75}}
    after = identity_of(run(tasks=biased))
    assert before["run_hash"] != after["run_hash"]
    assert differences(before, after) == [
        f"task is {before['settings']['task']} there and {after['settings']['task']} here",
        "the training images differ",
    ]
    folder = workplace / "data/prepared/16/openmoji_people"
    write_pairs(folder, np.load(folder / "images.npy"), 255 - np.load(folder / "labels.npy"))
    assert differences(before, identity_of(run())) == ["the training images differ"]


def test_a_run_draws_the_same_answers_of_each_input_however_many_are_asked(workplace: Path) -> None:
    toy, cell = preset(), run()
    train(cell, toy.training, Path("out"), Path("state"), "cpu")
    assert recorded_run(read_json(Path("out/run.json"))).task == cell.task
    heldout = load_task(Layout(kind="layout", dataset="openmoji_people"), 16, "heldout")
    assert heldout.answers.shape == (2, 2, 16, 16, 3)
    conditions = torch.from_numpy(heldout.conditions)
    method = load_run(Path("out"), torch.device("cpu"))
    assert isinstance(method, ConditionalMethod)
    answers = draw_answers(method, conditions, 5)
    assert answers.shape == (2, 5, 16, 16, 3) and answers.dtype == np.uint8
    assert np.array_equal(answers[:1], draw_answers(method, conditions[:1], 5))
    assert not np.array_equal(answers, draw_answers(method, conditions, 5, "sample train"))
    with pytest.raises(UserError, match="out is a run of cond_imle, which draws at conditions"):
        sample(Path("out"), Path("samples.npz"), 5, 2, 2, torch.device("cpu"), 1)
