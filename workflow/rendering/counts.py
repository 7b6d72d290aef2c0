"""Precision and recall against the number of samples, for presets that measure them with several numbers.

Recall falls with the number of samples wherever these are denser than the images: each sample's neighbourhood, of which
recall counts the images inside, then shrinks.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from workflow.rendering.contents import counted, dataset_title
from workflow.rendering.lines import Lines, draw_counts
from workflow.rendering.numbers import METRICS
from workflow.rendering.results import Results
from workflow.rendering.style import styled

SHOWN = ("precision", "recall")


def points(results: Results) -> pd.DataFrame:
    """Columns dataset, method, metric, n (samples), seed, split and value."""
    frame = results.metrics
    protocols = [str(protocol) for protocol in counted(results.preset)]
    shown = frame["metric"].isin(SHOWN) & frame["protocol"].isin(protocols)
    frame = frame[shown & frame["method"].isin([row.id for row in results.generators])].dropna(subset="value")
    return frame.assign(n=frame["n_fake"].astype(int))[["dataset", "method", "metric", "n", "seed", "split", "value"]]


@styled
def draw(results: Results, png: Path | str, pdf: Path | str) -> None:
    """Draw SHOWN of every data set."""
    table = points(results)
    panels = [(dataset, METRICS[name]) for dataset in results.preset.datasets for name in SHOWN]
    lines = Lines(results, table, len(panels), across=2)
    for axes, (dataset, metric) in zip(lines.axes(), panels, strict=True):
        axes.set_title(f"{dataset_title(dataset)}: {metric.head}", loc="left", pad=3)
        here = table[(table["dataset"] == dataset) & (table["metric"] == metric.name)]
        draw_counts(axes, here, lines.looks, "samples")
    network = METRICS["recall"].protocol(results.preset)
    lines.finish(f"{network.network}, k = {network.k}", png, pdf)
