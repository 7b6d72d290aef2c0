"""All metrics that need no generator, for a folder of samples made anywhere: `python -m metrics score`.

Neither Snakemake nor a preset is needed.  Weights are fetched on first use.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from common.console import UserError, say
from common.hashing import derive_seed
from data.external import first_side, read_samples
from data.images import to_square
from metrics import diversity, features, sscd
from metrics.rows import Row
from networks.lpips import LPIPS
from networks.weights import fetch
from training.protocols import DENSE, FID_LEAST, Backtracking, PrecisionRecall
from training.sections import Metrics

if TYPE_CHECKING:
    import torch

K = 5  # neighbours for precision and recall
MOST = 1000  # samples for precision and recall, and for LPIPS between samples
LPIPS_SIDE = {"alex": 64, "vgg": 16}  # pixels to which smaller images are enlarged


def read(folder: Path, resolution: int, what: str) -> NDArray[np.uint8]:
    """The images of a folder, uint8 (n, resolution, resolution, 3); of a prepared dataset or an .npz too.

    what: "samples", or "images" for the training images.  Raises `UserError` as `read_samples` does.
    """
    if (folder / "images.npy").is_file():
        images, _ = features.read_prepared(folder / "images.npy")
        return np.stack([np.asarray(to_square(Image.fromarray(image), resolution)) for image in images])
    return read_samples(folder, resolution, what)


def shorter_side(folder: Path) -> int:
    """The shorter side in pixels of the first image of a folder, by which its resolution is chosen.

    Raises `UserError` if the folder contains no readable image.
    """
    if (folder / "images.npy").is_file():
        images, _ = features.read_prepared(folder / "images.npy")
        return int(images.shape[1])
    return first_side(folder)


def score_folders(
    folder: Path,
    against: Path,
    resolution: int | None,
    settings: Metrics,
    protocol: str | None,
    device: torch.device | str,
) -> dict[str, Any]:
    """What `score` gives for the samples in `folder` and the training images in `against`, and how it was measured.

    resolution: of both; None takes the shorter side of the smaller one.
    protocol: of precision and recall; None takes Inception, k = 5 and at most 1,000 samples.
    Raises `UserError` for folders that cannot be read and for a protocol that needs more samples than there are.
    """
    found = [shorter_side(place) for place in (folder, against)]
    side = resolution or min(found)
    if side < found[1] and not resolution:
        say(
            f"warning: the samples have {found[0]} px, the training images {found[1]}: both are measured at {side} px. "
            f"For FID as in the tables, add --resolution {found[1]}"
        )
    if settings.sscd:  # before anything is measured
        sscd.check(side)
    real, fake = read(against, side, "images"), read(folder, side, "samples")
    n = len(fake)
    if len(real) < FID_LEAST:
        raise UserError(f"{against} holds {len(real)} image, but at least {FID_LEAST} are needed to compare with")
    chosen = PrecisionRecall.parse(protocol) if protocol else PrecisionRecall("inception", K, max(K + 2, min(MOST, n)))
    if protocol and chosen.n_fake > n:
        raise UserError(f"{chosen} takes {chosen.n_fake} samples, but {folder} has {n}: make more, or lower its n")
    net = settings.backtracking.net
    backtracking = Backtracking(net=net, upsample=max(1, -(-LPIPS_SIDE[net] // side)))
    settings = settings.model_copy(update={"precision_recall": (chosen,), "backtracking": backtracking})
    scored = score(real, fake, settings, device)
    return {"folder": str(folder), "against": str(against), "resolution": side, **scored}


def score(
    real: NDArray[np.uint8], fake: NDArray[np.uint8], settings: Metrics, device: torch.device | str
) -> dict[str, list[Row]]:
    """`samples`: the rows of the samples.  `halves`: those of one half of the real images against the other."""
    for name in (*settings.networks, f"lpips_{settings.backtracking.net}"):
        fetch(name)
    lpips = LPIPS(settings.backtracking.net).to(device)
    training, generated = (diversity.extracted(images, settings, device) for images in (real, fake))
    samples = diversity.all_rows(training, generated, settings, lpips, _generator(), derive_seed("score"))
    one, other = (training[part] for part in diversity.half_indices(len(real), 0, "score"))
    halves = diversity.frechet_rows(one, other, _generator()) + diversity.halves(training, settings, lpips, 0, "score")
    return {"samples": samples, "halves": halves}


def _generator() -> np.random.Generator:
    return np.random.default_rng(derive_seed("score", "kid"))


def text(scored: dict[str, Any]) -> str:
    """A table with the numbers of the samples beside those of the halves, and what to know when reading it."""
    halves = {(row["metric"], row["protocol"]): row["value"] for row in scored["halves"]}
    lines = [("metric", "value", "halves", "samples", "images", "protocol")]
    for row in scored["samples"]:
        half = halves.get((row["metric"], row["protocol"]))
        shown = [f"{value:.4g}" if value is not None else "" for value in (row["value"], half)]
        lines.append((row["metric"], *shown, str(row["n_fake"]), str(row["n_real"]), row["protocol"]))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    table = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    reasons: dict[str, dict[str, None]] = {}  # with the metrics that each concerns, in order
    for row in scored["samples"] + scored["halves"]:
        if row["value"] is None:
            reasons.setdefault(row["reason"], {})[row["metric"]] = None
    notes = [
        "",
        f"{scored['folder']} against {scored['against']}, both at {scored['resolution']} px.",
        "halves: one half of the training images against the other, for comparison; it has half as many images.",
    ]
    notes += [f"Not computed: {', '.join(metrics)} ({reason})." for reason, metrics in reasons.items()]
    if any(row["metric"] == "density" and (row["value"] or 0) > DENSE for row in scored["samples"]):
        notes.append(f"A density above {DENSE} means that samples crowd around few training images.")
    return "\n".join(table + notes)
