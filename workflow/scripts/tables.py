"""Tables 1-3 of the paper as CSV (every digit), Markdown and LaTeX.

    python -m workflow.scripts.tables --metrics results/demo/metrics.csv --settings settings.json --table 1 \\
        --out-csv table1.csv --out-md table1.md --out-tex table1.tex

Table 1: FID and LPIPS backtracking.  Table 2: precision and recall.  Table 3: Adaptive against vanilla IMLE.
"""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from common.console import UserError, run
from common.files import write_text
from workflow.scripts import captions, numbers, render
from workflow.scripts.numbers import METRICS, Cell, Metric
from workflow.scripts.settings import Dataset, Entry, Settings, load

CONTENTS = {1: ("fid", "lpips_backtracking"), 2: ("precision", "recall"), 3: ("fid", "precision", "recall")}


@dataclass(frozen=True)
class Table:
    """Rows are methods; columns are datasets, each with one sub-column a metric.

    cells: by (row id, dataset id, metric id).  best: keys of the cells to print bold.  notes: the table's footnotes;
    marks: cell key -> indices into notes.
    """

    number: int
    preset: str
    resolution: int
    caption: str
    datasets: tuple[Dataset, ...]
    metrics: tuple[Metric, ...]
    rows: tuple[Entry, ...]
    cells: dict[tuple[str, str, str], Cell]
    best: frozenset[tuple[str, str, str]]
    notes: tuple[str, ...]
    marks: dict[tuple[str, str, str], tuple[int, ...]]

    def row_keys(self, row: Entry) -> list[tuple[str, str, str]]:
        """Cell keys of one row, from left to right."""
        return [(row.id, dataset.id, metric.id) for dataset in self.datasets for metric in self.metrics]

    @property
    def blocks(self) -> list[list[Entry]]:
        """Rows between rules: what is ranked, then controls and floor."""
        blocks = [[row for row in self.rows if row.ranked], [row for row in self.rows if not row.ranked]]
        return [block for block in blocks if block]


def build(number: int, frame: pd.DataFrame, settings: Settings) -> Table:
    """Table `number` from the metrics of one preset (see `numbers.read_metrics`)."""
    rows = numbers.rows_of_table(frame, settings)
    datasets = settings.datasets
    if number == 3:
        rows = [row for row in rows if row.id in settings.table3["methods"]]
        datasets = tuple(dataset for dataset in datasets if dataset.id in settings.table3["datasets"])
    elif "fid" not in CONTENTS[number]:
        rows = [row for row in rows if row is not numbers.FLOOR]
    metrics = tuple(METRICS[name] for name in CONTENTS[number])
    cells = {
        (row.id, dataset.id, metric.id): numbers.cell(frame, settings, dataset.id, row, metric)
        for row in rows
        for dataset in datasets
        for metric in metrics
    }
    notes, marks = footnotes(cells, rows, len(settings.seeds))
    return Table(
        number=number,
        preset=settings.preset,
        resolution=settings.resolution,
        caption=captions.table_caption(number, settings, metrics, rows, list(cells.values())),
        datasets=datasets,
        metrics=metrics,
        rows=tuple(rows),
        cells=cells,
        best=frozenset(
            key for dataset in datasets for metric in metrics for key in best_of(cells, rows, dataset.id, metric)
        ),
        notes=notes,
        marks=marks,
    )


def best_of(
    cells: dict[tuple[str, str, str], Cell], rows: list[Entry], dataset: str, metric: Metric
) -> list[tuple[str, str, str]]:
    """Keys of the best ranked cells of one column; cells that print alike tie, a tie of all is no contest."""
    keys = [(row.id, dataset, metric.id) for row in rows if row.ranked and cells[row.id, dataset, metric.id].values]
    if len(keys) < 2:
        return []
    choose = min if metric.better == "lower" else max
    best = choose(cells[key].mean for key in keys)
    winners = [key for key in keys if cells[key].text == metric.format(best)]
    return winners if len(winners) < len(keys) else []


def footnotes(
    cells: dict[tuple[str, str, str], Cell], rows: list[Entry], n_seeds: int
) -> tuple[tuple[str, ...], dict[tuple[str, str, str], tuple[int, ...]]]:
    """Notes in reading order, each text once, and which cells carry which: reasons, other counts, fewer seeds."""
    usual = {}
    ranked = {row.id for row in rows if row.ranked}
    seeded = {row.id for row in rows if row.kind in ("method", "control")}
    for column in {key[1:] for key in cells}:
        counts = Counter(cells[key].counts for key in cells if key[1:] == column and key[0] in ranked)
        counts.pop((), None)
        usual[column] = counts.most_common(1)[0][0] if counts else ()
    notes: dict[str, int] = {}
    marks = {}
    for key, cell in cells.items():
        texts = _notes_of(cell, usual[key[1:]], n_seeds if key[0] in seeded else 1)
        marks[key] = tuple(notes.setdefault(text, len(notes)) for text in texts)
    return tuple(notes), marks


def _notes_of(cell: Cell, usual_counts: tuple[tuple[int, int], ...], n_seeds: int) -> list[str]:
    if not cell.values:
        return [cell.reason] if cell.reason.startswith("n/a") else []
    notes = []
    if cell.method == numbers.FLOOR.id:
        notes += [f"{one} real images against the other {other}" for other, one in cell.counts]
    elif cell.metric.protocol != "lpips_backtracking" and cell.counts != usual_counts:
        notes += [f"{n_fake:,} generated against {n_real:,} real images" for n_real, n_fake in cell.counts]
    if len(cell.values) < n_seeds:
        notes.append(f"n = {len(cell.values)} of {n_seeds} seeds")
    return notes


def write(table: Table, settings: Settings, csv: Path, md: Path, tex: Path) -> None:
    write_text(csv, render.csv(table, settings))
    write_text(md, render.markdown(table))
    write_text(tex, render.latex(table))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--metrics", type=Path, required=True, help="metrics.csv of one preset")
    parser.add_argument("--settings", type=Path, required=True, help="JSON, see workflow/scripts/settings.py")
    parser.add_argument("--table", type=int, choices=sorted(CONTENTS), required=True)
    parser.add_argument("--out-csv", type=Path, required=True)
    parser.add_argument("--out-md", type=Path, required=True)
    parser.add_argument("--out-tex", type=Path, required=True)
    arguments = parser.parse_args()
    settings = load(arguments.settings)
    table = build(arguments.table, numbers.read_metrics(arguments.metrics, settings), settings)
    if not (table.rows and table.datasets):
        raise UserError(f"table {table.number} has no rows or datasets; check table3 in {arguments.settings}")
    write(table, settings, arguments.out_csv, arguments.out_md, arguments.out_tex)


if __name__ == "__main__":
    run(main)
