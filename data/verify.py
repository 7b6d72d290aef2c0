"""Check that fetched images are the dataset, and the same images as in the first fetch.

No checksums of the sets are published.  Images are compared with the digests in datasets.yaml or, if there are none,
with those of the first verified fetch, in <root>/datasets.lock.json.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from common.console import UserError, say
from common.files import read_json, write_json
from common.hashing import sha256_bytes, sha256_file
from data.archive import SourceError
from data.datasets import Dataset
from data.download import locked
from data.images import BadImage, decode, list_images

LOCK = "datasets.lock.json"
DIGESTS = ("manifest_sha256", "pixels_sha256")
LABELS = "labels_sha256"  # of the label maps of a set of pairs


def verified(dataset: Dataset, source: dict[str, Any], staged: Path, refuse_twins: bool) -> dict[str, Any]:
    """The record of the images in `staged`: {"dataset", "source", "files": [{"file", "sha256"}], and two digests}.

    `manifest_sha256` is the digest of names and bytes (see the function).  `pixels_sha256` is the digest of the decoded
    pixels in lexicographic order of the names, on which training and split depend.

    Raises `SourceError` for a wrong count, a file that is not an image or has the wrong size, and, with `refuse_twins`,
    for two files with the same picture; otherwise these are only reported.
    """
    paths = list_images(staged)
    if len(paths) != dataset.count:
        raise SourceError(f"{len(paths)} images were found, {dataset.count} are expected")
    pixels: dict[str, str] = {}  # digest of a picture: the file that shows it
    sizes, digests = set(), []
    for path in paths:
        try:
            image = decode(path, dataset.depth, notes=[])  # `prepare` reports what was assumed
        except BadImage as error:
            raise SourceError(f"{path.name} {error}") from None
        size = "{}x{}".format(*image.size)
        if dataset.size and image.size != (dataset.size, dataset.size):
            raise SourceError(f"{path.name} is {size} pixels, but all of {dataset.title} are {dataset.size} square")
        sizes.add(size)
        digests.append(digest := sha256_bytes(image.tobytes()))
        if twin := pixels.get(digest):
            same = "bytes" if sha256_file(path) == sha256_file(staged / twin) else "pixels"
            if refuse_twins:
                raise SourceError(f"{twin} and {path.name} have the same {same}")
            say(f"{dataset.name}: note that {twin} and {path.name} have the same {same}")
        pixels[digest] = path.name
    if len(sizes) > 1:
        say(f"{dataset.name}: note that its images have {len(sizes)} sizes, such as {' and '.join(sorted(sizes)[:2])}")
    files = [{"file": path.name, "sha256": sha256_file(path)} for path in paths]
    return {
        "dataset": dataset.name,
        "source": source,
        "manifest_sha256": manifest_sha256(files),
        "pixels_sha256": sha256_bytes("\n".join(digests).encode()),
        "files": files,
    }


def manifest_sha256(files: list[dict[str, str]]) -> str:
    """The digest of a whole set: of the lines "<sha256>  <file name>", in the order of the numbers in the names."""

    def natural(entry: dict[str, str]) -> list[tuple[int, str]]:
        return [(int(number or 0), text) for text, number in re.findall(r"(\D*)(\d*)", entry["file"])]

    lines = [f"{entry['sha256']}  {entry['file']}\n" for entry in sorted(files, key=natural)]
    return sha256_bytes("".join(lines).encode())


def compare_digests(dataset: Dataset, record: dict[str, Any], root: Path, accept: bool) -> None:
    """Compare a verified set with the digests that it must have; write them to the lock file if it has no entry.

    Other files with the same pixels in the same order (packed or named differently) are accepted with a message:
    training and metrics cannot differ.  So are the known files with other pixels, which are the decoder's.  Other files
    with other pixels raise `SourceError`.  `accept` replaces the entry in the lock
    file, but does not override the digests in datasets.yaml.
    """
    path, name, pins = root / LOCK, dataset.name, dataset.pins
    own = {key: record[key] for key in (*DIGESTS, LABELS, "source") if key in record}
    with locked(path):
        entries = _read_lock(path) if path.exists() else {}
        expected = pins or ({} if accept else entries.get(name, {}))
        known = {key: expected[key] for key in DIGESTS if key in expected}
        equal = [key for key in known if record[key] == known[key]]
        if known and not equal:
            raise SourceError(_difference(name, record, known, "data/datasets.yaml" if pins else str(path)))
        labels = None if accept else entries.get(name, {}).get(LABELS)
        if labels and record.get(LABELS) != labels:
            raise SourceError(_difference(name, record, {LABELS: labels}, str(path), "label maps"))
        if (pins or accept or name not in entries) and entries.get(name) != own:
            entries[name] = own
            write_json(path, entries)
    if "manifest_sha256" in known and "manifest_sha256" not in equal:
        say(f"{name}: note that the files are not the known ones but show the same pixels in the same order: accepted")
    if "pixels_sha256" in known and "pixels_sha256" not in equal:
        record_them = "" if pins else f": to record these, run `python -m data fetch {name} --accept`"
        say(f"{name}: note that the known files decode to other pixels with this version of Pillow{record_them}")


def _difference(name: str, record: dict[str, Any], known: dict[str, str], where: str, what: str = "images") -> str:
    details = ", ".join(
        f"{key} is {record.get(key, 'absent')}, but {value} is expected" for key, value in known.items()
    )
    if where.endswith(LOCK):
        way_out = f"if you trust these, run: python -m data fetch {name} --accept"
    else:
        way_out = "--accept does not override datasets.yaml: to use these images, change the digests there"
    return f"the {what} are not those of {where} (encoded again, or other {what}): {details}; {way_out}"


def _read_lock(path: Path) -> dict[str, Any]:
    entries = read_json(path)
    usable = isinstance(entries, dict) and all(
        isinstance(entry, dict) and entry.keys() >= set(DIGESTS) for entry in entries.values()
    )
    if not usable:
        raise UserError(f"{path} is damaged; restore it, or delete it to trust the next fetch")
    return entries
