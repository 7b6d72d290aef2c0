"""Style of all figures (fonts, colours, sizes) and saving; the same data give the same bytes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from textwrap import wrap
from typing import Any

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from common.files import atomic_path

DPI = 200  # of a PNG
WIDTH = 1200  # pixels of a PNG: six inches, the text width of a paper
LABEL = 102  # pixels of the column of row labels: about nine letters
SMALL, TINY = 6.5, 5.8  # points

INK, GREY, RULE, PALE = "#1a1a1a", "#6b6b6b", "#d4d4d4", "#f5f5f3"
# Okabe and Ito's palette for colour-blind readers, without its yellow, too light for lines.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 7,
    "text.color": INK,
    "axes.labelcolor": GREY,
    "axes.edgecolor": "#a8a8a8",
    "axes.linewidth": 0.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "axes.titlesize": 6.2,
    "grid.color": "#ececec",
    "grid.linewidth": 0.5,
    "xtick.color": "#a8a8a8",
    "ytick.color": "#a8a8a8",
    "xtick.labelcolor": GREY,
    "ytick.labelcolor": GREY,
    "xtick.labelsize": 5.5,
    "ytick.labelsize": 5.5,
    "xtick.major.width": 0.5,
    "ytick.major.width": 0.5,
    "xtick.major.size": 2,
    "ytick.major.size": 2,
    "lines.linewidth": 0.9,
    "legend.frameon": False,
    "legend.fontsize": 6.2,
    "legend.handlelength": 1.2,
    "pdf.fonttype": 42,
}
matplotlib.rcdefaults()  # a matplotlibrc of the user must not matter
styled = matplotlib.rc_context(STYLE)  # a decorator for drawing functions


def new_figure(height: int, dpi: int = DPI) -> Figure:
    """An empty figure as wide as a page; `height` in pixels of a PNG."""
    figure = Figure(figsize=(WIDTH / DPI, height / DPI), dpi=dpi, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def grid(
    figure: Figure, shape: tuple[int, int], down: tuple[int, int], across: tuple[int, int, int], top: int, bottom: int
) -> np.ndarray:
    """Axes (rows, columns) at fixed positions, because matplotlib's constrained layout is not bit-exact.

    All in pixels.  down: the height of a row, and of the axes in it; across: left of the first column, between two,
    right of the last; top, bottom: above the first row and below the last.
    """
    (row, panel), (left, gap, right), height = down, across, round(figure.get_figheight() * DPI)
    width = (WIDTH - left - gap * (shape[1] - 1) - right) / shape[1]
    return figure.add_gridspec(
        *shape, left=left / WIDTH, right=1 - right / WIDTH, top=1 - top / height, bottom=bottom / height,
        wspace=gap / width, hspace=(row - panel) / panel,
    ).subplots(squeeze=False)  # fmt: skip


def wrapped(lines: Iterable[str]) -> list[str]:
    """Lines of TINY letters that are not longer than a figure is wide."""
    return [part for line in lines for part in wrap(line, int(WIDTH / 8.4))]


def finish(figure: Figure, footer: Sequence[str], png: Path | str, pdf: Path | str) -> None:
    """Write the last lines of a figure without pictures, and both files."""
    height = figure.get_size_inches()[1] * figure.dpi
    figure.text(0.001, 4 / height, "\n".join(wrapped(footer)), size=TINY, color=GREY)
    for path in (png, pdf):
        save(figure, path)


def save(figure: Figure, path: Path | str) -> None:
    """Write the file as a PNG or PDF without date or version.  After an error, an older file is unchanged."""
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=figure.dpi, metadata={"Software": None, "CreationDate": None, "Producer": None})
