"""Tables of several answers to one input: `super_resolution` and `layouts`, a block of rows for each task.

They have names, not numbers: Tables 1 to 4 are those of the unconditional methods.
Diversity can be had by noise, so no table may print it without the distance to right answers and consistency.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from common.files import write_text
from networks.names import NETWORK_TITLES
from training.config import Preset
from training.protocols import ANSWER_CONTROLS, ANSWERS
from workflow.rendering import captions, stamp
from workflow.rendering.contents import KINDS, Entry
from workflow.rendering.notation import LATEX, markdown_table
from workflow.rendering.results import NOT_RUN, Results

TITLES = {"super_resolution": "Super-resolution", "layouts": "Images from layouts"}
TEXTS = ("Task", "Method", "Track")


@dataclass(frozen=True)
class Column:
    metric: str
    head: str
    decimals: int
    inputs: str = "heldout"  # or train: inputs that were trained on


COLUMNS = {
    "super_resolution": (
        Column("diversity", "Diversity", 4),
        Column("best_lpips", "LPIPS, best ↓", 3),
        Column("mean_lpips", "LPIPS, mean ↓", 3),
        Column("best_psnr", "PSNR, best ↑", 1),
        Column("mean_psnr", "PSNR, mean ↑", 1),
        Column("best_ssim", "SSIM, best ↑", 2),
        Column("mean_ssim", "SSIM, mean ↑", 2),
        Column("consistency", "Consistency ↓", 1),
        Column("fwv", "FwV", 4),
        Column("mean_lpips", "LPIPS, mean, training inputs ↓", 3, "train"),
    ),
    "layouts": (
        Column("diversity", "Diversity", 3),
        Column("recall_distance", "Recall distance ↓", 3),
        Column("precision_distance", "Precision distance ↓", 3),
        Column("mode_coverage", "Mode coverage ↑", 2),
        Column("counted", "On a mode ↑", 2),
        Column("fwv", "FwV", 3),
        Column("mode_coverage", "Mode coverage, training inputs ↑", 2, "train"),
    ),
}
MEANING = {
    "super_resolution": "Diversity: mean LPIPS between two of the k answers to one input. Best and mean of the k "
    "answers against the truth; equal images have a PSNR of 100 here. Consistency: root mean squared difference, in "
    "levels of 255, between the shrunk answer and the input.",
    "layouts": "Diversity: mean LPIPS between two of the k answers to one layout. Recall distance: LPIPS from a right "
    "answer to the nearest of k. Precision distance: LPIPS from an answer to the nearest right one. Mode coverage: "
    "share of the right answers that one of k answers has the colour of. On a mode: share of the answers that have the "
    "colour of a right one.",
}


@dataclass(frozen=True)
class AnswerTable:
    """heads and rows as text; name: of its files, id: in a page."""

    name: str
    title: str
    caption: str
    heads: tuple[str, ...]
    rows: list[tuple[str, ...]]
    numbers: pd.DataFrame  # one row a cell: task, method, seeds, mean, std and how it was measured

    def markdown(self) -> str:
        return f"**{self.title}.** {self.caption}\n\n{markdown_table(self.heads, self.rows, TEXTS)}\n"

    def latex(self) -> str:
        """A complete float; the preamble needs \\usepackage{booktabs,graphicx}."""
        lines = [" & ".join(cell.translate(LATEX) for cell in row) + r" \\" for row in (self.heads, *self.rows)]
        return "\n".join(
            [
                r"% Needs \usepackage{booktabs,graphicx}.",
                r"\begin{table*}[t]",
                r"  \centering",
                rf"  \caption{{{self.caption.translate(LATEX)}}}",
                rf"  \label{{tab:{self.name}}}",
                r"  \resizebox{\textwidth}{!}{",
                rf"  \begin{{tabular}}{{@{{}}lll{'r' * (len(self.heads) - 3)}@{{}}}}",
                r"    \toprule",
                f"    {lines[0]}",
                r"    \midrule",
                *(f"    {line}" for line in lines[1:]),
                r"    \bottomrule",
                r"  \end{tabular}}",
                r"\end{table*}",
                "",
            ]
        )


def build(name: str, results: Results) -> AnswerTable:
    """One table of a preset."""
    columns, rows, numbers = COLUMNS[name], [], []
    for task, method in lines(results.preset, KINDS[name]):
        found = [_cell(results, task, method, column) for column in columns]
        steps, seconds, k = _training(results, task, method)
        title = results.preset.tasks[task].title(results.preset.resolution)
        row = entry(results, method, KINDS[name])
        rows.append((title, row.title, row.track, k, steps, seconds, *map(_text, found)))
        numbers += [{"table": name, "task": task, "method": method, **cell} for cell in found]
    heads = ("Task", "Method", "Track", "k", "Steps", "Seconds", *(column.head for column in columns))
    return AnswerTable(name, TITLES[name], _caption(name, results, numbers), heads, rows, pd.DataFrame(numbers))


def write(table: AnswerTable, csv: Path | str, md: Path | str, tex: Path | str) -> None:
    write_text(csv, table.numbers.to_csv(index=False))
    write_text(md, table.markdown())
    write_text(tex, table.latex())


def lines(preset: Preset, kind: str) -> list[tuple[str, str]]:
    """(task, method or control) of each row: for each task of this kind its methods, then its controls."""
    cells = preset.cells("train")
    return [
        line
        for name, task in preset.tasks.items()
        if task.kind == kind
        for line in [
            *dict.fromkeys((name, method) for task, method, _ in cells if task == name),
            *((name, control) for control in ANSWER_CONTROLS[kind]),
        ]
    ]


def entry(results: Results, method: str, kind: str) -> Entry:
    """The row of a method or a control."""
    controls = (Entry(name, title, "control") for name, title in ANSWER_CONTROLS[kind].items())
    return next(entry for entry in (*results.answerers, *controls) if entry.id == method)


def _cell(results: Results, task: str, method: str, column: Column) -> dict[str, Any]:
    """Mean and deviation over seeds of one metric."""
    frame = results.metrics
    cell = frame[(frame["dataset"] == task) & (frame["method"] == method)]
    here = cell[cell["metric"] == column.metric]
    here = here[here["protocol"].str.startswith(f"{column.inputs}-k") & here["item"].isna()]
    values = here["value"].to_numpy(dtype=float)
    return {
        "metric": column.metric,
        "inputs": column.inputs,
        "mean": float(np.mean(values)) if len(values) else None,
        "std": float(np.std(values, ddof=1)) if len(values) > 1 else None,
        "n_seeds": len(values),
        "n_inputs": int(here["n"].iloc[0]) if len(values) else None,
        "protocol": here["protocol"].iloc[0] if len(values) else None,
        "decimals": column.decimals,
        "reason": "" if len(values) else NOT_RUN if cell.empty else "n/a",
    }


def _text(cell: dict[str, Any]) -> str:
    if cell["mean"] is None:
        return str(cell["reason"])
    spread = f" ± {cell['std']:.{cell['decimals']}f}" if cell["std"] is not None else ""
    return f"{cell['mean']:.{cell['decimals']}f}{spread}"


def _training(results: Results, task: str, method: str) -> tuple[str, str, str]:
    """Steps and mean `stamp.training_seconds` of the trainings, and k."""
    records = [run for run in results.runs if (run["dataset"], run["method"]) == (task, method)]
    frame = results.metrics
    here = frame[(frame["dataset"] == task) & (frame["method"] == method)]
    k = {match[1] for name in here["protocol"] if (match := re.search(r"-k(\d+)-", str(name)))}
    steps = " ".join(sorted({f"{run['steps']:,}" for run in records}))
    seconds = f"{np.mean([stamp.training_seconds(run) for run in records]):.0f}" if records else ""
    return steps, seconds, " ".join(sorted(k))


def _caption(name: str, results: Results, numbers: list[dict[str, Any]]) -> str:
    preset, kind = results.preset, KINDS[name]
    n = [cell["n_seeds"] for cell in numbers if cell["method"] in preset.methods and cell["n_seeds"]]
    used = {method for _, method in lines(preset, kind)}
    settings = preset.metrics.backtracking
    frame = results.metrics.query("metric == 'diversity'")
    here = frame["protocol"].str.startswith("heldout") & frame["dataset"].map(
        lambda task: task in preset.tasks and preset.tasks[task].kind == kind
    )
    held_out = ", ".join(map(str, sorted(frame.loc[here, "n"].astype(int).unique())))
    enlarged = f", images enlarged {settings.upsample} times" if settings.upsample > 1 else ""
    return " ".join(
        [
            f"k = {ANSWERS[kind]} answers to each of {held_out} held-out inputs. {MEANING[name]} FwV: the variance of "
            "the answers, counted near right ones (sigma 0.2; docs/multimodal.md).",
            f"LPIPS: {NETWORK_TITLES[settings.net]}{enlarged}. Seconds: of the CPU, or of the clock on a GPU.",
            captions.scale(preset),
            captions.seeds(preset, min(n, default=0), max(n, default=0)),
            stamp.sentence(results.runs, [row for row in results.answerers if row.id in used]),
        ]
    )
