"""Training curves: a panel for every scalar of every method, a line for every dataset and seed."""

from __future__ import annotations

from pathlib import Path
from textwrap import wrap

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from workflow.rendering.captions import footer
from workflow.rendering.contents import Entry, dataset_title
from workflow.rendering.results import Results
from workflow.rendering.style import COLOURS, GREY, LABEL, SMALL, finish, grid, new_figure, styled

ACROSS = 4  # panels in a row
# Pixels.
ROW, PANEL = 205, 130  # the height of a row, and of the axes in it
HEAD, FOOT = 72, 80
LEFT, GAP, RIGHT = LABEL + 68, 76, 8  # left and between: room for the numbers of the vertical axes
LOG_FROM = 30  # ratio of largest to smallest value from which a positive scalar gets a logarithmic axis
SMALLEST = 0.002  # an axis that ends below has numbers like 4.5e-4, which do not reach into the next panel
SMOOTH = 25  # the solid line is a moving average over this fraction of a training

# One training: the number of its dataset, and what it logged.
Run = tuple[int, pd.DataFrame]
# One row of panels: its label, the trainings, the scalars shown.
Row = tuple[str, list[Run], list[str]]


@styled
def draw(results: Results, png: Path | str, pdf: Path | str) -> None:
    """Draw every history.csv of the full-set trainings; if there are none, the figure says so."""
    rows = [row for method in results.generators for row in _rows(results, method)]
    figure = new_figure(HEAD + ROW * max(len(rows), 1) - (ROW - PANEL) + FOOT)
    if rows:
        places = grid(figure, (len(rows), ACROSS), (ROW, PANEL), (LEFT, GAP, RIGHT), HEAD, FOOT)
        for (label, runs, scalars), panels in zip(rows, places, strict=True):
            top = panels[0].get_position().y1
            figure.text(0, top, "\n".join(wrap(label, 10, break_long_words=False)), size=SMALL, va="top")
            for axes, scalar in zip(panels, scalars, strict=False):
                _draw_panel(axes, runs, scalar)
            for axes in panels[len(scalars) :]:
                axes.set_axis_off()
        _legend(figure, [dataset_title(name) for name in results.preset.datasets])
    else:
        nothing = "No training curves: nothing has been trained in this preset."
        figure.text(0.5, 0.5, nothing, ha="center", color=GREY)
    shown = {scalar for _, _, scalars in rows for scalar in scalars}
    what = "full training set; horizontal axes: training steps; vertical axes: "
    what += f"logarithmic from a range of 1:{LOG_FROM} on"
    what += "; reassigned: images a step" if "reassigned" in shown else ""
    what += "; tau: threshold" if "mean_tau" in shown else ""
    drawn = [run for run in results.runs if run["split"] == "full"]  # measured or not
    lines = footer(results, what, attributions=False, runs=drawn)
    finish(figure, lines, png, pdf)


def _rows(results: Results, method: Entry) -> list[Row]:
    found = [
        (index, results.history(dataset, method, seed))
        for index, dataset in enumerate(results.preset.datasets)
        for seed in results.preset.seeds
    ]
    runs = [(index, history) for index, history in found if history is not None]
    names = dict.fromkeys(str(name) for _, history in runs for name in history)
    scalars = [name for name in names if name not in ("step", "seconds")]
    return [("" if at else method.title, runs, scalars[at : at + ACROSS]) for at in range(0, len(scalars), ACROSS)]


def _draw_panel(axes: Axes, runs: list[Run], scalar: str) -> None:
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
        if axes.get_ylim()[1] < SMALLEST:
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:.1e}".replace("e-0", "e-"))
    axes.xaxis.set_major_locator(MaxNLocator(3, integer=True))
    axes.xaxis.set_major_formatter(lambda step, _: f"{step:,.0f}")
    axes.set_title(scalar.replace("_", " "), loc="left", pad=3)
    axes.margins(x=0.01)


def _legend(figure: Figure, titles: list[str]) -> None:
    handles = [
        Line2D([], [], color=COLOURS[index % len(COLOURS)], label=title, linewidth=1.4)
        for index, title in enumerate(titles)
    ]
    figure.legend(
        handles=handles, loc="upper left", bbox_to_anchor=(0, 1), ncols=len(handles),
        borderpad=0.3, borderaxespad=0, columnspacing=1.6,
    )  # fmt: skip
