"""Too few images are named before anything starts, with the data set and the key."""

from __future__ import annotations

import pytest

from data.datasets import dataset_info
from training import counts
from training.config import Preset, load_preset

FLOOR = "faces: real images: {}, but the floor of FID needs 2 in each half"
RECALL = "faces: real images: {}, but precision and recall with k = 5 need k + 2 = 7"


def preset(*protocols: str) -> Preset:
    entries = {"precision_recall": list(protocols)}
    smoke = {"preset": "p", "resolution": 32, "datasets": ["faces"], "methods": {"control_real": {}}}
    return load_preset({**smoke, "sampling": {"n": 40}, "metrics": entries})


@pytest.mark.parametrize(
    ("count", "notes"),
    [(7, []), (6, [RECALL.format(6)]), (4, [RECALL.format(4)]), (3, [RECALL.format(3), FLOOR.format(3)])],
)
def test_each_metric_that_a_set_is_too_small_for_is_noted(count: int, notes: list[str], monkeypatch) -> None:
    entry = dataset_info("openmoji_faces").model_copy(update={"count": count})
    monkeypatch.setattr(counts, "dataset_info", lambda name: entry)
    found = counts.too_few(preset("inception-k5-n40", "inception-k1-n40"), ["faces"])
    assert [sentence.split(";")[0] for sentence in found] == notes
    assert all("count in data/datasets.yaml" in sentence for sentence in found)
    assert [("metrics.precision_recall (inception-k5-n40)" in sentence) for sentence in found] == [
        "recall" in note for note in notes
    ]
