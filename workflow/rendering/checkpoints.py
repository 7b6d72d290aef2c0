"""The table of measured checkpoints: quality against training time, for figures, report and statistics."""

from __future__ import annotations

import numpy as np
import pandas as pd

from metrics.collect import TEXTS
from workflow.rendering.results import Results

COLUMNS = ["dataset", "method", "seed", "split", "step", "share", "seconds", "metric", "protocol", "value", "n_fake"]


def checkpoints(results: Results) -> pd.DataFrame:
    """The rows of learning.csv of the preset's present runs, with the seconds that count; empty if it has none.

    share: of the training's steps, as in the preset.  seconds: of the processor; of the clock for a training on a GPU.
    """
    path, runs = results.folder / "learning.csv", {run["run_hash"]: run for run in results.runs}
    if not (results.preset.training.checkpoints and path.is_file()):
        return pd.DataFrame(columns=COLUMNS)
    frame = pd.read_csv(path, dtype=TEXTS).dropna(subset="value")
    frame = frame[frame["run_hash"].isin(list(runs)) & frame["method"].isin([row.id for row in results.generators])]
    on_gpu = frame["run_hash"].map(lambda name: bool(runs[name]["hardware"]["gpu"]))
    seconds = frame["seconds"].where(on_gpu, frame["processor_seconds"])
    shares = np.array([*results.preset.training.checkpoints, 1.0])
    passed = frame["step"] / frame["run_hash"].map(lambda name: runs[name]["steps"])
    nearest = np.abs(passed.to_numpy()[:, None] - shares).argmin(axis=1)
    return frame.assign(seconds=seconds, share=shares[nearest])[COLUMNS]


def samples(table: pd.DataFrame) -> str:
    """How many samples FID and copies were measured on: "500 samples"."""
    counts = table.loc[table["metric"] == "fid", "n_fake"].astype(int).drop_duplicates()
    return f"{', '.join(f'{count:,}' for count in sorted(counts)) or 'no'} samples"
