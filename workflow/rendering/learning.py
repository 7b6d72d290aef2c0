"""Quality against training time: the metrics of measured checkpoints, a panel for each data set and metric."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from training.config import Preset
from workflow.rendering.captions import footer
from workflow.rendering.contents import dataset_title
from workflow.rendering.numbers import METRICS, Metric
from workflow.rendering.results import Results
from workflow.rendering.style import COLOURS, GREY, TINY, WIDTH, new_figure, save, styled

COLUMNS = ["dataset", "method", "seed", "split", "step", "seconds", "metric", "protocol", "value", "n_fake"]
SHOWN = ("fid", "recall_equal", "coverage", "copy_rate", "mode_distance", "lpips_backtracking")
ACROSS = 3  # panels in a row
# Pixels.
ROW, PANEL = 245, 165  # the height of a row, and of the axes in it
LEFT, GAP, RIGHT = 74, 84, 12  # left of the first panel, between two, right of the last one
ABOVE, LEGEND_LINE, FOOT = 36, 28, 78
IN_LINE = 4  # methods in a line of the legend
LOG_FROM = 5  # ratio of the longest to the shortest time from which the axis is logarithmic
Look = tuple[str, Literal["-", "--"], str]
# Look of a method, by its place in the preset: colour, line style, marker.
LOOKS: list[Look] = [(colour, "-", "o") for colour in COLOURS] + [(colour, "--", "s") for colour in COLOURS]


def checkpoints(results: Results) -> pd.DataFrame:
    """The rows of learning.csv of the preset's present runs, with the seconds that count; empty if it has none.

    Seconds are those of the processor; of the clock for a training on a GPU.
    """
    path, runs = results.folder / "learning.csv", {run["run_hash"]: run["hardware"] for run in results.runs}
    if not (results.preset.training.checkpoints and path.is_file()):
        return pd.DataFrame(columns=COLUMNS)
    frame = pd.read_csv(path).dropna(subset="value")
    frame = frame[frame["run_hash"].isin(list(runs)) & frame["method"].isin([row.id for row in results.generators])]
    on_gpu = frame["run_hash"].map(lambda name: bool(runs[name]["gpu"]))
    return frame.assign(seconds=frame["seconds"].where(on_gpu, frame["processor_seconds"]))[COLUMNS]


def samples(table: pd.DataFrame) -> str:
    """How many samples FID and copies were measured on: "500 samples"."""
    counts = table.loc[table["metric"] == "fid", "n_fake"].astype(int).drop_duplicates()
    return f"{', '.join(f'{count:,}' for count in sorted(counts)) or 'no'} samples"


@styled
def draw(results: Results, png: Path | str, pdf: Path | str) -> None:
    """Draw SHOWN of every data set; a metric without any number has no panel."""
    table = checkpoints(results)
    shown = [METRICS[name] for name in SHOWN]
    found = [
        (name, metric, _of(table, name, metric, results.preset)) for name in results.preset.datasets for metric in shown
    ]
    panels = [panel for panel in found if len(panel[2])]
    titles = {row.id: row.title for row in results.generators if row.id in set(table["method"])}
    looks = dict(zip(titles, LOOKS * len(titles), strict=False))
    head = ABOVE + LEGEND_LINE * -(-len(titles) // IN_LINE)
    rows = max(-(-len(panels) // ACROSS), 1)
    height = head + ROW * rows - (ROW - PANEL) + FOOT
    figure = new_figure(height)
    panels_at = grid(figure, rows, ACROSS, head, height).flat
    for (dataset, metric, points), axes in zip(panels, panels_at, strict=False):
        axes.set_title(f"{dataset_title(dataset)}: {metric.head}", loc="left", pad=3)
        _draw_panel(axes, points, looks)
    for axes in panels_at:  # that are left
        axes.set_axis_off()
    legend(figure, titles, looks)
    if not panels:
        figure.text(0.5, 0.5, "No checkpoints: none was measured in this preset.", ha="center", color=GREY)
    what = f"{samples(table)} at each point; lines: means over seeds; bars: their range"
    figure.text(0.001, 4 / height, "\n".join(footer(results, what, attributions=False)), size=TINY, color=GREY)
    for path in (png, pdf):
        save(figure, path)


def _of(table: pd.DataFrame, dataset: str, metric: Metric, preset: Preset) -> pd.DataFrame:
    """One metric of one data set.  Precision and recall with another number of samples than the tables' are no part."""
    rows = (table["dataset"] == dataset) & (table["metric"] == metric.name)
    return table[rows & (table["protocol"] == metric.protocol(preset).name)]


def grid(figure: Figure, rows: int, columns: int, head: int, height: int) -> np.ndarray:
    """Axes (rows, columns) at fixed positions, because matplotlib's constrained layout is not bit-exact."""
    width = (WIDTH - LEFT - GAP * (columns - 1) - RIGHT) / columns
    return figure.add_gridspec(
        rows, columns, left=LEFT / WIDTH, right=1 - RIGHT / WIDTH, top=1 - head / height, bottom=FOOT / height,
        wspace=GAP / width, hspace=(ROW - PANEL) / PANEL,
    ).subplots(squeeze=False)  # fmt: skip


def _draw_panel(axes: Axes, points: pd.DataFrame, looks: dict[str, Look]) -> None:
    for method, (colour, line, marker) in looks.items():
        steps = points[points["method"] == method].groupby("step")
        times, values = steps["seconds"].mean(), steps["value"]
        axes.vlines(times, values.min(), values.max(), color=colour, linewidth=0.7, alpha=0.6)
        axes.plot(times, values.mean(), color=colour, linestyle=line, marker=marker, markersize=2)
    shortest, longest = points["seconds"].min(), points["seconds"].max()
    if longest > LOG_FROM * shortest > 0:
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_locator(FixedLocator([15 * 2**power for power in range(24)]))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlim(shortest * 0.9, longest * 1.1)
    axes.xaxis.set_major_formatter(lambda seconds, _: f"{seconds:,.0f} s")
    axes.yaxis.set_major_locator(MaxNLocator(4))


def legend(figure: Figure, titles: dict[str, str], looks: dict[str, Look]) -> None:
    handles = [
        Line2D([], [], color=colour, linestyle=line, marker=marker, markersize=2.5, linewidth=1.2, label=titles[method])
        for method, (colour, line, marker) in looks.items()
    ]
    if handles:
        figure.legend(
            handles=handles, loc="upper left", bbox_to_anchor=(0, 1), ncols=IN_LINE, borderpad=0.3, borderaxespad=0,
            handlelength=2.2, columnspacing=1.6,
        )  # fmt: skip
