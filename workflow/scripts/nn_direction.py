"""Rule `directions`: the trainings behind Figure 5, in the plane or on the faces."""

from common.console import script
from workflow.rendering import nn_direction

with script(snakemake.log[0]):
    images = snakemake.input[0] if snakemake.input else None
    nn_direction.write(images, snakemake.output.numbers, snakemake.output.samples)
