"""Where the numbers of a report come from: what was run, each training, images and their licences, how to cite."""

from __future__ import annotations

from collections.abc import Sequence

from common.files import read_json
from data.external import lines
from data.mine_report import counted
from training.protocols import VERSION
from workflow.rendering import stamp
from workflow.rendering.contents import dataset_title
from workflow.rendering.results import Results

RUN_COLUMNS = (
    *("Method", "Data set", "Split", "Seed", "Steps", "Time", "Peak memory", "Device", "Commit"),
    *("Config", "Data", "Sources", "Record"),
)


def run_row(record: stamp.Record, title: str) -> list[tuple[str, object]]:
    """One training as pairs (text, sort key) in the order of RUN_COLUMNS; last, the address of its run.json."""
    commit = stamp.commit(record)
    shown = [title, dataset_title(record["dataset"]), record["split"], record["seed"]]
    changed = " (changed since)" if stamp.sources_changed(record) else ""
    place = f"runs/{record['dataset']}/{record['method']}/seed{record['seed']}/{record['split']}/run.json"
    return [
        *((str(value), value) for value in shown),
        (f"{record['steps']:,}", record["steps"]),
        (duration(stamp.training_seconds(record)), stamp.training_seconds(record)),
        (f"{record['peak_memory_mb']:,.0f} MiB", record["peak_memory_mb"]),
        (device(record), device(record)),
        (commit, commit),
        *((record[key][:8], record[key]) for key in ("config_hash", "data_hash")),
        (record["sources_hash"][:8] + changed, record["sources_hash"]),
        ("run.json", place),
    ]


def anchor(record: stamp.Record) -> str:
    """The address of a training's row within the page."""
    return f"run-{record['dataset']}-{record['method']}-seed{record['seed']}-{record['split']}"


def facts(results: Results, records: Sequence[stamp.Record]) -> list[tuple[str, str]]:
    """What was run, on what: the lines at the top of the page."""
    preset, measured = results.preset, set(results.metrics["method"])
    rows = [*results.ranked, *results.answerers]
    counts = [(dataset_title(name), results.manifest(name).get("count")) for name in results.datasets]
    images = ", ".join(f"{title} ({count} images)" if count else title for title, count in counts)
    numbers = sorted({record["seed"] for record in records}) or preset.seeds
    seeds = f"seed{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers))}"
    found = [
        ("Images", f"{images}, {preset.resolution} × {preset.resolution} px"),
        ("Methods", ", ".join(row.title for row in rows if row.id in measured)),
    ]
    if not records:
        return [*found, ("Training", seeds)]
    finished = max(record["finished"] for record in records)[:10]
    total = duration(sum(map(stamp.training_seconds, records)))
    devices = ", ".join(sorted({device(record) for record in records}))
    training = f"{seeds}, {counted(len(records), 'run')}, {total} in all on {devices}, until {finished}"
    return [*found, ("Training", training)]


def device(record: stamp.Record) -> str:
    hardware = record["hardware"]
    return str(hardware["gpu"] or f"{hardware['cpu']}, {counted(hardware['threads'], 'thread')}")


def repeatable(records: Sequence[stamp.Record]) -> str:
    """With what the runs can be repeated."""
    versions = {f"{name} {version}" for record in records for name, version in record["versions"].items()}
    threads = ", ".join(sorted({str(record["threads"]) for record in records}))
    return (
        f"{', '.join(sorted(versions))}. Repeatable to the last bit with the same versions, type of processor and "
        f"training.threads ({threads}), however many jobs run at a time; other numbers of threads change the last bits."
    )


def citation(results: Results, records: Sequence[stamp.Record]) -> str:
    """One line that names the state of the benchmark and of the images."""
    preset = results.preset
    hashes = dict.fromkeys((run["dataset"], run["data_hash"]) for run in records if run["split"] == "full")
    images = "; ".join(f"{dataset_title(name)} sha256 {value[:16]}" for name, value in hashes)
    origin = stamp.commits(results.measured_runs) if results.measured_runs else "unknown commit"
    return (
        f"Few-shot image synthesis benchmark, preset {preset.preset} ({preset.resolution} px), "
        f"protocol version {VERSION}, {origin}" + (f"; images: {images}." if images else ".")
    )


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


def duration(seconds: float) -> str:
    """ "48 s", "12 min 05 s" or "3 h 20 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole // 60 % 60:02d} min"
