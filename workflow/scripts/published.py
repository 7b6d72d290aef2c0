"""What was published beside what was measured here, as CSV and Markdown.

    python -m workflow.scripts.published --settings results/official/rendering.json --results results/official \\
        --out-csv published.csv --out-md published.md

A difference is printed only where both numbers mean the same: a run of the `official` preset, whose constants are those
behind the ICML 2023 tables, measured by their protocol.  Runs of every other preset are listed without one.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from common.console import run
from common.files import write_text
from workflow.scripts import numbers, render
from workflow.scripts.numbers import METRICS, Cell, Metric
from workflow.scripts.settings import Entry, Settings, load
from workflow.scripts.sources import Sources

PUBLISHED = Path(__file__).parents[1] / "published.csv"
COMPARABLE = ("official", 256)  # preset and resolution of the runs behind the ICML 2023 tables
ICLR, ICML = "ICLR 2023", "ICML 2023"
HEADS = {
    "title": "Dataset",
    "method": "Method",
    "metric": "Metric",
    ICLR: ICLR,
    ICML: ICML,
    "measured": "Measured",
    "delta": "Δ",
    "protocol": "Protocol",
    "n_real": "Real",
    "n_fake": "Generated",
    "steps": "Steps",
    "commit": "Commit",
}


def build(settings: Settings, sources: Sources, frame: pd.DataFrame) -> pd.DataFrame:
    """One row for each dataset, method and metric; columns: dataset, mean, std, n_seeds and those of HEADS."""
    published = pd.read_csv(PUBLISHED, comment="#").set_index(["dataset", "method", "metric"])
    commits = commits_of(sources)
    rows = []
    for dataset in settings.datasets:
        for method in settings.ranked:
            for metric in METRICS.values():
                key = (dataset.id, method.id, metric.id)
                known = published.loc[key] if key in published.index else None
                cell, protocol = measured(frame, settings, dataset.id, method, metric, known)
                same = (settings.preset, settings.resolution) == COMPARABLE
                comparable = same and known is not None and protocol == known.protocol and cell.values
                rows.append(
                    {
                        "dataset": dataset.id,
                        "title": dataset.title,
                        "method": method.title,
                        "metric": f"{metric.title} {metric.arrow}",
                        ICLR: None,  # its tables were not available: workflow/published.csv
                        ICML: None if known is None else metric.format(known.value),
                        "measured": " ".join([render.short_text(cell), *render.uncertainty(cell)]),
                        "mean": cell.mean,
                        "std": cell.std,
                        "n_seeds": len(cell.values),
                        "delta": f"{cell.mean - known.value:+.{metric.decimals}f}" if comparable else None,
                        "protocol": protocol,
                        "n_real": _joined(count[0] for count in cell.counts),
                        "n_fake": _joined(count[1] for count in cell.counts),
                        "steps": _joined(cell.steps),
                        "commit": _joined(sorted(commits[dataset.id, method.id, metric.split])) if cell.values else "",
                    }
                )
    return pd.DataFrame(rows)


def measured(
    frame: pd.DataFrame, settings: Settings, dataset: str, method: Entry, metric: Metric, known: Any
) -> tuple[Cell, str]:
    """The measured cell and its protocol: the published number's if it was measured by it, else the preset's first."""
    name = settings.protocols[metric.protocol]["name"]
    if known is not None and known.protocol in set(frame.loc[frame["metric"] == metric.id, "protocol"]):
        name = known.protocol
    protocols = {**settings.protocols, metric.protocol: {**settings.protocols[metric.protocol], "name": name}}
    return numbers.cell(frame, replace(settings, protocols=protocols), dataset, method, metric), name


def commits_of(sources: Sources) -> dict[tuple[str, str, str], set[str]]:
    """(dataset, method, split) -> short commits of the code that trained it, over seeds."""
    commits = defaultdict(set)
    for record in sources.runs():
        commit = (record.get("git_commit") or "unknown")[:7] + ("+" if record.get("git_dirty") else "")
        commits[record["dataset"], record["method"], record["split"]].add(commit)
    return commits


def markdown(table: pd.DataFrame, settings: Settings) -> str:
    compared = (
        f"Δ: measured less {ICML}, whose constants and protocol these runs have."
        if (settings.preset, settings.resolution) == COMPARABLE
        else f"No difference is given: only runs of the {COMPARABLE[0]} preset are comparable with {ICML}."
    )
    lines = [
        f"**Published and measured.** Preset {settings.preset}, {settings.resolution} × {settings.resolution} px. "
        f"{compared} The tables of {ICLR} were not available; blank: no readable source.",
        "",
        f"| {' | '.join(HEADS.values())} |",
        f"|{' :-- |' * 3}{' --: |' * 4} :-- |{' --: |' * 3} :-- |",
    ]
    for row in table.astype(object).where(table.notna(), "").to_dict("records"):
        lines.append(f"| {' | '.join(str(row[name]) for name in HEADS)} |")
    return "\n".join(lines) + "\n"


def write(table: pd.DataFrame, settings: Settings, csv: Path, md: Path) -> None:
    write_text(csv, table.to_csv(index=False))
    write_text(md, markdown(table, settings))


def _joined(values: Any) -> str:
    return " ".join(map(str, dict.fromkeys(values)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--settings", type=Path, required=True, help="JSON, see workflow/scripts/settings.py")
    parser.add_argument("--results", type=Path, required=True, help="results/<preset>, with metrics.csv and runs/")
    parser.add_argument("--out-csv", type=Path, required=True)
    parser.add_argument("--out-md", type=Path, required=True)
    arguments = parser.parse_args()
    settings = load(arguments.settings)
    sources = Sources(settings, arguments.results, arguments.results / "prepared")
    table = build(settings, sources, numbers.read_metrics(arguments.results / "metrics.csv", settings))
    write(table, settings, arguments.out_csv, arguments.out_md)


if __name__ == "__main__":
    run(main)
