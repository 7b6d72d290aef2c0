"""A mistake in a configuration is one sentence that names the key."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from common.console import UserError
from training.config import load_config, method_config, run_settings, skip_reason
from training.identity import run_identity
from training.registry import ROOT

PRESETS = sorted({path.stem for path in (ROOT / "config").glob("*.yaml")} - {"reference"})  # which trains nothing


@pytest.fixture
def demo() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "config" / "demo.yaml").read_text())


def load_changed(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    path = folder / "changed.yaml"
    path.write_text(yaml.safe_dump(config))
    return load_config(path)


@pytest.mark.parametrize("preset", PRESETS)
def test_every_shipped_preset_is_valid(preset: str) -> None:
    assert load_config(preset)["preset"] == preset


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("resolutoin",), 32, r"'resolutoin' was unexpected"),
        (("resolution",), "32", r"resolution: '32' is not one of"),
        (("sampling", "n"), 1.5, r"sampling.n: 1.5 is not of type 'integer'"),
        (
            ("methods", "fastgan", "learning_rat"),
            0.1,
            r"unknown configuration key methods.fastgan.learning_rat; fastgan",
        ),
        (
            ("methods", "fastgan", "learning_rate"),
            "2e-4",
            r"methods.fastgan.learning_rate must be float, not '2e-4' \(YAML",
        ),
        (("methods", "fastgen"), {}, r"no method is named 'fastgen'; methods/ holds"),
        (("datasets",), ["obma"], r"unknown dataset 'obma'; known"),
        (
            ("metrics", "precision_recall"),
            ["inception-k5"],
            r"metrics.precision_recall.0: 'inception-k5' does not match",
        ),
        (("tables", "ablation_datasets"), ["panda"], r"tables.ablation_datasets: 'panda' is not among"),
        (("skip",), [{"method": "fastgann", "reason": "x"}], r"skip.0.method: 'fastgann' is not among"),
        (("methods", "fastgan", "by_dataset"), {"openmoji_faces": {"steps": "lots"}}, r"faces.steps must be int, not"),
        (("methods", "fastgan", "by_dataset"), {"obama": {}}, r"methods.fastgan.by_dataset: 'obama' is not among"),
        (("methods", "fastgan", "steps"), 0, r"methods.fastgan.steps is missing"),
        (("metrics", "precision_recall"), ["vgg-k3-n100"], r"'vgg-k3-n100' names no precision and recall protocol"),
        (("metrics", "precision_recall"), ["inception-k5-n9999"], r"inception-k5-n9999 needs sampling.n of 9999"),
    ],
)
def test_mistakes_are_named(
    demo: dict[str, Any], tmp_path: Path, path: tuple[str, ...], value: Any, message: str
) -> None:
    place = demo
    for key in path[:-1]:
        place = place.setdefault(key, {})
    place[path[-1]] = value
    with pytest.raises(UserError, match=message) as caught:
        load_changed(demo, tmp_path)
    assert "\n" not in str(caught.value)


def test_by_dataset_overrides_one_dataset_only(demo: dict[str, Any], tmp_path: Path) -> None:
    demo["methods"]["fastgan"]["by_dataset"] = {"openmoji_animals": {"batch": 3, "steps": 7}}
    config = load_changed(demo, tmp_path)
    animals = run_settings(config, "openmoji_animals", "fastgan", 0, "full")
    faces = run_settings(config, "openmoji_faces", "fastgan", 0, "full")
    assert (animals["steps"], animals["config"]["batch"]) == (7, 3)
    assert faces["steps"] != 7


def test_skip_gives_its_reason_and_controls_do_not_backtrack(demo: dict[str, Any], tmp_path: Path) -> None:
    demo["skip"] = [{"dataset": "openmoji_animals", "method": "fastgan", "reason": "too slow"}]
    config = load_changed(demo, tmp_path)
    assert skip_reason(config, "openmoji_animals", "fastgan", "full") == "too slow"
    assert skip_reason(config, "openmoji_faces", "fastgan", "full") is None
    assert "no latent code" in skip_reason(config, "openmoji_faces", "control_real", "train90")


def test_identity_depends_on_what_changes_the_numbers_only() -> None:
    settings = run_settings(load_config("demo"), "openmoji_faces", "fastgan", 0, "full")
    identity = run_identity(settings, "data", "cpu")

    def changed(**keys: Any) -> bool:
        other = copy.deepcopy(settings)
        other.update(keys)
        return run_identity(other, "data", "cpu")["run_hash"] != identity["run_hash"]

    assert changed(seed=1)
    assert changed(threads=2)
    assert changed(config={**settings["config"], "batch": 3})
    assert not changed(preset="renamed")
    assert run_identity(settings, "other data", "cpu")["run_hash"] != identity["run_hash"]


def test_spelling_out_a_default_is_the_same_run() -> None:
    settings = run_settings(load_config("demo"), "openmoji_faces", "fastgan", 0, "full")
    spelled = copy.deepcopy(settings)
    import dataclasses

    spelled["config"] = dataclasses.asdict(method_config("fastgan", settings["config"]))
    assert run_identity(spelled, "data", "cpu") == run_identity(settings, "data", "cpu")
