"""A figure of panels with a line for each method.  Positions are fixed: constrained layout is not bit-exact."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from workflow.rendering.captions import footer
from workflow.rendering.contents import places
from workflow.rendering.results import Results
from workflow.rendering.style import COLOURS, finish, grid, new_figure

# Pixels.
ROW, PANEL = 245, 165  # the height of a row, and of the axes in it
LEFT, GAP, RIGHT = 74, 84, 12  # left of the first panel, between two, right of the last one
ABOVE, LEGEND_LINE, FOOT = 36, 28, 78
SHORT = 12  # ratio of the ends of a logarithmic axis up to which it has five numbers to a decade
IN_LINE = 4  # methods in a line of the legend
Line = Literal["-", "--", ":"]
Look = tuple[str, Line, str]
# Look of a method, by its place (contents.places): colour, line style, marker.
STYLES: tuple[tuple[Line, str], ...] = (("-", "o"), ("--", "s"), (":", "^"))
LOOKS: list[Look] = [(colour, line, marker) for line, marker in STYLES for colour in COLOURS]


class Lines:
    """An empty figure of `panels` panels, `across` in a row, for `table` (columns dataset, method, seed and split)."""

    def __init__(self, results: Results, table: pd.DataFrame, panels: int, across: int) -> None:
        titles = {row.id: row.title for row in results.generators if row.id in set(table["method"])}
        self.results, self.panels, self.shape = results, panels, (max(-(-panels // across), 1), across)
        self.seeds, self.runs = sorted(table["seed"].unique()), results.runs_of(table)
        order = places(results.preset)
        self.looks: dict[str, Look] = {method: LOOKS[order[method] % len(LOOKS)] for method in titles}
        self.head = ABOVE + LEGEND_LINE * -(-len(titles) // IN_LINE)
        self.figure = new_figure(self.head + ROW * self.shape[0] - (ROW - PANEL) + FOOT)
        self._legend(titles)

    def axes(self) -> list[Axes]:
        """The axes of all panels, from left to right and from top to bottom."""
        panels = list(grid(self.figure, self.shape, (ROW, PANEL), (LEFT, GAP, RIGHT), self.head, FOOT).flat)
        for axes in panels:
            axes.yaxis.set_major_locator(MaxNLocator(4))
        for axes in panels[self.panels :]:
            axes.set_axis_off()
        return panels[: self.panels]

    def finish(self, what: str, png: Path | str, pdf: Path | str) -> None:
        """Write the last lines of the figure, which name the seeds, and both files."""
        listed = ", ".join(map(str, self.seeds))
        one = f"seed {listed}" if self.seeds else "nothing measured"
        what += f"; lines: means over seeds {listed}; bars: their range" if len(self.seeds) > 1 else f"; {one}"
        finish(self.figure, footer(self.results, what, attributions=False, runs=self.runs), png, pdf)

    def _legend(self, titles: dict[str, str]) -> None:
        handles = [
            Line2D([], [], color=colour, ls=line, marker=marker, markersize=2.5, lw=1.2, label=titles[method])
            for method, (colour, line, marker) in self.looks.items()
        ]
        if handles:
            self.figure.legend(
                handles=handles, loc="upper left", bbox_to_anchor=(0, 1), ncols=IN_LINE, borderpad=0.3,
                borderaxespad=0, handlelength=2.2, columnspacing=1.6,
            )  # fmt: skip


def logarithmic(axes: Axes, which: Literal["x", "y"]) -> None:
    """A logarithmic axis with plain numbers at 1, 2 and 5, and at 3 and 7 where it is short.  Call it after drawing."""
    axes.set(**{f"{which}scale": "log"})
    axis = axes.xaxis if which == "x" else axes.yaxis
    low, high = axes.get_xlim() if which == "x" else axes.get_ylim()
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high > SHORT * low else (1, 2, 3, 5, 7)))
    axis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.set_minor_locator(NullLocator())


def draw_means(axes: Axes, table: pd.DataFrame, looks: dict[str, Look], by: str, x: str) -> None:
    """For each method a line through the means of column value over seeds, and bars from the smallest to the largest.

    Columns method and value; a row for each seed.  by: the column whose equal values make a point; x: its place.
    """
    for method, (colour, line, marker) in looks.items():
        points = table[table["method"] == method].groupby(by)
        places, values = points[x].mean(), points["value"]
        axes.vlines(places, values.min(), values.max(), color=colour, linewidth=0.7, alpha=0.6)
        axes.plot(places, values.mean(), color=colour, linestyle=line, marker=marker, markersize=2)


def draw_counts(axes: Axes, table: pd.DataFrame, looks: dict[str, Look], unit: str) -> None:
    """`draw_means` of column n, on a logarithmic axis of the few values that n has."""
    draw_means(axes, table, looks, by="n", x="n")
    counts = sorted(table["n"].unique())
    axes.set_xscale("log")
    axes.set_xticks(counts, labels=[f"{n:,} {unit}" if n == counts[0] else f"{n:,}" for n in counts])
    axes.minorticks_off()
