"""Metric files from feature files: which real features meet which fakes, what the rows say, and the floor."""

from __future__ import annotations

import numpy as np
import pytest

from common.console import UserError
from metrics.evaluate import HEADER, evaluate, floor
from metrics.features import Features
from metrics.fid import frechet_distance
from training.identity import sources_digest

SAMPLES = {
    "dataset": "faces",
    "method": "fastgan",
    "seed": 0,
    "split": "full",
    "steps": 900,
    "run_hash": "abc",
}
WIDTH = {"inception": 2048, "vgg16fc2": 4096}


def features(n: int, draw: int, network: str = "inception", /, **samples: object) -> Features:
    values = np.random.default_rng(draw).random((n, WIDTH[network])).astype(np.float32)
    return Features(values, {"network": network, "weights": "w", "samples": samples})


def test_rows_carry_protocol_and_counts() -> None:
    real, fake = features(20, 1, dataset="faces"), features(40, 2, **SAMPLES)
    fid, precision_recall = evaluate([real], [fake], "demo", 38, ["inception-k5-n30", "inception-k3-n40"])
    assert {key: fid[key] for key in (*HEADER, "preset")} == SAMPLES | {"preset": "demo"}
    assert {key: precision_recall[key] for key in HEADER} == SAMPLES
    by_metric = {row["metric"]: row for row in fid["rows"]}
    assert by_metric["fid"]["value"] == frechet_distance(real.values, fake.values[:38])
    assert (by_metric["fid"]["protocol"], by_metric["kid"]["protocol"]) == (
        "inception-clean",
        "inception-clean-s100",
    )
    assert (by_metric["fid"]["n_real"], by_metric["fid"]["n_fake"]) == (20, 38)
    counts = [(row["protocol"], row["metric"], row["n_fake"]) for row in precision_recall["rows"]]
    assert ("inception-k5-n30", "precision", 30) in counts
    assert ("inception-k3-n40", "recall", 40) in counts
    assert len(counts) == 8


def test_each_protocol_gets_the_features_of_its_network() -> None:
    real = [features(20, 1, network, dataset="faces") for network in WIDTH]
    fake = [features(40, 2, network, **SAMPLES) for network in reversed(WIDTH)]
    _, precision_recall = evaluate(real, fake, "demo", 40, ["vgg16fc2-k3-n40"])
    assert precision_recall["rows"][0]["protocol"] == "vgg16fc2-k3-n40"
    with pytest.raises(UserError, match="vgg16fc2-k3-n40 needs vgg16fc2 features"):
        evaluate(real[:1], fake, "demo", 40, ["vgg16fc2-k3-n40"])


def test_the_control_of_real_images_is_measured_with_as_many_as_there_are() -> None:
    real, fake = features(20, 1, dataset="faces"), features(20, 2, **SAMPLES, exhausted=True)
    fid, precision_recall = evaluate([real], [fake], "demo", 200, ["inception-k5-n200"])
    assert precision_recall["rows"][0]["n_fake"] == 20
    assert (fid["rows"][0]["n_fake"], fid["rows"][0]["protocol"]) == (20, "inception-clean")


@pytest.mark.parametrize(
    ("n_fake", "protocol", "refusal"),
    [(41, "inception-k5-n40", "FID takes 41 samples"), (40, "inception-k5-n41", "inception-k5-n41 takes 41 samples")],
)
def test_fewer_samples_than_the_protocol_takes_are_refused(n_fake: int, protocol: str, refusal: str) -> None:
    real, fake = features(20, 1, dataset="faces"), features(40, 2, **SAMPLES)
    with pytest.raises(UserError, match=f"{refusal}, but .* on faces has 40: make more"):
        evaluate([real], [fake], "demo", n_fake, [protocol])


def test_samples_of_a_method_that_was_edited_since_are_refused() -> None:
    real, samples = features(20, 1, dataset="faces"), {**SAMPLES, "method": "fastgan"}
    evaluate([real], [features(40, 2, **samples, sources_hash=sources_digest("fastgan"))], "demo", 40, [])
    with pytest.raises(UserError, match="made by other sources of fastgan"):
        evaluate([real], [features(40, 2, **samples, sources_hash="of yesterday")], "demo", 40, [])


def test_numbers_repeat() -> None:
    real, fake = features(20, 1, dataset="faces"), features(40, 2, **SAMPLES)
    one, again = (evaluate([real], [fake], "demo", 40, ["inception-k5-n30"]) for _ in range(2))
    assert one == again


def test_samples_of_one_dataset_are_not_judged_by_another() -> None:
    with pytest.raises(UserError, match="faces"):
        evaluate([features(20, 1, dataset="cats")], [features(40, 2, **SAMPLES)], "demo", 40, ["inception-k5-n30"])


def test_real_features_cannot_stand_for_samples() -> None:
    real = features(20, 1, dataset="faces")
    with pytest.raises(UserError, match="do not say their method, seed"):
        evaluate([real], [real], "demo", 20, ["inception-k5-n20"])


def test_the_floor_is_one_half_against_the_other_by_seed() -> None:
    real = features(21, 1, dataset="faces")
    one, again, other = floor(real, "demo", 0), floor(real, "demo", 0), floor(real, "demo", 1)
    assert one == again
    assert one["rows"][0]["value"] != other["rows"][0]["value"]
    assert (one["method"], one["preset"], one["dataset"], one["steps"]) == ("floor", "demo", "faces", None)
    row = one["rows"][0]
    assert (row["metric"], row["protocol"], row["n_real"], row["n_fake"]) == ("fid", "inception-clean", 10, 11)
