"""Compute the cells of a table from metrics.csv: selection, mean and deviation over seeds, intervals."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from common.console import UserError
from metrics import intervals, statistics
from networks.names import NETWORK_TITLES
from training.config import Preset
from training.protocols import FID, PIXELS, VENDI
from workflow.rendering.contents import Entry
from workflow.rendering.results import Results


@dataclass(frozen=True)
class Protocol:
    """How a metric was measured: the name in metrics.csv, the network in words, and k of precision and recall."""

    name: str
    network: str
    k: int | None = None


@dataclass(frozen=True)
class Metric:
    """How a metric is selected and printed.  split: what the measured models were trained on.

    Those with `absent` are optional: a preset's results may lack them, and their columns are left out then.
    """

    id: str
    title: str
    better: str  # "lower", "higher", or "" if neither is
    decimals: int
    split: str = "full"
    column: str = ""  # its name in metrics.csv, if that is not the id
    absent: str = ""  # why a measured sample set can lack it

    @property
    def name(self) -> str:
        return self.column or self.id

    @property
    def arrow(self) -> str:
        return {"lower": "↓", "higher": "↑", "": ""}[self.better]

    @property
    def head(self) -> str:
        return f"{self.title} {self.arrow}".rstrip()

    def format(self, value: float) -> str:
        return f"{value:.{self.decimals}f}"

    def n_fake(self, preset: Preset) -> int | None:
        """How many samples the preset takes; None if the metric takes none, or as many as there are images."""
        if self.id in (*EQUAL, "vendi", "lpips_backtracking"):
            return None
        chosen = preset.metrics.precision_recall[0]
        of_protocol = ("precision", "recall", "intra_lpips", "mode_distance")
        return chosen.n_fake if self.id in of_protocol else preset.sampling.n

    def protocol(self, preset: Preset) -> Protocol:
        """The protocol of the tables; a preset may measure further ones of precision and recall."""
        if self.id == "fid":
            return Protocol(FID, NETWORK_TITLES["inception"])
        if self.id == "lpips_backtracking":
            backtracking = preset.metrics.backtracking
            return Protocol(str(backtracking), NETWORK_TITLES[backtracking.net])
        if self.id == "copy_rate":
            return Protocol(PIXELS, "pixels")
        if self.id == "fd":
            network = next(iter(preset.metrics.frechet), "dinov2vitl14")
            return Protocol(network, NETWORK_TITLES[network])
        if self.id == "vendi":
            return Protocol(VENDI, NETWORK_TITLES["inception"])
        if self.id in ("intra_lpips", "mode_distance"):
            return Protocol(preset.metrics.backtracking.perceptual, NETWORK_TITLES[preset.metrics.backtracking.net])
        chosen = preset.metrics.precision_recall[0]
        name = chosen.equal_counts if self.id in EQUAL else str(chosen)
        return Protocol(name, NETWORK_TITLES[chosen.network], chosen.k)


FEW = "there are fewer samples than real images, or too few images for k"
EQUAL = ("recall_equal", "density", "coverage")  # measured with as many samples as real images
METRICS = {
    metric.id: metric
    for metric in (
        Metric("fid", "FID", "lower", 1),
        Metric("lpips_backtracking", "LPIPS", "lower", 3, "train90"),
        Metric("precision", "Precision", "higher", 2),
        Metric("recall", "Recall", "higher", 2),
        Metric("fd", "FD", "lower", 1, absent="metrics.frechet was not set"),
        Metric("copy_rate", "Copies", "lower", 3, absent="all training images are near-duplicates of one another"),
        Metric("recall_equal", "Recall (n = real)", "higher", 2, column="recall", absent=FEW),
        Metric("density", "Density", "", 2, absent=FEW),
        Metric("coverage", "Coverage", "higher", 2, absent=FEW),
        Metric("vendi", "Vendi", "higher", 1, absent=FEW),
        Metric("intra_lpips", "Intra-LPIPS", "higher", 3, absent="no two samples have the same nearest image"),
        Metric("mode_distance", "Mode distance", "lower", 3, absent="it was not measured"),
    )
}


@dataclass(frozen=True)
class Cell:
    """One number of a table, or the reason why there is none.

    values: one per seed.  scores: of backtracking, one per held-out image in their order, the mean over seeds.
    interval: 95%, of backtracking by bootstrap (BCa) over these scores, of copies by Wilson.
    counts: the distinct (n_real, n_fake) behind the values.
    """

    dataset: str
    row: Entry
    metric: Metric
    values: tuple[float, ...] = ()
    reason: str = ""
    interval: tuple[float, float] | None = None
    scores: tuple[float, ...] = ()
    counts: tuple[tuple[int, int], ...] = ()
    steps: tuple[int, ...] = ()

    @property
    def items(self) -> int:
        """Held-out images."""
        return len(self.scores)

    @cached_property
    def mean(self) -> float:
        return float(np.mean(self.values)) if self.values else float("nan")

    @cached_property
    def std(self) -> float | None:
        """Sample standard deviation over seeds; None for fewer than two."""
        return float(np.std(self.values, ddof=1)) if len(self.values) > 1 else None

    def comparable(self, preset: Preset) -> bool:
        """Has it a number, and one of as many samples as the preset takes?  FID, for one, falls with their number."""
        taken = self.metric.n_fake(preset)
        return bool(self.values) and (not taken or all(n_fake == taken for _, n_fake in self.counts))

    @property
    def text(self) -> str:
        """The number, "n/a" (its reason is a footnote) or "not run"; numbers with equal texts are ties."""
        if self.values:
            return self.metric.format(self.mean)
        return "n/a" if self.reason.startswith("n/a") else self.reason

    @property
    def uncertainty(self) -> list[str]:
        """ "± 0.4" over seeds, "[1.2, 1.9]" over held-out images or samples, if they exist."""
        parts = []
        if self.std is not None:
            parts.append(f"± {self.metric.format(self.std)}")
        if self.values and self.interval:
            parts.append(f"[{', '.join(map(self.metric.format, self.interval))}]")
        return parts


def cell(results: Results, dataset: str, row: Entry, metric: Metric, protocol: str = "") -> Cell:
    """The number of one row, dataset and metric, by the protocol of the tables or the given one."""
    empty = Cell(dataset, row, metric)
    frame, name = results.metrics, protocol or metric.protocol(results.preset).name
    here = frame[(frame["dataset"] == dataset) & (frame["method"] == row.id) & (frame["protocol"] == name)]
    here = here[(here["split"] == "train90") == (metric.split == "train90")].sort_values("seed")
    asked = here[here["metric"] == metric.name]
    found = asked[asked["value"].notna()]
    if len(asked) > len(found) == 0:
        return replace(empty, reason=f"n/a ({'; '.join(asked['reason'].drop_duplicates())})")
    if found.empty:
        _refuse_other_protocols(frame[frame["metric"] == metric.name], metric, name)
        return replace(empty, reason=_why_missing(results, dataset, row, metric))
    counts = found[["n_real", "n_fake"]].dropna().drop_duplicates().astype(int)
    # Seeds share the held-out images: average over seeds first, so that only images are resampled.
    scores = here[here["metric"] == f"{metric.id}_image"].groupby("item")["value"].mean().to_numpy()
    interval = statistics.interval_of_mean(scores) if len(scores) >= statistics.FEWEST else None
    return replace(
        empty,
        values=tuple(found["value"].astype(float)),
        interval=wilson(found) if metric.id == "copy_rate" else interval,
        scores=tuple(scores),
        counts=tuple(counts.itertuples(index=False, name=None)),
        steps=tuple(sorted(found["steps"].dropna().astype(int).unique().tolist())),
    )


def wilson(found: pd.DataFrame) -> tuple[float, float]:
    """95% Wilson interval of the share of copies among the samples of all seeds."""
    return intervals.wilson(round((found["value"] * found["n_fake"]).sum()), int(found["n_fake"].sum()))


def measured(results: Results, metric: Metric) -> bool:
    """Is there any number of this metric, by the protocol of the tables?"""
    frame = results.metrics
    name = metric.protocol(results.preset).name
    return bool(frame.loc[(frame["metric"] == metric.name) & (frame["protocol"] == name), "value"].notna().any())


def left_out(results: Results, metric: Metric) -> bool:
    """Does the preset leave this metric out everywhere?"""
    preset, rows = results.preset, [row for row in results.ranked if row.kind == "method"]
    return all(preset.why_left_out(name, row.id, metric.split) for name in preset.datasets for row in rows)


def _refuse_other_protocols(found: pd.DataFrame, metric: Metric, name: str) -> None:
    """Raise `UserError` if a metric has only other protocols: metrics.csv is then outdated, and no run is missing."""
    if len(found) and not metric.absent and name not in set(found["protocol"]):
        others = ", ".join(sorted(set(found["protocol"])))
        raise UserError(f"metrics.csv has {metric.id} under {others}, but the preset asks for {name}; evaluate again")


def _why_missing(results: Results, dataset: str, row: Entry, metric: Metric) -> str:
    if row.kind == "floor" and metric.split == "train90":
        return "n/a (real images have no generator)"
    frame = results.metrics
    here = frame[(frame["dataset"] == dataset) & (frame["method"] == row.id)]
    if metric.absent and (here["metric"] == "mode_distance").any():
        return f"n/a ({metric.absent})"
    return results.why_missing(dataset, row, metric.split)
