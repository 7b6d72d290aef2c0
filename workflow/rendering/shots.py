"""Quality against the number of training images: FID against the full set, and copies.

A preset's FID compares samples with the images that a method was trained on, so its values for ten and for a hundred
images cannot be compared.  `fid_full` compares all of them with the same images: those of `metrics.full_set`.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.ticker import MaxNLocator

from common.console import UserError
from workflow.rendering import learning
from workflow.rendering.captions import footer
from workflow.rendering.contents import dataset_title
from workflow.rendering.numbers import METRICS
from workflow.rendering.results import Results
from workflow.rendering.style import GREY, TINY, new_figure, save, styled

PANEL = 230  # height of the axes in pixels


def points(results: Results) -> pd.DataFrame:
    """Columns method, n (training images), metric (fid_full or copy_rate), value (mean over seeds)."""
    frame, copies = results.metrics, METRICS["copy_rate"].protocol(results.preset).name
    shown = (frame["metric"] == "fid_full") | ((frame["metric"] == "copy_rate") & (frame["protocol"] == copies))
    frame = frame[shown & frame["method"].isin([row.id for row in results.generators])].dropna(subset="value")
    counts = {name: results.manifest(name)["count"] for name in results.preset.datasets}
    frame = frame.assign(n=frame["dataset"].map(counts))
    return frame.groupby(["method", "n", "metric"])["value"].mean().reset_index()


@styled
def draw(results: Results, png: Path | str, pdf: Path | str) -> None:
    """Draw both metrics.  Raises `UserError` for a preset without `metrics.full_set`."""
    full = results.preset.metrics.full_set
    if full is None:
        raise UserError(f"{results.preset.preset} has no metrics.full_set, so its sizes of sets cannot be compared")
    table = points(results)
    titles = {row.id: row.title for row in results.generators if row.id in set(table["method"])}
    looks = dict(zip(titles, learning.LOOKS * len(titles), strict=False))
    head = learning.ABOVE + learning.LEGEND_LINE * -(-len(titles) // learning.IN_LINE)
    height = head + PANEL + learning.FOOT
    figure = new_figure(height)
    heads = {"fid_full": f"FID against all {dataset_title(full)} ↓", "copy_rate": "Copies of training images ↓"}
    sizes = sorted(table["n"].unique())
    for axes, (metric, title) in zip(learning.grid(figure, 1, 2, head, height).flat, heads.items(), strict=True):
        axes.set_title(title, loc="left", pad=3)
        for method, (colour, line, marker) in looks.items():
            here = table[(table["method"] == method) & (table["metric"] == metric)]
            axes.plot(here["n"], here["value"], color=colour, linestyle=line, marker=marker, markersize=2)
        axes.set_xscale("log")
        axes.set_xticks(sizes, labels=[f"{n:,} images" if n == sizes[0] else f"{n:,}" for n in sizes])
        axes.minorticks_off()
        axes.yaxis.set_major_locator(MaxNLocator(4))
    learning.legend(figure, titles, looks)
    what = f"{results.preset.sampling.n:,} samples; means over seeds"
    figure.text(0.001, 4 / height, "\n".join(footer(results, what, attributions=False)), size=TINY, color=GREY)
    for path in (png, pdf):
        save(figure, path)
