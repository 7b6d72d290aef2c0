"""The report's first answer: the best method for each question, and whether it can be told apart from the next one."""

from __future__ import annotations

from dataclasses import dataclass
from math import isnan

import numpy as np

from metrics.statistics import ALPHA, FEWEST, Comparison, compare_paired, compare_runs
from workflow.rendering import captions
from workflow.rendering.numbers import Cell, Metric
from workflow.rendering.results import Results
from workflow.rendering.tables import Table

QUESTIONS = {
    "fid": "Nearest to the real images as a set",
    "precision": "Most samples that look real",
    "recall": "Most real images covered",
    "lpips_backtracking": "Nearest to images it was not trained on",
    "copy_rate": "Fewest copies of training images",
}


@dataclass(frozen=True)
class Winner:
    """titles: the best method, or all that share its printed number.  value: with its uncertainty.

    verdict: a sentence about the next method.
    """

    titles: list[str]
    value: str
    verdict: str


def winners(table: Table, results: Results) -> list[tuple[Metric, str, list[Winner | None]]]:
    """For each question that was measured its metric and the winner on each data set; None where nothing was."""
    metrics = {metric.id: metric for metric in table.metrics}
    favoured = captions.trained_with(table.preset.metrics.backtracking.net, results)
    return [
        (metrics[name], question, found)
        for name, question in QUESTIONS.items()
        if name in metrics and any(found := [_winner(table, data, metrics[name], favoured) for data in table.datasets])
    ]


def _winner(table: Table, dataset: str, metric: Metric, favoured: set[str]) -> Winner | None:
    """favoured: the methods whose training loss has the network of the backtracking score."""
    found = [table.cells[row.id, dataset, metric.id] for row in table.rows if row.ranked]
    cells = [cell for cell in found if cell.comparable(table.preset)]
    if not cells:
        return None
    cells.sort(key=lambda cell: cell.mean if metric.better == "lower" else -cell.mean)
    best = [cell for cell in cells if cell.text == cells[0].text]
    value = " ".join([cells[0].text, *cells[0].uncertainty])
    titles = [cell.row.title for cell in best]
    rest = cells[len(best) :]
    if len(best) > 1:
        return Winner(titles, best[0].text, "Equal to all digits shown.")
    verdict = _verdict(cells[0], rest[0]) if rest else "The only method measured."
    if metric.id == "lpips_backtracking" and cells[0].row.id in favoured:
        verdict += " Its training loss has the network of this score."
    return Winner(titles, value, verdict)


def _verdict(best: Cell, next_one: Cell) -> str:
    """How far the best method is ahead of the next one, and what the test says."""
    name, gap = next_one.row.title, best.metric.format(abs(best.mean - next_one.mean))
    ahead = f"Ahead of {name} by {gap}"
    found = compared(*((next_one, best) if best.metric.better == "lower" else (best, next_one)))
    if found is None:
        single = [cell.row.title for cell in (best, next_one) if len(cell.values) == 1]
        what = "One seed" if len(single) == 2 else f"One run of {single[0]}"
        return f"{ahead}. {what}: the order may be chance."
    between = "" if isnan(found.low) else f" [{best.metric.format(found.low)}, {best.metric.format(found.high)}]"
    if not found.can_be_significant:
        return f"{ahead}{between}: too few values to tell them apart (p cannot be below {found.smallest_p:.2g})."
    verdict = "told apart" if found.p <= ALPHA else "not told apart"
    fewest = min(len(best.values), len(next_one.values))
    over = " over these images; one training of each" if best.items and fewest == 1 else ""
    return f"{ahead}{between}: {verdict}{over} (p = {found.p:.2g})."


def compared(one: Cell, other: Cell) -> Comparison | None:
    """`one` less `other`: over the same held-out images where both have scores of them, otherwise over seeds.

    None if there is nothing to test.
    """
    if one.items == other.items >= FEWEST:
        return compare_paired(np.array(one.scores), np.array(other.scores))
    if min(len(one.values), len(other.values)) < 2:
        return None
    return compare_runs([np.array(one.values)], [np.array(other.values)])
