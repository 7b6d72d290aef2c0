"""What to tell a user about their folder of pictures: sentences for the screen and the report."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

Record = dict[str, Any]  # what `data.mine.look` returns


def report(record: Record, resolution: int) -> dict[str, Any]:
    """What to tell the user: {"folder", "found", "changed", "left_out"}; the last two are lists of sentences."""
    taken, left_out = record["taken"], record["left_out"]
    paths = [entry["path"] for entry in [*taken, *left_out]]
    folders = {path.rpartition("/")[0] for path in paths} - {""}
    inside = f", also in {counted(len(folders), 'sub-folder')}" if folders else ""
    found = f"{counted(len(paths), 'file')} found{inside}; {len(taken)} pictures taken, {len(left_out)} left out"
    lines = left_out_lines(record)
    return {"folder": record["folder"], "found": found, "changed": _changed_lines(taken, resolution), "left_out": lines}


def left_out_lines(record: Record) -> list[str]:
    """One line for each reason, with the names; "b.png = a.png" for the same picture."""
    pairs = []
    for entry in record["left_out"]:
        name = f"{entry['path']} = {entry['twin']}" if entry.get("twin") else entry["path"]
        pairs.append((entry["reason"], name))
    return list(_grouped(pairs))


def _changed_lines(taken: list[Record], resolution: int) -> list[str]:
    pairs = []
    for picture in taken:
        width, height = picture["size"]
        if width != height:
            pairs.append(("not square, cropped to the square in the centre", picture["path"]))
        if min(width, height) < resolution:
            pairs.append((f"smaller than {resolution} pixels, enlarged", picture["path"]))
        pairs += [(change, picture["path"]) for change in picture["changes"]]
    lines = list(_grouped(pairs))
    kept = [min(picture["size"]) / max(picture["size"]) for picture in taken]
    if min(kept) < 0.5:
        worst = taken[kept.index(min(kept))]["path"]
        lines.append(f"the crop keeps only {min(kept):.0%} of {worst}: crop such pictures yourself to choose the part")
    if any("/" in picture["path"] for picture in taken):
        lines.append(f"copies have numbered names without sub-folders, such as {taken[-1]['file']}")
    return lines


def _grouped(pairs: Iterable[tuple[str, str]]) -> Iterator[str]:
    """ "reason: 5 (name, name, name and 2 more)" for each reason."""
    groups: dict[str, list[str]] = {}
    for reason, name in pairs:
        groups.setdefault(reason, []).append(name)
    for reason, names in groups.items():
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        yield f"{reason}: {len(names)} ({', '.join(names[:3])}{more})"


def counted(count: int, noun: str) -> str:
    """ "1 file", "2 files"."""
    return f"{count} {noun}" + ("s" if count != 1 else "")
