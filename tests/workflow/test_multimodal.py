"""Several answers to one input, from trained runs to tables, figures, page and saved results, on a made-up set."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from common.console import UserError
from common.files import read_json, write_json
from data.tasks import Examples, load_task
from metrics import answers as measuring
from metrics.collect import collect
from networks.lpips import LPIPS
from tests.prepared import write_pairs
from training.config import Preset, parse_preset
from training.loop import train
from training.protocols import ANSWER_CONTROLS
from workflow.rendering import answers, figure4, multimodal, reference
from workflow.rendering.answers import COLUMNS
from workflow.rendering.contents import answer_tables
from workflow.rendering.results import Results
from workflow.rendering.verify import SavedLinks

SETTINGS: dict[str, Any] = {
    "steps": 4, "lpips_weight": 0.0, "mse_weight": 1.0, "batch": 2, "network": "crn", "widths": [4, 4],
    "encoder_width": 0, "global_code": 2, "noise_channels": 0,
    "by_task": {"small": {"network": "srim", "level": "dense", "width": 4, "blocks": 1, "growth": 2, "convolutions": 1,
                          "nested": False, "output": "residual", "global_code": 2, "noise_channels": 1}},
}  # fmt: skip
CONTENT = {
    "preset": "toy",
    "resolution": 16,
    "tasks": {
        "small": {"kind": "super_resolution", "dataset": "openmoji_people", "factor": 4},
        "people": {"kind": "layout", "dataset": "openmoji_people"},
    },
    "seeds": [0, 1],
    "methods": {"cond_regression": SETTINGS, "cond_imle": {**SETTINGS, "m": 2, "select": "joint"}},
    "metrics": {"backtracking": {"net": "alex", "upsample": 2}},
}


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory, lpips_weights: None) -> Iterator[Path]:
    """The working directory: six random label maps with two answers each, and LPIPS's weights."""
    root = tmp_path_factory.mktemp("multimodal")
    rng = np.random.default_rng(0)
    labels = np.eye(2, dtype=np.uint8)[rng.integers(0, 2, (6, 16, 16))] * 255
    images = rng.integers(0, 255, (12, 16, 16, 3), dtype=np.uint8)
    images[np.repeat(labels[..., 0] > 0, 2, axis=0)] //= 2
    images[::2][labels[..., 0] > 0] += 100  # the first answer is lighter in class a
    rights = {"licence": "CC BY-SA 4.0", "attribution": "drawn by nobody", "shareable": True}
    write_pairs(root / "data" / "prepared" / "16" / "openmoji_people", images, labels, **rights)
    (root / "data" / "raw").symlink_to(Path(__file__).resolve().parents[2] / "data" / "raw")
    before = Path.cwd()
    os.chdir(root)
    yield root
    os.chdir(before)


@pytest.fixture(scope="module")
def preset() -> Preset:
    return parse_preset(CONTENT, "toy")


@pytest.fixture(scope="module")
def results(workplace: Path, preset: Preset) -> Results:
    """Trained, answered, measured and collected, as the rules do it."""
    folder, files = Path("results/toy"), []
    write_json(folder / "config.json", preset.model_dump(mode="json"))
    for task, method, seed in preset.cells("train"):
        run = folder / "runs" / task / method / f"seed{seed}" / "train"
        train(preset.run(task, method, seed, "train"), preset.training, run, Path("state"))
        files.append(answer(folder, task, method, seed, "--run", str(run)))
    for task, definition in preset.tasks.items():
        for control in ANSWER_CONTROLS[definition.kind]:
            files.append(answer(folder, task, control, 0, "--task", task, "--control", control))
    collect(files, folder / "metrics.csv")
    return Results(folder, Path("data/prepared/16"))


def answer(folder: Path, task: str, method: str, seed: int, *whose: str) -> Path:
    out = folder / "metrics" / task / method / f"seed{seed}" / "answers.json"
    out.parent.mkdir(parents=True)
    call("--config", str(folder / "config.json"), *whose, "--out", str(out))
    return out


def call(*arguments: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["answers", *arguments, "--device", "cpu"])
        measuring.main()


def number(results: Results, task: str, method: str, metric: str, inputs: str = "heldout", seed: int = 0) -> float:
    frame = results.metrics.query("dataset == @task and method == @method and metric == @metric and seed == @seed")
    return float(frame[frame["protocol"].str.startswith(inputs)]["value"].iloc[0])


def test_controls_are_what_they_say(results):
    assert number(results, "people", "real_answers", "mode_coverage") == 1
    assert number(results, "people", "real_answers", "recall_distance") == pytest.approx(0, abs=1e-6)
    assert number(results, "people", "real_answers", "diversity") > 0
    for metric, value in (("mean_lpips", 0), ("best_ssim", 1), ("consistency", 0), ("diversity", 0)):
        assert number(results, "small", "truth", metric) == pytest.approx(value, abs=1e-4)
    assert number(results, "small", "bicubic", "mean_lpips") > 0.1


def test_regression_has_one_answer_and_conditional_imle_several(results):
    for task in ("small", "people"):
        assert number(results, task, "cond_regression", "diversity") == pytest.approx(0, abs=1e-6)
        assert number(results, task, "cond_imle", "diversity") > 1e-5
    assert number(results, "small", "cond_imle", "best_lpips") < number(results, "small", "cond_imle", "mean_lpips")


def test_every_number_names_its_inputs_and_k_and_both_kinds_of_inputs_are_measured(results):
    frame = results.metrics
    of = frame.groupby(["dataset", "method"])["protocol"].agg(lambda names: sorted(set(names)))
    assert of["small", "cond_imle"] == ["heldout-k20-lpips-alex-x2", "train-k20-lpips-alex-x2"]
    assert of["people", "cond_imle"] == ["heldout-k24-lpips-alex-x2", "train-k24-lpips-alex-x2"]
    assert of["people", "real_answers"] == ["heldout-k2-lpips-alex-x2", "train-k2-lpips-alex-x2"]
    assert number(results, "people", "cond_imle", "fwv") != number(results, "people", "cond_imle", "fwv", "train")
    shares = frame.query("metric == 'mode_share' and method == 'real_answers'").groupby("protocol")["value"]
    assert shares.sum().tolist() == pytest.approx([1, 1])


def test_an_input_without_the_telling_class_is_left_out_of_mode_coverage(preset, workplace):
    """Of pairs of a user's own, a label map may lack the class; its mean colour would be 0 / 0."""
    heldout = load_task(preset.tasks["people"], 16, "heldout")
    inside = heldout.inside.copy()
    inside[0] = False
    some = Examples(heldout.conditions, heldout.answers, heldout.shown, inside)
    rows = {row["metric"]: row for row in measuring.rows(preset.tasks["people"], some, some.answers, LPIPS("alex"), 2)}
    assert rows["mode_coverage"]["value"] == 1 and rows["mode_coverage"]["n"] == 1 and rows["diversity"]["n"] == 2
    none = Examples(heldout.conditions, heldout.answers, heldout.shown, inside & False)
    rows = {row["metric"] for row in measuring.rows(preset.tasks["people"], none, none.answers, LPIPS("alex"), 2)}
    assert "diversity" in rows and "mode_coverage" not in rows


def test_a_control_needs_its_task_and_a_task_of_its_kind(results):
    out = ("--config", "results/toy/config.json", "--out", "no.json")
    with pytest.raises(UserError, match=r"either a finished run .* or a control with its task"):
        call(*out, "--control", "bicubic")
    with pytest.raises(UserError, match="--control bicubic: the task people has the controls real_answers"):
        call(*out, "--control", "bicubic", "--task", "people")
    with pytest.raises(UserError, match="no task 'dogs'; its tasks: small, people"):
        call(*out, "--control", "truth", "--task", "dogs")


def test_a_run_of_another_task_is_refused(results, tmp_path):
    content = read_json(results.folder / "config.json")
    content["tasks"]["people"]["imbalance"] = 0.5
    write_json(tmp_path / "other.json", content)
    folder = results.folder / "runs/people/cond_imle/seed0/train"
    with pytest.raises(UserError, match=r"was not trained on the task people as toy defines it: .*--config toy"):
        call("--config", str(tmp_path / "other.json"), "--run", str(folder), "--out", "no.json")


@pytest.mark.parametrize("name", COLUMNS)
def test_diversity_is_never_printed_alone(name):
    """It can be had by noise: the distance to right answers and consistency stand beside it."""
    printed = {column.metric for column in COLUMNS[name] if column.inputs == "heldout"}
    assert "diversity" in printed
    for beside in ({"best_lpips", "recall_distance"}, {"consistency", "precision_distance"}):
        assert printed & beside


def test_tables_have_mean_and_deviation_of_what_was_measured(results):
    table = answers.build("layouts", results)
    assert [row[1] for row in table.rows] == ["Regression (control)", "Conditional IMLE", "All real answers"]
    values = [number(results, "people", "cond_imle", "mode_coverage", seed=seed) for seed in (0, 1)]
    cell = table.rows[1][table.heads.index("Mode coverage ↑")]
    assert cell == f"{np.mean(values):.2f} ± {np.std(values, ddof=1):.2f}"
    assert table.rows[1][2:5] == ("none", "24", "4") and table.rows[2][2:6] == ("", "2", "", "")
    assert "k = 24" in table.caption and "n = 2 seeds" in table.caption and "of 2 held-out inputs" in table.caption
    assert len(answers.build("super_resolution", results).rows) == 4


def test_a_cell_that_was_not_run_says_so(results, tmp_path):
    shutil.copy(results.folder / "config.json", tmp_path)
    rest = results.metrics.query("not (dataset == 'people' and method == 'cond_imle') and metric != 'fwv'")
    rest.to_csv(tmp_path / "metrics.csv", index=False)
    regression, missing, _ = answers.build("layouts", Results(tmp_path, results.prepared)).rows
    assert set(missing[6:]) == {"not run"} and regression.count("n/a") == 1


def test_the_caption_counts_the_seeds_that_were_measured(results, tmp_path):
    shutil.copy(results.folder / "config.json", tmp_path)
    results.metrics.query("method != 'cond_imle' or seed == 0").to_csv(tmp_path / "metrics.csv", index=False)
    assert "some numbers have only 1." in answers.build("layouts", Results(tmp_path, results.prepared)).caption


def test_figure_shows_inputs_truths_and_each_row(results, tmp_path):
    figure4.draw(results, tmp_path / "a.png", tmp_path / "a.pdf")
    figure4.draw(results, tmp_path / "b.png", tmp_path / "b.pdf")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with Image.open(tmp_path / "a.png") as image:
        assert image.width == 1200 and image.height > 500
    (_, small), (_, people) = figure4._blocks(results)
    assert [group.head for group in small] == ["input", "truth", "Bicubic", "Regression", "Conditional IMLE"]
    # Two lines of each input: one column for two right answers, so 13 of 16 for the method whose answers differ
    assert [group.images.shape[:2] for group in people] == [(4, 1), (4, 1), (4, 1), (4, 12)]
    drawn = results.answers("people", "cond_imle")["drawn"]
    assert (people[3].images[2:, 1] == drawn[1, 2:4]).all() and (people[0].images[1] == 255).all()


def test_the_page_is_saved_without_pictures_that_may_not_be_copied(results, tmp_path):
    prepared = shutil.copytree(results.prepared, tmp_path / "prepared")
    for path in prepared.glob("*/manifest.json"):
        path.write_text(json.dumps({**json.loads(path.read_text()), "shareable": False}))
    reference.save(Results(results.folder, prepared), tmp_path / "saved")
    html = (tmp_path / "saved" / "report.html").read_text()
    assert "Conditional IMLE" in html and "data:image" not in html


def test_saved_results_render_again_and_are_intact(results, tmp_path):
    """As committed: saved, rendered without data, and every link checked; an edited number is found."""
    tables = results.folder / "tables"
    tables.mkdir(exist_ok=True)
    for name in answer_tables(results.preset):
        answers.write(answers.build(name, results), *(tables / f"{name}.{suffix}" for suffix in ("csv", "md", "tex")))
    (results.folder / "figures").mkdir(exist_ok=True)
    figure4.draw(results, *(results.folder / "figures" / f"figure4.{suffix}" for suffix in ("png", "pdf")))
    (results.folder / "report.html").write_text(multimodal.page(results))
    reference.save(results, tmp_path / "saved")
    saved = Results(tmp_path / "saved", tmp_path / "saved" / "prepared")
    reference.render(saved.folder, tmp_path / "again")
    for name in ("super_resolution.md", "layouts.tex"):
        assert (tmp_path / "again" / "tables" / name).read_text() == (tables / name).read_text()
    html = (tmp_path / "again" / "report.html").read_text()
    assert html == multimodal.page(Results(tmp_path / "again", tmp_path / "again" / "prepared"))
    for text in ("Conditional IMLE", "drawn by nobody", "data:image/png;base64", 'id="layouts"', "Not drawn"):
        assert text in html
    links = SavedLinks(saved)
    links.walk()
    assert links.broken == [] and links.counts["tables"] == 2 and links.counts["runs"] == 8
    assert links.counts["pages"] == 1
    frame = pd.read_csv(saved.folder / "metrics.csv")
    frame.loc[(frame["metric"] == "mode_coverage") & (frame["seed"] == 1), "value"] = 0.5
    frame.to_csv(saved.folder / "metrics.csv", index=False)
    broken = SavedLinks(Results(saved.folder, saved.prepared))
    broken.walk()
    assert [any(name in sentence for sentence in broken.broken) for name in ("layouts", "report.html")] == [True, True]
    shutil.rmtree(tables)
