"""Rules `collect` and `collect_learning`: all metric files of a preset, or those of its checkpoints, as one table."""

from common.console import script
from metrics.collect import collect, collect_learning

with script(snakemake.log[0]):
    write = collect_learning if snakemake.rule == "collect_learning" else collect
    write(snakemake.input, snakemake.output[0])
