"""Quality against training time: the metrics of measured checkpoints, a panel for each data set and metric."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator

from training.config import Preset
from workflow.rendering.checkpoints import EXCEPT, checkpoints, samples
from workflow.rendering.contents import dataset_title
from workflow.rendering.lines import Lines, Look, draw_means, logarithmic
from workflow.rendering.numbers import METRICS, Metric
from workflow.rendering.results import Results
from workflow.rendering.style import GREY, styled

SHOWN = ("fid", "recall_equal", "coverage", "copy_rate", "mode_distance", "lpips_backtracking")
ACROSS = 3  # panels in a row
LOG_FROM = 5  # ratio of the largest to the smallest value from which an axis is logarithmic


@styled
def draw(results: Results, png: Path | str, pdf: Path | str) -> None:
    """Draw SHOWN of every data set; a metric without any number has no panel."""
    table = checkpoints(results)
    shown = [METRICS[name] for name in SHOWN]
    found = [
        (name, metric, _of(table, name, metric, results.preset)) for name in results.preset.datasets for metric in shown
    ]
    panels = [panel for panel in found if len(panel[2])]
    lines = Lines(results, table, len(panels), ACROSS)
    for (dataset, metric, points), axes in zip(panels, lines.axes(), strict=True):
        axes.set_title(f"{dataset_title(dataset)}: {metric.head}", loc="left", pad=3)
        _draw_panel(axes, points, lines.looks)
        if any(_wide(other["value"]) for _, same, other in panels if same is metric):
            logarithmic(axes, "y")
    if not panels:
        lines.figure.text(0.5, 0.5, "No checkpoints: none was measured in this preset.", ha="center", color=GREY)
    clock = any(run["hardware"]["gpu"] for run in lines.runs)
    lines.finish(f"{samples(table)} ({EXCEPT}), after {'clock' if clock else 'CPU'} seconds", png, pdf)


def _of(table: pd.DataFrame, dataset: str, metric: Metric, preset: Preset) -> pd.DataFrame:
    """One metric of one data set.  Precision and recall with another number of samples than the tables' are no part."""
    rows = (table["dataset"] == dataset) & (table["metric"] == metric.name)
    return table[rows & (table["protocol"] == metric.protocol(preset).name)]


def _draw_panel(axes: Axes, points: pd.DataFrame, looks: dict[str, Look]) -> None:
    draw_means(axes, points, looks, by="step", x="seconds")
    shortest, longest = points["seconds"].min(), points["seconds"].max()
    if _wide(points["seconds"]):
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_locator(FixedLocator([15 * 2**power for power in range(24)]))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlim(shortest * 0.9, longest * 1.1)
    axes.xaxis.set_major_formatter(lambda seconds, _: f"{seconds:,.0f} s")


def _wide(values: pd.Series[float]) -> bool:
    return bool(values.max() > LOG_FROM * values.min() > 0)
