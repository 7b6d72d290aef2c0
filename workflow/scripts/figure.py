"""Rule `figure`: one figure as PNG and PDF."""

from common.console import script
from workflow.rendering import figures
from workflow.rendering.results import open_results

with script(snakemake.log[0]):
    results = open_results(snakemake.input.metrics)
    figures.draw(snakemake.wildcards.figure, results, snakemake.output.png, snakemake.output.pdf)
