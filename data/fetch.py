"""The original images of one dataset on disk: from a folder filled by hand, or from the first source that delivers."""

from __future__ import annotations

import io
import json
import re
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from PIL import Image

from data import download
from data.archive import SourceError, extract_images
from data.console import UserError, say
from data.files import sha256_bytes, sha256_file, write_json
from data.images import BadImage, decode, list_images, to_rgb
from data.load import Dataset, dataset_info

RASTER_SIDE = 256  # pixels at which drawings are rasterised: the resolution of the paper's photographs


def fetch(name: str, root: Path | str = "data/raw", manual: Path | str = "data/manual") -> Path:
    """Put a dataset's images into root/<name>/, their bytes unchanged, and return its fetched.json.

    fetched.json lists what counts as fetched: {"dataset", "source", "files": [{"file", "sha256"}]}.  It is written
    last, so that an interrupted fetch is never taken for a whole one.  Snakemake deletes it before a job, as it does
    every declared output; the same record therefore also stays in the undeclared .complete.json, and images that
    still match it are not downloaded again.  A folder manual/<name>/ comes before all sources and is read each time.

    Raises `UserError` when manual/<name>/ is not the dataset, or naming every source tried and why it failed.
    """
    dataset = dataset_info(name)
    folder = Path(root) / name
    folder.mkdir(parents=True, exist_ok=True)
    by_hand = Path(manual) / name
    with tempfile.TemporaryDirectory(dir=root, prefix=f".{name}-") as staged:
        if by_hand.is_dir():
            record = from_manual(dataset, by_hand, Path(staged))
        else:
            record = intact_record(dataset, folder) or from_sources(dataset, by_hand, Path(staged), Path(root))
        for path in list_images(Path(staged)):
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
        return record if listed and intact and len(record["files"]) == dataset.count else None
    except (OSError, ValueError, KeyError, TypeError):  # never fetched, or damaged: fetch anew
        return None


def from_manual(dataset: Dataset, by_hand: Path, staged: Path) -> dict[str, Any]:
    try:
        for path in list_images(by_hand):
            shutil.copyfile(path, staged / path.name)
        return verified(dataset, {"kind": "manual", "folder": str(by_hand)}, staged)
    except SourceError as error:
        raise UserError(f"{by_hand} cannot be used for {dataset.name}: {error}; mend or remove that folder") from None


def from_sources(dataset: Dataset, by_hand: Path, staged: Path, root: Path) -> dict[str, Any]:
    reasons = []
    for source in dataset.sources:
        try:
            deliver(source, staged, cache=root / ".downloads")
            return verified(dataset, source, staged)
        except SourceError as error:
            reasons.append(f"{describe(source)}: {error}")
            say(f"{dataset.name}: {reasons[-1]}")
            for path in staged.iterdir():
                path.unlink()
    listed = "".join(f"\n  {number}. {reason}" for number, reason in enumerate(reasons, start=1))
    raise UserError(
        f"no source of {dataset.name} could be used:{listed}\n"
        f"place its {dataset.count} images (JPEG, PNG or WebP) in {by_hand}/ and run the same command again"
    )


def deliver(source: dict[str, Any], staged: Path, cache: Path) -> None:
    """Put the images of one source into `staged`.  Raises `SourceError`."""
    if source["kind"] == "package":
        wheel = download.package(source["package"], source["version"], source["sha256"], cache)
        rasterise(wheel, source["folder"], source["codepoints"], staged)
        return
    if source["kind"] == "http":
        archive = download.http(source["url"], cache, source.get("sha256"))
    else:
        archive = download.gdrive(source["id"], cache, source.get("sha256"))
    try:
        extract_images(archive, source.get("folders"), staged)
    except SourceError:
        archive.unlink()  # often an error page under the archive's name: the next run is to ask the server again
        raise


def rasterise(wheel: Path, folder: str, codepoints: list[str], staged: Path) -> None:
    """Draw <folder>/<code point>.svg of the wheel for each code point, on white, to a PNG file."""
    import resvg_py

    with zipfile.ZipFile(wheel) as archive:
        for codepoint in expand(codepoints):
            try:
                drawing = archive.read(f"{folder}/{codepoint}.svg").decode("utf-8")
            except KeyError:
                raise SourceError(f"it has no drawing {codepoint}.svg") from None
            png = resvg_py.svg_to_bytes(svg_string=drawing, width=RASTER_SIDE, height=RASTER_SIDE)
            with Image.open(io.BytesIO(png)) as image:
                to_rgb(image).save(staged / f"{codepoint}.png")


def expand(codepoints: list[str]) -> list[str]:
    """["1F400-1F402", "1F980"] -> ["1F400", "1F401", "1F402", "1F980"]."""
    names = []
    for item in codepoints:
        first, _, last = item.partition("-")
        names += [f"{code:04X}" for code in range(int(first, 16), int(last or first, 16) + 1)]
    return names


def verified(dataset: Dataset, source: dict[str, Any], staged: Path) -> dict[str, Any]:
    """The record of what was staged, once it is sure to be the dataset.  Raises `SourceError`."""
    paths = list_images(staged)
    if len(paths) != dataset.count:
        place = f" in a folder {' or '.join(source['folders'])}" if "folders" in source else ""
        raise SourceError(f"{len(paths)} images were found{place}, {dataset.count} are expected")
    for path in paths:
        try:
            decode(path)
        except BadImage as error:
            raise SourceError(f"{path.name} {error}") from None
    files = [{"file": path.name, "sha256": sha256_file(path)} for path in paths]
    if dataset.manifest_sha256 and (actual := manifest_sha256(files)) != dataset.manifest_sha256:
        raise SourceError(f"its images have the manifest sha256 {actual}, but {dataset.manifest_sha256} is expected")
    return {"dataset": dataset.name, "source": source, "files": files}


def manifest_sha256(files: list[dict[str, str]]) -> str:
    """The digest of a whole set: of the lines "<sha256>  <file name>", in natural order (2.jpg before 10.jpg)."""

    def natural(entry: dict[str, str]) -> list[tuple[int, str]]:
        return [(int(number or 0), text) for text, number in re.findall(r"(\D*)(\d*)", entry["file"])]

    lines = [f"{entry['sha256']}  {entry['file']}\n" for entry in sorted(files, key=natural)]
    return sha256_bytes("".join(lines).encode())


def describe(source: dict[str, Any]) -> str:
    if source["kind"] == "package":
        return f"package {source['package']} {source['version']}"
    if source["kind"] == "gdrive":
        return f"Google Drive file {source['id']}"
    return source["url"] if source["kind"] == "http" else source["folder"]
