"""The report's quality checks: what a reader should know before believing a number.  Each has a value and a limit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from data.mine_report import counted
from metrics.statistics import FEWEST
from training.config import Preset
from training.protocols import DENSE
from workflow.rendering import captions, stamp
from workflow.rendering.contents import Entry, dataset_title, paper_scale
from workflow.rendering.numbers import Cell
from workflow.rendering.results import NOT_RUN, Results
from workflow.rendering.tables import Table

COPIES = 0.05  # docs/protocol.md: no setting with a higher copy rate may win
SAMPLES = 5000  # docs/protocol.md: of FID
COPIED = "{where}: {value:.0%} of the samples are copies of training images, which lower its FID."
CROWDED = "{where}: density {value:.2f}. The samples crowd together, a sign of collapse."
EQUAL_TIME = 1.25  # longest to shortest mean training time of the methods on a data set


@dataclass(frozen=True)
class Check:
    """severity: "warning" is also printed at the top of the page; "note" and "passed" are only in the table."""

    name: str
    where: str
    value: str
    limit: str
    severity: Literal["warning", "note", "passed"]
    sentence: str = ""  # of a warning


def checks(results: Results, table: Table) -> list[Check]:
    """All checks, the warnings first.  table: `tables.build(ALL, results)`."""
    found = [
        *_preset(results, table),
        *_cells(results, table),
        *_controls(table),
        *_at_most(table, "copy_rate", COPIES, COPIED),
        *_at_most(table, "density", DENSE, CROWDED),
        *_time(results),
        *_runs(results),
        *_duplicates(results),
    ]
    return sorted(found, key=lambda check: ("warning", "note", "passed").index(check.severity))


def _preset(results: Results, table: Table) -> Iterator[Check]:
    preset = results.preset
    fewest, most = captions.measured_seeds(cell for cell in table.cells.values() if cell.row.kind == "method")
    whose = "Numbers" if fewest == most else "Some numbers are"
    few = f"{whose} of {'one seed' if fewest == 1 else f'{fewest} seeds'}: no interval over seeds can be given."
    if most:
        yield Check("Seeds", "all", str(fewest), f"at least {FEWEST}", _severity(fewest >= FEWEST), few)
    sentence = (
        f"These are not the paper’s numbers. Preset {preset.preset}, {preset.resolution} × {preset.resolution} pixels: "
        "compare its rows with each other, not with published ones."
    )
    size = f"{preset.preset}, {preset.resolution} px"
    yield Check("Scale", "all", size, "paper or official", _severity(paper_scale(preset)), sentence)
    enough = preset.sampling.n >= SAMPLES
    yield Check("Samples for FID", "all", f"{preset.sampling.n:,}", f"{SAMPLES:,}", "passed" if enough else "note")


def _cells(results: Results, table: Table) -> Iterator[Check]:
    missing = [cell for cell in table.cells.values() if cell.row.kind == "method" and cell.reason == NOT_RUN]
    cells = dict.fromkeys(f"{cell.row.title} on {dataset_title(cell.dataset)}" for cell in missing)
    sentence = f"Not everything has been run: numbers are missing for {', '.join(cells)}."
    yield Check("Missing numbers", "all", str(len(missing)), "0", _severity(not missing), sentence)
    fewer: dict[tuple[str, int, int], list[str]] = {}  # the metrics of one place and number of seeds
    for cell in table.cells.values():
        asked = _seeds_asked(results.preset, cell)
        if cell.row.kind == "method" and 0 < len(cell.values) < asked:
            where = f"{cell.row.title} on {dataset_title(cell.dataset)}"
            fewer.setdefault((where, len(cell.values), asked), []).append(cell.metric.title)
    for (where, count, asked), metrics in fewer.items():
        yield Check(f"Seeds of {', '.join(metrics)}", where, str(count), str(asked), "note")


def _seeds_asked(preset: Preset, cell: Cell) -> int:
    """The seeds that the preset does not leave out of this cell."""
    reasons = [preset.why_left_out(cell.dataset, cell.row.id, cell.metric.split, seed) for seed in preset.seeds]
    return reasons.count(None)


def _controls(table: Table) -> Iterator[Check]:
    """The measurement itself: copies must be found, noise must be the worst."""
    cells = {key: cell for key, cell in table.cells.items() if cell.values}
    for dataset in table.datasets:
        where = dataset_title(dataset)
        if copied := cells.get(("control_real", dataset, "copy_rate")):
            found = copied.mean > 1 - COPIES
            sentence = f"On {where}, the copy rate misses copies of the training images."
            limit = f"above {1 - COPIES:.2f}"
            yield Check("Copies in the training images", where, copied.text, limit, _severity(found), sentence)
        methods = [cell.mean for key, cell in cells.items() if key[1:] == (dataset, "fid") and cell.row.ranked]
        if (noise := cells.get(("control_noise", dataset, "fid"))) and methods:
            worst = max(methods)
            sentence = f"On {where}, a method has a higher FID than noise."
            limit = f"above {noise.metric.format(worst)}, the worst method"
            yield Check("FID of noise", where, noise.text, limit, _severity(worst < noise.mean), sentence)


def _severity(passed: bool) -> Literal["warning", "passed"]:
    return "passed" if passed else "warning"


def _at_most(table: Table, metric: str, limit: float, sentence: str) -> Iterator[Check]:
    """A warning for each method above a limit; on a data set without any, the highest value."""
    for dataset in table.datasets:
        found = [table.cells[row.id, dataset, metric] for row in table.rows if (row.id, dataset, metric) in table.cells]
        cells = [cell for cell in found if cell.row.ranked and cell.values]
        above = [cell for cell in cells if cell.mean > limit]
        for cell in above or sorted(cells, key=lambda cell: -cell.mean)[:1]:
            where = f"{cell.row.title} on {dataset_title(dataset)}"
            told = sentence.format(where=where, value=cell.mean)
            name = cell.metric.title if above else f"{cell.metric.title}, the highest"
            yield Check(name, where, cell.text, f"at most {limit}", _severity(not above), told)


def _time(results: Results) -> Iterator[Check]:
    for dataset in results.preset.datasets:
        seconds = [training_time(results, dataset, row) for row in results.generators]
        known = [value for value in seconds if value]
        if len(known) > 1:
            ratio = max(known) / min(known)
            severity: Literal["note", "passed"] = "note" if ratio > EQUAL_TIME else "passed"
            limit = f"at most {EQUAL_TIME}"
            yield Check("Longest to shortest training", dataset_title(dataset), f"{ratio:.2f}", limit, severity)


def _runs(results: Results) -> Iterator[Check]:
    titles = {row.id: row.title for row in results.generators}
    runs = [record for record in results.measured_runs if record["method"] in titles]
    for record in runs:
        if mixed := record["mixed_devices"]:
            split = "" if record["split"] == "full" else ", 90% of the images"
            where = f"{titles[record['method']]} on {dataset_title(record['dataset'])}, seed {record['seed']}{split}"
            yield Check("Devices of a training", where, mixed, "one kind", "warning", f"{where}: {mixed}.")
    changed = dict.fromkeys(titles[record["method"]] for record in runs if stamp.sources_changed(record))
    value = ", ".join(changed) or "none"
    yield Check("Sources changed since the training", "all", value, "none", "note" if changed else "passed")
    dirty = dict.fromkeys(titles[record["method"]] for record in runs if record["git_dirty"])
    value = ", ".join(dirty) or "none"
    yield Check("Uncommitted changes at the training", "all", value, "none", "note" if dirty else "passed")


def _duplicates(results: Results) -> Iterator[Check]:
    for dataset in results.preset.datasets:
        if pairs := results.near_duplicates(dataset):
            yield Check("Near-duplicate images", dataset_title(dataset), counted(len(pairs), "pair"), "0", "note")


def training_time(results: Results, dataset: str, row: Entry, split: str = "full") -> float | None:
    """Mean `stamp.training_seconds` of a method's trainings on a data set, over seeds; None if none was measured."""
    cell = {"dataset": dataset, "method": row.id, "split": split}
    seconds = [stamp.training_seconds(run) for run in results.measured_runs if cell.items() <= run.items()]
    return sum(seconds) / len(seconds) if seconds else None
