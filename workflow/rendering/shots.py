"""Quality against the number of training images: FID against the full set, and copies.

A preset's FID compares samples with the images that a method was trained on, so its values for ten and for a hundred
images cannot be compared.  `fid_full` compares all of them with the same images: those of `metrics.full_set`.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from workflow.rendering.contents import dataset_title
from workflow.rendering.lines import Lines, draw_counts
from workflow.rendering.numbers import METRICS
from workflow.rendering.results import Results
from workflow.rendering.style import styled


def points(results: Results) -> pd.DataFrame:
    """Columns dataset, method, n (training images), metric (fid_full or copy_rate), seed, split and value."""
    frame, copies = results.metrics, METRICS["copy_rate"].protocol(results.preset).name
    shown = (frame["metric"] == "fid_full") | ((frame["metric"] == "copy_rate") & (frame["protocol"] == copies))
    frame = frame[shown & frame["method"].isin([row.id for row in results.generators])].dropna(subset="value")
    counts = {name: found["count"] for name in results.preset.datasets if (found := results.manifest(name))}
    return frame.assign(n=frame["dataset"].map(counts))[["dataset", "method", "n", "metric", "seed", "split", "value"]]


@styled
def draw(results: Results, png: Path | str, pdf: Path | str) -> None:
    """Draw both metrics."""
    full = results.preset.metrics.full_set
    assert full is not None  # contents.figures_of
    table = points(results)
    heads = {"fid_full": f"FID against all {dataset_title(full)} ↓", "copy_rate": "Copies in pixels ↓"}
    lines = Lines(results, table, len(heads), across=2)
    for axes, (metric, title) in zip(lines.axes(), heads.items(), strict=True):
        axes.set_title(title, loc="left", pad=3)
        draw_counts(axes, table[table["metric"] == metric], lines.looks, "images")
    lines.finish(f"{results.preset.sampling.n:,} samples", png, pdf)
