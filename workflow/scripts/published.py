"""Rule `published`: published and measured numbers side by side."""

from common.console import script
from workflow.rendering import published
from workflow.rendering.results import open_results

with script(snakemake.log[0]):
    results = open_results(snakemake.input.metrics)
    published.write(results, snakemake.output.csv, snakemake.output.md)
