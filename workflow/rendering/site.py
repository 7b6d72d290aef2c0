"""One page that lists the reports of several presets: results/rendered/index.html, by `make site`.

The folder of the page is a static site: every address in it is relative.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from workflow.rendering import origin, report, tables
from workflow.rendering.checks import checks
from workflow.rendering.contents import ALL
from workflow.rendering.results import open_results
from workflow.rendering.winners import winners


def index(folders: list[Path]) -> str:
    """The page; `folders` lie beside it and hold what `reference.render` wrote."""
    return str(report.template("site.html.j2").render(reports=[_listed(folder) for folder in folders]))


def _listed(folder: Path) -> dict[str, Any]:
    """One report.  best: the heads of the first questions, and the winner of each on each data set."""
    results = open_results(folder)
    table = tables.build(ALL, results)
    trained = {row.id for row in (*results.generators, *results.answerers)}
    runs = [record for record in results.measured_runs if record["method"] in trained]
    return {
        "folder": folder.name,
        "title": _title(folder) or results.preset.preset,
        "facts": origin.facts(results, runs),
        "datasets": list(table.datasets),
        "best": [(metric.head, found) for metric, _, found in winners(table, results)[:3]],
        "warnings": sum(check.severity == "warning" for check in checks(results, table)),
        "readme": (folder / "README.md").is_file(),
    }


def _title(folder: Path) -> str:
    """The first line of the README."""
    path = folder / "README.md"
    return path.read_text("utf-8").splitlines()[0].lstrip("# ") if path.is_file() else ""
