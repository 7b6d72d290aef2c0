"""Rule `figure`: one figure as PNG and PDF."""

from pathlib import Path

from common.console import script
from workflow.rendering import figures
from workflow.rendering.results import Results

with script(snakemake.log[0]):
    results = Results(Path(snakemake.params.results), Path(snakemake.params.prepared))
    figures.draw(snakemake.wildcards.figure, results, snakemake.output.png, snakemake.output.pdf)
