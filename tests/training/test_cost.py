"""What a preset costs: the arithmetic, with timings given; and one real timing."""

from __future__ import annotations

import csv
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from common.console import UserError
from common.files import read_json, write_sealed
from training import __main__ as command
from training.config import RunConfig, load_preset, read_preset
from training.cost import FEW, Timing, candidates, estimate, finish, time_method
from training.identity import config_hash, sources_hash
from training.inputs import new_method, unprepared
from training.registry import ROOT

CPU = torch.device("cpu")


def cell(preset: str, method: str, dataset: str = "openmoji_faces", split: str = "full") -> RunConfig:
    return read_preset(preset).run(dataset, method, 0, split)


@pytest.fixture
def two_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which a step takes two seconds and a candidate half a second; FastGAN cannot be timed."""

    def timing(run: RunConfig, device: torch.device) -> Timing:
        if run.method == "fastgan":
            raise UserError("data/raw/weights/lpips_alex.safetensors is missing: run `python -m networks fetch`")
        return Timing(2.0, 0.5 if "imle" in run.method else 0.0)

    monkeypatch.setattr("training.cost.time_method", timing)


@pytest.mark.parametrize("method", ["adaptive_imle", "vanilla_imle"])
def test_the_demo_generated_as_many_candidates_as_estimated(method: str) -> None:
    saved = ROOT / "results/reference/demo"
    history = saved / f"runs/openmoji_faces/{method}/seed0/full/history.csv"
    with history.open() as file:
        generated = float(list(csv.DictReader(file))[-1]["pool_images"])
    run = load_preset(read_json(saved / "config.json")).run("openmoji_faces", method, 0, "full")
    assert candidates(run) == generated


def test_algorithm_1_searches_until_distances_are_a_twentieth_and_at_most_once_a_step() -> None:
    run = cell("paper", "adaptive_imle", "panda")
    assert candidates(run) == pytest.approx((1 + 100 * 28.433) * 10_000, rel=1e-4)  # 0.9^28.433 = 1 / 20
    assert candidates(replace(run, steps=1000)) == 1001 * 10_000


def test_pools_of_rs_imle_are_whole_chunks() -> None:
    assert candidates(cell("field", "rs_imle")) == 5 * 2048  # 121 epochs, a search every 30


@pytest.mark.parametrize(
    ("task", "changes", "expected"),
    [
        ("people", {}, 10 * 100 * 10),  # 1000 steps, rounds of 10 epochs of 10 steps
        ("faces_4px", {}, 6 * 180 * 10),  # rounds of 10 epochs of 18 steps
        ("faces_4px", {"select": "hierarchical"}, 6 * 180 * 30),
        ("people", {"m": [4], "inputs": 50, "batch": 5, "reassign_every": 1}, 100 * 50 * 4),
    ],
)
def test_each_input_of_conditional_imle_has_a_pool_of_its_own(task: str, changes: dict, expected: int) -> None:
    run = read_preset("multimodal").run(task, "cond_imle", 0, "train")
    run = replace(run, steps=1000, config={**run.config, **changes})
    assert candidates(run) == expected


def test_the_table_multiplies_and_adds(two_seconds: None) -> None:
    adaptive, mixdl = cell("demo", "adaptive_imle"), cell("demo", "mixdl")
    text = estimate([mixdl, mixdl, adaptive], CPU, threads=1)
    hours = {line.split()[0]: float(line.split()[-1]) for line in text.splitlines()[1:4]}
    assert hours["mixdl"] == pytest.approx(2 * mixdl.steps * 2.0 / 3600, abs=0.01)
    assert hours["adaptive_imle"] == pytest.approx((adaptive.steps * 2.0 + candidates(adaptive) * 0.5) / 3600, abs=0.01)
    assert hours["total"] == pytest.approx(hours["mixdl"] + hours["adaptive_imle"], abs=0.02)
    assert "CPU-hours" in text
    assert "Algorithm 1" not in text  # the demo has the released code's schedule


def test_each_task_is_timed_because_its_network_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    timings = {"srim": Timing(2.0, 0.0), "crn": Timing(1.0, 0.0)}
    monkeypatch.setattr("training.cost.time_method", lambda run, device: timings[run.config["network"]])
    preset = read_preset("multimodal")
    runs = [preset.run(task, "cond_gan", 0, "train") for task in ("faces_8px", "people")]
    lines = estimate(runs, CPU, threads=1, minutes=10).splitlines()
    assert [line.split()[:3] for line in lines[1:3]] == [["cond_gan,", task, "1"] for task in ("faces_8px", "people")]
    assert [line.split()[-2:] for line in lines[1:3]] == [["300", "steps"], ["600", "steps"]]


def test_the_assumption_about_algorithm_1_is_printed(two_seconds: None) -> None:
    assert "assumed of Algorithm 1: " in estimate([cell("paper", "adaptive_imle", "panda")], CPU, threads=1)


def test_trainings_run_side_by_side_and_the_last_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.cost.usable_cpus", lambda: 8)
    assert "in 3.0 hours, with 4 trainings at a time" in finish([6.0] * 4, 0, threads=2)
    assert "in 5.0 hours, with 2 trainings at a time" in finish([10.0, 1.0], 0, threads=2)
    assert "in 4.0 hours, with 3 trainings at a time" in finish([4.0] * 3, 8, threads=2), (
        "eight GPUs, of which three work"
    )
    assert "in 6.0 hours, with 2 trainings at a time" in finish([4.0] * 3, 2, threads=2)


def test_only_trainings_without_a_result_count(
    two_seconds: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["training", "plan", "--config", "smoke", "--device", "cpu"])
    for method, earlier in (("mixdl", {}), ("vanilla_imle", {"sources_hash": "of an earlier version"})):
        run = cell("smoke", method)
        record = {"config_hash": config_hash(run), "sources_hash": sources_hash(method), **earlier}
        write_sealed(command.default_folder(run) / "run.json", record)
    command.main()
    said = capsys.readouterr().out
    assert "not counted: fastgan: data/raw/weights/lpips_alex.safetensors is missing: run `python" in said
    trainings = dict(re.findall(r"^(\w+) +(\d+) ", said, flags=re.MULTILINE))
    assert trainings == {"adaptive_imle": "2", "vanilla_imle": "2", "mixdl": "1", "total": "5"}


@pytest.mark.parametrize("method", ["vanilla_imle", "rs_imle", "cond_imle"])
def test_a_timing_does_not_search_the_whole_pool(
    method: str, lpips_weights: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the size of the paper, a candidate takes seconds on a CPU."""
    built = []
    monkeypatch.setattr("training.cost.BUDGET", 0.01)
    monkeypatch.setattr("training.cost.new_method", lambda *given: built.append(new_method(*given)) or built[0])
    if method == "cond_imle":
        time_method(read_preset("multimodal").run("people_biased", "cond_imle-rebalanced", 0, "train"), CPU)
        assert built[0].generated <= 4 * len(built[0].members) * FEW
    else:
        time_method(cell("field", method), CPU)
        assert built[0].search.generated <= 4 * built[0].config.pool_batch


@pytest.mark.parametrize("method", ["adaptive_imle", "mixdl", "cond_imle"])
def test_real_steps_are_timed(method: str, lpips_weights: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of a conditional method before the data of its task is prepared."""
    monkeypatch.setattr("training.cost.BUDGET", 0.2)
    conditional = read_preset("multimodal").run("people_biased", "cond_imle-rebalanced", 0, "train")
    timing = time_method(conditional if method == "cond_imle" else cell("smoke", method), CPU)
    assert 0 < timing.step < 5
    assert (timing.candidate > 0) == (method != "mixdl")


def test_a_candidate_costs_what_the_first_step_takes_longer(
    lpips_weights: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Step 0 of Adaptive IMLE generates its pool, and each of two batches of images once for the thresholds."""
    monkeypatch.setattr("training.cost.timed_step", lambda method, step: 1.0 if step else 3.0)
    run = cell("smoke", "adaptive_imle")
    generated = run.config["pool_batch"] + 2 * run.config["batch"]
    assert time_method(run, CPU) == Timing(1.0, pytest.approx(2.0 / generated))


@pytest.mark.parametrize(
    ("method", "settings", "message"),
    [
        ("adaptive_imle", {"ema_decay": 1.5, "sample_from": "ema"}, "1.5"),
        ("adaptive_imle", {"weight_decay": -1.0}, "weight_decay"),
        ("mixdl", {"channel_base": 16}, "zero"),
    ],
)
def test_a_setting_that_torch_refuses_is_an_error_in_one_sentence(
    method: str, settings: dict[str, object], message: str, lpips_weights: None
) -> None:
    run = cell("smoke", method)
    run, images = replace(run, config={**run.config, **settings}), np.zeros((4, 32, 32, 3), np.uint8)
    with pytest.raises(UserError, match=rf"^methods.{method}: a setting is out of range \(.*{message}"):
        new_method(run, unprepared(run, images), CPU)
