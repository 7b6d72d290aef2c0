"""Collect all metric files of a preset in one table: metrics.csv, one row per number."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from common.console import UserError
from common.files import read_sealed, write_text

HEADER = ("preset", "dataset", "method", "split", "seed", "steps", "run_hash")
ROW = ("metric", "value", "protocol")
# n: how many values a mean is over (held-out images, KID subsets).  item: index of the image that a score belongs to.
# A last column, `reason`, exists if some number could not be computed: its row has it instead of a value.
COLUMNS = (
    *("preset", "dataset", "method", "split", "seed", "metric", "value", "protocol"),
    *("n_real", "n_fake", "steps", "run_hash", "item", "n"),
)
KEY = ("dataset", "method", "split", "seed", "metric", "protocol", "item")
# Of read_csv: a name may consist of digits.
TEXTS = dict.fromkeys(("preset", "dataset", "method", "split", "protocol", "run_hash"), str)
COUNTS = ("seed", "n_real", "n_fake", "steps", "item", "n")  # whole numbers, blank where they do not apply


LEARNING = (
    *("preset", "dataset", "method", "split", "seed", "step", "seconds", "processor_seconds"),
    *("metric", "value", "protocol", "n_real", "n_fake", "run_hash"),
)


def collect(paths: Iterable[Path | str], out: Path | str) -> None:
    """Write the table of all metric files as CSV."""
    write_text(out, to_csv([Path(path) for path in paths]))


def to_csv(paths: Sequence[Path]) -> str:
    """The table of all metric files, sorted by KEY.

    Raises `UserError` naming the file if it was edited, for NaN or infinite values, for two values of one KEY, and for
    files of different presets.
    """
    rows = [row for path in paths for row in read_rows(path)]
    columns, table = _table(rows, COLUMNS)
    if table.empty:
        raise UserError("no metric files were given; pass fid.json, precision_recall.json, backtracking.json files")
    _refuse_mixed_presets(table)
    _refuse_duplicates(table)
    table = table.sort_values(list(KEY), kind="stable", na_position="first")
    return table.to_csv(columns=columns, index=False)


def collect_learning(paths: Iterable[Path | str], out: Path | str) -> None:
    """Write the table of all learning files (metrics/learning.py) as CSV, one row for each checkpoint and metric."""
    write_text(out, learning_csv([Path(path) for path in paths]))


def learning_csv(paths: Sequence[Path]) -> str:
    columns, table = _table([row for path in paths for row in read_rows(path)], LEARNING)
    _refuse_mixed_presets(table)
    _refuse_duplicates(table, [name for name in (*KEY, "step") if name in table])
    return table.to_csv(columns=columns, index=False)


def _table(rows: list[dict[str, Any]], names: Sequence[str]) -> tuple[list[str], pd.DataFrame]:
    """The columns to write, and the rows in these columns and `path`."""
    columns = [*names, "reason"] if any("reason" in row for row in rows) else list(names)
    table = pd.DataFrame(rows, columns=[*columns, "path"])
    counts = {column: "Int64" for column in COUNTS if column in columns}
    return columns, table.astype(counts)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """One metric file's rows, each with the file's header and path."""
    content = read_sealed(path)
    missing = [key for key in (*HEADER, "rows") if key not in content]
    missing += [f"rows.{i}.{key}" for i, row in enumerate(content.get("rows", [])) for key in ROW if key not in row]
    if missing:
        raise UserError(f"{path} is not a metric file: it lacks {', '.join(missing)}; delete it and run again")
    header = {key: content[key] for key in HEADER}
    for row in content["rows"]:
        value = row["value"]
        if value is None and row.get("reason"):
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise UserError(f"{path}: {row['metric']} is {value!r}; delete the file and measure again")
    return [{**header, **row, "path": str(path)} for row in content["rows"]]


def _refuse_mixed_presets(table: pd.DataFrame) -> None:
    first = table.drop_duplicates("preset")
    if len(first) > 1:
        one, other = (f"{row.path} ({row.preset})" for row in first.iloc[:2].itertuples())
        raise UserError(f"{one} and {other} belong to different presets; collect each preset on its own")


def _refuse_duplicates(table: pd.DataFrame, key: Sequence[str] = KEY) -> None:
    twice = table[table.duplicated(list(key), keep=False)].sort_values(list(key), kind="stable")
    if len(twice):
        one, other = twice.iloc[0], twice.iloc[1]
        raise UserError(
            f"{one.path} and {other.path} both give {one.metric} ({one.protocol}) of {one.method} on {one.dataset}, "
            f"seed {one.seed}: remove one of them"
        )
