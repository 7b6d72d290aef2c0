"""A preset is read once, with every default filled in; a mistake in it is one sentence that names the key."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from snakemake.utils import update_config

from common.console import UserError
from common.files import read_yaml
from tests.conftest import ROOT
from training.config import parse_preset, read_preset
from training.protocols import Backtracking, PrecisionRecall
from training.sections import ALL_SPLITS
from workflow.rendering.contents import tables_of

# `reference` trains nothing; the data set of `mine` exists only with a user's pictures (tests/pipeline/test_mine.py).
PRESETS = sorted({path.stem for path in (ROOT / "config").glob("*.yaml")} - {"reference", "mine"})
OVERLAYS = sorted(path for path in (ROOT / "config/overlays").glob("*.yaml") if path.stem != "mine_gpu")
ENDLESS: list[Any] = []
ENDLESS.append(ENDLESS)  # as YAML's `&a [*a]`


@pytest.fixture
def demo() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "config" / "demo.yaml").read_text())


@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda path: path.stem)
def test_every_overlay_is_valid_on_the_preset_of_its_command(overlay: Path) -> None:
    found = re.search(rf"--configfile (config/\w+\.yaml) config/overlays/{overlay.name}", overlay.read_text("utf-8"))
    content = read_yaml(ROOT / found[1])
    update_config(content, read_yaml(overlay))
    preset = parse_preset(content, str(overlay))
    for split in ALL_SPLITS:
        for cell in preset.cells(split):
            preset.run(*cell, split)


@pytest.mark.parametrize("name", PRESETS)
def test_every_shipped_preset_is_valid(name: str) -> None:
    preset = read_preset(name)
    assert preset.preset == name
    for split in ALL_SPLITS:
        for cell in preset.cells(split):
            preset.run(*cell, split)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("resolutoin",), 32, r"resolutoin: unknown key; known are preset, resolution"),
        (("metrics", "backtracking", "restart"), 3, r"metrics.backtracking.restart: unknown key; .*restarts"),
        (("methods", "fastgan", "learning_rat"), 0.1, r"unknown configuration key methods.fastgan.learning_rat; .*nz"),
        (("resolution",), "32", r"resolution: .*not '32'"),
        (("sampling", "n"), 1.5, r"sampling.n: .*integer.*not 1.5"),
        (("methods", "fastgan", "learning_rate"), "2e-4", r"fastgan.learning_rate: .* not '2e-4' \(YAML reads 1e-3 as"),
        (("methods", "fastgan", "perceptual"), "squeeze", r"fastgan.perceptual: .*'vgg' or 'alex', not 'squeeze'"),
        (
            ("methods", "fastgan", "learning_rate"),
            float("nan"),
            r"fastgan.learning_rate: the number must be finite, not nan",
        ),
        (("methods", "fastgan", "batch"), 0, r"methods.fastgan.batch: the number must be above zero, not 0"),
        (("methods", "mixdl", "r1_every"), -1, r"methods.mixdl.r1_every: the number must be above zero, not -1"),
        (("statistics",), {"reference": "gan"}, r"statistics.reference: 'gan' is not in the preset, which has"),
        (("statistics",), {"reference": "control_real"}, r"statistics.reference: control_real is a control; name a"),
        (("methods", "fastgan-"), {}, r"methods\.fastgan-: name a method, or a method and a suffix"),
        (("methods", "fastgan"), {"batch": 2}, r"methods.fastgan.steps: this key is required"),
        (("methods", "fastgan", "steps"), 0, r"methods.fastgan.steps must be a whole number of at least 1, not 0"),
        (("methods", "fastgan", "by_dataset"), {"openmoji_faces": {"steps": -5}}, r"faces.steps must be .* not -5"),
        (("methods", "fastgan", "by_dataset"), {"openmoji_faces": {"nzz": 3}}, r"by_dataset.openmoji_faces.nzz"),
        (("methods", "fastgan", "by_dataset"), {"obma": {}}, r"unknown dataset 'obma'; known"),
        (("methods", "fastgen"), {}, r"no method is named 'fastgen'; methods/ holds adaptive_imle"),
        (("datasets",), ["obma"], r"unknown dataset 'obma'; known"),
        (("datasets",), ["openmoji_faces", "openmoji_faces"], r"datasets: a value occurs twice"),
        (("preset",), "rendered", r"preset: 'rendered' is the name of another folder"),
        (("metrics", "precision_recall"), ["inception-k5"], r"precision_recall.0: 'inception-k5' is not a precision"),
        (("metrics", "precision_recall"), ["inception-k5-n9999"], r"inception-k5-n9999 needs sampling.n of 9999"),
        (("metrics", "precision_recall"), ["inception-k5-n20"] * 2, r"metrics.precision_recall: a value occurs twice"),
        (("metrics", "full_set"), "panda", r"metrics.full_set: 'panda' is not in the preset"),
        (("tables", "ablation_datasets"), ["pnda"], r"unknown dataset 'pnda'; known"),
        (
            ("tasks",),
            {"x": {"kind": "super_resolution", "dataset": "panda", "factr": 4, "factor": 4}},
            r"tasks.x.factr: unknown key; known are kind, dataset, factor, mirror",
        ),
        (("tasks",), {"x": {"dataset": "panda"}}, r"tasks.x.kind: this key must be super_resolution or layout"),
        (("tasks",), {"x y": {"kind": "layout", "dataset": "panda"}}, r"tasks.x y.\[key\]: must be "),
        (("tasks",), {"x": {"kind": "colour"}}, r"tasks.x.kind: this key must be super_resolution or layout"),
        (("skip",), [{"method": "fastgann", "reason": "x"}], r"skip.0.method: 'fastgann' is not in the preset"),
        (("skip",), False, r"skip: input should be"),
        (("skip",), [{"method": "fastgan", "reason": ""}], r"skip.0.reason: string should have at least 1 character"),
        (("metrics", "backtracking", "pool"), 4, r"LPIPS \(alex\) needs 31 pixels, .* or lower pool"),
        (("skip",), [{"reason": date(2020, 1, 1)}], r"it holds a value that is neither text nor a number"),
        (("skip",), ENDLESS, r"it holds a value that is neither text nor a number"),
        (("sampling", "n"), float("inf"), r"sampling.n: "),
        (("skip",), [{"reason": "x", "datset": "y"}], r"skip.0.datset: unknown key; known are reason, dataset"),
    ],
)
def test_mistakes_are_named(demo: dict[str, Any], path: tuple[str, ...], value: Any, message: str) -> None:
    place = demo
    for key in path[:-1]:
        place = place.setdefault(key, {})
    place[path[-1]] = value
    with pytest.raises(UserError, match=message) as caught:
        parse_preset(demo, "changed.yaml")
    assert str(caught.value).startswith("changed.yaml: ")
    assert "\n" not in str(caught.value)


def test_by_dataset_overrides_one_dataset_and_defaults_are_filled_in(demo: dict[str, Any]) -> None:
    demo["datasets"] = ["openmoji_faces", "openmoji_animals"]
    demo["methods"]["fastgan"] |= {"steps": 800, "by_dataset": {"openmoji_animals": {"batch": 3, "steps": 7}}}
    preset = parse_preset(demo, "demo")
    animals, faces = (preset.run(name, "fastgan", 0, "full") for name in ("openmoji_animals", "openmoji_faces"))
    assert (animals.steps, animals.config["batch"]) == (7, 3)
    assert (faces.steps, faces.config["batch"]) == (800, 8)
    assert faces.config["margin"] == (0.8, 1.0)  # the default of methods/fastgan.py
    assert preset.run("openmoji_faces", "control_real", 0, "full").steps == 0


@pytest.mark.parametrize("name", ["paper", "official", "study"])
def test_a_preset_runs_on_fewer_datasets_than_its_settings_name(name: str) -> None:
    content = read_yaml(ROOT / "config" / f"{name}.yaml") | {"datasets": ["openmoji_people"]}
    preset = parse_preset(content, name)
    assert {dataset for dataset, *_ in preset.cells()} == {"openmoji_people"}
    assert 3 not in tables_of(preset)


def test_a_resolved_preset_is_read_from_json_as_it_was_from_yaml(demo: dict[str, Any], tmp_path: Path) -> None:
    preset = parse_preset(demo, "demo")
    (tmp_path / "resolved.json").write_text(preset.model_dump_json())
    assert read_preset(tmp_path / "resolved.json") == preset


def test_cells_that_are_left_out_say_why(demo: dict[str, Any]) -> None:
    demo["datasets"] = ["openmoji_faces", "openmoji_animals"]
    demo["skip"] = [{"dataset": "openmoji_animals", "method": "fastgan", "reason": "too slow"}]
    preset = parse_preset(demo, "demo")
    assert preset.why_left_out("openmoji_animals", "fastgan", "full") == "too slow"
    assert preset.why_left_out("openmoji_faces", "fastgan", "full") is None
    assert preset.why_left_out("openmoji_faces", "control_real", "full") is None
    assert "no latent code" in preset.why_left_out("openmoji_faces", "control_real", "train90")
    assert "made elsewhere" in preset.why_left_out("openmoji_faces", "stylegan3", "train90")
    assert ("openmoji_animals", "fastgan", 0) not in preset.cells()
    assert ("openmoji_faces", "fastgan", 0) in preset.cells()


def test_some_seeds_can_be_left_out(demo: dict[str, Any]) -> None:
    """90 % with one seed: the cell exists, with the others' numbers missing."""
    demo["seeds"] = [0, 1, 2]
    demo["skip"] = [{"split": "train90", "seeds": [1, 2], "reason": "one seed is enough"}]
    preset = parse_preset(demo, "demo")
    assert preset.why_left_out("openmoji_faces", "fastgan", "train90") is None
    assert {seed for _, _, seed in preset.cells("train90")} == {0}
    assert {seed for _, _, seed in preset.cells()} == {0, 1, 2}
    demo["skip"].append({"method": "fastgan", "seeds": [0], "reason": "too slow"})
    reasons = "too slow; one seed is enough"
    assert parse_preset(demo, "demo").why_left_out("openmoji_faces", "fastgan", "train90") == reasons


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({}, "lpips-vgg-x1-s1000-r3"),
        ({"net": "alex", "upsample": 2, "steps": 50, "restarts": 3}, "lpips-alex-x2-s50-r3"),
        ({"learning_rate": 0.05, "mse_weight": 0}, "lpips-vgg-x1-s1000-r3-lr0.05-mse0"),
        ({"optimise": "z+noise"}, "lpips-vgg-x1-s1000-r3-noise"),
    ],
)
def test_whatever_changes_a_backtracking_score_is_in_its_protocol(settings: dict[str, Any], name: str) -> None:
    assert str(Backtracking(**settings)) == name


def test_a_precision_and_recall_protocol_says_network_k_and_count() -> None:
    assert PrecisionRecall.parse("vgg16fc2-k3-n1000") == PrecisionRecall("vgg16fc2", 3, 1000)
    assert str(PrecisionRecall.parse("inception-k5-n200")) == "inception-k5-n200"
    for name in ("inception", "resnet-k5-n100", "inception-k0-n10", "inception-n100-k5", "inception-k5-n6", ""):
        with pytest.raises(UserError, match="protocol"):
            PrecisionRecall.parse(name)
