"""Rule `table`: Table 1, 2 or 3 as CSV, Markdown and LaTeX."""

from common.console import script
from workflow.rendering import notation, tables
from workflow.rendering.results import open_results

with script(snakemake.log[0]):
    results = open_results(snakemake.input.metrics)
    table = tables.build(int(snakemake.wildcards.number), results)
    notation.write(table, snakemake.output.csv, snakemake.output.md, snakemake.output.tex)
