"""Rule `figure4`: Figure 4 as PNG and PDF."""

from common.console import script
from workflow.rendering import figure4
from workflow.rendering.results import open_results

with script(snakemake.log[0]):
    figure4.draw(open_results(snakemake.input.metrics), snakemake.output.png, snakemake.output.pdf)
