"""One self-contained page: tables, figures, curves and the provenance of every run, readable without a network."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from common import __version__
from common.files import read_json
from data.datasets import MINE
from data.external import lines
from workflow.rendering import captions, stamp, tables
from workflow.rendering.contents import FIGURES, dataset_title, entries, paper_scale
from workflow.rendering.figures import DIAGRAMS
from workflow.rendering.results import Results

RUN_COLUMNS = (
    *("Method", "Dataset", "Split", "Seed", "Steps", "Time", "Peak memory", "Device", "Commit"),
    *("Config", "Data", "Sources"),
)
# Every number but the per-image scores, for the last table of the page.
NUMBER_COLUMNS = ("dataset", "method", "split", "seed", "metric", "value", "protocol", "n_real", "n_fake", "steps")


def page(results: Results) -> str:
    """The whole report as HTML."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["dataset_title"] = dataset_title
    preset = results.preset
    trained = {row.id: row.title for row in results.generators}
    runs = [record for record in results.runs if record["method"] in trained]
    return environment.get_template("report.html.j2").render(
        preset=preset,
        own=own_pictures(results),
        warn=not paper_scale(preset),
        version=__version__,
        tables=[tables.build(number, results) for number in tables.filled(results)],
        figures=[figure(name, title, results) for name, title in FIGURES.items()],
        run_columns=RUN_COLUMNS,
        runs=[run_row(record, trained[record["method"]]) for record in runs],
        facts=facts(results, runs),
        licences=[licence(results, dataset) for dataset in preset.datasets],
        number_columns=NUMBER_COLUMNS,
        numbers=number_rows(results),
        intakes=intakes(results),
    )


def own_pictures(results: Results) -> dict[str, Any] | None:
    """What was found in the folder of the user's own pictures (`data.mine_report.report`); None for other datasets."""
    path = results.folder / "intake.json"
    return (
        {**read_json(path), "title": dataset_title(MINE)}
        if MINE in results.preset.datasets and path.is_file()
        else None
    )


def figure(name: str, title: str, results: Results) -> dict[str, Any]:
    """A figure's title, caption, attribution lines and PNG in base64 (None if it was not drawn)."""
    path = results.folder / "figures" / f"{name}.png"
    return {
        "id": name,
        "title": title,
        "caption": captions.figure_caption(name, results),
        "attributions": [] if name in DIAGRAMS else results.attributions(),
        "png": base64.b64encode(path.read_bytes()).decode() if path.is_file() else None,
    }


def run_row(record: stamp.Record, title: str) -> list[tuple[str, object]]:
    """One training as pairs (text, sort key) in the order of RUN_COLUMNS."""
    hardware = record.get("hardware", {})
    device = hardware.get("gpu") or f"{hardware.get('cpu', 'CPU')}, {_counted(hardware.get('threads', 1), 'thread')}"
    commit = stamp.commit(record)
    shown = [title, dataset_title(record["dataset"]), record["split"], record["seed"]]
    changed = " (changed since)" if stamp.sources_changed(record) else ""
    return [
        *((str(value), value) for value in shown),
        (f"{record['steps']:,}", record["steps"]),
        (duration(record["seconds"]), record["seconds"]),
        (f"{record['peak_memory_mb']:,.0f} MiB", record["peak_memory_mb"]),
        (device, device),
        (commit, commit),
        *((record[key][:8], record[key]) for key in ("config_hash", "data_hash")),
        (record["sources_hash"][:8] + changed, record["sources_hash"]),
    ]


def facts(results: Results, records: Sequence[stamp.Record]) -> list[tuple[str, str]]:
    """The lines at the top of the page."""
    preset = results.preset
    lines = [
        ("Preset", f"{preset.preset}, {preset.resolution} × {preset.resolution} px"),
        ("Datasets", ", ".join(map(dataset_title, preset.datasets))),
        ("Methods", ", ".join(row.title for row in results.ranked)),
        ("Seeds", ", ".join(map(str, preset.seeds))),
        ("Sources", stamp.sentence(results.runs, entries(preset))),
    ]
    if not records:
        return lines
    versions = {f"{name} {version}" for record in records for name, version in record.get("versions", {}).items()}
    finished = max(record["finished"] for record in records)[:16].replace("T", " ")
    total = duration(sum(record["seconds"] for record in records))
    threads = ", ".join(sorted({str(record["threads"]) for record in records}))
    return [
        *lines,
        ("Training", f"{_counted(len(records), 'run')}, {total} in all, last finished {finished}"),
        ("Versions", ", ".join(sorted(versions))),
        (
            "Repeatable",
            f"to the last bit with the same versions, type of processor and training.threads ({threads}), "
            "however many jobs run at a time; other numbers of threads change the last bits",
        ),
    ]


def licence(results: Results, dataset: str) -> dict[str, str]:
    manifest = results.manifest(dataset)
    return {
        "title": dataset_title(dataset),
        "licence": manifest.get("licence", "not prepared on this machine"),
        "attribution": manifest.get("attribution") or "",
        "near_duplicates": "; ".join(results.near_duplicates(dataset)),
    }


def intakes(results: Results) -> list[tuple[str, list[str]]]:
    """For each set of samples made elsewhere: its row and dataset, and what was found, taken and left out of it.

    Last, what data/external holds besides.
    """
    read = [
        (f"{row.title}, {dataset_title(dataset)}", lines(intake))
        for dataset in results.preset.datasets
        for row in results.rows
        if row.kind == "external" and (intake := results.intake(dataset, row))
    ]
    path = results.folder / "unused.json"
    unused = read_json(path) if path.is_file() else []
    return [*read, ("Not used", unused)] if unused else read


def number_rows(results: Results) -> list[list[str]]:
    frame = results.metrics
    rows = frame.loc[~frame["metric"].str.endswith("_image"), list(NUMBER_COLUMNS)]
    rows["value"] = rows["value"].astype(object).where(rows["value"].notna(), "n/a")
    return [list(map(_plain, row)) for row in rows.itertuples(index=False)]


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
