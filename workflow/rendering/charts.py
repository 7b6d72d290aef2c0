"""The report's charts, as Vega-Lite specifications made with Altair, and the script that draws them in a browser.

A chart has no number of its own: each is given a data frame.  Texts and axes take the colour of the page
(`currentColor`), so that they can be read on light and dark paper.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import altair
import pandas as pd

from metrics.statistics import ALPHA, critical_difference
from workflow.rendering.analysis import Analysis
from workflow.rendering.style import COLOURS

Specification = dict[str, Any]
# After the figures' palette, further colours that are read on light and on dark paper.
RANGE = [*COLOURS, "#8C6D31", "#7A7A7A", "#7B5FB2", "#B03A48", "#2F7F86", "#94642B"]
SHAPES = ["circle", "square", "diamond", "triangle-up", "cross"]  # five: with the twelve colours, 60 looks
INK = "currentColor"
WIDE = 5  # ratio of longest to shortest time from which an axis is logarithmic
CONFIG: dict[str, Any] = {
    "background": "transparent",
    "font": "system-ui, sans-serif",
    "view": {"stroke": None},
    "axis": {
        **dict.fromkeys(("labelColor", "titleColor", "domainColor", "tickColor", "gridColor"), INK),
        **{"gridOpacity": 0.12, "domainOpacity": 0.4, "tickOpacity": 0.4, "titleFontWeight": "normal"},
        **{"labelFontSize": 12, "titleFontSize": 12, "labelLimit": 220},
    },
    "legend": {
        **{"labelColor": INK, "labelFontSize": 12, "title": None},
        **{"orient": "bottom", "columns": 3},
    },
}


@cache
def script() -> str:
    """Vega, Vega-Lite and vega-embed as one script that loads nothing and sets `window.vegaEmbed`."""
    from vl_convert import javascript_bundle

    return str(javascript_bundle("window.vegaEmbed = vegaEmbed;"))


def cost(points: pd.DataFrame, places: dict[str, int]) -> Specification | None:
    """Quality against training time, with the methods that no other one beats in both joined by a line.

    points: columns dataset, metric, better ("lower" or "higher"), method, seconds, value; one row per method.
    places: of each method's title, the number that decides its colour and shape.
    """
    points = points.dropna(subset=["seconds", "value"])
    if points.empty:
        return None
    front = [pareto(found) for _, found in points.groupby(["dataset", "metric"], sort=False)]
    points = points.assign(front=pd.concat(front))
    base, choice = _chosen(points)
    x = _seconds(points["seconds"])
    y = altair.Y("value:Q", title=None, scale=altair.Scale(zero=False, padding=12))
    tips = [altair.Tooltip(name, format=".4~g") for name in ("seconds:Q", "value:Q")]
    line = base.transform_filter("datum.front").mark_line(color=INK, opacity=0.45, strokeDash=[4, 3])
    looks = _method(points, places)
    dots = base.mark_point(filled=True, size=110, opacity=1).encode(**looks, tooltip=["method:N", *tips])
    return _specification(
        altair.layer(line.encode(x=x, y=y, order="seconds:Q"), dots.encode(x=x, y=y)).add_params(*choice),
        "Quality of each method against its training time; a dashed line joins those that no other one beats in both.",
    )


def pareto(points: pd.DataFrame) -> pd.Series:
    """Which points of one data set and metric no other one beats: none is as quick and better, or quicker and equal."""
    worse = points["value"] if points["better"].iloc[0] == "lower" else -points["value"]
    order = points.assign(worse=worse).sort_values(["seconds", "worse"])["worse"]
    before = order.cummin().shift(fill_value=float("inf"))
    return (order < before).reindex(points.index)


def learning(curves: pd.DataFrame, places: dict[str, int]) -> Specification | None:
    """Metrics of measured checkpoints against seconds of training: a dot for each seed, a line through their means.

    curves: columns dataset, method, seed, step, seconds, metric, value; None is returned if it has no row.
    places: as for `cost`.
    """
    if curves.empty:
        return None
    base, choice = _chosen(curves)
    x, looks = _seconds(curves["seconds"]), _method(curves, places)
    means = (
        base.transform_aggregate(seconds="mean(seconds)", value="mean(value)", groupby=["method", "step"])
        .mark_line(strokeWidth=2)
        .encode(x=x, y=altair.Y("value:Q", title=None, scale=altair.Scale(zero=False)), color=looks["color"])
    )
    numbers = [altair.Tooltip("seconds:Q", format=",.0f"), altair.Tooltip("value:Q", format=".4~g")]
    tips = ["method:N", "seed:O", "step:Q", *numbers]
    dots = base.mark_point(filled=True, size=45, opacity=1).encode(x=x, y=altair.Y("value:Q"), tooltip=tips, **looks)
    return _specification(
        altair.layer(means, dots).add_params(*choice),
        "Metrics of the checkpoints of each method against the seconds that it had trained.",
    )


def ranks(analysis: Analysis) -> Specification | None:
    """Critical-difference diagram: average ranks, and below them groups that the preset's test does not tell apart.

    A bar joins the dots of its group; a method between them without a dot is not in it.
    """
    if analysis.why_no_ranks:
        return None
    titles = {row.id: row.title for row in analysis.methods}
    order = analysis.ranks.sort_values(kind="stable")
    methods = pd.DataFrame({"method": [titles[name] for name in order.index], "rank": order.to_numpy()})
    methods["row"] = range(len(methods))
    groups = cliques(analysis.pairs.loc[order.index, order.index] > ALPHA)
    rows = [len(methods) + 0.6 * place for place in range(len(groups))]
    members = pd.DataFrame(
        [
            {"group": place, "method": titles[name], "rank": order[name], "row": rows[place]}
            for place, group in enumerate(groups)
            for name in group
        ],
        columns=["group", "method", "rank", "row"],
    )
    scale = altair.Scale(domain=[0.7, len(methods) + 1.6], nice=False)
    x = altair.X("rank:Q", title="Average rank (1: best)", scale=scale, axis=altair.Axis(tickMinStep=1))
    row = altair.Y("row:Q", axis=None, scale=altair.Scale(domain=[-1.5, len(methods) + 0.6 * len(rows)], reverse=True))
    dots = altair.Chart(methods).mark_point(filled=True, size=80, color=COLOURS[0], opacity=1)
    names = altair.Chart(methods).mark_text(align="left", dx=10, fontSize=12, color=INK)
    bars = altair.Chart(members).encode(x=x, y=row, detail="group:N")
    layers = [
        dots.encode(x=x, y=row, tooltip=["method:N", altair.Tooltip("rank:Q", format=".2f")]),
        names.encode(x=x, y=row, text="method:N"),
        bars.mark_line(strokeWidth=4, strokeCap="round", color=COLOURS[1]),
        bars.mark_point(filled=True, size=70, color=COLOURS[1], opacity=1).encode(tooltip=["method:N"]),
    ]
    if analysis.results.preset.statistics.test == "nemenyi":
        layers += _width(critical_difference(len(methods), len(analysis.means)), scale, row)
    return _specification(
        altair.layer(*layers),
        "Average ranks of the methods over the data sets; a bar joins methods that the test does not tell apart.",
        height=22 * (len(methods) + len(rows) + 3),
    )


def _width(difference: float, scale: altair.Scale, row: altair.Y) -> list[altair.Chart]:
    """A line as long as the critical difference, and its name."""
    chart = altair.Chart(pd.DataFrame([{"from": 1, "to": 1 + difference, "row": -1}]))
    start = altair.X("from:Q", scale=scale)
    return [
        chart.mark_rule(strokeWidth=2, color=INK, opacity=0.6).encode(x=start, x2="to:Q", y=row),
        chart.mark_text(align="left", dy=-8, fontSize=11, color=INK, text="critical difference").encode(x=start, y=row),
    ]


def cliques(alike: pd.DataFrame) -> list[list[str]]:
    """The largest groups of two or more methods of which all pairs are alike (Bron and Kerbosch 1973)."""
    names, found = list(map(str, alike.index)), []
    near = {name: {other for other in names if other != name and alike.loc[name, other]} for name in names}

    def extend(group: list[str], added: set[str], known: set[str]) -> None:
        """added, known: the methods that are alike to the whole group; groups with known ones have been found."""
        if not added and not known and len(group) > 1:
            found.append(group)
        for name in [name for name in names if name in added]:
            extend([*group, name], added & near[name], known & near[name])
            added, known = added - {name}, known | {name}

    extend([], set(names), set())
    return found


def _chosen(frame: pd.DataFrame) -> tuple[altair.Chart, list[altair.Parameter]]:
    """A chart of the rows of one data set and metric, and the menus that choose them."""
    menus = []
    for name, label in (("dataset", "Data set "), ("metric", "Metric ")):
        options = list(dict.fromkeys(frame[name]))
        menus.append(altair.param(name=name, value=options[0], bind=altair.binding_select(options=options, name=label)))
    chart = altair.Chart(frame.drop(columns="better", errors="ignore"))
    return chart.transform_filter("datum.dataset == dataset && datum.metric == metric"), menus


def _seconds(seconds: pd.Series) -> altair.X:
    """A logarithmic axis marked at 1, 2, 5, 10, ..., or a linear one for a small range."""
    low, high = float(seconds.min()), float(seconds.max())
    if low <= 0 or high / low < WIDE:
        scale, axis = altair.Scale(zero=False, padding=20), altair.Axis(tickCount=5)
    else:
        marks = [step * 10**power for power in range(-3, 8) for step in (1, 2, 5)]
        scale = altair.Scale(type="log", nice=False, padding=20)
        axis = altair.Axis(values=[mark for mark in marks if low / 2 < mark < high * 2], format=",~g")
    return altair.X("seconds:Q", title="Training time (s)", scale=scale, axis=axis)


def _method(frame: pd.DataFrame, places: dict[str, int]) -> dict[str, Any]:
    """A colour and a shape for each method, in the order of the tables."""
    domain = [title for title in places if title in set(frame["method"])]
    looks = {"color": RANGE, "shape": SHAPES}
    scales = {
        name: altair.Scale(domain=domain, range=[values[places[title] % len(values)] for title in domain])
        for name, values in looks.items()
    }
    return {
        "color": altair.Color("method:N", scale=scales["color"]),
        "shape": altair.Shape("method:N", scale=scales["shape"]),
    }


def _specification(chart: altair.LayerChart | altair.FacetChart, description: str, height: int = 320) -> Specification:
    chart = chart.properties(width="container", height=height, description=description)
    with altair.data_transformers.disable_max_rows():  # three seeds of a study have more than Altair's 5,000 rows
        return {**chart.to_dict(), "config": CONFIG}
