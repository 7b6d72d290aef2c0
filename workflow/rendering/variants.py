"""Rows of one method with different settings beside each other, such as trials, or one factor at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from workflow.rendering.captions import footer
from workflow.rendering.contents import Entry, dataset_title, variants
from workflow.rendering.lines import logarithmic
from workflow.rendering.numbers import METRICS, Metric, cell
from workflow.rendering.results import Results
from workflow.rendering.style import COLOURS, INK, SMALL, WIDTH, finish, new_figure, styled

LOG_FROM = 3  # ratio of the largest to the smallest distance from which an axis is logarithmic
SHOWN = ("fid", "precision", "recall_equal", "coverage")
LEFT, GAP, RIGHT = 200, 44, 20  # pixels left of the first panel, between two, right of the last one
HEAD, ROW, BETWEEN, FOOT = 60, 30, 108, 78  # pixels; BETWEEN: from the axis of one group to the top of the next


@styled
def draw(results: Results, png: Path | str, pdf: Path | str) -> None:
    """A group of rows for each data set and method with many rows, a column for each of SHOWN."""
    groups = [(dataset, *group) for dataset in results.preset.datasets for group in variants(results.preset).items()]
    height = HEAD + sum(ROW * len(rows) for *_, rows in groups) + BETWEEN * (len(groups) - 1) + FOOT
    figure = new_figure(height)
    wide, top = (WIDTH - LEFT - GAP * (len(SHOWN) - 1) - RIGHT) / len(SHOWN), HEAD
    for dataset, title, rows in groups:
        tall = ROW * len(rows)
        figure.text(0.001, 1 - (top - 32) / height, f"{title}: {dataset_title(dataset)}", size=SMALL, weight="bold")
        for column, metric in enumerate(METRICS[name] for name in SHOWN):
            left = LEFT + column * (wide + GAP)
            axes = figure.add_axes((left / WIDTH, 1 - (top + tall) / height, wide / WIDTH, tall / height))
            _draw_panel(axes, results, dataset, rows, metric)
            axes.tick_params(labelleft=column == 0)
        top += tall + BETWEEN
    several = results.metrics["seed"].nunique() > 1
    what = "lines: the first row of a group; dots: seeds" + ("; bars: means" if several else "")
    finish(figure, footer(results, what, attributions=False), png, pdf)


def _draw_panel(axes: Axes, results: Results, dataset: str, rows: list[Entry], metric: Metric) -> None:
    found = [cell(results, dataset, row, metric).values for row in rows]
    if found[0]:
        axes.axvline(float(np.mean(found[0])), color=COLOURS[0], lw=0.7, zorder=1)
    for place, values in enumerate(found):
        axes.plot(values, np.full(len(values), place), "o", ms=2.8, mew=0, color=INK, alpha=0.8)
        if len(values) > 1:
            axes.plot(np.mean(values), place, "|", ms=8, mew=1.4, color=COLOURS[0])
    labels = [row.id.partition("-")[2].replace("_", " ") or row.title for row in rows]
    axes.set_yticks(range(len(rows)), labels, size=SMALL, color=INK)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_title(metric.head, loc="left", pad=3)
    shown = [value for values in found for value in values]
    if metric.better == "lower" and shown and max(shown) > LOG_FROM * min(shown):  # of distances, not of shares
        logarithmic(axes, "x")
    else:
        axes.xaxis.set_major_locator(MaxNLocator(4))
