"""Compute metric files from feature files: FID and KID, precision and recall, and the floor of FID for real images.

A metric file is JSON: what was measured (HEADER), then `rows`, one number each.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from common.console import UserError
from common.hashing import derive_seed
from metrics import fid, precision_recall
from metrics.features import Features, check_comparable
from training.protocols import PrecisionRecall

HEADER = ("dataset", "method", "seed", "split", "steps", "run_hash")


def evaluate(
    real: Iterable[Features], fake: Iterable[Features], preset: str, n_fake: int, protocols: Iterable[PrecisionRecall]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The contents of fid.json and precision_recall.json of one sample set.

    real, fake: one per feature network.  n_fake: number of samples for FID and KID; precision and recall use the number
    in their protocol.  The real-images control has fewer samples and is measured with all of them; `n_fake` in its rows
    is their number.

    Raises `UserError` if there are fewer samples than a protocol needs, if its network is missing, and if real and fake
    features are not comparable.
    """
    pairs = _pair(real, fake)
    reference, samples = _of_network(pairs, "inception", "FID")
    header = {"preset": preset, **_header(samples)}
    _refuse_too_few(samples, n_fake, "FID")
    generator = np.random.default_rng(derive_seed(header["seed"], header["dataset"], header["method"], "kid"))
    fid_rows = fid.rows(reference.values, samples.values[:n_fake], generator)
    pr_rows = []
    for protocol in protocols:
        reference, samples = _of_network(pairs, protocol.network, str(protocol))
        _refuse_too_few(samples, protocol.n_fake, str(protocol))
        pr_rows += precision_recall.rows(reference.values, samples.values, protocol)
    return {**header, "rows": fid_rows}, {**header, "rows": pr_rows}


def floor(real: Features, preset: str, seed: int) -> dict[str, Any]:
    """The contents of fid.json for the method `floor`: one random half of the real images against the other."""
    dataset = real.meta["samples"]["dataset"]
    generator = np.random.default_rng(derive_seed(seed, dataset, "floor"))
    one, other = fid.halves(real.values, generator)
    what = {"preset": preset, "dataset": dataset, "method": "floor", "seed": seed, "split": "full"}
    return {**what, "steps": None, "run_hash": None, "rows": fid.rows(one, other, generator)}


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
    missing = [key for key in HEADER if key not in described]
    if missing:
        raise UserError(f"the fake features do not say their {', '.join(missing)}: extract those of a sample file")
    return {key: described[key] for key in HEADER}
