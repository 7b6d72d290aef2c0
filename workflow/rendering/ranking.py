"""The ranking figure: scaled scores of every run, and the critical-difference diagram of average ranks."""

from __future__ import annotations

from pathlib import Path
from textwrap import fill

import numpy as np
import scikit_posthocs
from matplotlib.axes import Axes

from metrics.statistics import ALPHA, FEWEST, interquartile_mean
from workflow.rendering.analysis import Analysis
from workflow.rendering.captions import footer
from workflow.rendering.results import Results
from workflow.rendering.style import COLOURS, GREY, INK, SMALL, finish, new_figure, styled

# Pixels.
HEAD, FOOT, ROW, BASE = 60, 90, 46, 130
LETTERS = 28  # in a line of text that takes the place of a panel
NAME = 18  # letters in a line of a method's name


@styled
def draw(results: Results, png: Path | str, pdf: Path | str) -> None:
    """Draw both panels; one that cannot be drawn says why."""
    analysis = Analysis(results)
    height = HEAD + BASE + ROW * max(len(analysis.methods), 3) + FOOT
    figure = new_figure(height)
    bottom, tall = FOOT / height, 1 - (HEAD + FOOT) / height
    _scores(figure.add_axes((0.17, bottom, 0.29, tall)), analysis)
    _ranks(figure.add_axes((0.67, bottom, 0.14, tall)), analysis)
    what = f"{analysis.metric.title}; dots: runs; bars: interquartile means"
    fewest = [min(map(len, runs.values())) for runs in analysis.scaled.values()]
    what += ", with 95% intervals" if max(fewest, default=0) >= FEWEST else ""
    what += "" if analysis.why_no_ranks else "; orange: dots of methods that the test does not tell apart"
    lines = footer(results, what, attributions=False)
    finish(figure, lines, png, pdf)


def _scores(axes: Axes, analysis: Analysis) -> None:
    axes.set_title("Scaled score (0: noise, 1: real halves)", loc="left")
    shown = [row for row in analysis.methods if row.id in analysis.scaled]
    if not shown:
        _explain(axes, "A scaled score needs the control control_noise and the real halves.")
        return
    for place, row in enumerate(shown):
        runs = [found.to_numpy() for found in analysis.scaled[row.id].values()]
        estimate, low, high = interquartile_mean(runs)
        values = np.concatenate(runs)
        axes.plot(values, np.full(len(values), place), "o", ms=2.5, mew=0, color=GREY, alpha=0.6)
        axes.plot([low, high], [place, place], color=COLOURS[0], lw=3, alpha=0.35, solid_capstyle="butt", zorder=1)
        axes.plot(estimate, place, "|", ms=9, mew=1.6, color=COLOURS[0])
    axes.set_yticks(range(len(shown)), [fill(row.title, NAME) for row in shown], size=SMALL, color=INK)
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.grid(axis="x")
    axes.grid(visible=False, axis="y")


def _ranks(axes: Axes, analysis: Analysis) -> None:
    axes.set_title("Average rank (1: best)", loc="left")
    if analysis.why_no_ranks:
        _explain(axes, analysis.why_no_ranks)
        return
    titles = {row.id: fill(row.title, NAME) for row in analysis.methods}
    drawn = scikit_posthocs.critical_difference_diagram(
        analysis.ranks.rename(titles),
        analysis.pairs.rename(index=titles, columns=titles),
        alpha=ALPHA,
        ax=axes,
        label_props={"size": SMALL},
        elbow_props={"color": INK, "linewidth": 0.7},
        marker_props={"color": INK, "s": 8},
        crossbar_props={"color": COLOURS[1], "linewidth": 2, "marker": "o", "markersize": 3.5},
        text_h_margin=0.05,
        label_fmt_left="{label} ({rank:.4g})",
        label_fmt_right="({rank:.4g}) {label}",
    )
    for [line] in drawn["crossbars"]:  # of a set, whose order changes from process to process
        line.set_xdata(sorted(line.get_xdata()))
    axes.grid(visible=False)


def _explain(axes: Axes, text: str) -> None:
    axes.set_axis_off()
    axes.text(0, 0.9, fill(text, LETTERS), color=GREY, va="top", transform=axes.transAxes)
