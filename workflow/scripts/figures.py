"""Rule `figures`: all figures of a preset as PNG and PDF."""

from common.console import script
from workflow.rendering import figures
from workflow.rendering.contents import figures_of
from workflow.rendering.results import open_results

with script(snakemake.log[0]):
    results = open_results(snakemake.input.metrics)
    for name in figures_of(results.preset):
        png, pdf = (results.folder / "figures" / f"{name}.{suffix}" for suffix in ("png", "pdf"))
        figures.draw(name, results, png, pdf)
