"""Rule `answer_table`: a table of several answers to one input, as CSV, Markdown and LaTeX."""

from common.console import script
from workflow.rendering import answers
from workflow.rendering.results import open_results

with script(snakemake.log[0]):
    table = answers.build(snakemake.wildcards.table, open_results(snakemake.input.metrics))
    answers.write(table, snakemake.output.csv, snakemake.output.md, snakemake.output.tex)
