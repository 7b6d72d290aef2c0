"""Rule `tables`: all tables of a preset, published numbers beside its own, and its statistics."""

from common.console import script
from workflow.rendering import notation, published, statistics, tables
from workflow.rendering.contents import tables_of
from workflow.rendering.results import open_results

with script(snakemake.log[0]):
    results = open_results(snakemake.input.metrics)
    folder = results.folder / "tables"
    for number in tables_of(results.preset):
        paths = (folder / f"table{number}.{suffix}" for suffix in ("csv", "md", "tex"))
        notation.write(tables.build(number, results), *paths)
    published.write(results, folder / "published.csv", folder / "published.md")
    statistics.write(results, results.folder / "statistics.csv", results.folder / "statistics.md")
