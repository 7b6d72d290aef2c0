"""One table, three notations: CSV for machines, Markdown for the README, LaTeX (booktabs) for a paper."""

from __future__ import annotations

import string
from collections.abc import Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING

import pandas as pd

from workflow.scripts.numbers import Cell
from workflow.scripts.settings import Dataset, Entry, Settings

if TYPE_CHECKING:
    from workflow.scripts.tables import Table

# Row, dataset and metric of a cell.
Key = tuple[str, str, str]
# Columns of numbers that fit the width of a page.
BAND = 6

LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "{": r"\{",
        "}": r"\}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        **{character: f"\\{character}" for character in "&%$#_"},
        "±": r"$\pm$",
        "×": r"$\times$",
        "↓": r"$\downarrow$",
        "↑": r"$\uparrow$",
        "–": "--",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
    }
)


def mark(index: int) -> str:
    """The sign of a footnote: a, b, ..., z, aa, ab, ..."""
    letters = string.ascii_lowercase
    return letters[index] if index < 26 else mark(index // 26 - 1) + letters[index % 26]


def uncertainty(cell: Cell) -> list[str]:
    """ "± 0.4" over seeds, "[1.2, 1.9]" over held-out images: whichever there are."""
    parts = []
    if cell.std is not None:
        parts.append(f"± {cell.metric.format(cell.std)}")
    if cell.values and cell.interval:
        low, high = map(cell.metric.format, cell.interval)
        parts.append(f"[{low}, {high}]")
    return parts


def short_text(cell: Cell) -> str:
    """The number, "n/a" (its reason is a footnote) or "not run"."""
    return "n/a" if cell.text.startswith("n/a") else cell.text


def csv(table: Table, settings: Settings) -> str:
    """One line a cell, with every digit: mean, deviation, n, interval, counts, steps, or the reason for no number."""
    lines = []
    for row in table.rows:
        for key in table.row_keys(row):
            lines.append(_csv_line(table, settings, row, key))
    return pd.DataFrame(lines).to_csv(index=False)


def _csv_line(table: Table, settings: Settings, row: Entry, key: Key) -> dict[str, object]:
    cell = table.cells[key]
    protocol = settings.protocols[cell.metric.protocol]
    return {
        "table": table.number,
        "preset": table.preset,
        "resolution": table.resolution,
        "dataset": cell.dataset,
        "method": row.id,
        "title": row.title,
        "kind": row.kind,
        "metric": cell.metric.id,
        "mean": cell.mean,
        "std": cell.std,
        "n_seeds": len(cell.values),
        "ci95_low": cell.interval[0] if cell.interval else None,
        "ci95_high": cell.interval[1] if cell.interval else None,
        "n_heldout": cell.items or None,
        "n_real": _joined(count[0] for count in cell.counts),
        "n_fake": _joined(count[1] for count in cell.counts),
        "steps": _joined(cell.steps),
        "protocol": protocol["name"],
        "network": protocol["network"],
        "k": protocol.get("k"),
        "best": key in table.best,
        "reason": cell.reason,
    }


def _joined(values: object) -> str:
    return " ".join(map(str, dict.fromkeys(values)))


def markdown(table: Table) -> str:
    heads = [
        f"{dataset.title}<br>{metric.title} {metric.arrow}" for dataset in table.datasets for metric in table.metrics
    ]
    lines = [
        f"**Table {table.number}.** {table.caption}",
        "",
        f"| Method | {' | '.join(_pipe(head) for head in heads)} |",
        f"| :-- |{' --: |' * len(heads)}",
    ]
    for block in table.blocks:
        if not block[0].ranked:
            lines.append(f"| *Not ranked* |{' |' * len(heads)}")
        for row in block:
            cells = [_markdown_cell(table, key) for key in table.row_keys(row)]
            lines.append(f"| {_pipe(row.title)} | {' | '.join(cells)} |")
    if table.notes:
        lines += ["", *(f"<sup>{mark(index)}</sup> {note}  " for index, note in enumerate(table.notes))]
    return "\n".join(lines) + "\n"


def _markdown_cell(table: Table, key: Key) -> str:
    cell = table.cells[key]
    text = short_text(cell)
    bold = f"**{text}**" if key in table.best else text
    marks = ",".join(mark(index) for index in table.marks[key])
    return " ".join([bold, *uncertainty(cell)]) + (f"<sup>{marks}</sup>" if marks else "")


def _pipe(text: str) -> str:
    return text.replace("|", r"\|")


def latex(table: Table) -> str:
    """A complete float; the preamble needs \\usepackage{booktabs} alone.

    More than BAND columns do not fit a page: further datasets follow below, in bands of whole datasets.
    """
    per_band = max(BAND // len(table.metrics), 1)
    bands = [table.datasets[start : start + per_band] for start in range(0, len(table.datasets), per_band)]
    columns = len(bands[0]) * len(table.metrics)
    environment = "table*" if columns > 4 else "table"
    lines = [
        "% Generated by workflow/scripts/tables.py; needs \\usepackage{booktabs}.",
        rf"\begin{{{environment}}}[t]",
        r"  \centering",
        r"  \setlength{\belowcaptionskip}{6pt}",
        rf"  \caption{{{_tex(table.caption)}}}",
        rf"  \label{{tab:{table.preset}-table{table.number}}}",
        r"  \small",
        rf"  \begin{{tabular}}{{@{{}}l{'r' * columns}@{{}}}}",
        r"    \toprule",
        "\n    \\midrule[\\heavyrulewidth]\n".join(_latex_band(table, band) for band in bands),
        r"    \bottomrule",
        r"  \end{tabular}",
    ]
    if table.notes:
        notes = [rf"\textsuperscript{{{mark(index)}}}~{_tex(note)}" for index, note in enumerate(table.notes)]
        lines += ["", r"  \smallskip", r"  {\footnotesize\raggedright", "  " + ".\\quad\n  ".join(notes) + r".\par}"]
    return "\n".join([*lines, rf"\end{{{environment}}}"]) + "\n"


def _latex_band(table: Table, datasets: Sequence[Dataset]) -> str:
    """Heads and rows of a few datasets."""
    width = len(table.metrics)
    spans = [rf"\multicolumn{{{width}}}{{c}}{{{_tex(dataset.title)}}}" for dataset in datasets]
    rules = [rf"\cmidrule(lr){{{2 + width * index}-{1 + width * (index + 1)}}}" for index in range(len(datasets))]
    heads = [_tex(f"{metric.title} {metric.arrow}") for _ in datasets for metric in table.metrics]
    lines = [
        rf"    & {' & '.join(spans)} \\",
        f"    {' '.join(rules)}",
        rf"    Method & {' & '.join(heads)} \\",
    ]
    for block in table.blocks:
        lines.append(r"    \midrule")
        for row in block:
            keys = [(row.id, dataset.id, metric.id) for dataset in datasets for metric in table.metrics]
            lines += _latex_row(table, row, keys)
    return "\n".join(lines)


def _latex_row(table: Table, row: Entry, keys: list[Key]) -> list[str]:
    """The numbers, and in small type below them deviations, then intervals, so that columns stay narrow."""
    cells = []
    for key in keys:
        text = _tex(short_text(table.cells[key]))
        marks = ",".join(mark(index) for index in table.marks[key])
        # \rlap keeps the digits of a column aligned whether or not a mark follows them.
        sup = rf"\rlap{{\textsuperscript{{{marks}}}}}" if marks else ""
        cells.append((rf"\textbf{{{text}}}" if key in table.best else text) + sup)
    lines = [rf"    {_tex(row.title)} & {' & '.join(cells)} \\"]
    for parts in zip_longest(*(uncertainty(table.cells[key]) for key in keys), fillvalue=""):
        small = [rf"{{\scriptsize {_tex(part)}}}" if part else "" for part in parts]
        lines.append(rf"    & {' & '.join(small)} \\")
    if len(lines) > 1:
        lines[-1] += "[2pt]"
    return lines


def _tex(text: str) -> str:
    return text.translate(LATEX)
