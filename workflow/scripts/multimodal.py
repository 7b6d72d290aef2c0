"""Rule `multimodal_page`: tables and figures of several answers to one input, as one page."""

from common.console import script
from common.files import write_text
from workflow.rendering import multimodal
from workflow.rendering.results import open_results

with script(snakemake.log[0]):
    write_text(snakemake.output[0], multimodal.page(open_results(snakemake.input.metrics)))
