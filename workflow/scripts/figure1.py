"""Figure 1: what vanilla and Adaptive IMLE make of a tight and a wide cluster, at four epochs, and their coverage.

    python -m workflow.scripts.figure1 --coverage coverage.csv --samples samples.npz \\
        --out-png figure1.png --out-pdf figure1.pdf

Both inputs are made by workflow/scripts/toy.py, which defines coverage.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from common.console import run
from workflow.scripts.style import COLOURS, DPI, GREY, INK, LABEL, RC, WIDTH, write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Rows of the figure: title and colour.
METHODS = {"vanilla_imle": ("Vanilla\nIMLE", COLOURS[0]), "adaptive_imle": ("Adaptive\nIMLE", COLOURS[1])}

# Inches.
PAGE, LEFT = WIDTH / DPI, LABEL / DPI
HEAD, PANEL, GAP = 0.24, 1.06, 0.07
CURVES, CURVE_HEAD, CURVE_GAP, FOOT = 0.8, 0.33, 0.36, 0.79
MARGIN = 0.03  # at the right edge
HEIGHT = HEAD + 2 * (PANEL + GAP) + CURVE_HEAD + CURVES + FOOT

# Left, bottom, width and height of the enlarged tight cluster, in shares of a panel: a square.
INSET = (0.02, 0.51, 0.38, 0.47)

LEGEND = (
    "Squares: data points, filled where one of the 1,000 samples shown (dots) lies within half the distance to the "
    "nearest other data point.",
    "Percentages: the mean over ten such sets of samples.  Lines: from the sample that is trained towards a data point "
    "to that point.",
    "Insets: the tight cluster.  Curves: single seeds, each with data of its own (pale), and their mean.",
)


def draw(coverage: pd.DataFrame, arrays: dict[str, np.ndarray], png: Path, pdf: Path) -> None:
    """coverage: see workflow/scripts/toy.py, `measure`.  arrays: see its `race`."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(RC):
        figure = Figure(figsize=(PAGE, HEIGHT), dpi=DPI, facecolor="white")
        for row, method in enumerate(METHODS):
            _draw_row(figure, row, method, coverage, arrays)
        top = HEAD + 2 * (PANEL + GAP) + CURVE_HEAD
        _draw_curves(figure, top, coverage)
        figure.text(0.002, 0.08 / HEIGHT, "\n".join(LEGEND), size=5.8, color=GREY, va="bottom", linespacing=1.5)
        write(figure, png, pdf)


def _axes(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Axes placed in inches from the top left corner of the figure."""
    return figure.add_axes((left / PAGE, 1 - (top + height) / HEIGHT, width / PAGE, height / HEIGHT))


def _draw_row(
    figure: Figure, row: int, method: str, coverage: pd.DataFrame, arrays: dict[str, np.ndarray]
) -> None:  # fmt: skip
    title, colour = METHODS[method]
    top = HEAD + row * (PANEL + GAP)
    figure.text(0, 1 - (top + PANEL / 2) / HEIGHT, title, size=6.5, va="center", color=colour, weight="bold")
    epochs = arrays["epochs"]
    width = (PAGE - LEFT - MARGIN - GAP * (len(epochs) - 1)) / len(epochs)
    shown = coverage[(coverage["method"] == method) & (coverage["seed"] == coverage["seed"].iloc[0])]
    for column, epoch in enumerate(epochs):
        axes = _axes(figure, LEFT + column * (width + GAP), top, width, PANEL)
        if row == 0:
            axes.set_title(f"epoch {epoch}", fontsize=6.5, pad=4)
        frame = {key: arrays[f"{method}_{key}"][column] for key in ("samples", "covered", "assigned")}
        axes.set(**_window(arrays["points"], width / PANEL))
        _draw_points(axes, arrays["points"], frame, colour, scale=1.0)
        inset = axes.inset_axes(INSET, **_window(arrays["points"][: len(arrays["points"]) // 2], 1.0))
        _draw_points(inset, arrays["points"], frame, colour, scale=1.3)
        axes.indicate_inset_zoom(inset, edgecolor=GREY, alpha=0.6, linewidth=0.4)
        mean = shown.loc[shown["epoch"] == epoch, "coverage"].mean()
        axes.text(0.98, 0.03, f"coverage {mean:.0%}", transform=axes.transAxes, ha="right", size=6.2)


def _window(points: np.ndarray, aspect: float) -> dict[str, tuple[float, float]]:
    """Limits of axes of this width to height that hold all points (n, 2) and some room around them."""
    low, high = points.min(axis=0), points.max(axis=0)
    (x, y), half = (low + high) / 2, 0.7 * max((high - low) / (aspect, 1))
    return {"xlim": (x - half * aspect, x + half * aspect), "ylim": (y - half, y + half)}


def _draw_points(axes: Axes, points: np.ndarray, frame: dict[str, np.ndarray], colour: str, scale: float) -> None:
    """Samples below, then the way that each point's own sample has to go, then the points."""
    axes.set(xticks=[], yticks=[], facecolor="white")
    axes.grid(visible=False)
    axes.spines[:].set_visible(True)
    axes.spines[:].set(color="#c4c4c4", linewidth=0.5)
    axes.scatter(*frame["samples"].T, s=1.1 * scale, color=colour, alpha=0.32, linewidths=0)
    axes.plot(*np.stack([frame["assigned"], points]).transpose(2, 0, 1), color=INK, linewidth=0.5)
    fills = np.where(frame["covered"], INK, "white")
    axes.scatter(*frame["assigned"].T, s=3.2 * scale, color=colour, linewidths=0, zorder=3)
    axes.scatter(*points.T, s=5.0 * scale, marker="s", c=fills, edgecolors=INK, linewidths=0.5, zorder=4)


def _draw_curves(figure: Figure, top: float, coverage: pd.DataFrame) -> None:
    """Coverage of either cluster and the mean distance to the nearest sample, by epoch."""
    from matplotlib.ticker import FixedLocator, NullLocator

    tight, wide = (coverage[coverage["cluster"] == cluster] for cluster in ("tight", "wide"))
    panels = [("coverage, tight cluster", tight, "coverage"), ("coverage, wide cluster", wide, "coverage"),
              ("distance to the nearest sample", coverage, "distance")]  # fmt: skip
    width = (PAGE - LEFT - MARGIN - CURVE_GAP * (len(panels) - 1)) / len(panels)
    for column, (title, table, value) in enumerate(panels):
        axes = _axes(figure, LEFT + column * (width + CURVE_GAP), top, width, CURVES)
        axes.set_title(title, fontsize=6.2, loc="left", pad=4)
        for method, (name, colour) in METHODS.items():
            seeds = table[table["method"] == method].groupby(["epoch", "seed"])[value].mean().unstack()
            axes.plot(seeds.index, seeds, color=colour, alpha=0.35, linewidth=0.5)
            axes.plot(seeds.index, seeds.mean(axis=1), color=colour, linewidth=1.3, label=name.replace("\n", " "))
        axes.set_xlabel("epoch", fontsize=5.8, labelpad=1.5)
        axes.set_xlim(0, table["epoch"].max() * 1.03)
        if value == "coverage":
            axes.set(ylim=(0, 1.02), yticks=[0, 0.5, 1])
            axes.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
        else:
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(FixedLocator([0.02, 0.05, 0.1, 0.2]))
            axes.yaxis.set_major_formatter(lambda distance, _: f"{distance:g}")
            axes.yaxis.set_minor_locator(NullLocator())
            axes.legend(frameon=False, fontsize=5.8, handlelength=1.2, loc="upper right", borderaxespad=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--coverage", type=Path, required=True)
    parser.add_argument("--samples", type=Path, required=True)
    parser.add_argument("--out-png", type=Path, required=True)
    parser.add_argument("--out-pdf", type=Path, required=True)
    arguments = parser.parse_args()
    with np.load(arguments.samples) as file:
        arrays = dict(file)
    draw(pd.read_csv(arguments.coverage), arrays, arguments.out_png, arguments.out_pdf)


if __name__ == "__main__":
    run(main)
