"""The report: one page for a browser, readable without a network.

Its numbers are those of metrics.csv.  The page also holds them as JSON, which its script exports and `verify` compares.
The template is report.html.j2, with report.css and report.js.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from common import __version__
from common.console import UserError
from common.files import read_json
from data.datasets import MINE
from metrics import statistics
from workflow.rendering import charts, checkpoints, notation, origin, stamp, tables
from workflow.rendering.analysis import Analysis
from workflow.rendering.browser import Browser
from workflow.rendering.checks import checks, training_time
from workflow.rendering.contents import ALL, dataset_title, entries, places
from workflow.rendering.numbers import METRICS, Metric
from workflow.rendering.results import Results
from workflow.rendering.tables import Table
from workflow.rendering.winners import winners

CHANGING = (  # the row of a check, a note of each run, the footer
    r"<tr[^>]*><td>Sources changed since the training</td>.*?</tr>",
    r" \(changed since\)",
    r"<footer>.*?</footer>",
)
LAST = ("control_noise",)  # rows at the lower end of the table; the other controls are at the upper end


def page(results: Results) -> str:
    """The whole report as HTML."""
    table, browser, preset, analysis = tables.build(ALL, results), Browser(results), results.preset, Analysis(results)
    trained = {row.id: row.title for row in results.generators}
    runs = [record for record in results.measured_runs if record["method"] in trained]
    full, place = [run for run in runs if run["split"] == "full"], places(preset)
    looks = {row.title: place[row.id] for row in results.generators}
    drawn = {
        "ranks": charts.ranks(analysis),
        "cost": charts.cost(cost_points(results, table), looks),
        "learning": charts.learning(learning_points(results), looks),
    }
    shown = {name: embedded(chart) for name, chart in drawn.items() if chart}
    return template("report.html.j2").render(
        preset=preset,
        own=own_pictures(results),
        version=__version__,
        table=table,
        blocks=blocks(table),
        seconds={
            (row.id, dataset): training_time(results, dataset, row) for row in table.rows for dataset in table.datasets
        },
        winners=winners(table, results),
        checks=checks(results, table),
        heat=heat(table),
        why_no_ranks=analysis.why_no_ranks,
        learning_samples=f"{checkpoints.samples(checkpoints.checkpoints(results))} ({checkpoints.EXCEPT})",
        charts=shown,
        vega=Markup(charts.script()) if shown else "",
        browser=browser,
        run_columns=origin.RUN_COLUMNS,
        runs=[(origin.anchor(record), origin.run_row(record, trained[record["method"]])) for record in runs],
        first_runs={(run["method"], run["dataset"]): origin.anchor(run) for run in reversed(full)},
        facts=origin.facts(results, runs),
        repeatable=origin.repeatable(runs),
        sources=stamp.sentence(results.measured_runs, entries(preset)),
        citation=origin.citation(results, runs),
        licences=[origin.licence(results, dataset) for dataset in preset.datasets],
        intakes=origin.intakes(results),
        data=embedded(data(table)),
    )


def template(name: str) -> Any:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(dataset_title=dataset_title, duration=origin.duration)
    return environment.get_template(name)


def data(table: Table) -> list[dict[str, Any]]:
    """Every cell of the page's table as in tables/table1.csv; numbers that do not exist are None."""
    frame = pd.DataFrame([notation.record(table, key) for row in table.rows for key in table.keys(row)])
    return list(json.loads(frame.drop(columns="table").to_json(orient="records", double_precision=10)))


def check(results: Results, path: Path) -> None:
    """Raise `UserError` if a page differs from a new one by more than its scripts, version and present sources."""
    html = path.read_text("utf-8")
    if lost := [sheet.path for sheet, source in Browser(results).sources() if f"url({source})" not in html]:
        raise UserError(f"{path} shows other pictures than {', '.join(lost)}")
    if _numbers_of(html) != _numbers_of(page(results)):
        raise UserError(f"{path} is not what metrics.csv renders to")


def _numbers_of(html: str) -> str:
    """A page without what an edit of the code changes: style, scripts, version, and what it says of the sources."""
    for part in (r"<style>.*?</style>", r"<script>.*?</script>", *CHANGING):
        html = re.sub(part, "", html, flags=re.DOTALL)
    return stamp.without(html)


def embedded(value: Any) -> Markup:
    """JSON for a script element, which no text in it can close."""
    return Markup(json.dumps(value, ensure_ascii=False).replace("<", "\\u003c"))


def blocks(table: Table) -> list[tuple[str, str, list[Any]]]:
    """The bodies of the table: dataset, kind ("control" or "ranked") and rows; controls are at both ends."""
    kinds = (
        ("control", [row for row in table.rows if not row.ranked and row.id not in LAST]),
        ("ranked", [row for row in table.rows if row.ranked]),
        ("control", [row for row in table.rows if row.id in LAST]),
    )
    return [(dataset, kind, rows) for dataset in table.datasets for kind, rows in kinds if rows]


def heat(table: Table) -> list[tuple[str, list[str], list[tuple[str, list[float | None]]]]]:
    """Ranks of the methods: for all data sets together, then for each, a title, the metrics, and the rows.

    A row is a method and its rank in each metric, None without a number of as many samples as the others'.
    """
    metrics = [metric for metric in table.metrics if metric.better]
    ranked = [row for row in table.rows if row.ranked]
    heads = [metric.head for metric in metrics]

    def column(metric: Metric, datasets: list[str]) -> list[float | None]:
        """Mean ranks; a method that lacks a number of a data set has the worst rank there."""
        cells = {row.id: [table.cells[row.id, name, metric.id] for name in datasets] for row in ranked}
        means = pd.DataFrame(
            {
                name: [cell.mean if cell.comparable(table.preset) else float("nan") for cell in found]
                for name, found in cells.items()
            }
        )
        means = means.dropna(how="all").dropna(how="all", axis="columns")
        ranks = statistics.ranks(means, metric.better == "lower").mean().reindex(list(cells))
        return [None if pd.isna(rank) else float(rank) for rank in ranks]

    def rows(datasets: list[str]) -> list[tuple[str, list[float | None]]]:
        columns = [column(metric, datasets) for metric in metrics]
        return [(row.title, list(line)) for row, *line in zip(ranked, *columns, strict=True)]

    one = [(dataset_title(name), heads, rows([name])) for name in table.datasets]
    if len(one) == 1 or table.preset.metrics.full_set is not None:  # parts of one set are no independent cases
        return one
    return [("Mean rank over the data sets", heads, rows(list(table.datasets))), *one]


def cost_points(results: Results, table: Table) -> pd.DataFrame:
    """Mean value and mean training time of each method: the columns of `charts.cost`."""
    points = [
        {
            "dataset": dataset_title(dataset),
            "metric": metric.head,
            "better": metric.better,
            "method": row.title,
            "seconds": training_time(results, dataset, row, metric.split),
            "value": table.cells[row.id, dataset, metric.id].mean,
        }
        for metric in table.metrics
        if metric.better
        for dataset in table.datasets
        for row in results.generators
    ]
    return pd.DataFrame(points, columns=["dataset", "metric", "better", "method", "seconds", "value"])


def learning_points(results: Results) -> pd.DataFrame:
    """Metrics of measured checkpoints, with the texts that `charts.learning` shows.  Empty without any."""
    titles = {row.id: row.title for row in results.generators}
    heads = {metric.name: metric.head for metric in METRICS.values() if not metric.column}
    frame = checkpoints.checkpoints(results)
    frame = frame[frame["metric"].isin(list(heads))]
    return frame.assign(
        dataset=frame["dataset"].map(dataset_title),
        method=frame["method"].map(titles),
        metric=frame["metric"].map(heads) + " (" + frame["protocol"] + ")",
    ).drop(columns=["split", "share", "protocol", "n_fake"])


def own_pictures(results: Results) -> dict[str, Any] | None:
    """What was found in the folder of the user's own pictures (`data.mine_report.report`); None for other datasets."""
    path = results.folder / "intake.json"
    return (
        {**read_json(path), "title": dataset_title(MINE)}
        if MINE in results.preset.datasets and path.is_file()
        else None
    )
