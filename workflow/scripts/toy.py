"""Rule `figure1_toy`: the trainings behind Figure 1."""

from common.console import script
from workflow.rendering import toy

with script(snakemake.log[0]):
    toy.write(snakemake.output.coverage, snakemake.output.samples)
