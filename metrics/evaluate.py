"""Compute metric files from feature files: FID and KID, precision and recall, and the floor of FID for real images.

A metric file is JSON: what was measured (RUN_KEYS), then `rows`, one number each.  A row whose number cannot be
computed has the value null and a `reason`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.console import UserError
from common.hashing import derive_seed
from metrics import fid, precision_recall
from metrics.features import Features, check_comparable, check_network
from metrics.rows import Row, not_computed
from training.protocols import FID, FID_LEAST, RUN_KEYS, PrecisionRecall


def evaluate(
    real: Iterable[Features],
    fake: Iterable[Features],
    preset: str,
    n_fake: int,
    protocols: Iterable[PrecisionRecall],
    full: Features | None = None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The contents of fid.json and precision_recall.json of one sample set.

    real, fake: one per feature network.  n_fake: number of samples for FID and KID; precision and recall use the number
    in their protocol.  A set that has no more samples ("exhausted": the real-images control, samples made elsewhere) is
    measured with those that it has; `n_fake` in its rows is their number.  A number that needs more real images or
    samples than there are has a reason instead.  full: Inception features of the set of which the training images are a
    part; FID against them is the row `fid_full`, which can be compared between parts.

    Raises `UserError` if a method drew fewer samples than a protocol takes, if its network is missing, and if real and
    fake features are not comparable.
    """
    pairs = _pair(real, fake)
    reference, samples = _of_network(pairs, "inception", "FID")
    header = {"preset": preset, **_header(samples)}
    _refuse_too_few(samples, n_fake, "FID")
    generator = np.random.default_rng(derive_seed(header["seed"], header["dataset"], header["method"], "kid"))
    fid_rows = computed_fid(reference.values, samples.values[:n_fake], generator)
    if full is not None:
        check_network(full, samples)
        against_full = computed_fid(full.values, samples.values[:n_fake], generator)
        fid_rows += [{**row, "metric": "fid_full"} for row in against_full if row["metric"] == "fid"]
    pr_rows = []
    for protocol in protocols:
        reference, samples = _of_network(pairs, protocol.network, str(protocol))
        _refuse_too_few(samples, protocol.n_fake, str(protocol))
        pr_rows += computed_precision_recall(reference.values, samples.values[: protocol.n_fake], protocol)
    return {**header, "rows": fid_rows}, {**header, "rows": pr_rows}


def floor(real: Features, preset: str, seed: int) -> dict[str, Any]:
    """The contents of fid.json for the method `floor`: one random half of the real images against the other."""
    dataset = real.meta["samples"]["dataset"]
    generator = np.random.default_rng(derive_seed(seed, dataset, "floor"))
    one, other = fid.halves(real.values, generator)
    what = {"dataset": dataset, "method": "floor", "seed": seed, "split": "full", "steps": None, "run_hash": None}
    return {"preset": preset, **what, "rows": computed_fid(one, other, generator)}


def computed_fid(real: NDArray[np.float32], fake: NDArray[np.float32], generator: np.random.Generator) -> list[Row]:
    if min(len(real), len(fake)) >= FID_LEAST:
        return fid.rows(real, fake, generator)
    reason = f"FID needs at least {FID_LEAST} images on each side, not {len(real)} and {len(fake)}"
    counts = len(real), len(fake)
    return not_computed(["fid"], FID, reason, *counts) + not_computed(["kid", "kid_std"], fid.KID, reason, *counts)


def computed_precision_recall(
    real: NDArray[np.float32], fake: NDArray[np.float32], protocol: PrecisionRecall
) -> list[Row]:
    reasons = [protocol.why_not(len(real), "real images"), protocol.why_not(len(fake), "samples")]
    if reason := next(filter(None, reasons), None):
        return not_computed(precision_recall.NAMES, str(protocol), reason, len(real), len(fake))
    return precision_recall.rows(real, fake, protocol)


def _pair(real: Iterable[Features], fake: Iterable[Features]) -> dict[str, tuple[Features, Features]]:
    """Real and fake features by network."""
    fakes = {features.meta["network"]: features for features in fake}
    pairs = {}
    for features in real:
        network = features.meta["network"]
        if network in fakes:
            check_comparable(features, fakes[network])
            pairs[network] = (features, fakes[network])
    return pairs


def _of_network(pairs: dict[str, tuple[Features, Features]], network: str, what: str) -> tuple[Features, Features]:
    if network not in pairs:
        raise UserError(f"{what} needs {network} features, real and fake; pass both files with --real and --fake")
    return pairs[network]


def _refuse_too_few(samples: Features, n: int, what: str) -> None:
    found, described = len(samples.values), samples.meta["samples"]
    if found < n and not described.get("exhausted"):
        raise UserError(
            f"{what} takes {n} samples, but {described['method']} on {described['dataset']} has {found}: "
            "make more, or lower sampling.n and the n of metrics.precision_recall"
        )


def _header(samples: Features) -> dict[str, Any]:
    described = samples.meta["samples"]
    missing = [key for key in RUN_KEYS if key not in described]
    if missing:
        raise UserError(f"the fake features do not say their {', '.join(missing)}: extract those of a sample file")
    return {key: described[key] for key in RUN_KEYS}
