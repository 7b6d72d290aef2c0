"""A run's name follows from all that decides its bits, and from nothing else."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from common.console import UserError
from tests.training.conftest import toy_run
from training import identity
from training.config import RunConfig
from training.identity import claim, code_hash, code_hashes, differences, method_sources, run_identity

CODE = '''
"""A module."""
import os  # of the system

def double(x: int) -> int:
    """Twice x."""
    # by multiplication
    return 2 * x  # or x + x
'''


@pytest.fixture
def hash_of(tmp_path: Path) -> Callable[[str], str]:
    def write(text: str) -> str:
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.py"
        path.write_text(text)
        return code_hash(path)

    return write


def test_comments_docstrings_and_blank_lines_do_not_count(hash_of: Callable[[str], str]) -> None:
    other = CODE.replace("A module.", "Another.").replace("# by multi", "\n    # by addi").replace("Twice x", "x twice")
    assert hash_of(other.replace("  # of the system", "")) == hash_of(CODE)


@pytest.mark.parametrize(
    ("before", "after"),
    [("2 * x", "3 * x"), ("import os", "import re"), ("(x: int)", "(x: int = 1)"), ("return", "x = '#'; return")],
)
def test_code_counts(hash_of: Callable[[str], str], before: str, after: str) -> None:
    assert hash_of(CODE.replace(before, after)) != hash_of(CODE)
    assert hash_of("x = '# a'\n") != hash_of("x = '# b'\n")  # no comment


def test_the_sources_of_a_run_are_all_that_its_numbers_come_from() -> None:
    """The streams' seeds and the initialisation included; other methods, data and saving are not."""
    sources = set(method_sources("fastgan"))
    assert {"methods/fastgan.py", "methods/api.py", "methods/augment.py", "methods/averaging.py"} <= sources
    assert {"training/build.py", "common/hashing.py", "networks/fastgan.py", "networks/lpips.py"} <= sources
    assert "networks/vdvae_decoder.py" in method_sources("adaptive_imle")
    assert not {"methods/mixdl.py", "training/loop.py", "training/checkpoint.py", "training/config.py"} & sources
    assert not any(source.startswith(("data/", "metrics/", "workflow/")) for source in sources)


def test_imports_are_followed_as_they_are_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Inside functions too, but not what only a type checker sees; wherever the project lies."""
    files = {
        "methods/own.py": "from typing import TYPE_CHECKING\nimport numpy\nfrom networks import one\n"
        "if TYPE_CHECKING:\n    import networks.three\ndef f():\n    from networks.two import x\n",
        "networks/one.py": "import data.load\n",
        "networks/two.py": "import methods.own\nx = 1\n",
        "networks/three.py": "",
        "data/load.py": "",
    }
    found = []
    for project in ("here", "elsewhere"):
        for name, text in files.items():
            path = tmp_path / project / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        monkeypatch.setattr(identity, "ROOT", tmp_path / project)
        found.append(code_hashes("methods/own.py"))
    assert list(found[0]) == ["methods/own.py", "networks/one.py", "networks/two.py"]
    assert found[0] == found[1]


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"steps": 7},
        {"threads": 2},
        {"resolution": 32},
        {"split": "train90"},
        {"dataset": "openmoji_animals"},
        {"config": {**toy_run().config, "batch": 3}},
        {"method": "control_real", "config": {}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_setting_names_another_run(change: dict[str, Any]) -> None:
    run = toy_run()
    assert hash_run(dataclasses.replace(run, **change)) != hash_run(run)


def hash_run(run: RunConfig, data: str = "images", device: str = "cpu") -> str:
    return run_identity(run, data, device)["run_hash"]


def test_images_and_kind_of_device_count_but_the_preset_s_name_does_not() -> None:
    run = toy_run()
    assert hash_run(run, data="others") != hash_run(run)
    assert hash_run(run, device="cuda") != hash_run(run)
    assert hash_run(dataclasses.replace(run, preset="renamed")) == hash_run(run)
    assert hash_run(toy_run(learning_rate=0.002, flip=True)) == hash_run(run)  # a default, spelled out


def test_a_change_in_a_source_names_another_run(monkeypatch: pytest.MonkeyPatch) -> None:
    before = hash_run(toy_run())
    there = identity.describe_run(toy_run(), run_identity(toy_run(), "images", "cpu"))
    monkeypatch.setattr(identity, "code_hash", lambda path: "x" if path.name == "hashing.py" else code_hash(path))
    edited = run_identity(toy_run(), "images", "cpu")
    assert edited["run_hash"] != before
    assert differences(there, identity.describe_run(toy_run(), edited)) == ["common/hashing.py was edited"]


def test_a_folder_is_claimed_by_one_run(tmp_path: Path) -> None:
    """The message says what differs."""
    run = toy_run()
    claim(tmp_path, run, run_identity(run, "images", "cpu"))
    renamed = dataclasses.replace(run, preset="renamed")
    claim(tmp_path, renamed, run_identity(renamed, "images", "cpu"))
    for changes, message in [
        ({"steps": 7}, "steps is 12 there and 7 here"),
        ({"config": {**run.config, "style_dim": 32}}, "methods.mixdl.style_dim is 8 there and 32 here"),
    ]:
        other = dataclasses.replace(run, **changes)
        with pytest.raises(UserError, match=f"holds another run: {message}; move it away"):
            claim(tmp_path, other, run_identity(other, "images", "cpu"))
    with pytest.raises(UserError, match="the training images differ; it ran on cpu, not on cuda"):
        claim(tmp_path, run, run_identity(run, "others", "cuda"))


def test_other_weights_of_the_loss_network_are_another_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = dataclasses.replace(toy_run(), config={**toy_run().config, "perceptual": "alex"})
    record = tmp_path / "data/raw/weights/lpips_alex.json"
    record.parent.mkdir(parents=True)
    names = set()
    for sha256 in ("1" * 64, "2" * 64):
        record.write_text(f'{{"sha256": "{sha256}"}}')
        names.add(run_identity(run, "data", "cpu")["run_hash"])
    record.unlink()
    names.add(run_identity(run, "data", "cpu")["run_hash"])
    assert len(names) == 3
    pixels = dataclasses.replace(run, config={**run.config, "lpips_weight": 0.0, "search": "exact"})
    alone = run_identity(pixels, "data", "cpu")["run_hash"]
    record.write_text('{"sha256": "1"}')
    assert run_identity(pixels, "data", "cpu")["run_hash"] == alone, "a training on pixels does not use them"
