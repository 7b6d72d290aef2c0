"""Rule `report`: all tables, figures and run records on one page."""

from common.console import script
from common.files import write_text
from workflow.rendering import report
from workflow.rendering.results import open_results

with script(snakemake.log[0]):
    results = open_results(snakemake.input.metrics)
    write_text(snakemake.output[0], report.page(results))
