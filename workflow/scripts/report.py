"""Rule `report`: all tables, figures and run records on one page."""

from pathlib import Path

from common.console import script
from common.files import write_text
from workflow.rendering import report
from workflow.rendering.results import Results

with script(snakemake.log[0]):
    results = Results(Path(snakemake.params.results), Path(snakemake.params.prepared))
    write_text(snakemake.output[0], report.page(results))
