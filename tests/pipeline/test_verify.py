"""A finished preset is intact from table cell to training data; whatever breaks one link is named."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.hashing import digest
from tests.files import flip
from tests.pipeline.conftest import run_snakemake
from workflow.rendering import stamp
from workflow.rendering.results import Results
from workflow.rendering.verify import Chain

P = Path("results/smoke")
CELL = "openmoji_faces/fastgan/seed0"


@pytest.fixture
def project(smoke_copy: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The finished project as the working folder, with a data/raw of its own."""
    raw = smoke_copy / "data/raw"
    shared = raw.resolve()
    raw.unlink()
    raw.mkdir()
    for path in shared.rglob("*"):
        if path.is_file():
            copy = raw / path.relative_to(shared)
            copy.parent.mkdir(parents=True, exist_ok=True)
            try:
                copy.hardlink_to(path)
            except OSError:  # the temporary folder is on another file system
                shutil.copy(path, copy)
    monkeypatch.chdir(smoke_copy)
    return smoke_copy


def chain() -> Chain:
    return Chain(Results(P, Path("data/prepared/32")))


def broken() -> str:
    """Without rendering everything again, which takes most of the time."""
    found = chain()
    found.trace()
    return "\n".join(found.broken)


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    path.write_text(re.sub(old, new, text, count=1))
    assert path.read_text() != text


def reseal(path: Path, **changes: Any) -> None:
    """Edit a sealed file as somebody does who knows about the digest."""
    value = json.loads(path.read_text()) | changes
    value.pop("digest")
    path.write_text(json.dumps({**value, "digest": digest(value)}))


def other_samples(path: Path) -> None:
    with np.load(path) as file:
        arrays = dict(file)
    arrays["images"] = arrays["images"][::-1]
    np.savez(path, **arrays)


def test_an_untouched_project_is_intact(project: Path) -> None:
    found = chain()
    found.walk()
    assert found.broken == []
    assert (found.counts["tables"], found.counts["runs"], found.counts["images"]) == (4, 10, 100)
    assert found.counts["sample sets"] == 8  # two of them made elsewhere
    assert found.counts["table cells"] > 20
    assert (found.counts["statistics"], found.counts["pages"], found.counts["sheets of pictures"]) == (2, 1, 1)


RUN, METRICS, SAMPLES = P / "runs" / CELL / "full", P / "metrics" / CELL, P / f"samples/{CELL}.npz"
HARMS: dict[str, Callable[[], None]] = {
    "metrics.csv is not what the metric files collect to": lambda: replace(P / "metrics.csv", r"0\.\d{3}", "0.111"),
    "fid.json was damaged or edited": lambda: replace(METRICS / "fid.json", r'"value": \d+', '"value": 1'),
    r"diversity.npz has sha256 \w+, but \S+json was": lambda: flip(METRICS / "diversity.npz"),
    r"backtracking.npz has sha256 \w+, but \S+json was": lambda: flip(METRICS / "backtracking.npz"),
    r"features/\S+ has sha256 \w+, but \S+json was": lambda: flip(P / f"features/inception/{CELL}.npz"),
    r"samples/\S+ has sha256 \w+, but \S+features": lambda: other_samples(SAMPLES),
    r"samples/\S+ is missing, and \S+features": lambda: SAMPLES.unlink(),
    r"run.json was trained with other settings than config.json": lambda: replace(
        P / "config.json", r'"ngf": \d+', '"ngf": 3'
    ),
    r"run.json: its settings do not give its run_hash": lambda: reseal(RUN / "run.json", seed=3),
    r"holds the run 0123, but \S+samples\S+ was made from": lambda: reseal(RUN / "run.json", run_hash="0123"),
    r"full/model.safetensors has sha256 \w+, but \S+samples": lambda: flip(RUN / "model.safetensors"),
    r"full/history.csv has sha256 \w+, but \S+run.json": lambda: flip(RUN / "history.csv"),
    r"images.npy has sha256": lambda: flip(Path("data/prepared/32/openmoji_faces/images.npy")),
    r"1F600.png has sha256 \w+, but \S+manifest.json": lambda: flip(Path("data/raw/openmoji_faces/1F600.png")),
    r"external/their_gan/openmoji_faces: 3.png was changed since": lambda: flip(
        Path("data/external/their_gan/openmoji_faces/3.png")
    ),
    r"external/their_vae/openmoji_faces is missing, and its samples are": lambda: shutil.rmtree(
        "data/external/their_vae"
    ),
    r"manual/openmoji_faces was added since openmoji_faces was": lambda: Path("data/manual/openmoji_faces").mkdir(
        parents=True
    ),
    r"inception.safetensors has sha256 \w+": lambda: flip(Path("data/raw/weights/inception.safetensors")),
}


@pytest.mark.parametrize("sentence", HARMS)
def test_a_broken_link_is_named(project: Path, sentence: str) -> None:
    HARMS[sentence]()
    assert re.search(sentence, broken())


def test_an_edited_method_is_named(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stamp, "sources_hash", lambda method: "edited")
    assert "the sources of fastgan have changed since" in broken()


def test_the_target_fails_and_names_the_broken_link(smoke_copy: Path) -> None:
    flip(smoke_copy / P / f"runs/{CELL}/full/model.safetensors")
    done = run_snakemake(smoke_copy, "verify")
    assert done.returncode != 0
    assert "broken link: results/smoke/runs" in done.stdout
