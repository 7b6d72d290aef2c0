"""Results that a repository can keep: saved without pictures that nobody may pass on, rendered again without torch.

    python -m workflow.scripts.reference save --results results/demo --prepared data/prepared/32 \\
        --out results/reference/demo
    python -m workflow.scripts.reference render --saved results/reference/demo --out results/rendered/demo
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from common.console import run, say
from common.files import read_json, write_text
from workflow.scripts import figures, numbers, published, report, tables
from workflow.scripts.settings import load
from workflow.scripts.sources import Sources

RECORDS = ("metrics.csv", "rendering.json", "runs/**/run.json", "runs/**/history.csv")
RENDERED = ("tables/*", "figures/curves.*")  # show no picture
PICTURES = ("figures/*", "report.html")


def save(results: Path, prepared: Path, out: Path) -> None:
    """Copy a preset's numbers, each training's record, tables and curves from `results`; and what shows pictures, if
    the licence of every dataset allows it.  `prepared`: data/prepared/<resolution>.
    """
    manifests = [prepared / dataset.id / "manifest.json" for dataset in load(results / "rendering.json").datasets]
    shareable = all(read_json(path)["shareable"] for path in manifests)
    _copy(results, out, (*RECORDS, *RENDERED, *(PICTURES if shareable else ())))
    for path in manifests:
        _copy(prepared, out / "prepared", (f"{path.parent.name}/manifest.json",))
    say(f"{out}: saved {'with' if shareable else 'without'} figures that show images; add a README.md")


def render(saved: Path, out: Path) -> None:
    """Tables, figures and report from what `save` kept.

    Figures that show images are taken as they were saved; where they were not, they print the reason in their place.
    """
    for name in ("runs", "prepared", "figures", "tables"):
        shutil.rmtree(out / name, ignore_errors=True)  # of an earlier call: nothing that `saved` has not may stay
    _copy(saved, out, (*RECORDS, "figures/*", "prepared/*/manifest.json"))
    settings = load(out / "rendering.json")
    frame = numbers.read_metrics(out / "metrics.csv", settings)
    sources = Sources(settings, out, out / "prepared")
    for number in tables.CONTENTS if settings.table3["datasets"] else (1, 2):
        paths = (out / "tables" / f"table{number}.{suffix}" for suffix in ("csv", "md", "tex"))
        tables.write(tables.build(number, frame, settings), settings, *paths)
    rows = published.build(settings, sources, frame)
    published.write(rows, settings, out / "tables" / "published.csv", out / "tables" / "published.md")
    for name in (*figures.SHEETS, "curves"):
        paths = [out / "figures" / f"{name}.{suffix}" for suffix in ("png", "pdf")]
        if name == "curves" or not all(path.exists() for path in paths):
            figures.draw(name, sources, *paths)
    write_text(out / "report.html", report.page(settings, sources, frame))


def _copy(source: Path, target: Path, patterns: tuple[str, ...]) -> None:
    for path in (path for pattern in patterns for path in sorted(source.glob(pattern))):
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    saving = commands.add_parser("save", help="copy what a repository may keep")
    saving.add_argument("--results", type=Path, required=True, help="results/<preset>")
    saving.add_argument("--prepared", type=Path, required=True, help="data/prepared/<resolution>")
    rendering = commands.add_parser("render", help="tables, figures and report from a saved folder")
    rendering.add_argument("--saved", type=Path, required=True, help="results/reference/<preset>")
    for command in (saving, rendering):
        command.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    if arguments.command == "save":
        save(arguments.results, arguments.prepared, arguments.out)
    else:
        render(arguments.saved, arguments.out)


if __name__ == "__main__":
    run(main)
