"""Published and measured numbers side by side, as CSV and Markdown.

A difference is printed only if both numbers are comparable: a run of the `official` preset, whose constants are those
of the ICML 2023 tables, measured by their protocol.  Runs of all other presets are listed without a difference.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from common.files import write_text
from training.config import Preset, read_preset
from workflow.rendering import numbers, stamp
from workflow.rendering.contents import Entry, dataset_title
from workflow.rendering.notation import joined, markdown_table
from workflow.rendering.numbers import METRICS, Metric
from workflow.rendering.results import Results

PUBLISHED = Path(__file__).parents[1] / "published.csv"
ICML = "ICML 2023"
PUBLICATIONS = ("NeurIPS 2020", ICML, "ECCV 2024")  # columns; one without a value is left out
COMPARED = ("fid", "lpips_backtracking", "precision", "recall")
HEADS = {
    "title": "Dataset",
    "method": "Method",
    "metric": "Metric",
    **{paper: paper for paper in PUBLICATIONS},
    "measured": "Measured",
    "delta": "Δ",
    "copies": "Copies",
    "protocol": "Protocol",
    "n_real": "Real",
    "n_fake": "Generated",
    "steps": "Steps",
    "commit": "Commit",
}
TEXTS = ("Dataset", "Method", "Metric", "Protocol", "Commit")  # aligned left


def comparable(preset: Preset, method: str | None = None) -> bool:
    """Do these runs have the settings of the ICML 2023 tables?  method: also in every key of this row."""
    official = official_preset()
    same = _scale(preset) == _scale(official)
    return same and (method is None or preset.methods.get(method) == official.methods.get(method))


def _scale(preset: Preset) -> tuple[str, int, int]:
    return preset.preset, preset.resolution, preset.sampling.n


@cache
def official_preset() -> Preset:
    return read_preset("official")


def build(results: Results) -> pd.DataFrame:
    """One row for each dataset, method and metric; columns: dataset, mean, std, n_seeds and those of HEADS."""
    table = pd.read_csv(PUBLISHED, comment="#").set_index(["publication", "dataset", "method", "metric"])
    published = dict(zip(table.index, table.itertuples(), strict=True))
    rows = []
    for dataset in results.preset.datasets:
        for row in results.ranked:
            for metric in (METRICS[name] for name in COMPARED):
                known = {paper: published.get((paper, dataset, row.id, metric.id)) for paper in PUBLICATIONS}
                rows.append(_row(results, dataset, row, metric, known))
    table = pd.DataFrame(rows)
    empty = [column for column in PUBLICATIONS if column not in table or table[column].isna().all()]
    if not numbers.measured(results, METRICS["copy_rate"]):
        empty.append("copies")
    return table.drop(columns=empty, errors="ignore")  # no columns at all without ranked rows


def _row(results: Results, dataset: str, row: Entry, metric: Metric, values: dict[str, Any]) -> dict[str, Any]:
    """values: what each of `PUBLICATIONS` has, or None.  A number measured as in ICML 2023 is preferred."""
    frame, known = results.metrics, values[ICML]
    measured = set(frame.loc[frame["metric"] == metric.id, "protocol"])
    protocol = metric.protocol(results.preset).name
    if known is not None and known.protocol in measured:
        protocol = known.protocol
    cell = numbers.cell(results, dataset, row, metric, protocol)
    same = comparable(results.preset, row.id) and known is not None and protocol == known.protocol and cell.values
    here = {"dataset": dataset, "method": row.id, "split": metric.split}.items()
    runs = [run for run in results.measured_runs if cell.values and here <= run.items()]
    return {
        "dataset": dataset,
        "title": dataset_title(dataset),
        "method": row.title,
        "metric": metric.head,
        **{paper: found and metric.format(found.value) for paper, found in values.items()},
        "measured": " ".join([cell.text, *cell.uncertainty]),
        "mean": cell.mean,
        "std": cell.std,
        "n_seeds": len(cell.values),
        "delta": f"{cell.mean - known.value:+.{metric.decimals}f}" if same else None,
        "copies": numbers.cell(results, dataset, row, METRICS["copy_rate"]).text if metric.id == "fid" else None,
        "protocol": protocol,
        "n_real": joined(count[0] for count in cell.counts),
        "n_fake": joined(count[1] for count in cell.counts),
        "steps": joined(cell.steps),
        "commit": ", ".join(sorted({stamp.commit(run) for run in runs})),
    }


def markdown(table: pd.DataFrame, results: Results) -> str:
    preset = results.preset
    compared = (
        f"Δ: measured less {ICML}, of rows that have its constants and its protocol."
        if comparable(preset)
        else f"No difference is given: only runs of the official preset are comparable with {ICML}."
    )
    heads = {column: head for column, head in HEADS.items() if column in table}
    rows = table.astype(object).where(table.notna(), "")[list(heads)].astype(str).to_numpy().tolist()
    caption = (
        f"**Published and measured.** Preset {preset.preset}, {preset.resolution} × {preset.resolution} px. {compared} "
        "The tables of the ICLR 2023 text were not available; blank: no readable source. "
        f"{stamp.sentence(results.measured_runs, results.ranked)}"
    )
    return f"{caption}\n\n{markdown_table(list(heads.values()), rows, TEXTS)}\n"


def write(results: Results, csv: Path | str, md: Path | str) -> None:
    table = build(results)
    write_text(csv, table.to_csv(index=False))
    write_text(md, markdown(table, results))
