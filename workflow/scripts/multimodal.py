"""Rule `multimodal`: tables, Figures 4 and 5, and the page of several answers to one input."""

import shutil
from pathlib import Path

from common.console import script
from common.files import write_text
from workflow.rendering import answers, figure4, multimodal
from workflow.rendering.contents import answer_tables
from workflow.rendering.results import open_results

with script(snakemake.log[0]):
    results = open_results(snakemake.input.metrics)
    tables, figures = results.folder / "tables", results.folder / "figures"
    for name in answer_tables(results.preset):
        answers.write(answers.build(name, results), *(tables / f"{name}.{suffix}" for suffix in ("csv", "md", "tex")))
    figure4.draw(results, figures / "figure4.png", figures / "figure4.pdf")
    for name in ("figure5.png", "figure5.pdf"):
        shutil.copyfile(Path(snakemake.params.directions, name), figures / name)
    shutil.copyfile(Path(snakemake.params.directions, "numbers.csv"), tables / multimodal.DIRECTIONS)
    write_text(snakemake.output.page, multimodal.page(results))
