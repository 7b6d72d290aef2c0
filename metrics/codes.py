"""Where the samples of an IMLE run come from: codes of the prior against codes that were chosen in training.

IMLE trains the generator on the codes of nearest samples and draws from the prior.  This compares, at equal counts,

- prior: codes as `sample` draws them;
- assigned: the code that each training image had at the last step;
- selected: the nearest of a new pool to each training image, as the next reassignment would choose it;

each with the weights of the last step (raw) and, if the run has them, with the averaged ones.  The assigned codes are
in the saved state of the machine that trained the run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from common.console import UserError
from common.files import read_sealed, write_text
from common.hashing import derive_seed
from data.load import load
from metrics import equal_counts, fid
from metrics.collect import TEXTS
from metrics.features import extract
from metrics.precision_recall import precision_recall
from training.protocols import RUN_KEYS

if TYPE_CHECKING:
    import torch

    from methods.api import Latents
    from methods.imle.family import IMLE

SAMPLES = 500  # of the prior, at least
K = 5  # as in inception-k5
Row = dict[str, Any]
Generate = Callable[["Latents"], "torch.Tensor"]


def extend(path: Path, rows: list[Row]) -> None:
    """Write rows of one run into a table, in place of earlier rows of this run."""
    kept = read_table(path)
    table = pd.concat([kept[kept["run_hash"] != rows[0]["run_hash"]], pd.DataFrame(rows)])
    write_text(path, table.to_csv(index=False, lineterminator="\n"))


def read_table(path: Path) -> pd.DataFrame:
    """The table of other runs; empty if there is no file.  Raises `UserError` for another kind of file."""
    try:
        table = pd.read_csv(path, dtype=TEXTS) if path.is_file() else pd.DataFrame({"run_hash": []})
    except ValueError:
        table = pd.DataFrame()
    if "run_hash" not in table:
        raise UserError(f"{path} is not a table of codes; name another file with --out")
    return table


def measure(folder: Path, state_root: Path, device: torch.device) -> list[Row]:
    """One row for each kind of codes and weights, with FID, precision, recall, density, coverage and `spread`.

    All with as many samples as training images; of more samples the mean of several draws.
    Raises `UserError` as `training.sampling.load_run` does, and if the run is not of the IMLE family or has no state.
    """
    record = read_sealed(folder / "run.json")
    method = with_state(folder, record, state_root, device)
    real, _ = load(record["dataset"], record["resolution"], record["split"])
    features = extract(real, "inception", device=device)
    rows = []
    for codes, latents in kinds(method):
        for weights, generate in generators(method).items():
            images = draw(generate, latents)
            measured = compare(real, features, images, extract(images, "inception", device=device), record["seed"])
            what = {key: record[key] for key in RUN_KEYS}
            norm = float(latents.z.square().mean().sqrt())
            rows.append(what | {"codes": codes, "weights": weights, "code_rms": norm} | measured)
    return rows


def with_state(folder: Path, record: Row, state_root: Path, device: torch.device) -> IMLE:
    """The method of a finished run with its assigned codes and the weights of the last step."""
    from methods.imle.family import IMLE
    from training.checkpoint import RunState
    from training.sampling import load_run

    method = load_run(folder, device)
    if not isinstance(method, IMLE):
        raise UserError(f"{folder} is a run of {method.name}, which assigns no codes; name a run of the IMLE family")
    kept = state_root / record["run_hash"]
    if not kept.is_dir():
        raise UserError(f"{kept} does not exist: only the machine that trained {folder} has the assigned codes")
    with RunState(kept) as state:
        found = state.load(device)
    if found is None or found[0] != record["steps"]:
        raise UserError(f"{kept} has no state of step {record['steps']}; delete {folder} and train again")
    method.load_state_dict(found[1])
    return method


def kinds(method: IMLE) -> Iterator[tuple[str, Latents]]:
    yield "prior", method.latents(max(SAMPLES, len(method.images)), method.streams.generator("codes"))
    yield "assigned", method.assigned
    method.reassign(method.everyone)
    yield "selected", method.assigned


def generators(method: IMLE) -> dict[str, Generate]:
    found: dict[str, Generate] = {"raw": method.generate_raw}
    return found if method.average is None else found | {"averaged": method.generate}


def draw(generate: Generate, latents: Latents) -> NDArray[np.uint8]:
    import torch

    from methods.api import to_uint8
    from training.sampling import CHUNK

    with torch.no_grad():
        return np.concatenate([to_uint8(generate(part)).numpy() for part in latents.chunks(CHUNK)])


def compare(
    real: NDArray[np.uint8],
    real_features: NDArray[np.float32],
    fake: NDArray[np.uint8],
    fake_features: NDArray[np.float32],
    seed: int,
) -> Row:
    """Numbers at equal counts, and the spread of all samples."""

    def numbers(drawn: NDArray[Any]) -> dict[str, float]:
        return {"fid": fid.frechet_distance(real_features, drawn), **precision_recall(real_features, drawn, K)}

    generator = np.random.default_rng(derive_seed(seed, "codes"))
    return equal_counts.mean_of_draws(numbers, len(real), fake_features, generator) | spread(real, fake)


def spread(real: NDArray[np.uint8], fake: NDArray[np.uint8]) -> dict[str, float]:
    """Standard deviations over samples as shares of those over training images: of pixels, and of the mean colour."""
    parts = {"pixel_spread": lambda images: images, "colour_spread": lambda images: images.mean(axis=(1, 2))}
    return {name: float(deviation(of(fake)) / deviation(of(real))) for name, of in parts.items()}


def deviation(values: NDArray[Any]) -> float:
    """The root of the mean variance over the first axis."""
    return float(values.astype(np.float64).var(axis=0).mean() ** 0.5)
