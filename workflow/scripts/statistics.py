"""Rule `statistics`: every test and rank of the preset, as CSV and Markdown."""

from common.console import script
from workflow.rendering import statistics
from workflow.rendering.results import open_results

with script(snakemake.log[0]):
    results = open_results(snakemake.input.metrics)
    statistics.write(results, snakemake.output.csv, snakemake.output.md)
