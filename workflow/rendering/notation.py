"""One table, three notations: CSV for machines, Markdown for the README, LaTeX (booktabs) for a paper."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from itertools import zip_longest
from pathlib import Path

import pandas as pd

from common.files import write_text
from workflow.rendering.contents import Entry, dataset_title
from workflow.rendering.tables import Key, Table

BAND = 6  # columns of numbers that fit the width of a page
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


def write(table: Table, csv_path: Path | str, md: Path | str, tex: Path | str) -> None:
    write_text(csv_path, csv(table))
    write_text(md, markdown(table))
    write_text(tex, latex(table))


def csv(table: Table) -> str:
    """One line per cell, with all digits: mean, deviation, n, interval, counts, steps, or why there is no number."""
    return pd.DataFrame([record(table, key) for row in table.rows for key in table.keys(row)]).to_csv(index=False)


def record(table: Table, key: Key) -> dict[str, object]:
    """A cell with all its digits and how it was measured."""
    cell = table.cells[key]
    protocol = cell.metric.protocol(table.preset)
    return {
        "table": table.number,
        "preset": table.preset.preset,
        "resolution": table.preset.resolution,
        "dataset": cell.dataset,
        "method": cell.row.id,
        "title": cell.row.title,
        "kind": cell.row.kind,
        "track": cell.row.track,
        "metric": cell.metric.id,
        "mean": cell.mean,
        "std": cell.std,
        "n_seeds": len(cell.values),
        "ci95_low": cell.interval[0] if cell.interval else None,
        "ci95_high": cell.interval[1] if cell.interval else None,
        "n_heldout": cell.items or None,
        "n_real": joined(count[0] for count in cell.counts),
        "n_fake": joined(count[1] for count in cell.counts),
        "steps": joined(cell.steps),
        "protocol": protocol.name,
        "network": protocol.network,
        "k": protocol.k,
        "best": key in table.best,
        "reason": cell.reason,
    }


def joined(values: Iterable[object]) -> str:
    """Distinct values in order, as one field of a CSV."""
    return " ".join(map(str, dict.fromkeys(values)))


def markdown(table: Table) -> str:
    heads = [
        "Method",
        "Track",
        *(f"{dataset_title(name)}<br>{metric.head}" for name in table.datasets for metric in table.metrics),
    ]
    rows = []
    for block in table.blocks:
        if not block[0].ranked:
            rows.append(["*Not ranked*"] + [""] * (len(heads) - 1))
        rows += [[row.title, row.track, *(_markdown_cell(table, key) for key in table.keys(row))] for row in block]
    lines = [f"**Table {table.number}.** {table.caption}", "", markdown_table(heads, rows, texts={"Method", "Track"})]
    if table.notes:
        lines += ["", *(f"<sup>{sign}</sup> {note}  " for sign, note in table.signed_notes)]
    return "\n".join(lines) + "\n"


def _markdown_cell(table: Table, key: Key) -> str:
    cell, signs = table.cells[key], table.signs(key)
    text = f"**{cell.text}**" if key in table.best else cell.text
    return " ".join([text, *cell.uncertainty]) + (f"<sup>{signs}</sup>" if signs else "")


def markdown_table(heads: Sequence[str], rows: Sequence[Sequence[str]], texts: Collection[str]) -> str:
    """A table; the columns whose heads are in `texts` are aligned left, those of numbers right."""
    rules = [":--" if head in texts else "--:" for head in heads]
    lines = [[cell.replace("|", r"\|") for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in [heads, rules, *lines])


def latex(table: Table) -> str:
    """A complete float; the preamble needs only \\usepackage{booktabs}.

    More than BAND columns do not fit the page: further datasets follow below, in bands of complete datasets.
    """
    per_band = max(BAND // len(table.metrics), 1)
    bands = [table.datasets[start : start + per_band] for start in range(0, len(table.datasets), per_band)]
    columns = len(bands[0]) * len(table.metrics)
    environment = "table*" if columns > 4 else "table"
    lines = [
        r"% Needs \usepackage{booktabs}.",
        rf"\begin{{{environment}}}[t]",
        r"  \centering",
        r"  \setlength{\belowcaptionskip}{6pt}",
        rf"  \caption{{{_tex(table.caption)}}}",
        rf"  \label{{tab:{table.preset.preset}-table{table.number}}}",
        r"  \small",
        rf"  \begin{{tabular}}{{@{{}}ll{'r' * columns}@{{}}}}",
        r"    \toprule",
        "\n    \\midrule[\\heavyrulewidth]\n".join("\n".join(_latex_band(table, band)) for band in bands),
        r"    \bottomrule",
        r"  \end{tabular}",
    ]
    if table.notes:
        notes = [rf"\textsuperscript{{{sign}}}~{_tex(note)}" for sign, note in table.signed_notes]
        lines += ["", r"  \smallskip", r"  {\footnotesize\raggedright", "  " + ".\\quad\n  ".join(notes) + r".\par}"]
    return "\n".join([*lines, rf"\end{{{environment}}}"]) + "\n"


def _latex_band(table: Table, datasets: tuple[str, ...]) -> list[str]:
    """Heads and rows of a few datasets."""
    width = len(table.metrics)
    spans = [rf"\multicolumn{{{width}}}{{c}}{{{_tex(dataset_title(name))}}}" for name in datasets]
    rules = [rf"\cmidrule(lr){{{3 + width * index}-{2 + width * (index + 1)}}}" for index in range(len(datasets))]
    heads = [_tex(metric.head) for metric in table.metrics] * len(datasets)
    lines = [_latex_line("", ["", *spans]), f"    {' '.join(rules)}", _latex_line("Method", ["Track", *heads])]
    for block in table.blocks:
        lines.append(r"    \midrule")
        for row in block:
            lines += _latex_row(table, row, table.keys(row, datasets))
    return lines


def _latex_row(table: Table, row: Entry, keys: list[Key]) -> list[str]:
    """The numbers, and below them in small type deviations, then intervals, so that columns stay narrow."""
    cells = []
    for key in keys:
        text, signs = _tex(table.cells[key].text), table.signs(key)
        # \rlap keeps the digits of a column aligned whether or not a sign follows them.
        above = rf"\rlap{{\textsuperscript{{{signs}}}}}" if signs else ""
        cells.append((rf"\textbf{{{text}}}" if key in table.best else text) + above)
    lines = [_latex_line(_tex(row.title), [row.track, *cells])]
    for parts in zip_longest(*(table.cells[key].uncertainty for key in keys), fillvalue=""):
        lines.append(_latex_line("", ["", *(rf"{{\scriptsize {_tex(part)}}}" if part else "" for part in parts)]))
    if len(lines) > 1:
        lines[-1] += "[2pt]"
    return lines


def _latex_line(head: str, cells: Sequence[str]) -> str:
    return f"    {' & '.join([head, *cells]).lstrip()} \\\\"


def _tex(text: str) -> str:
    return text.translate(LATEX)
