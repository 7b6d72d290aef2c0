"""Is what was fetched the dataset, and the same one as last time?

Nobody publishes checksums of the sets.  Where datasets.yaml has digests they count; else those of the first verified
fetch do, which stand in <root>/datasets.lock.json.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from common.console import UserError, say
from common.files import read_json, write_json
from common.hashing import sha256_bytes, sha256_file
from data.archive import SourceError
from data.download import locked
from data.images import BadImage, decode, list_images
from data.load import Dataset

LOCK = "datasets.lock.json"


def verified(dataset: Dataset, source: dict[str, Any], staged: Path, by_hand: bool = False) -> dict[str, Any]:
    """The record of what was staged: {"dataset", "source", "files": [{"file", "sha256"}], and two digests of the set}.

    `manifest_sha256` is over names and bytes (`manifest_sha256` below).  `pixels_sha256` is over the decoded pixels in
    lexicographic order of the names, that is over all that training sees, the order behind the split included.

    Raises `SourceError` for a wrong count, a file that is no image or has the wrong size, and, in a folder filled by
    hand, for two files with the same picture; an archive is taken as its authors packed it, with a note.
    """
    paths = list_images(staged)
    if len(paths) != dataset.count:
        raise SourceError(f"{len(paths)} images were found, {dataset.count} are expected")
    pixels: dict[str, str] = {}  # digest of a picture: the file that shows it
    sizes, digests = set(), []
    for path in paths:
        try:
            image = decode(path)
        except BadImage as error:
            raise SourceError(f"{path.name} {error}") from None
        size = "{}x{}".format(*image.size)
        if dataset.size and image.size != (dataset.size, dataset.size):
            raise SourceError(f"{path.name} is {size} pixels, but all of {dataset.title} are {dataset.size} square")
        sizes.add(size)
        digests.append(digest := sha256_bytes(image.tobytes()))
        if twin := pixels.get(digest):
            same = "bytes" if sha256_file(path) == sha256_file(staged / twin) else "pixels"
            if by_hand:
                raise SourceError(f"{twin} and {path.name} have the same {same}")
            say(f"{dataset.name}: note that {twin} and {path.name} have the same {same}")
        pixels[digest] = path.name
    if len(sizes) > 1:
        say(f"{dataset.name}: note that its images have {len(sizes)} sizes, such as {' and '.join(sorted(sizes)[:2])}")
    files = [{"file": path.name, "sha256": sha256_file(path)} for path in paths]
    whole = {"manifest_sha256": manifest_sha256(files), "pixels_sha256": sha256_bytes("\n".join(digests).encode())}
    return {"dataset": dataset.name, "source": source, **whole, "files": files}


def manifest_sha256(files: list[dict[str, str]]) -> str:
    """The digest of a whole set: of the lines "<sha256>  <file name>", in natural order (2.jpg before 10.jpg)."""

    def natural(entry: dict[str, str]) -> list[tuple[int, str]]:
        return [(int(number or 0), text) for text, number in re.findall(r"(\D*)(\d*)", entry["file"])]

    lines = [f"{entry['sha256']}  {entry['file']}\n" for entry in sorted(files, key=natural)]
    return sha256_bytes("".join(lines).encode())


def _read_lock(path: Path) -> dict[str, Any]:
    entries = read_json(path)
    whole = isinstance(entries, dict) and all(
        isinstance(entry, dict) and {"manifest_sha256", "pixels_sha256"} <= entry.keys() for entry in entries.values()
    )
    if not whole:
        raise UserError(f"{path} is damaged; restore it, or delete it to trust the next fetch")
    return entries


def settle(dataset: Dataset, record: dict[str, Any], root: Path, accept: bool) -> None:
    """Hold a verified set against the digests it must have; the first one, or an accepted one, sets them.

    Other files with the same pixels in the same order (a set that was packed or named anew) pass with a note: nothing
    that is trained or measured can differ.  Other pixels raise `SourceError`.  `accept` replaces the entry in the lock
    file, never what datasets.yaml pins.
    """
    path, name = root / LOCK, dataset.name
    with locked(path):
        entries = _read_lock(path) if path.exists() else {}
        pinned = {"manifest_sha256": dataset.manifest_sha256, "pixels_sha256": dataset.pixels_sha256}
        expected = pinned if any(pinned.values()) else entries.get(name)
        if expected is None or (accept and expected is not pinned):
            entries[name] = {key: record[key] for key in (*pinned, "source")}
            write_json(path, entries)
            return
    if record["manifest_sha256"] == expected["manifest_sha256"]:
        return
    if record["pixels_sha256"] == expected["pixels_sha256"]:
        say(f"{name}: note that the files are not the known ones but show the same pixels in the same order: accepted")
        return
    if expected is pinned:
        where, way_out = "data/datasets.yaml", "--accept does not override a pin: to use these, change it there"
    else:
        where, way_out = str(path), f"if you trust these, run: python -m data fetch {name} --accept"
    raise SourceError(
        f"bytes and pixels differ from those in {where} (re-encoded, or other images): manifest sha256 "
        f"{record['manifest_sha256']}, but {expected['manifest_sha256']} is expected; {way_out}"
    )
