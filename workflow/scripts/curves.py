"""Training curves as small multiples: a panel for every scalar of every method, a line for every dataset and seed."""

from __future__ import annotations

from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING

import pandas as pd

from workflow.scripts.settings import Entry
from workflow.scripts.sources import Sources
from workflow.scripts.style import COLOURS, DPI, GREY, LABEL, RC, WIDTH, write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Inches.
PAGE = WIDTH / DPI
ACROSS = 4
ROW, AXES = 1.06, 0.66
HEAD, FOOT = 0.36, 0.14
LEFT, GAP = LABEL / DPI + 0.34, 0.38
# From this ratio of largest to smallest value on, a positive scalar is drawn on a logarithmic axis.
LOG_FROM = 30
# The solid line is a moving average over this fraction of a training.
SMOOTH = 25

# One training: the number of its dataset, and what it logged.
Run = tuple[int, pd.DataFrame]
# One row of panels: the method, its trainings, the scalars shown.
Row = tuple[Entry, list[Run], list[str]]


def draw(sources: Sources, png: Path, pdf: Path) -> None:
    """Read every history.csv of the full-set trainings and write the figure; with none, the figure says so."""
    import matplotlib
    from matplotlib.figure import Figure

    rows = _rows(sources)
    height = HEAD + FOOT + ROW * max(len(rows), 1)
    settings = sources.settings
    with matplotlib.rc_context(RC):
        figure = Figure(figsize=(PAGE, height), dpi=DPI, facecolor="white")
        for number, row in enumerate(rows):
            first = number == 0 or rows[number - 1][0] != row[0]
            _draw_row(figure, row, HEAD + number * ROW, row[0].title if first else "")
        if rows:
            _legend(figure, [dataset.title for dataset in settings.datasets])
        else:
            nothing = "No training curves: nothing has been trained in this preset."
            figure.text(0.5, 0.5, nothing, ha="center", color=GREY)
        size = f"{settings.resolution} × {settings.resolution} px"
        stamp = f"Preset {settings.preset}, {size}; full training set; horizontal axes count training steps."
        figure.text(0, 0.03 / height, f" {stamp}", size=5.8, color=GREY, va="bottom")
        write(figure, png, pdf)


def _rows(sources: Sources) -> list[Row]:
    rows = []
    for method in sources.settings.methods:
        found = [
            (index, sources.history(dataset.id, method, seed))
            for index, dataset in enumerate(sources.settings.datasets)
            for seed in sources.settings.seeds
        ]
        runs = [(index, history) for index, history in found if history is not None]
        names = dict.fromkeys(name for _, history in runs for name in history)
        scalars = [name for name in names if name not in ("step", "seconds")]
        rows += [(method, runs, scalars[at : at + ACROSS]) for at in range(0, len(scalars), ACROSS)]
    return rows


def _draw_row(figure: Figure, row: Row, top: float, title: str) -> None:
    """Panels whose upper edge is `top` inches below that of the figure."""
    _, runs, scalars = row
    height = figure.get_figheight()
    label = "\n".join(wrap(title, 10, break_long_words=False))
    figure.text(0, 1 - top / height, label, size=6.5, va="top", linespacing=1.3)
    width = (PAGE - LEFT - GAP * (ACROSS - 1) - 0.04) / ACROSS
    for column, scalar in enumerate(scalars):
        left = LEFT + column * (width + GAP)
        axes = figure.add_axes((left / PAGE, 1 - (top + AXES) / height, width / PAGE, AXES / height))
        axes.set_title(scalar.replace("_", " "), fontsize=6.2, loc="left", pad=3)
        _draw_panel(axes, runs, scalar)


def _draw_panel(axes: Axes, runs: list[Run], scalar: str) -> None:
    from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

    lines = [(index, history.dropna(subset=[scalar])) for index, history in runs if scalar in history]
    for index, history in lines:
        colour = COLOURS[index % len(COLOURS)]
        smooth = history[scalar].rolling(max(len(history) // SMOOTH, 1), center=True, min_periods=1).mean()
        axes.plot(history["step"], history[scalar], color=colour, alpha=0.3, linewidth=0.5)
        axes.plot(history["step"], smooth, color=colour)
    values = pd.concat([history[scalar] for _, history in lines])
    if len(values) and values.min() > 0 and values.max() / values.min() >= LOG_FROM:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(numticks=4))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.tick_params(axis="y", which="minor", length=0)
    else:
        axes.yaxis.set_major_locator(MaxNLocator(3))
    axes.xaxis.set_major_locator(MaxNLocator(3, integer=True))
    axes.xaxis.set_major_formatter(lambda step, _: f"{step:,.0f}")
    axes.margins(x=0.01)


def _legend(figure: Figure, titles: list[str]) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=COLOURS[index % len(COLOURS)], label=title, linewidth=1.4)
        for index, title in enumerate(titles)
    ]
    figure.legend(
        handles=handles, loc="upper left", bbox_to_anchor=(0, 1), ncols=len(handles), frameon=False, fontsize=6.2,
        handlelength=1.2, columnspacing=1.6, borderpad=0.3, borderaxespad=0,
    )  # fmt: skip
