"""Rule `table`: Table 1, 2 or 3 as CSV, Markdown and LaTeX."""

from pathlib import Path

from common.console import script
from workflow.rendering import tables
from workflow.rendering.results import Results

with script(snakemake.log[0]):
    results = Results(Path(snakemake.params.results), Path(snakemake.params.prepared))
    table = tables.build(int(snakemake.wildcards.number), results)
    tables.write(table, snakemake.output.csv, snakemake.output.md, snakemake.output.tex)
