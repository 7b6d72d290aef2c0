"""Rule `collect_learning`: the metrics of all checkpoints as one table."""

from common.console import script
from metrics.collect import collect_learning

with script(snakemake.log[0]):
    collect_learning(snakemake.input, snakemake.output[0])
