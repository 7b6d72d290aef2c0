"""The arithmetic of an estimate, without timing anything."""

from __future__ import annotations

import csv
import os
import signal
from pathlib import Path, PurePath
from typing import Any

import pytest
import torch
from training.calibrate import in_child, random_lpips, searched_images, size_of, timed, training_seconds
from training.plan import Estimator, images_in, makespan, pending_jobs, plan, render

from common.console import UserError
from training.config import load_config, run_settings
from training.registry import ROOT

TIMING = {"seconds": 2.0, "repetitions": 3}
METHOD = {"step": TIMING, "searched": TIMING, "sample": TIMING, "backtracked": TIMING}
METHOD |= {"model_bytes": 10, "state_bytes": 100, "peak_memory_mb": 512, "notes": ["a note"]}
FEATURES = {"feature": TIMING, "peak_memory_mb": 256, "notes": []}
RUN = PurePath("results/demo/runs/openmoji_faces/fastgan/seed0/full/model.safetensors")


def killed(*_: Any) -> None:
    """What the system does to a process that takes too much memory."""
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture
def demo(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The demo's configuration on a machine where everything takes two seconds."""

    def measured(function: Any, *_: Any) -> dict[str, Any]:
        return METHOD if function.__name__ == "time_method" else FEATURES

    monkeypatch.setattr("training.plan.in_child", measured)
    return load_config("demo")


def test_only_pending_jobs_count_and_each_once() -> None:
    rows = ["output_file\tdate\trule\tlog-file(s)\tstatus\tplan"]
    rows += [f"runs/{name}\t-\ttrain\t-\tmissing\tupdate pending" for name in ("a/model", "a/run", "b/model", "b/run")]
    rows += [f"runs/c/{name}\t-\ttrain\t-\tok\tno update" for name in ("model", "run")]
    rows += ["metrics.csv\t-\tcollect\t-\tmissing\tupdate pending"]
    found = pending_jobs("\n".join(rows), {"train": 2, "collect": 1})
    assert [(rule, str(file)) for rule, file in found] == [
        ("train", "runs/a/model"),
        ("train", "runs/b/model"),
        ("collect", "metrics.csv"),
    ]


def test_a_summary_that_failed_is_no_plan_of_nothing() -> None:
    with pytest.raises(UserError, match="snakemake --summary failed"):
        pending_jobs("", {})


def test_the_hours_of_a_training_grow_with_its_steps(demo: dict[str, Any]) -> None:
    estimator = Estimator(demo)
    once = estimator.cost(("train", RUN))
    demo["methods"]["fastgan"]["steps"] *= 3
    thrice = estimator.cost(("train", RUN))
    assert once.seconds - estimator.startup == pytest.approx(800 * 2.0)
    assert thrice.seconds - estimator.startup == pytest.approx(2400 * 2.0)
    assert once.disk == thrice.disk == 2 * 100 + 2 * 10


@pytest.mark.parametrize(
    ("rule", "path", "seconds", "disk"),
    [
        ("sample", "samples/openmoji_faces/mixdl/seed0.npz", 2.0 * 216, 216 * 3 * 32**2),
        ("sample", "samples/openmoji_faces/control_noise/seed0.npz", 0.0, 216 * 3 * 32**2),
        ("sample_features", "features/inception/openmoji_faces/mixdl/seed0.npz", 2.0 * 200, 200 * 2048 * 4),
        ("real_features", "features/inception/openmoji_faces/real.npz", 2.0 * 100, 100 * 2048 * 4),
        ("backtrack", "metrics/openmoji_faces/mixdl/seed0/backtracking.json", 2.0 * 10 * 3 * 50, 20 * 3 * 32**2),
        ("collect", "metrics.csv", 0.0, 0),
    ],
)
def test_the_cost_of_every_other_job(demo: dict[str, Any], rule: str, path: str, seconds: float, disk: int) -> None:
    estimator = Estimator(demo)
    cost = estimator.cost((rule, PurePath("results/demo", path)))
    assert cost.seconds - estimator.startup == pytest.approx(seconds)
    assert cost.disk == disk


@pytest.mark.parametrize("method", ["adaptive_imle", "vanilla_imle"])
def test_the_demo_searched_as_many_images_as_are_foreseen(method: str) -> None:
    """The committed history says how many candidates were drawn."""
    history = ROOT / f"results/reference/demo/runs/openmoji_faces/{method}/seed0/full/history.csv"
    with history.open() as file:
        drawn = float(list(csv.DictReader(file))[-1]["pool_images"])
    run = run_settings(load_config("demo"), "openmoji_faces", method, 0, "full")
    assert searched_images(run, 100) == drawn


def test_thresholds_that_are_measured_anew_are_counted_and_a_lazy_pool_is_not_drawn_again() -> None:
    run = run_settings(load_config("demo"), "openmoji_faces", "adaptive_imle", 0, "full")
    drawn = searched_images(run, 100)
    anew = run | {"config": {**run["config"], "measure": "anew"}}
    assert searched_images(anew, 100) == drawn + 0.5 * 100 * 130  # half of the images in each of 130 epochs
    lazy = run | {"config": {**run["config"], "search": "lazy"}}
    assert searched_images(lazy, 100) == 800 + 22 * 100 * (4 + 4)  # 130 epochs / 6, rounded up, times all images


def test_algorithm_1_redraws_until_distances_are_a_twentieth() -> None:
    run = run_settings(load_config("paper"), "panda", "adaptive_imle", 0, "full")
    assert searched_images(run, 100) == pytest.approx(100 * 28.43 * 10_000, rel=1e-3)  # 0.9^28.43 = 1 / 20
    measured = {"step": TIMING, "searched": {"seconds": 0.5}}
    assert training_seconds(run, 100, measured) == pytest.approx(2.0 * 500_000 + 0.5 * searched_images(run, 100))


def test_the_whole_is_the_sum_of_its_lines_and_can_be_read(demo: dict[str, Any]) -> None:
    jobs = [("train", RUN), ("train", RUN.parents[1] / "train90/model.safetensors"), ("collect", PurePath("r/d/m.csv"))]
    found = plan(demo, jobs, cores=2, gpus=1)
    *lines, total = found["lines"]
    assert [(row["line"], row["jobs"]) for row in lines] == [("train fastgan", 2), ("collect", 1)]
    assert total["jobs"] == 3
    assert total["hours"] == pytest.approx(sum(row["hours"] for row in lines))
    assert 1600 / 3600 < found["clock_hours"] < total["hours"]  # two trainings side by side
    text = render(found)
    assert max(map(len, text.splitlines())) < 160
    assert "800 steps, 2 s per step (3 timed)" in text
    assert "0.5 GiB in one job as timed here; 3.9 GiB reserved" in text
    assert "note: a note" in text


def test_what_does_not_fit_into_memory_is_named_and_the_rest_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.plan.time_method", killed)
    found = plan(load_config("demo"), [("train", RUN), ("collect", PurePath("r/d/m.csv"))], cores=2, gpus=1)
    assert {row["line"]: row["basis"] for row in found["lines"]}["train"] == (
        "not counted: fastgan needs more memory than this machine has"
    )


def test_a_child_hands_back_what_it_measured() -> None:
    assert in_child(dict, {"step": 1.0}) == {"step": 1.0}
    with pytest.raises(UserError, match="needs more memory than this machine has"):
        in_child(killed)


def test_the_first_repetition_counts_only_if_it_is_alone() -> None:
    spent = iter([5.0, 1.0, 1.0, 1.0])
    clock = [0.0]

    def work() -> None:
        clock[0] += next(spent)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.calibrate.time.process_time", lambda: clock[0])
        cpu = torch.device("cpu")
        assert timed(work, cpu, most=5, budget=4.0) == {"seconds": 5.0, "repetitions": 1}
        assert timed(work, cpu, most=2, budget=4.0) == {"seconds": 1.0, "repetitions": 2}


def test_makespan_and_splits() -> None:
    assert makespan([3.0, 3.0, 2.0, 2.0, 2.0], slots=2) == 7.0
    assert makespan([], slots=2) == 0.0
    assert [images_in("openmoji_faces", split) for split in ("full", "train90", "heldout")] == [100, 90, 10]
    assert size_of({"a": torch.zeros(3), "b": [torch.zeros(2, dtype=torch.uint8), None, 1]}) == 14


@pytest.mark.parametrize("net", ["alex", "vgg"])
def test_random_weights_have_the_shapes_of_the_real_ones(net: str, lpips_weights: None) -> None:
    from networks.weights import FOLDER, load_tensors

    if not Path(FOLDER / f"lpips_{net}.safetensors").is_file():
        pytest.skip(f"lpips_{net} is not fetched")
    real, random = load_tensors(f"lpips_{net}"), random_lpips(f"lpips_{net}")
    shapes = {name: tensor.shape for name, tensor in real.items() if name.startswith("conv")}
    assert {name: tensor.shape for name, tensor in random.items() if name.startswith("conv")} == shapes
    assert real.keys() == random.keys()
