"""Rule `collect`: all metric files of a preset as one table."""

from common.console import script
from metrics.collect import collect

with script(snakemake.log[0]):
    collect(snakemake.input, snakemake.output[0])
