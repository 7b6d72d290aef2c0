"""The tables: their rows and cells, bold numbers, and footnotes.

Table 1: FID, copy rate and LPIPS backtracking.  Table 2: precision and recall.  Table 3: Adaptive against vanilla IMLE.
Table 4: diversity.  The first three are the paper's.  ALL: every metric at once, for the report.
"""

from __future__ import annotations

import string
from dataclasses import dataclass
from itertools import chain

from training.config import Preset
from workflow.rendering import captions, numbers
from workflow.rendering.contents import ABLATION, ALL, HALVES, TABLES, Entry, tables_of
from workflow.rendering.numbers import METRICS, Cell, Metric
from workflow.rendering.results import Results

# Row, dataset and metric of a cell.
Key = tuple[str, str, str]
Cells = dict[Key, Cell]


@dataclass(frozen=True)
class Table:
    """Rows are methods; columns are datasets, each with one sub-column per metric.

    best: the cells to print bold.  notes: the footnotes; marks: which of them a cell carries.
    """

    number: int
    preset: Preset
    caption: str
    datasets: tuple[str, ...]
    metrics: tuple[Metric, ...]
    rows: list[Entry]
    cells: Cells
    best: set[Key]
    notes: list[str]
    marks: dict[Key, list[int]]

    def keys(self, row: Entry, datasets: tuple[str, ...] | None = None) -> list[Key]:
        """Cell keys of one row, from left to right."""
        return [(row.id, name, metric.id) for name in datasets or self.datasets for metric in self.metrics]

    def signs(self, key: Key) -> str:
        """The footnote signs of a cell: "a,c"."""
        return ",".join(map(sign, self.marks[key]))

    @property
    def signed_notes(self) -> list[tuple[str, str]]:
        return [(sign(index), note) for index, note in enumerate(self.notes)]

    @property
    def blocks(self) -> list[list[Entry]]:
        """Rows in two blocks: ranked rows, then controls and real halves."""
        blocks = [[row for row in self.rows if row.ranked == ranked] for ranked in (True, False)]
        return [block for block in blocks if block]


def build(number: int, results: Results) -> Table:
    """Table `number` from the metrics of one preset."""
    preset, metrics = results.preset, columns(number, results)
    rows = _rows(number, results)
    datasets = tuple(name for name in preset.datasets if number != 3 or name in preset.tables.ablation_datasets)
    cells = {
        (row.id, dataset, metric.id): numbers.cell(results, dataset, row, metric)
        for row in rows
        for dataset in datasets
        for metric in metrics
    }
    notes, marks = footnotes(cells, preset)
    return Table(
        number=number,
        preset=preset,
        caption=captions.table_caption(number, results, rows, cells.values()),
        datasets=datasets,
        metrics=metrics,
        rows=rows,
        cells=cells,
        best={key for dataset in datasets for metric in metrics for key in best_of(cells, dataset, metric, preset)},
        notes=notes,
        marks=marks,
    )


def columns(number: int, results: Results) -> tuple[Metric, ...]:
    """The metrics of a table, without those that the preset leaves out and the optional ones that the results lack."""
    names = TABLES[number] if number != ALL else dict.fromkeys(chain(*TABLES.values()))
    metrics = (METRICS[name] for name in names)
    return tuple(
        metric
        for metric in metrics
        if numbers.measured(results, metric) or not (metric.absent or numbers.left_out(results, metric))
    )


def filled(results: Results) -> list[int]:
    """The tables that have columns."""
    return [number for number in tables_of(results.preset) if columns(number, results)]


def _rows(number: int, results: Results) -> list[Entry]:
    """The rows of a table; Table 2 has the real halves only where their precision was measured."""
    rows = results.rows
    if number == 3:
        return [row for row in rows if row.id.partition("-")[0] in ABLATION]
    if number == 2:
        frame = results.metrics
        halves = ((frame["method"] == HALVES.id) & (frame["metric"] == "precision")).any()
        return [row for row in rows if row is not HALVES or halves]
    return rows


def best_of(cells: Cells, dataset: str, metric: Metric, preset: Preset) -> list[Key]:
    """Keys of the best ranked cells of one column.  Cells with equal text tie; if all tie, none is best."""
    here = {key: cell for key, cell in cells.items() if key[1:] == (dataset, metric.id)}
    ranked = {key: cell for key, cell in here.items() if cell.row.ranked and cell.comparable(preset)}
    if len(ranked) < 2 or not metric.better:
        return []
    best = (min if metric.better == "lower" else max)(cell.mean for cell in ranked.values())
    winners = [key for key, cell in ranked.items() if cell.text == metric.format(best)]
    return winners if len(winners) < len(ranked) else []


def footnotes(cells: Cells, preset: Preset) -> tuple[list[str], dict[Key, list[int]]]:
    """Notes in reading order, each text once, and the notes of each cell: reasons, other counts, fewer seeds."""
    notes: dict[str, int] = {}
    _, most = captions.measured_seeds(cell for cell in cells.values() if cell.row.kind == "method")
    marks = {
        key: [notes.setdefault(text, len(notes)) for text in _notes_of(cell, preset, most)]
        for key, cell in cells.items()
    }
    return list(notes), marks


def _notes_of(cell: Cell, preset: Preset, most: int) -> list[str]:
    """most: the largest number of seeds of any number."""
    if not cell.values:
        return [cell.reason] if cell.text == "n/a" else []
    notes = []
    if cell.row.kind == "floor":
        notes += [f"{one} real images against the other {other}" for other, one in cell.counts]
    elif not cell.comparable(preset):
        notes += [f"{n_fake:,} generated against {n_real:,} real images" for n_real, n_fake in cell.counts]
    if cell.row.kind in ("method", "control") and len(cell.values) < most:
        notes.append(f"n = {len(cell.values)} of {len(preset.seeds)} seeds")
    return notes


def sign(index: int) -> str:
    """The sign of a footnote: a, b, ..., z, aa, ab, ..."""
    letters = string.ascii_lowercase
    return letters[index] if index < 26 else sign(index // 26 - 1) + letters[index % 26]
