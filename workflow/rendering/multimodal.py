"""What the report says about several answers to one input: tables, Figures 4 and 5, and a page of its own.

The report of a preset that has tasks alone; with data sets too, it is multimodal.html, to which report.html links.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from common import __version__
from common.console import UserError
from data.datasets import dataset_info
from training.config import Preset
from workflow.rendering import answers, captions, figure5, stamp
from workflow.rendering.contents import answer_tables
from workflow.rendering.report import template
from workflow.rendering.results import Results

FIGURES = {"figure4": "Figure 4", "figure5": "Figure 5"}
CHANGED = " (changed since)"
DIRECTIONS = "directions.csv"  # the numbers of Figure 5, in the folder of the tables
CAPTIONS = {
    "figure4": "The first held-out inputs of each task, every right answer that is known, and the first answers of "
    "each method, without selection. A method whose answers are all equal has one column. Where several right answers "
    "are known, each input has two lines.",
    "figure5": "IMLE and a GAN with a 1-nearest-neighbour discriminator: the same training, but IMLE pulls to each "
    "data point its nearest sample, the 1-NN GAN each sample to its nearest data point. The 1-NN GAN is not a GAN with "
    "a learned discriminator. `snakemake --cores 1 nn_direction` makes it, whatever the preset.",
}


@dataclass(frozen=True)
class Section:
    """A table or a figure of a page: text cells, or a PNG in base64 (None if it was not drawn)."""

    id: str
    title: str
    caption: str
    heads: tuple[str, ...] = ()
    rows: list[tuple[str, ...]] | None = None
    png: str | None = None
    texts: int = 0  # columns at the left that are text
    attributions: tuple[str, ...] = ()


def sections(results: Results) -> list[Section]:
    """Tables, Figures 4 and 5, and the numbers of Figure 5."""
    found = []
    for name in answer_tables(results.preset):
        table = answers.build(name, results)
        found.append(Section(name, table.title, table.caption, table.heads, table.rows, texts=len(answers.TEXTS)))
    # Figure 5 shows the faces, whatever the data sets of the preset.
    attributions = {"figure4": results.attributions(), "figure5": [dataset_info("openmoji_faces").attribution]}
    for name, title in FIGURES.items():
        path = results.folder / "figures" / f"{name}.png"
        png = base64.b64encode(path.read_bytes()).decode() if path.is_file() else None
        found.append(Section(name, title, CAPTIONS[name], png=png, attributions=tuple(attributions[name])))
    path = results.folder / "tables" / DIRECTIONS
    if path.is_file():
        parts = {"plane": "in the plane", "faces": "on the faces"}
        for (part, where), (heads, rows) in zip(parts.items(), figure5.tables(pd.read_csv(path)), strict=True):
            title = f"The numbers of Figure 5 {where}"
            caption = "Mean ± standard deviation over the seeds; results/reference/nn_direction/README.md defines them."
            found.append(Section(f"directions-{part}", title, caption, heads, rows, texts=len(figure5.TEXTS)))
    return found


def file_of(preset: Preset) -> str:
    """The name of the page in the results folder."""
    return "multimodal.html" if preset.datasets else "report.html"


def check(results: Results, path: Path) -> None:
    """Raise `UserError` if a page differs from a new one by more than version and present sources."""
    if _without_sources(path.read_text("utf-8")) != _without_sources(page(results)):
        raise UserError(f"{path} is not what metrics.csv and figures/ render to")


def _without_sources(html: str) -> str:
    return re.sub(r"Written by version \S+", "", stamp.without(html).replace(CHANGED, ""))


def page(results: Results) -> str:
    """The page of a preset's tasks, as HTML."""
    preset = results.preset
    titles = {entry.id: entry.title for entry in results.answerers}
    tasks = {name: task.title(preset.resolution) for name, task in preset.tasks.items()}
    runs = [
        (
            titles[record["method"]],
            tasks[record["dataset"]],
            str(record["seed"]),
            f"{record['steps']:,}",
            f"{stamp.training_seconds(record):.0f}",
            stamp.commit(record) + (CHANGED if stamp.sources_changed(record) else ""),
            *(record[key][:8] for key in ("config_hash", "data_hash", "sources_hash")),
        )
        for record in results.runs
        if record["method"] in titles
    ]
    licences = [results.manifest(name) for name in results.datasets]
    return template("multimodal.html.j2").render(
        preset=preset,
        sections=sections(results),
        scale=captions.scale(preset),
        sources=stamp.sentence(results.runs, results.answerers),
        runs=runs,
        licences=[manifest for manifest in licences if manifest],
        version=__version__,
    )
