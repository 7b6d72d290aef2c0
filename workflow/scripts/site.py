"""Rule `site`: one page that lists all reports of committed numbers."""

from pathlib import Path

from common.console import script
from common.files import write_text
from workflow.rendering import site

with script(snakemake.log[0]):
    write_text(snakemake.output[0], site.index([Path(page).parent for page in snakemake.input.pages]))
