"""The statistics of one preset as rows: each method against the reference method, ranks, scaled scores."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from metrics import statistics
from metrics.statistics import Comparison
from workflow.rendering.checkpoints import checkpoints
from workflow.rendering.contents import HALVES, Entry
from workflow.rendering.numbers import METRICS, Metric, cell
from workflow.rendering.results import Results

NOISE = "control_noise"
COLUMNS = (
    *("analysis", "dataset", "share", "method", "against", "estimate", "deviation", "low", "high"),
    *("p", "p_adjusted", "smallest_p", "n"),
)
Row = dict[str, Any]


@dataclass(frozen=True)
class Analysis:
    """All statistics of a preset's primary metric."""

    results: Results

    @property
    def metric(self) -> Metric:
        return METRICS[self.results.preset.statistics.metric]

    @property
    def reference(self) -> Entry | None:
        """The reference method that the preset names, or its first method; it may have no number yet."""
        named = self.results.preset.statistics.reference
        return next((row for row in self.results.ranked if named in (None, row.id)), None)

    @property
    def methods(self) -> list[Entry]:
        """The ranked rows that have a number on some dataset; the reference method first."""
        measured = set(self.scores["method"])
        rows = [row for row in self.results.ranked if row.id in measured]
        return sorted(rows, key=lambda row: row != self.reference)

    @property
    def others(self) -> list[Entry]:
        """The methods to compare with the reference method; none if that has no number."""
        return self.methods[1:] if self.methods[:1] == [self.reference] else []

    @cached_property
    def scores(self) -> pd.DataFrame:
        """dataset, method, seed and value of every ranked run that has one, by the protocol of the tables.

        Not of samples made elsewhere that are fewer than the preset takes: these are not comparable.
        """
        frame, protocol = self.results.metrics, self.metric.protocol(self.results.preset).name
        chosen = frame[(frame["metric"] == self.metric.id) & (frame["protocol"] == protocol)]
        chosen = chosen[(chosen["split"] == "train90") == (self.metric.split == "train90")]
        if taken := self.metric.n_fake(self.results.preset):
            chosen = chosen[chosen["n_fake"] == taken]
        ranked = {row.id for row in self.results.ranked}
        return chosen.loc[chosen["method"].isin(ranked), ["dataset", "method", "seed", "value"]].dropna(subset="value")

    @cached_property
    def means(self) -> pd.DataFrame:
        """The mean over seeds: rows are datasets, columns methods in the order of `methods`."""
        table = self.scores.pivot_table(index="dataset", columns="method", values="value", sort=False)
        return table.reindex(columns=[row.id for row in self.methods])

    @property
    def ratio(self) -> bool:
        """FIDs of different datasets have different scales, so their ratios are tested."""
        return self.metric.id == "fid"

    @cached_property
    def ranks(self) -> pd.Series:
        return statistics.ranks(self.means, self.metric.better == "lower").mean()

    @cached_property
    def pairs(self) -> pd.DataFrame:
        """p-values of all pairs of methods over datasets, by the test that the preset names."""
        if self.results.preset.statistics.test == "nemenyi":
            return statistics.nemenyi(self.ranks, len(self.means))
        return statistics.wilcoxon_holm(self.means, self.ratio)

    @property
    def parts_of_one(self) -> bool:
        """Are the datasets parts of one, and so no independent cases?"""
        return self.results.preset.metrics.full_set is not None

    @property
    def why_no_ranks(self) -> str | None:
        """Why average ranks say nothing here, or None."""
        if self.parts_of_one:
            return "There are no ranks and tests over datasets, because these are parts of one."
        if len(self.means) < 2:
            return "Average ranks need at least two datasets."
        return "Average ranks need at least three methods." if len(self.methods) < 3 else None

    @cached_property
    def scaled(self) -> dict[str, dict[str, pd.Series]]:
        """Scores between the controls, by method and dataset: a series of runs.  Empty without controls."""
        ends = [
            {name: cell(self.results, name, row, self.metric).mean for name in self.means.index}
            for row in (Entry(NOISE, NOISE, "control"), HALVES)
        ]
        table = statistics.scaled(self.scores, *ends)
        return {
            str(method): {str(name): runs["value"] for name, runs in found.groupby("dataset", sort=False)}
            for method, found in table.groupby("method", sort=False)
        }


def rows(analysis: Analysis) -> list[Row]:
    """Every number of statistics.csv."""
    cells = statistics.summary(analysis.scores).rename(columns={"mean": "estimate", "std": "deviation"})
    found: list[Any] = cells.assign(analysis="cell").to_dict("records")
    if analysis.others:
        found += [*_differences(analysis), *_backtracking(analysis)]
        found += [] if analysis.parts_of_one else [*_all_runs(analysis), *_over_datasets(analysis)]
        found += _checkpoints(analysis)
    return [*found, *_ranks(analysis), *_scaled(analysis)]


def _differences(analysis: Analysis) -> Iterator[Row]:
    """Each method less the reference, on each dataset."""
    for dataset, here in analysis.scores.groupby("dataset", sort=False):
        yield from _compared(analysis, "runs", here, dataset=dataset)


def _checkpoints(analysis: Analysis) -> Iterator[Row]:
    """The same after each share of the training that `training.checkpoints` names, on fewer samples."""
    metric, protocol = analysis.metric.name, analysis.metric.protocol(analysis.results.preset).name
    table = checkpoints(analysis.results)
    table = table[(table["metric"] == metric) & (table["protocol"] == protocol)]
    for (dataset, share), here in table.groupby(["dataset", "share"], sort=False):
        yield from _compared(analysis, "checkpoints", here, dataset=dataset, share=share)


def _compared(analysis: Analysis, name: str, scores: pd.DataFrame, **where: object) -> Iterator[Row]:
    """Each method less the reference, of scores at one place."""
    reference, runs = analysis.methods[0], {name: found["value"].to_numpy() for name, found in scores.groupby("method")}
    for row in analysis.others:
        if row.id in runs and reference.id in runs:
            n = f"{len(runs[row.id])} and {len(runs[reference.id])}"
            compared = statistics.compare_runs([runs[row.id]], [runs[reference.id]])
            yield _row(name, compared, row, reference, n=n, **where)


def _backtracking(analysis: Analysis) -> Iterator[Row]:
    """Backtracking scores of the same held-out images, each the mean over seeds."""
    reference, others = analysis.methods[0], analysis.others
    frame, metric = analysis.results.metrics, METRICS["lpips_backtracking"]
    protocol = metric.protocol(analysis.results.preset).name
    frame = frame[(frame["metric"] == f"{metric.id}_image") & (frame["protocol"] == protocol)]
    images: pd.DataFrame = frame.pivot_table(index=["dataset", "item"], columns="method", values="value", sort=False)
    for row in others:
        if row.id in images and reference.id in images:
            for dataset, scores in images[[row.id, reference.id]].dropna().groupby("dataset", sort=False):
                compared = statistics.compare_paired(scores[row.id].to_numpy(), scores[reference.id].to_numpy())
                yield _row("backtracking images", compared, row, reference, n=len(scores), dataset=dataset)


def _all_runs(analysis: Analysis) -> list[Row]:
    """Each method against the reference over the runs of all datasets where both have several, adjusted by Holm."""
    reference, found = analysis.methods[0], []
    groups = analysis.scores.groupby(["method", "dataset"], sort=False)["value"]
    runs = {key: values.to_numpy() for key, values in groups if len(values) > 1}
    for row in analysis.others:
        both = [name for name in analysis.means.index if {(row.id, name), (reference.id, name)} <= runs.keys()]
        if len(both) > 1:
            ours, theirs = ([runs[method.id, name] for name in both] for method in (row, reference))
            n = f"{sum(map(len, ours))} and {sum(map(len, theirs))}"
            compared = statistics.compare_runs(ours, theirs, analysis.ratio)
            found.append(_row("runs of all datasets", compared, row, reference, n=n))
    return _adjusted(found)


def _over_datasets(analysis: Analysis) -> list[Row]:
    """Each method against the reference over the datasets that both have, adjusted by Holm."""
    reference, found = analysis.methods[0], []
    for row in analysis.others:
        both = analysis.means[[row.id, reference.id]].dropna()
        if len(both) > 1:
            values = both[row.id].to_numpy(), both[reference.id].to_numpy()
            compared = statistics.compare_over_datasets(*values, analysis.ratio)
            found.append(_row("datasets", compared, row, reference, n=len(both)))
    return _adjusted(found)


def _adjusted(found: list[Row]) -> list[Row]:
    adjusted = statistics.holm([row["p"] for row in found])
    return [{**row, "p_adjusted": p} for row, p in zip(found, adjusted, strict=True)]


def _ranks(analysis: Analysis) -> Iterator[Row]:
    if analysis.why_no_ranks:
        return
    n = len(analysis.means)
    for row in analysis.methods:
        yield {"analysis": "average rank", "method": row.id, "estimate": analysis.ranks[row.id], "n": n}
    found = statistics.friedman(analysis.ranks.to_numpy(), n)
    yield {"analysis": "Friedman chi-square", "estimate": found.chi_square, "p": found.chi_square_p, "n": n}
    yield {"analysis": "Iman-Davenport F", "estimate": found.f, "p": found.f_p, "n": n}
    difference = statistics.critical_difference(len(analysis.methods), n)
    yield {"analysis": "critical difference of ranks", "estimate": difference, "n": n}


def _scaled(analysis: Analysis) -> Iterator[Row]:
    for row in analysis.methods:
        if row.id in analysis.scaled:
            runs = [found.to_numpy() for found in analysis.scaled[row.id].values()]
            estimate, low, high = statistics.interquartile_mean(runs)
            here = {"method": row.id, "n": sum(map(len, runs))}
            yield {"analysis": "scaled score", **here, "estimate": estimate, "low": low, "high": high}
    for row in analysis.others:
        yield from _improvement(analysis, row, analysis.methods[0])


def _improvement(analysis: Analysis, row: Entry, reference: Entry) -> Iterator[Row]:
    """On the datasets that both have."""
    scores = [analysis.scaled.get(method.id, {}) for method in (row, reference)]
    if shared := [name for name in scores[0] if name in scores[1]]:
        ours, theirs = ([found[name].to_numpy() for name in shared] for found in scores)
        chance = statistics.probability_of_improvement(ours, theirs)
        here = {"method": row.id, "against": reference.id, "n": sum(map(len, ours))}
        yield {"analysis": "probability of improvement", **here, "estimate": chance}


def _row(name: str, found: Comparison, row: Entry, reference: Entry, n: object, **where: object) -> Row:
    numbers = {key: getattr(found, key) for key in ("estimate", "low", "high", "p", "smallest_p")}
    return {"analysis": name, **where, "method": row.id, "against": reference.id, **numbers, "n": n}
