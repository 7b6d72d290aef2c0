"""Copies and diversity of one sample set: everything that is measured beside FID, KID, precision and recall.

From the images: copy rate in pixels, in LPIPS and if asked for by SSCD, mode distance and intra-cluster LPIPS.
From their features: precision, recall, density, coverage and Vendi score with as many samples as real images, AuthPct,
and Fréchet distances in further networks.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from common.console import UserError
from common.hashing import derive_seed
from metrics import copy_rate, equal_counts, fid, sscd
from metrics.evaluate import computed_fid, computed_precision_recall
from metrics.features import Features
from metrics.precision_recall import distances
from metrics.rows import Row, metric_rows
from training.config import Preset
from training.protocols import FID, FID_LEAST, PIXELS, RUN_KEYS
from training.sections import Metrics

if TYPE_CHECKING:
    import torch

    from networks.lpips import LPIPS


@dataclass(frozen=True)
class ImageSet:
    """images: uint8 (n, H, W, 3).  features: float32 (n, d) of the same images by network, at least `inception`."""

    images: NDArray[np.uint8]
    features: dict[str, NDArray[np.float32]]

    def __getitem__(self, which: slice | NDArray[Any]) -> ImageSet:
        return ImageSet(self.images[which], {name: values[which] for name, values in self.features.items()})


def image_set(images: NDArray[np.uint8], features: Iterable[Features]) -> ImageSet:
    return ImageSet(images, {part.meta["network"]: part.values for part in features})


def extracted(images: NDArray[np.uint8], settings: Metrics, device: torch.device | str) -> ImageSet:
    """Images with their features by all networks that the settings need."""
    from metrics.features import extract

    return ImageSet(images, {name: extract(images, name, device=device) for name in settings.networks})


def of_samples(
    real: ImageSet, fake: ImageSet, described: dict[str, Any], preset: Preset, lpips: LPIPS
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The contents of diversity.json of one sample set, and the arrays of diversity.npz.

    described: the meta of the sample file.
    """
    header = {key: described[key] for key in RUN_KEYS}
    seed = derive_seed(header["seed"], header["dataset"], header["method"])
    measured, copies = rows(real, fake[: preset.sampling.n], preset.metrics, lpips, seed)
    return {"preset": preset.preset, **header, "rows": measured}, copies


def of_halves(real: ImageSet, dataset: str, preset: Preset, lpips: LPIPS) -> dict[str, Any]:
    """The contents of diversity.json of the halves, with the pairs of near-duplicates of the dataset."""
    what = {"dataset": dataset, "method": "floor", "seed": 0, "split": "full", "steps": None, "run_hash": None}
    duplicates = copy_rate.near_duplicates(copy_rate.references(real.images).among)
    measured = halves(real, preset.metrics, lpips, 0, dataset)
    return {"preset": preset.preset, **what, "rows": measured, "near_duplicates": duplicates}


def all_rows(
    real: ImageSet, fake: ImageSet, settings: Metrics, lpips: LPIPS, generator: np.random.Generator, seed: int
) -> list[Row]:
    """FID, KID, precision and recall of each protocol, and `rows`.  generator: of KID's subsets."""
    measured = frechet_rows(real, fake, generator) + precision_recall_rows(real, fake, settings)
    return measured + rows(real, fake, settings, lpips, seed)[0]


def frechet_rows(real: ImageSet, fake: ImageSet, generator: np.random.Generator) -> list[Row]:
    return computed_fid(real.features["inception"], fake.features["inception"], generator)


def precision_recall_rows(real: ImageSet, fake: ImageSet, settings: Metrics) -> list[Row]:
    """By the preset's own protocols."""
    return [
        row
        for protocol in settings.precision_recall
        for row in computed_precision_recall(real.features[protocol.network], fake.features[protocol.network], protocol)
    ]


def rows(
    real: ImageSet, fake: ImageSet, settings: Metrics, lpips: LPIPS, seed: int
) -> tuple[list[Row], dict[str, NDArray[Any]]]:
    """All numbers as rows of a metrics file, and the arrays of `copy_rate.Copies` in pixels.

    LPIPS between all pairs of samples takes long, so it is computed for the first n of the first precision and recall
    protocol.  seed: of the draws of samples.
    """
    few = fake.images[: settings.precision_recall[0].n_fake]
    in_pixels, copies = pixel_rows(real.images, fake.images)
    measured = feature_rows(real, fake, settings, seed) + in_pixels
    measured += lpips_rows(real.images, few, lpips, settings)
    return measured + (sscd.rows(real.images, few) if settings.sscd else []), copies


def halves(real: ImageSet, settings: Metrics, lpips: LPIPS, seed: int, dataset: str) -> list[Row]:
    """The same for one half of the real images against the other, about what new images of the same kind would get.

    Precision and recall have rows by the preset's own protocols too.  The halves are those of FID.  Too few images have
    no rows.
    """
    if len(real.images) < 2 * FID_LEAST:
        return []
    one, other = (real[part] for part in half_indices(len(real.images), seed, dataset))
    measured, _ = rows(one, other, settings, lpips, seed)
    return measured + precision_recall_rows(one, other, settings)


def half_indices(n: int, seed: int, dataset: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """Indices of the halves of n real images, as `evaluate.floor` divides them."""
    return fid.halves(np.arange(n), np.random.default_rng(derive_seed(seed, dataset, "floor")))


def feature_rows(real: ImageSet, fake: ImageSet, settings: Metrics, seed: int) -> list[Row]:
    measured: list[Row] = []
    # Protocols that differ only in the number of samples are one at equal counts.
    for protocol in {protocol.equal_counts: protocol for protocol in settings.precision_recall}.values():
        pair = (real.features[protocol.network], fake.features[protocol.network])
        measured += equal_counts.precision_recall_rows(*pair, protocol, _generator(seed, "equal counts"))
    inception = (real.features["inception"], fake.features["inception"])
    measured += equal_counts.vendi_rows(*inception, _generator(seed, "vendi"))
    counts = len(real.images), len(fake.images)
    if min(counts) < FID_LEAST:
        return measured
    alike = {"authpct": copy_rate.authenticity(*inception), "mifid": fid.mifid(*inception)}
    measured += metric_rows(alike, FID, *counts)
    for network in settings.frechet:
        value = fid.frechet_distance(real.features[network], fake.features[network])
        measured += metric_rows({"fd": value}, network, *counts)
    return measured


def pixel_rows(real: NDArray[np.uint8], fake: NDArray[np.uint8]) -> tuple[list[Row], dict[str, NDArray[Any]]]:
    """Copy rate and mode distance (root mean square difference, in the range 0 to 1) in pixels at 32 x 32."""
    references, points = copy_rate.references(real), copy_rate.pixels(fake)
    to_real = distances(points, references.plain)
    mirrored = distances(points, references.mirrored)
    distance = float(to_real.min(axis=0).mean() / points.shape[1] ** 0.5)
    measured = metric_rows({"mode_distance": distance}, PIXELS, len(real), len(fake))
    found, copies = _copies(to_real, mirrored, references.among, PIXELS, real)
    return measured + found, copies


def lpips_rows(real: NDArray[np.uint8], fake: NDArray[np.uint8], lpips: LPIPS, settings: Metrics) -> list[Row]:
    """Copy rate, mode distance and, if any two samples have the same nearest image, intra-cluster LPIPS."""
    from metrics.perceptual import intra_cluster, lpips_matrix, mode_distance

    everything = np.concatenate([real, copy_rate.mirror(real), fake])
    matrix = lpips_matrix(everything, lpips, settings.backtracking.upsample)
    plain, flipped, samples = np.split(np.arange(len(everything)), [len(real), 2 * len(real)])
    to_real, protocol = matrix[np.ix_(samples, plain)], settings.backtracking.perceptual
    among = copy_rate.among_images(matrix[np.ix_(plain, plain)], matrix[np.ix_(plain, flipped)])
    values = {"mode_distance": mode_distance(to_real)}
    intra = intra_cluster(to_real, matrix[np.ix_(samples, samples)])
    if intra is not None:
        values["intra_lpips"] = intra
    measured = metric_rows(values, protocol, len(real), len(fake))
    return measured + _copies(to_real, matrix[np.ix_(samples, flipped)], among, protocol, real)[0]


def _copies(
    to_real: NDArray[Any], mirrored: NDArray[Any], among: NDArray[Any], protocol: str, real: NDArray[np.uint8]
) -> tuple[list[Row], dict[str, NDArray[Any]]]:
    try:
        copies = copy_rate.compare(to_real, mirrored, among)
    except UserError:  # one image repeated: no rate, and everything else is still measured
        return [], dict.fromkeys(("ratio", "nearest", "mirrored"), np.empty(0))
    return copy_rate.rows(copies, protocol, len(real)), vars(copies)


def _generator(seed: int, purpose: str) -> np.random.Generator:
    return np.random.default_rng(derive_seed(seed, purpose))
