"""Rule `published`: published and measured numbers side by side."""

from pathlib import Path

from common.console import script
from workflow.rendering import published
from workflow.rendering.results import Results

with script(snakemake.log[0]):
    results = Results(Path(snakemake.params.results), Path(snakemake.params.prepared))
    published.write(results, snakemake.output.csv, snakemake.output.md)
