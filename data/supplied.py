"""Files that a user supplies are inputs by content: their dates say nothing about it.  No numpy here.

Reading them at each run of Snakemake costs 0.7 s of one core for 5,000 files of 145 KB.  Names, sizes and dates alone
would cost 0.1 s, but a copy of the project would then measure everything again, and a file that was replaced with its
size and date kept would pass unnoticed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from common.hashing import digest, sha256_file

UNREADABLE = ""  # in place of a digest: a folder, a broken link, a pipe, a file without permission
MAX_NAMED = 5
PARTS = ("images", "labels")  # folders of a set of pairs


def visible(folder: Path) -> list[Path]:
    """What a folder contains besides hidden files, in lexicographic order; nothing if it cannot be read."""
    return sorted(path for path in folder.glob("*") if not path.name.startswith("."))


def contents(folder: Path) -> dict[str, str]:
    """The sha256 of every visible file of a folder by name, in lexicographic order; sub-folders are not entered."""
    return {path.name: _sha256(path) for path in visible(folder)}


def _sha256(path: Path) -> str:
    try:
        return sha256_file(path) if path.is_file() else UNREADABLE
    except OSError:
        return UNREADABLE


def placed(place: Path) -> dict[str, str]:
    """The same of a folder in data/manual, where the files of a set of pairs are in images/ and labels/."""
    found = contents(place)
    for part in PARTS:
        if (place / part).is_dir():
            found.pop(part, None)  # on macOS, Images/ is images/ too
            found |= {f"{part}/{name}": sha256 for name, sha256 in contents(place / part).items()}
    return found


def difference(present: dict[str, str], recorded: dict[str, str]) -> str | None:
    """What a folder holds now against its recorded contents: "a.png was changed, b.png was added", or None."""
    found = [f"{name} was added" for name in present.keys() - recorded.keys()]
    found += [f"{name} was removed" for name in recorded.keys() - present.keys()]
    found += [f"{name} was changed" for name in present.keys() & recorded.keys() if present[name] != recorded[name]]
    return listed(sorted(found)) if found else None


def listed(names: list[str]) -> str:
    """The first MAX_NAMED of these texts, escaped where they cannot be printed, and how many more there are."""
    shown = ", ".join(name if name.isprintable() else ascii(name) for name in names[:MAX_NAMED])
    return shown + (f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else "")


def manual_digest(name: str, root: Path | str = "data/raw", manual: Path | str = "data/manual") -> str | None:
    """What the fetch of a dataset depends on in data/manual; if it changes, the dataset is fetched again.

    That is its folder there or, if there is none, the archive that its images came from.  Images are copied, so a
    source that was taken away after the fetch, or is still the recorded one, counts as no change.
    """
    place = Path(manual) / name
    if place.is_dir():
        return digest(placed(place))
    record = _record(Path(root) / name)
    archive = _archive(record)
    if archive is not None and archive.is_file() and (actual := _sha256(archive)) != record["source"].get("sha256"):
        return actual
    supplied: str | None = record.get("supplied")
    return supplied


def manual_difference(name: str, root: Path | str = "data/raw", manual: Path | str = "data/manual") -> str | None:
    """One sentence that names what changed in data/manual since a dataset was fetched, or None."""
    place, record = Path(manual) / name, _record(Path(root) / name)
    archive = _archive(record)
    if place.is_dir():
        if archive == place:
            image, label = ("images/", "labels/") if "labels" in record else ("", "")
            recorded = {image + entry["file"]: entry["sha256"] for entry in record["files"]}
            recorded |= {label + entry["file"]: entry["sha256"] for entry in record.get("labels", [])}
        elif archive is not None and archive.parent == place:
            recorded = {archive.name: record["source"].get("sha256")}
        else:
            return f"{place} was added since {name} was fetched from another source"
        change = difference(placed(place), recorded)
        return f"{place}: {change} since {name} was fetched" if change else None
    if archive is not None and archive.is_file() and _sha256(archive) != record["source"].get("sha256"):
        return f"{archive} was changed since {name} was fetched"
    return None


def _archive(record: dict[str, Any]) -> Path | None:
    """The place in data/manual that the images of a record came from."""
    source = record.get("source", {})
    return Path(source["path"]) if source.get("kind") == "manual" else None


def _record(folder: Path) -> dict[str, Any]:
    """The record of the last complete fetch; empty if there is none, or if it is damaged, as `fetch` sees it too."""
    try:
        record = json.loads((folder / ".complete.json").read_text(encoding="utf-8"))
        return record if isinstance(record, dict) and isinstance(record.get("source"), dict) else {}
    except (OSError, ValueError):
        return {}
