"""Rule `render`: tables, figures and report of a saved preset."""

from pathlib import Path

from common.console import script
from workflow.rendering import reference

with script(snakemake.log[0]):
    reference.render(Path(snakemake.input.metrics).parent, Path(snakemake.output.report).parent)
