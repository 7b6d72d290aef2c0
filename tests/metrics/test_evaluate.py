"""Metric files from feature files: which real features meet which fakes, what the rows say, and the floor."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from common.console import UserError
from metrics.evaluate import evaluate, floor
from metrics.features import Features
from metrics.fid import FID, frechet_distance
from training.protocols import RUN_KEYS, PrecisionRecall

SAMPLES = {"dataset": "faces", "method": "fastgan", "seed": 0, "split": "full", "steps": 900, "run_hash": "abc"}
WIDTH = {"inception": 2048, "vgg16fc2": 4096}


def features(n: int, draw: int, network: str = "inception", /, **samples: object) -> Features:
    values = np.random.default_rng(draw).random((n, WIDTH[network])).astype(np.float32)
    return Features(values, {"network": network, "weights": "w", "samples": samples})


REAL, FAKE = features(20, 1, dataset="faces"), features(40, 2, **SAMPLES)


def measure(real: Any, fake: Any, n: int, *protocols: str) -> tuple[dict[str, Any], dict[str, Any]]:
    return evaluate(real, fake, "demo", n, [PrecisionRecall.parse(protocol) for protocol in protocols])


def test_rows_carry_protocol_and_counts_and_repeat() -> None:
    fid, precision_recall = measure([REAL], [FAKE], 38, "inception-k5-n30", "inception-k3-n40")
    assert {key: fid[key] for key in (*RUN_KEYS, "preset")} == SAMPLES | {"preset": "demo"}
    assert {key: precision_recall[key] for key in RUN_KEYS} == SAMPLES
    by_metric = {row["metric"]: row for row in fid["rows"]}
    assert by_metric["fid"]["value"] == frechet_distance(REAL.values, FAKE.values[:38])
    assert (by_metric["fid"]["protocol"], by_metric["kid"]["protocol"]) == (FID, f"{FID}-s100")
    assert (by_metric["fid"]["n_real"], by_metric["fid"]["n_fake"]) == (20, 38)
    counts = [(row["protocol"], row["metric"], row["n_fake"]) for row in precision_recall["rows"]]
    assert ("inception-k5-n30", "precision", 30) in counts
    assert ("inception-k3-n40", "recall", 40) in counts
    assert len(counts) == 8
    assert measure([REAL], [FAKE], 38, "inception-k5-n30", "inception-k3-n40") == (fid, precision_recall)


def test_samples_are_also_compared_with_the_full_set() -> None:
    """The same number of samples as for FID, and real features of the same network only."""
    full = features(60, 3, dataset="more_faces")
    fid, _ = evaluate([REAL], [FAKE], "demo", 38, [], full)
    row = next(row for row in fid["rows"] if row["metric"] == "fid_full")
    assert row["value"] == frechet_distance(full.values, FAKE.values[:38]) and row["n_real"] == 60
    with pytest.raises(UserError, match="vgg16fc2"):
        evaluate([REAL], [FAKE], "demo", 38, [], features(60, 3, "vgg16fc2", dataset="more_faces"))


def test_each_protocol_gets_the_features_of_its_network() -> None:
    real = [features(20, 1, network, dataset="faces") for network in WIDTH]
    fake = [features(40, 2, network, **SAMPLES) for network in reversed(WIDTH)]
    _, precision_recall = measure(real, fake, 40, "vgg16fc2-k3-n40")
    assert precision_recall["rows"][0]["protocol"] == "vgg16fc2-k3-n40"
    with pytest.raises(UserError, match="vgg16fc2-k3-n40 needs vgg16fc2 features"):
        measure(real[:1], fake, 40, "vgg16fc2-k3-n40")


def values(content: dict[str, Any]) -> list[tuple[str, bool, str | None]]:
    return [(row["metric"], row["value"] is not None, row.get("reason")) for row in content["rows"]]


def few(n_real: int, n_fake: int, protocol: str = "inception-k5-n40") -> tuple[dict[str, Any], dict[str, Any]]:
    fake = features(n_fake, 2, **SAMPLES, exhausted=True)
    return measure([features(n_real, 1, dataset="faces")], [fake], 40, protocol)


def test_fewer_samples_than_asked_are_all_measured() -> None:
    fid, precision_recall = few(20, 7)
    assert {row["n_fake"] for row in fid["rows"] + precision_recall["rows"]} == {7}
    expected = frechet_distance(features(20, 1).values, features(7, 2).values)
    assert fid["rows"][0]["value"] == expected
    assert all(computed for _, computed, _ in values(fid) + values(precision_recall))


@pytest.mark.parametrize(
    ("n_real", "n_fake", "reason"),
    [
        (20, 6, "samples: 6, but precision and recall with k = 5 need k + 2 = 7"),
        (6, 40, "real images: 6, but precision and recall with k = 5 need k + 2 = 7"),
        (2, 2, "real images: 2, but precision and recall with k = 5 need k + 2 = 7"),
    ],
)
def test_fid_is_given_where_only_precision_and_recall_cannot_be(n_real: int, n_fake: int, reason: str) -> None:
    fid, precision_recall = few(n_real, n_fake)
    assert [computed for _, computed, _ in values(fid)] == [True, True, True]
    names = ("precision", "recall", "density", "coverage")
    assert values(precision_recall) == [(name, False, reason) for name in names]


def test_one_sample_has_no_fid_and_three_images_have_no_floor() -> None:
    fid, _ = few(20, 1)
    reason = "FID needs at least 2 images on each side, not {} and {}"
    assert values(fid) == [(name, False, reason.format(20, 1)) for name in ("fid", "kid", "kid_std")]
    assert values(floor(features(3, 1, dataset="faces"), "demo", 0))[0] == ("fid", False, reason.format(1, 2))
    assert values(floor(features(4, 1, dataset="faces"), "demo", 0))[0] == ("fid", True, None)


@pytest.mark.parametrize(
    ("n_fake", "protocol", "refusal"),
    [(41, "inception-k5-n40", "FID takes 41 samples"), (40, "inception-k5-n41", "inception-k5-n41 takes 41 samples")],
)
def test_fewer_samples_than_the_protocol_takes_are_refused(n_fake: int, protocol: str, refusal: str) -> None:
    with pytest.raises(UserError, match=f"{refusal}, but .* on faces has 40: make more"):
        measure([REAL], [FAKE], n_fake, protocol)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"network": "vgg16fc2"}, "FID needs inception features"),
        ({"weights": "other"}, "different weights"),
        ({"samples": {"dataset": "cats"}}, "real features of cats cannot judge"),
    ],
)
def test_real_features_of_another_kind_are_refused(other: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        measure([Features(REAL.values, {**REAL.meta, **other})], [FAKE], 40)


def test_features_of_no_sample_file_are_refused() -> None:
    with pytest.raises(UserError, match="do not say their method, seed"):
        measure([REAL], [REAL], 20)


def test_the_floor_is_one_half_against_the_other_by_seed() -> None:
    real = features(21, 1, dataset="faces")
    one, again, other = floor(real, "demo", 0), floor(real, "demo", 0), floor(real, "demo", 1)
    assert one == again
    assert one["rows"][0]["value"] != other["rows"][0]["value"]
    assert (one["method"], one["preset"], one["dataset"], one["steps"]) == ("floor", "demo", "faces", None)
    row = one["rows"][0]
    assert (row["metric"], row["protocol"], row["n_real"], row["n_fake"]) == ("fid", FID, 10, 11)
