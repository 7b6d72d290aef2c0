"""The table of measured checkpoints: quality against training time, for figures, report and statistics."""

from __future__ import annotations

import pandas as pd

from metrics.collect import TEXTS
from workflow.rendering.results import Results

EXCEPT = "recall and coverage: as many as images; LPIPS: held-out images"  # which metrics are not on `samples`
COLUMNS = ["dataset", "method", "seed", "split", "step", "share", "seconds", "metric", "protocol", "value", "n_fake"]


def checkpoints(results: Results) -> pd.DataFrame:
    """The rows of learning.csv of the preset's present runs and shares, with the seconds that count; perhaps none.

    share: of the training's steps, as in the preset.  seconds: of the processor; of the clock for a training on a GPU.
    """
    path, runs = results.folder / "learning.csv", {run["run_hash"]: run for run in results.runs}
    if not (results.preset.training.checkpoints and path.is_file()):
        return pd.DataFrame(columns=COLUMNS)
    frame = pd.read_csv(path, dtype=TEXTS).dropna(subset="value")
    frame = frame[frame["run_hash"].isin(list(runs)) & frame["method"].isin([row.id for row in results.generators])]
    on_gpu = frame["run_hash"].map(lambda name: bool(runs[name]["hardware"]["gpu"]))
    seconds = frame["seconds"].where(on_gpu, frame["processor_seconds"])
    shares = [*results.preset.training.checkpoints, 1.0]
    asked = {(name, max(1, round(share * run["steps"]))): share for name, run in runs.items() for share in shares}
    share = pd.Series(zip(frame["run_hash"], frame["step"], strict=True), frame.index).map(asked)
    return frame.assign(seconds=seconds, share=share).dropna(subset="share")[COLUMNS]


def samples(table: pd.DataFrame) -> str:
    """How many samples FID, copies and mode distance were measured on: "500 samples"."""
    counts = table.loc[table["metric"] == "fid", "n_fake"].astype(int).drop_duplicates()
    return f"{', '.join(f'{count:,}' for count in sorted(counts)) or 'no'} samples"
