"""Save results in the repository, without pictures whose licence forbids copies, and render them without torch.

After a run, save its results by hand and add a README.md that says how they were measured:

    python -m workflow.rendering.reference --results results/demo --out results/reference/demo

`snakemake --cores 1 --configfile config/reference.yaml` renders what was saved.
"""

from __future__ import annotations

import argparse
import shutil
from dataclasses import replace
from pathlib import Path

from common.console import run, say
from common.files import read_json, write_text
from training.sections import SPLITS
from workflow.rendering import answers, figures, multimodal, notation, published, report, statistics, tables
from workflow.rendering.contents import answer_tables, figures_of
from workflow.rendering.results import DUPLICATES, Results, open_results

RECORDS = ("metrics.csv", "codes.csv", "config.json", DUPLICATES.format(dataset="*"))
OF_RUNS = ("run.json", "history.csv")
OF_TASKS = ("figures/figure4.*", "figures/figure5.*")
SHEETS = ("pictures/{dataset}/*.*", "pictures/{dataset}/*/*.webp")


def save(results: Results, out: Path) -> None:
    """Copy a preset's numbers, each training's record, tables and curves, and write the report.

    What an earlier call left in `out` is removed: a run may have been withdrawn, and a licence corrected.  Pictures
    are those of the data sets whose licence allows copies; the figures of tasks need that all allow it.
    """
    paths = {name: results.prepared / name / "manifest.json" for name in results.datasets}
    used = {name for split in SPLITS for name, _, _ in results.preset.cells(split)}
    left_out = {name for name in results.preset.datasets if name not in used and not paths[name].is_file()}
    manifests = {name: path for name, path in paths.items() if name not in left_out}
    shareable = [name for name, path in manifests.items() if read_json(path)["shareable"]]
    sheets = [pattern.format(dataset=name) for name in shareable for pattern in SHEETS]
    of_tasks = OF_TASKS if len(shareable) == len(manifests) else ()
    _clear(out)
    runs = [f"runs/{run['dataset']}/{run['method']}/seed{run['seed']}/{run['split']}" for run in results.runs]
    of_runs = [f"{run}/{name}" for run in runs for name in OF_RUNS]
    _copy(results.folder, out, (*RECORDS, *of_runs, *_rendered(results), *sheets, *of_tasks))
    for name in manifests:
        _copy(results.prepared, out / "prepared", (f"{name}/manifest.json",))
    if results.preset.datasets:
        for name in figures.IMAGES:
            png, pdf = (out / "figures" / f"{name}.{suffix}" for suffix in ("png", "pdf"))
            figures.draw(name, replace(results, shareable=True), png, pdf)
        write_text(out / "report.html", report.page(open_results(out)))
    if results.preset.tasks:
        write_text(out / multimodal.file_of(results.preset), multimodal.page(open_results(out)))
    say(f"{out}: saved with pictures of {', '.join(shareable) or 'no data set'}; add a README.md")


def render(saved: Path, out: Path) -> None:
    """Render tables, figures and report from saved results.

    Figures that show images are copied; for one that was not saved, a figure with the reason is drawn.
    """
    _clear(out)
    sheets = (pattern.format(dataset="*") for pattern in SHEETS)
    of_runs = (f"runs/**/{name}" for name in OF_RUNS)
    others = ("learning.csv", f"tables/{multimodal.DIRECTIONS}", "README.md", "figures/*", "prepared/*/manifest.json")
    _copy(saved, out, (*RECORDS, *of_runs, *others, *sheets))
    results = open_results(out)
    if results.preset.datasets:
        _render(results, out)
    for name in answer_tables(results.preset):
        paths = (out / "tables" / f"{name}.{suffix}" for suffix in ("csv", "md", "tex"))
        answers.write(answers.build(name, results), *paths)
    if results.preset.tasks:
        write_text(out / multimodal.file_of(results.preset), multimodal.page(results))


def _render(results: Results, out: Path) -> None:
    """Of the unconditional methods."""
    for number in tables.filled(results):
        paths = (out / "tables" / f"table{number}.{suffix}" for suffix in ("csv", "md", "tex"))
        notation.write(tables.build(number, results), *paths)
    published.write(results, out / "tables" / "published.csv", out / "tables" / "published.md")
    statistics.write(results, out / "statistics.csv", out / "statistics.md")
    for name in figures_of(results.preset):
        png, pdf = (out / "figures" / f"{name}.{suffix}" for suffix in ("png", "pdf"))
        if name in figures.DIAGRAMS or not (png.exists() and pdf.exists()):
            figures.draw(name, results, png, pdf)
    write_text(out / "report.html", report.page(results))


def _rendered(results: Results) -> list[str]:
    """Tables, statistics and diagrams that the preset has."""
    numbered = [f"tables/table{number}.*" for number in tables.filled(results)]
    of_tasks = [*(f"tables/{name}.*" for name in answer_tables(results.preset)), f"tables/{multimodal.DIRECTIONS}"]
    diagrams = [f"figures/{name}.*" for name in figures_of(results.preset) if name in figures.DIAGRAMS]
    learning = ["learning.csv"] if results.preset.training.checkpoints else []
    return [*numbered, *of_tasks, *diagrams, *learning, "tables/published.*", "statistics.*"]


def _clear(out: Path) -> None:
    """Remove what an earlier call wrote."""
    for name in ("runs", "prepared", "metrics", "figures", "pictures", "tables"):
        shutil.rmtree(out / name, ignore_errors=True)
    for name in ("learning.csv", "report.html", "multimodal.html"):
        (out / name).unlink(missing_ok=True)


def _copy(source: Path, target: Path, patterns: tuple[str, ...]) -> None:
    for path in (path for pattern in patterns for path in sorted(source.glob(pattern))):
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, required=True, help="results/<preset>")
    parser.add_argument("--out", type=Path, required=True, help="results/reference/<preset>")
    arguments = parser.parse_args()
    save(open_results(arguments.results), arguments.out)


if __name__ == "__main__":
    run(main)
