"""Rule `report`: the sheets of pictures, and the page that shows them with all tables, charts and run records."""

from pathlib import Path

from common.console import script
from common.files import write_text
from workflow.rendering import pictures, report
from workflow.rendering.results import open_results

with script(snakemake.log[0]):
    results = open_results(snakemake.input.metrics)
    pictures.draw(results, Path(snakemake.output.pictures))
    write_text(snakemake.output.page, report.page(results))
