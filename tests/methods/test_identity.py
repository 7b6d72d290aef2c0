"""A run is continued by the settings, data and sources that it began with, or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from common.console import UserError
from training.config import load_config, run_settings
from training.identity import claim, differences, run_hash, run_identity


@pytest.fixture
def settings() -> dict[str, Any]:
    return run_settings(load_config("smoke"), "openmoji_faces", "fastgan", 0, "full")


def identity(settings: dict[str, Any], data: str = "images", device: str = "cpu") -> dict[str, str]:
    return run_identity(settings, data, device)


def test_the_same_run_may_claim_its_folder_again(settings: dict[str, Any], tmp_path: Path) -> None:
    claim(tmp_path, settings, identity(settings))
    claim(tmp_path, {**settings, "preset": "of another name"}, identity(settings))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"steps": 7}, "steps is 6 there and 7 here"),
        ({"threads": 2}, "threads is 1 there and 2 here"),
        ({"method": "mixdl", "config": {}}, "method is fastgan there and mixdl here"),
    ],
)
def test_another_run_is_refused_and_told_apart(
    settings: dict[str, Any], tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    claim(tmp_path, settings, identity(settings))
    other = {**settings, **change}
    with pytest.raises(UserError, match=f"holds another run: .*{said}"):
        claim(tmp_path, other, identity(other))


def test_a_changed_hyper_parameter_is_named_with_both_values(settings: dict[str, Any], tmp_path: Path) -> None:
    claim(tmp_path, settings, identity(settings))
    other = {**settings, "config": {**settings["config"], "nz": 32}}
    with pytest.raises(UserError, match=r"holds another run: methods.fastgan.nz is 16 there and 32 here; without"):
        claim(tmp_path, other, identity(other))


def test_other_images_and_another_device_are_refused(settings: dict[str, Any], tmp_path: Path) -> None:
    claim(tmp_path, settings, identity(settings))
    with pytest.raises(UserError, match=r"the training images differ; it ran on cpu, not on cuda"):
        claim(tmp_path, settings, identity(settings, "other images", "cuda"))


def test_an_edited_source_is_named() -> None:
    runs = [
        {"settings": {"method": "m", "config": {}}, "sources": {"a.py": digest}, "data_hash": "", "device": "cpu"}
        for digest in ("one", "two")
    ]
    assert differences(*runs) == ["a.py was edited"]


def test_the_run_hash_follows_from_its_parts(settings: dict[str, Any]) -> None:
    found = identity(settings)
    assert run_hash(found) == found["run_hash"]
    assert run_hash({**found, "device": "cuda"}) != found["run_hash"]
