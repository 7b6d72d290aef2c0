"""From metrics.csv to the cells of a table: selection, mean and deviation over seeds, bootstrap intervals."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from common.console import UserError
from common.hashing import derive_seed
from workflow.scripts.settings import Entry, Settings

COLUMNS = (
    *("preset", "dataset", "method", "split", "seed", "metric", "value", "protocol"),
    *("n_real", "n_fake", "steps", "run_hash"),
)
FLOOR = Entry("floor", "Floor (real halves)", "floor", backtracks=False)
RESAMPLES = 10_000


@dataclass(frozen=True)
class Metric:
    """How a metric is selected and printed.  `protocol`: its key in the settings; `better`: "lower" or "higher"."""

    id: str
    title: str
    better: str
    decimals: int
    protocol: str
    split: str

    @property
    def arrow(self) -> str:
        return "↓" if self.better == "lower" else "↑"

    def format(self, value: float) -> str:
        return f"{value:.{self.decimals}f}"


METRICS = {
    metric.id: metric
    for metric in (
        Metric("fid", "FID", "lower", 1, "fid", "full"),
        Metric("lpips_backtracking", "LPIPS", "lower", 3, "lpips_backtracking", "train90"),
        Metric("precision", "Precision", "higher", 2, "precision_recall", "full"),
        Metric("recall", "Recall", "higher", 2, "precision_recall", "full"),
    )
}


@dataclass(frozen=True)
class Cell:
    """One number of a table, or the reason why there is none.

    values: one per seed.  interval: 95% bootstrap over held-out images (backtracking only), of which there are
    `items`.  counts: the distinct (n_real, n_fake) behind the values.
    """

    dataset: str
    method: str
    metric: Metric
    values: tuple[float, ...] = ()
    reason: str = ""
    interval: tuple[float, float] | None = None
    items: int = 0
    counts: tuple[tuple[int, int], ...] = ()
    steps: tuple[int, ...] = ()

    @cached_property
    def mean(self) -> float:
        return float(np.mean(self.values)) if self.values else float("nan")

    @cached_property
    def std(self) -> float | None:
        """Sample standard deviation over seeds; None for fewer than two."""
        return float(np.std(self.values, ddof=1)) if len(self.values) > 1 else None

    @property
    def text(self) -> str:
        """The number as printed, or the reason: equal texts are ties."""
        return self.metric.format(self.mean) if self.values else self.reason


def read_metrics(path: Path | str, settings: Settings) -> pd.DataFrame:
    """The tidy metrics of one preset.

    Raises `UserError` if a column is missing, if a number stands twice, or if any row is of another preset than the
    settings': numbers of two presets must never share a table.
    """
    try:
        frame = pd.read_csv(path, dtype={"dataset": str, "method": str, "split": str, "protocol": str})
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; run snakemake --cores all {path}") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise UserError(f"{path} is not a CSV table ({error}); delete it and run again") from None
    missing = [name for name in COLUMNS if name not in frame]
    if missing:
        raise UserError(f"{path} lacks the column {missing[0]}; delete it and run again")
    strangers = sorted(set(frame["preset"].astype(str)) - {settings.preset})
    if strangers:
        raise UserError(
            f"{path} holds numbers of preset {', '.join(strangers)}, the settings are those of {settings.preset}; "
            "presets are never mixed in one table: delete the file and run again"
        )
    if "item" not in frame:
        frame["item"] = np.nan
    key = ["dataset", "method", "split", "seed", "metric", "protocol", "item"]
    twice = frame[frame.duplicated(key)]
    if len(twice):
        row = twice.iloc[0]
        raise UserError(
            f"{path} holds {row.metric} of {row.method} on {row.dataset}, seed {row.seed}, twice; "
            "delete the file and run again"
        )
    return frame


def rows_of_table(frame: pd.DataFrame, settings: Settings) -> list[Entry]:
    """The configured methods, then what else metrics.csv holds (samples made elsewhere), then controls, then floor."""
    known = {method.id for method in settings.methods} | {FLOOR.id}
    extra = [Entry(name, name, "external", False) for name in sorted(set(frame["method"]) - known)]
    rows = [*settings.ranked, *extra, *(method for method in settings.methods if not method.ranked)]
    return [*rows, FLOOR] if (frame["method"] == FLOOR.id).any() else rows


def cell(frame: pd.DataFrame, settings: Settings, dataset: str, method: Entry, metric: Metric) -> Cell:
    """The number of one method, dataset and metric under the protocol that the settings name."""
    empty = Cell(dataset, method.id, metric)
    found = _select(frame, settings, metric)
    found = found[(found["dataset"] == dataset) & (found["method"] == method.id)].sort_values("seed")
    if found.empty:
        return replace(empty, reason=_why_missing(settings, dataset, method, metric))
    found = found[np.isfinite(found["value"])]
    if found.empty:
        return replace(empty, reason="n/a (the value is not a finite number)")
    counts = found[["n_real", "n_fake"]].dropna().drop_duplicates().astype(int)
    per_image = frame[
        (frame["metric"] == f"{metric.id}_image")
        & (frame["dataset"] == dataset)
        & (frame["method"] == method.id)
        & frame["protocol"].isin(found["protocol"])
    ]
    # Seeds share the held-out images: average them per image first, so that images alone are resampled.
    scores = per_image.groupby("item")["value"].mean().to_numpy()
    return replace(
        empty,
        values=tuple(found["value"].astype(float)),
        interval=bootstrap_interval(scores, derive_seed("bootstrap", dataset, method.id)) if len(scores) > 1 else None,
        items=len(scores),
        counts=tuple(counts.itertuples(index=False, name=None)),
        steps=tuple(sorted(found["steps"].dropna().astype(int).unique().tolist())),
    )


def bootstrap_interval(scores: np.ndarray, seed: int) -> tuple[float, float]:
    """95% percentile interval of the mean of `scores` (n,) under resampling with replacement; same seed, same bits."""
    draws = np.random.default_rng(seed).integers(0, len(scores), (RESAMPLES, len(scores)))
    low, high = np.quantile(scores[draws].mean(axis=1), [0.025, 0.975])
    return float(low), float(high)


def _select(frame: pd.DataFrame, settings: Settings, metric: Metric) -> pd.DataFrame:
    """Rows of `metric` under the settings' protocol, from models trained on the split that it asks for."""
    trained_on_90 = frame["split"] == "train90"
    found = frame[(frame["metric"] == metric.id) & (trained_on_90 == (metric.split == "train90"))]
    name = settings.protocols[metric.protocol]["name"]
    chosen = found[found["protocol"] == name]
    if chosen.empty and len(found):
        others = ", ".join(sorted(set(found["protocol"])))
        raise UserError(f"metrics.csv has {metric.id} under {others}, the settings ask for {name}; evaluate again")
    return chosen


def _why_missing(settings: Settings, dataset: str, method: Entry, metric: Metric) -> str:
    if method is FLOOR and metric.id != "fid":
        return "n/a (the floor is defined for FID alone)"
    return settings.why_missing(dataset, method, metric.split)
