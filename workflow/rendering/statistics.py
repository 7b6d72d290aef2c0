"""statistics.csv, with every number of the analysis, and statistics.md, the same in words and tables."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from common.files import write_text
from metrics import statistics
from metrics.statistics import ALPHA, EXACT_PAIRS, FEWEST
from workflow.rendering.analysis import COLUMNS, Analysis, rows
from workflow.rendering.captions import scale
from workflow.rendering.checkpoints import checkpoints, samples
from workflow.rendering.contents import dataset_title
from workflow.rendering.notation import markdown_table
from workflow.rendering.results import Results

TESTS = {
    "runs": "95% Welch interval; p: permutation test, exact for at most ten runs of each.",
    "backtracking images": f"95% BCa interval; p: permutation test, exact for at most {EXACT_PAIRS} images.",
    "runs of all datasets": (
        "What other trainings on these datasets would give, not what other datasets would. 95% Welch interval; "
        "p: permutation test within each dataset, adjusted by Holm over {comparisons} comparisons."
    ),
}


def write(results: Results, csv: Path | str, md: Path | str) -> None:
    analysis = Analysis(results)
    table = pd.DataFrame(rows(analysis), columns=list(COLUMNS))
    write_text(csv, table.to_csv(index=False, float_format="%.6g"))
    write_text(md, markdown(analysis, table))


def markdown(analysis: Analysis, table: pd.DataFrame) -> str:
    """Captions and tables of everything in `table`, with what the number of seeds and datasets can show at all."""
    parts = [caption(analysis)]
    effect = f"{'Ratio of geometric means' if analysis.ratio else 'Mean difference'} of {analysis.metric.title}"
    for name, head, verdict in (
        ("runs", f"Difference of {analysis.metric.title} on one dataset, over seeds", runs_verdict),
        ("backtracking images", "Difference of LPIPS backtracking, over the same held-out images", runs_verdict),
        ("runs of all datasets", f"{effect} over the runs of these datasets", runs_verdict),
        ("datasets", f"{effect} over datasets", datasets_verdict),
    ):
        found = table[table["analysis"] == name]
        if len(found):
            parts += [f"**{head}.** {verdict(found)}", _comparisons(analysis, found)]
    parts += _checkpoints(analysis, table[table["analysis"] == "checkpoints"])
    parts += [ranks_sentence(analysis, table), *_standing(analysis, table)]
    return "\n\n".join(part for part in parts if part) + "\n"


def caption(analysis: Analysis) -> str:
    preset, metric = analysis.results.preset, analysis.metric
    reference = analysis.reference.title if analysis.reference else "none"
    if analysis.methods[:1] != [analysis.reference]:
        reference += " (without a number: nothing is compared with it)"
    measured = analysis.scores.groupby(["dataset", "method"]).size()
    fewest, most = (measured.min(), measured.max()) if len(measured) else (0, 0)
    counted = f"{most} of {len(preset.seeds)}" if most < len(preset.seeds) else f"{most}"
    counted += f", of some methods {fewest}" if fewest < most else ""
    return (
        f"**Statistics.** {scale(preset)} Fixed by the preset (`statistics:`, or its defaults): primary metric "
        f"{metric.head} (protocol {metric.protocol(preset).name}), reference method {reference}, test of all pairs "
        f"{preset.statistics.test}, level {ALPHA}. Everything else is exploratory. Seeds: {counted}; "
        f"datasets: {len(preset.datasets)}."
    )


def runs_verdict(found: pd.DataFrame) -> str:
    text = TESTS[found["analysis"].iloc[0]].format(comparisons=len(found))
    adjusted = len(found) if found["p_adjusted"].notna().any() else 1
    if (smallest := min(1, adjusted * found["smallest_p"].min())) > ALPHA:
        text += f" The smallest possible p is {smallest:.2g}: with so few values nothing can be significant."
    return text


def datasets_verdict(found: pd.DataFrame) -> str:
    needed = statistics.fewest_datasets(len(found))
    text = f"p: Wilcoxon's signed-rank test, adjusted by Holm over {len(found)} comparisons."
    if found["n"].max() < needed:
        text += f" With {found['n'].max()} datasets nothing can be significant; at least {needed} are needed."
    return text


def ranks_sentence(analysis: Analysis, table: pd.DataFrame) -> str:
    if analysis.why_no_ranks:
        return f"**Ranks.** {analysis.why_no_ranks}"
    found = {row["analysis"]: row for row in table.to_dict("records")}
    friedman, f = found["Friedman chi-square"], found["Iman-Davenport F"]
    davenport = (
        "not defined, because the order is the same on every dataset"
        if pd.isna(f["estimate"])
        else f"F = {f['estimate']:.2f}, p = {f['p']:.2g}"
    )
    return (
        f"**Ranks over {len(analysis.means)} datasets.** Friedman: chi-square {friedman['estimate']:.2f}, "
        f"p = {friedman['p']:.2g}; Iman-Davenport: {davenport}. Critical difference of "
        f"average ranks (Nemenyi): {found['critical difference of ranks']['estimate']:.2f}. A method without a number "
        "on a dataset has the worst rank there."
    )


def _comparisons(analysis: Analysis, found: pd.DataFrame) -> str:
    titles = {row.id: row.title for row in analysis.methods}
    heads = ["Dataset", "Method", "Against", "Estimate", "95% interval", "p", "Adjusted p", "n"]
    lines = [
        [
            dataset_title(row["dataset"]) if isinstance(row["dataset"], str) else "all",
            titles[row["method"]],
            titles[row["against"]],
            number(row["estimate"]),
            interval(row["low"], row["high"]),
            number(row["p"]),
            number(row["p_adjusted"]),
            str(row["n"]),
        ]
        for row in found.to_dict("records")
    ]
    return markdown_table(heads, lines, ("Dataset", "Method", "Against"))


def _checkpoints(analysis: Analysis, found: pd.DataFrame) -> list[str]:
    """A row for each method and dataset, a column for each share of the training."""
    if found.empty:
        return []
    titles, shares = {row.id: row.title for row in analysis.methods}, sorted(found["share"].unique())
    cells = {
        (row["dataset"], row["method"], row["share"]): f"{number(row['estimate'])} {interval(row['low'], row['high'])}"
        for row in found.to_dict("records")
    }
    lines = [
        [dataset_title(dataset), titles[method], *(cells.get((dataset, method, share), "") for share in shares)]
        for dataset, method in found[["dataset", "method"]].drop_duplicates().itertuples(index=False)
    ]
    text = (
        f"**Difference of {analysis.metric.title} from {analysis.methods[0].title} after a share of the training.** "
        f"{samples(checkpoints(analysis.results))}; {_interval_over_seeds(found, 'Welch')}. Equal shares are equal "
        "times only of trainings that take equally long."
    )
    heads = ["Dataset", "Method", *(f"{100 * share:.4g}%" for share in shares)]
    return [text, markdown_table(heads, lines, ("Dataset", "Method"))]


def _standing(analysis: Analysis, table: pd.DataFrame) -> list[str]:
    """One row for each method: scaled score, average rank, probability of improvement."""
    found = {(row["analysis"], row["method"]): row for row in table.to_dict("records")}
    known = {"average rank": "Average rank", "probability of improvement": "Better than the reference"}
    shown = {name: title for name, title in known.items() if any(key[0] == name for key in found)}
    if not analysis.scaled and not shown:
        return []
    lines = []
    for row in analysis.methods:
        score = found.get(("scaled score", row.id))
        middle = [number(score["estimate"]), interval(score["low"], score["high"])] if score else ["", ""]
        others = [found.get((name, row.id)) for name in shown]
        lines.append([row.title, *middle, *(number(one["estimate"]) if one else "" for one in others)])
    scores = table[table["analysis"] == "scaled score"]
    text = (
        f"**Scaled score.** 0: noise; 1: one half of the images against the other, in {analysis.metric.title}. "
        f"Interquartile mean over all runs, {_interval_over_seeds(scores, 'bootstrap')}. Better than the reference: "
        "the probability that one of its runs beats one of the reference's."
    )
    return [text, markdown_table(["Method", "Scaled score", "95% interval", *shown.values()], lines, ("Method",))]


def _interval_over_seeds(found: pd.DataFrame, kind: str) -> str:
    if found["low"].isna().all():
        return f"no interval: it needs {FEWEST} seeds"
    return f"95% {kind} interval over seeds"


def number(value: float) -> str:
    """Three significant digits; nothing for a number that does not exist."""
    return "" if pd.isna(value) else f"{value:.3g}"


def interval(low: float, high: float) -> str:
    return "" if pd.isna(low) else f"[{low:.3g}, {high:.3g}]"
