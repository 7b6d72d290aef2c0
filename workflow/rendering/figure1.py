"""Figure 1: samples of vanilla and Adaptive IMLE for a tight and a wide cluster at four epochs, and their coverage.

The numbers come from toy.py, which defines coverage.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator

from workflow.rendering.style import COLOURS, GREY, INK, LABEL, SMALL, TINY, WIDTH, new_figure, save, styled

# Rows of the figure: title and colour.
METHODS = {"vanilla_imle": ("Vanilla\nIMLE", COLOURS[0]), "adaptive_imle": ("Adaptive\nIMLE", COLOURS[1])}
HEIGHT = 880  # pixels
# Left, bottom, width and height of the enlarged tight cluster, in shares of a panel: a square.
INSET = (0.02, 0.51, 0.38, 0.47)
LEGEND = (
    "Squares: data points, filled where one of the 1,000 samples shown (dots) lies within half the distance to the "
    "nearest other data point.\n"
    "Percentages: the mean over ten such sets of samples.  Lines: from the sample that is trained towards a data point "
    "to that point.\n"
    "Insets: the tight cluster.  Curves: single seeds, each with data of its own (pale), and their mean."
)
Arrays = dict[str, np.ndarray]


@styled
def draw(coverage: pd.DataFrame, arrays: Arrays, png: Path | str, pdf: Path | str) -> None:
    """coverage: see toy.py, `measure`.  arrays: see its `race`."""
    figure = new_figure(HEIGHT)
    left, right = LABEL / WIDTH, 0.996
    above = figure.add_gridspec(2, 4, left=left, right=right, top=0.945, bottom=0.445, wspace=0.05, hspace=0.07)
    below = figure.add_gridspec(1, 3, left=left, right=right, top=0.355, bottom=0.175, wspace=0.22)
    grid = above.subplots(squeeze=False)
    for (method, (title, colour)), panels in zip(METHODS.items(), grid, strict=True):
        middle = (panels[0].get_position().y0 + panels[0].get_position().y1) / 2
        figure.text(0, middle, title, size=SMALL, color=colour, weight="bold", va="center")
        _draw_row(panels, method, coverage, arrays)
    for axes, epoch in zip(grid[0], arrays["epochs"], strict=True):
        axes.set_title(f"epoch {epoch}", size=SMALL, pad=4)
    _draw_curves(below.subplots(squeeze=False)[0], coverage)
    figure.text(0.002, 0.01, LEGEND, size=TINY, color=GREY, linespacing=1.5)
    for path in (png, pdf):
        save(figure, path)


def _draw_row(panels: Sequence[Axes], method: str, coverage: pd.DataFrame, arrays: Arrays) -> None:
    colour, points = METHODS[method][1], arrays["points"]
    shown = coverage[(coverage["method"] == method) & (coverage["seed"] == coverage["seed"].iloc[0])]
    means = shown.groupby("epoch")["coverage"].mean()
    for column, (axes, epoch) in enumerate(zip(panels, arrays["epochs"], strict=True)):
        frame = {key: arrays[f"{method}_{key}"][column] for key in ("samples", "covered", "assigned")}
        box = axes.get_window_extent()
        axes.set(**_window(points, box.width / box.height))
        _draw_points(axes, points, frame, colour, scale=1.0)
        inset = axes.inset_axes(INSET)
        inset.set(**_window(points[: len(points) // 2], 1.0))
        _draw_points(inset, points, frame, colour, scale=1.3)
        axes.indicate_inset_zoom(inset, edgecolor=GREY, alpha=0.6, linewidth=0.4)
        axes.text(0.98, 0.03, f"coverage {means[epoch]:.0%}", transform=axes.transAxes, ha="right", size=6.2)


def _window(points: np.ndarray, aspect: float) -> dict[str, tuple[float, float]]:
    """Axis limits with this ratio of width to height that contain all points (n, 2) and a margin."""
    low, high = points.min(axis=0), points.max(axis=0)
    (x, y), half = (low + high) / 2, 0.7 * max((high - low) / (aspect, 1))
    return {"xlim": (x - half * aspect, x + half * aspect), "ylim": (y - half, y + half)}


def _draw_points(axes: Axes, points: np.ndarray, frame: Arrays, colour: str, scale: float) -> None:
    """Samples first, then a line from each point's assigned sample to the point, then the points."""
    axes.set(xticks=[], yticks=[], facecolor="white")
    axes.grid(visible=False)
    axes.spines[:].set(visible=True, color="#c4c4c4", linewidth=0.5)
    _scatter(axes, frame["samples"], s=1.1 * scale, color=colour, alpha=0.32, linewidths=0)
    axes.plot(*np.stack([frame["assigned"], points]).transpose(2, 0, 1), color=INK, linewidth=0.5)
    fills = np.where(frame["covered"], INK, "white")
    _scatter(axes, frame["assigned"], s=3.2 * scale, color=colour, linewidths=0, zorder=3)
    _scatter(axes, points, s=5.0 * scale, marker="s", c=fills, edgecolors=INK, linewidths=0.5, zorder=4)


def _scatter(axes: Axes, points: np.ndarray, **style: Any) -> None:
    axes.scatter(points[:, 0], points[:, 1], **style)


def _draw_curves(panels: Sequence[Axes], coverage: pd.DataFrame) -> None:
    """Coverage of either cluster and the mean distance to the nearest sample, by epoch."""
    tight, wide = (coverage[coverage["cluster"] == cluster] for cluster in ("tight", "wide"))
    titles = ("coverage, tight cluster", "coverage, wide cluster", "distance to the nearest sample")
    shown = ((tight, "coverage"), (wide, "coverage"), (coverage, "distance"))
    for axes, title, (table, value) in zip(panels, titles, shown, strict=True):
        axes.set_title(title, loc="left", pad=4)
        for method, (name, colour) in METHODS.items():
            seeds = table[table["method"] == method].groupby(["epoch", "seed"])[value].mean().unstack()
            axes.plot(seeds.index, seeds, color=colour, alpha=0.35, linewidth=0.5)
            axes.plot(seeds.index, seeds.mean(axis=1), color=colour, linewidth=1.3, label=name.replace("\n", " "))
        axes.set_xlabel("epoch", fontsize=TINY, labelpad=1.5)
        axes.set_xlim(0, table["epoch"].max() * 1.03)
    for axes in panels[:2]:
        axes.set(ylim=(0, 1.02), yticks=[0, 0.5, 1])
        axes.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    panels[2].set_yscale("log")
    panels[2].yaxis.set_major_locator(FixedLocator([0.02, 0.05, 0.1, 0.2]))
    panels[2].yaxis.set_major_formatter(lambda distance, _: f"{distance:g}")
    panels[2].yaxis.set_minor_locator(NullLocator())
    panels[2].legend(fontsize=TINY, loc="upper right", borderaxespad=0)
