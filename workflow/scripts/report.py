"""One self-contained page: tables, figures, curves and the provenance of every run, readable with no network.

    python -m workflow.scripts.report --settings settings.json --results results/demo --prepared data/prepared/32 \\
        --out results/demo/report.html

Reads metrics.csv, figures/*.png and runs/**/run.json below --results; a figure that is missing is named as missing.
"""

from __future__ import annotations

import argparse
import base64
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from common.console import run
from common.files import write_text
from workflow.scripts import captions, numbers, render, tables
from workflow.scripts.settings import Settings, load
from workflow.scripts.sources import Sources

FIGURES = {
    "figure2": "Figure 2",
    "figure3": "Figure 3",
    "interpolation": "Interpolation",
    "memorisation": "Memorisation",
    "curves": "Training curves",
}
RUN_COLUMNS = (
    *("Method", "Dataset", "Split", "Seed", "Steps", "Time", "Peak memory", "Device", "Commit"),
    *("Config", "Data", "Sources"),
)
# Every number but the per-image scores, for the last table of the page.
NUMBER_COLUMNS = ("dataset", "method", "split", "seed", "metric", "value", "protocol", "n_real", "n_fake", "steps")


def page(settings: Settings, sources: Sources, frame: pd.DataFrame) -> str:
    """The whole report as HTML."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(render=render, enumerate=enumerate)
    records = sources.runs()
    ablation = settings.table3["datasets"]
    return environment.get_template("report.html.j2").render(
        settings=settings,
        warn=settings.preset not in captions.PUBLISHED_SCALE,
        tables=[tables.build(number, frame, settings) for number in tables.CONTENTS if number < 3 or ablation],
        figures=[figure(name, title, settings, sources) for name, title in FIGURES.items()],
        run_columns=RUN_COLUMNS,
        runs=[run_row(record, settings) for record in records],
        facts=facts(settings, records),
        licences=[licence(sources, dataset.id, dataset.title) for dataset in settings.datasets],
        number_columns=NUMBER_COLUMNS,
        numbers=number_rows(frame),
    )


def figure(name: str, title: str, settings: Settings, sources: Sources) -> dict[str, Any]:
    """A figure's title, caption, attribution lines and PNG in base64 (None where it was not drawn)."""
    path = sources.results / "figures" / f"{name}.png"
    return {
        "id": name,
        "title": title,
        "caption": captions.figure_caption(name, settings),
        "attributions": [] if name == "curves" else sources.attributions(),
        "png": base64.b64encode(path.read_bytes()).decode() if path.is_file() else None,
    }


def run_row(record: dict[str, Any], settings: Settings) -> list[tuple[str, object]]:
    """One training as (what is shown, what it sorts by) in the order of RUN_COLUMNS."""
    titles = {item.id: item.title for item in (*settings.methods, *settings.datasets)}
    hardware = record.get("hardware", {})
    commit = (record.get("git_commit") or "unknown")[:7] + (" + changes" if record.get("git_dirty") else "")
    device = hardware.get("gpu") or f"{hardware.get('cpu', 'CPU')}, {_counted(hardware.get('threads', 1), 'thread')}"
    shown = [titles[record["method"]], titles[record["dataset"]], record["split"], record["seed"]]
    return [
        *((str(value), value) for value in shown),
        (f"{record['steps']:,}", record["steps"]),
        (duration(record["seconds"]), record["seconds"]),
        (f"{record['peak_memory_mb']:,.0f} MiB", record["peak_memory_mb"]),
        (device, device),
        (commit, commit),
        *((record[key][:8], record[key]) for key in ("config_hash", "data_hash", "sources_hash")),
    ]


def facts(settings: Settings, records: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    """The few lines at the head of the page."""
    versions = {f"{name} {version}" for record in records for name, version in record.get("versions", {}).items()}
    finished = max((record["finished"] for record in records), default="")[:16].replace("T", " ")
    lines = [
        ("Preset", f"{settings.preset}, {settings.resolution} × {settings.resolution} px"),
        ("Datasets", ", ".join(dataset.title for dataset in settings.datasets)),
        ("Methods", ", ".join(method.title for method in settings.ranked)),
        ("Seeds", ", ".join(map(str, settings.seeds))),
    ]
    if records:
        total = sum(record["seconds"] for record in records)
        training = f"{_counted(len(records), 'run')}, {duration(total)} in all, last finished {finished}"
        threads = ", ".join(sorted({str(record["threads"]) for record in records}))
        lines.append(("Training", training))
        lines.append(("Versions", ", ".join(sorted(versions))))
        lines.append(
            (
                "Repeatable",
                f"to the last bit with the same versions, device and training.threads ({threads}), "
                "however many jobs run at a time; other numbers of threads change the last bits",
            )
        )
    return lines


def licence(sources: Sources, dataset: str, title: str) -> dict[str, str]:
    manifest = sources.manifest(dataset)
    return {
        "title": title,
        "licence": manifest.get("licence", "not prepared on this machine"),
        "attribution": manifest.get("attribution") or "",
    }


def number_rows(frame: pd.DataFrame) -> list[list[str]]:
    rows = frame[~frame["metric"].str.endswith("_image")]
    return [[_plain(row[name]) for name in NUMBER_COLUMNS] for row in rows.to_dict("records")]


def duration(seconds: float) -> str:
    """ "48 s", "12 min 05 s" or "3 h 20 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole // 60 % 60:02d} min"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("s" if count != 1 else "")


def _plain(value: object) -> str:
    """A CSV value as text: whole numbers without a point, others with six digits, nothing for a blank."""
    if not isinstance(value, float):
        return str(value)
    if math.isnan(value):
        return ""
    return str(int(value)) if value.is_integer() else f"{value:.6g}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--settings", type=Path, required=True, help="JSON, see workflow/scripts/settings.py")
    parser.add_argument("--results", type=Path, required=True, help="results/<preset>")
    parser.add_argument("--prepared", type=Path, required=True, help="data/prepared/<resolution>")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    settings = load(arguments.settings)
    frame = numbers.read_metrics(arguments.results / "metrics.csv", settings)
    write_text(arguments.out, page(settings, Sources(settings, arguments.results, arguments.prepared), frame))


if __name__ == "__main__":
    run(main)
