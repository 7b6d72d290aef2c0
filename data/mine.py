"""A folder of the user's own pictures as the dataset `mine`: `snakemake --cores all --config images=FOLDER`.

`look` reads the folder when the workflow starts, before any job, and decides which files are taken; its record, kept in
data/mine.json, is the dataset's entry in the registry and the report of what was found.  `adopt` is a job: it copies
these files into data/raw/mine/, as `data.fetch` does for the other datasets.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import tempfile
import unicodedata
import warnings
from collections.abc import Iterator
from pathlib import Path

from PIL import ExifTags, Image, ImageFile

from common.console import Progress, UserError, say
from common.files import read_json, write_json
from common.hashing import digest, sha256_bytes, sha256_file
from data.colour import UNUSED_PROFILE, raw_mode
from data.datasets import MINE, MINE_RECORD, dataset_names
from data.images import FORMATS, SUFFIXES, BadImage, decode, usable_name
from data.mine_report import Record, counted, left_out_lines
from data.verify import manifest_sha256

MINIMUM = 10  # pictures: fewer are no set to learn from, and the smallest split trains on 9 and holds out 1
COPIES = Path("data/raw")
MOST_FILES = 20_000  # a folder with more was named by mistake: a home folder, a whole disk
HEIC = (".heic", ".heif", ".hif", ".avif")
RAW = (".arw", ".cr2", ".cr3", ".dng", ".nef", ".orf", ".pef", ".raf", ".raw", ".rw2", ".srw")
OTHER = f"name does not end in {', '.join(SUFFIXES)}"
TWIN = "the same picture as another"
EXPORT = "export as JPEG to use it"
MODES = {
    "1": "black and white",
    "L": "grey",
    "LA": "grey",
    "P": "a palette",
    "RGBA": "RGB with alpha",
}


def look(folder: str, code: str) -> Record:
    """What is in the folder and its sub-folders: {"folder", "digest", "entry", "taken", "left_out"}.

    taken: {"path", "file", "sha256", "pixels_sha256", "size", "changes"} of each picture in the order of the paths,
    which are relative to the folder; "file" is the name of its copy.  left_out: {"path", "reason", "twin"}; twin is the
    path of the same picture, if that is the reason.
    code: a digest of the code that reads pictures.  If names, contents and code are those of data/mine.json, nothing is
    decoded again.

    Raises `UserError` if the folder cannot be used or holds fewer than MINIMUM pictures.
    """
    place = _usable(folder)
    found = _files(place)
    contents = {path: sha256_file(path) if _why_not(path) is None else "" for path in found}
    named = {path.relative_to(place).as_posix(): sha256 for path, sha256 in contents.items()}
    current = digest([str(place), code, named])
    known = _saved()
    record = known if known.get("digest") == current else _read(place, contents, current)
    if len(record["taken"]) < MINIMUM:
        reasons = "".join(f"; {line}" for line in left_out_lines(record))
        raise UserError(
            f"images: {place} holds {counted(len(record['taken']), 'usable picture')}, but at least {MINIMUM} "
            f"different ones are needed{reasons}"
        )
    return record


def save(record: Record) -> None:
    """Make it the dataset `mine`."""
    if _saved() != record:
        write_json(MINE_RECORD, record)


def adopt(root: Path | str = COPIES) -> Path:
    """Copy the pictures into root/mine/, their bytes unchanged, and return its fetched.json.

    Raises `UserError` if one is no longer as `look` found it.
    """
    record, root = read_json(MINE_RECORD), Path(root)
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root, prefix=f".{MINE}-") as directory:
        for picture in record["taken"]:
            original, copy = Path(record["folder"], picture["path"]), Path(directory, picture["file"])
            if not original.is_file() or sha256_file(shutil.copyfile(original, copy)) != picture["sha256"]:
                again = shlex.quote(f"images={record['folder']}")
                raise UserError(f"{original} changed or is gone since the folder was read; run with: --config {again}")
        if (root / MINE).exists():
            shutil.rmtree(root / MINE)
        (root / MINE).mkdir()
        for copy in Path(directory).iterdir():
            copy.replace(root / MINE / copy.name)
    files = [{"file": picture["file"], "sha256": picture["sha256"]} for picture in record["taken"]]
    fetched = {
        "dataset": MINE,
        "source": {"kind": "folder", "path": record["folder"]},
        "manifest_sha256": manifest_sha256(files),
        "pixels_sha256": record["entry"]["pixels_sha256"],
        "files": files,
    }
    write_json(root / MINE / "fetched.json", fetched)
    say(f"{root / MINE}: {len(files)} pictures from {record['folder']}")
    return root / MINE / "fetched.json"


def _usable(folder: str) -> Path:
    """The folder as an absolute path.  Raises `UserError` if its pictures cannot be looked for."""
    if not folder.strip():
        raise UserError("images: no folder is named; write --config images=path/to/folder")
    try:
        typed = Path(folder).expanduser()
        # A space that was typed or copied by mistake would be hard to see in a message.
        place = (typed if typed.exists() else Path(folder.strip()).expanduser()).resolve()
    except (RuntimeError, OSError):  # ~name of nobody; a loop of links
        place = Path(folder).absolute()
    if MINE in dataset_names():
        raise UserError(f"data/datasets.yaml has an entry {MINE!r}, the name of your own pictures; rename that entry")
    if not usable_name(str(place)):
        raise UserError(
            f"images: {str(place)!a} has control characters or invalid UTF-8 in its path; rename the folder, or, if it "
            "looks right to you: export LC_ALL=C.UTF-8"
        )
    if place.is_file():
        raise UserError(f"images: {place} is a file; name the folder that holds the pictures (unpack archives first)")
    if not place.is_dir():
        raise UserError(f"images: {place} does not exist; name the folder that holds the pictures")
    if any(path.resolve().is_relative_to(place) for path in (Path(), COPIES.parent, COPIES)):
        raise UserError(f"images: {place} contains this checkout or its data; put the pictures into their own folder")
    if place.is_relative_to(COPIES.resolve()):
        raise UserError(f"images: {place} is in data/raw, where runs keep their copies; move the pictures elsewhere")
    return place


def _files(place: Path) -> list[Path]:
    """All visible files below the folder, links followed, in the order of their paths."""
    found: list[Path] = []
    seen = {place}

    def refuse(error: OSError) -> None:
        raise UserError(f"images: {error.filename} cannot be read ({error.strerror}); set permissions, then run again")

    for parent, folders, names in os.walk(place, followlinks=True, onerror=refuse):
        inside = {name: Path(parent, name).resolve() for name in sorted(folders) if not name.startswith(".")}
        folders[:] = [name for name, real in inside.items() if real not in seen]
        seen.update(inside.values())
        found += [Path(parent, name) for name in names if not name.startswith(".")]
        if len(found) > MOST_FILES:
            raise UserError(f"images: {place} holds more than {MOST_FILES:,} files; name the folder of the pictures")
    if not found:
        raise UserError(f"images: {place} holds no files; name the folder that holds the pictures")
    return sorted(found)


def _why_not(path: Path) -> str | None:
    """The reason to leave a file out that can be seen without decoding it."""
    if not usable_name(str(path)):
        return "name has control characters or invalid UTF-8, rename to use it"
    if not path.is_file():
        return "not a regular file, or a broken link"
    if not os.access(path, os.R_OK):
        return "no permission to read"
    suffix = path.suffix.lower()
    if suffix in HEIC or (suffix in SUFFIXES and _is_heic(path)):
        return f"HEIC or AVIF format, {EXPORT}"
    if suffix in RAW:
        return f"RAW format of a camera, {EXPORT}"
    return None if suffix in SUFFIXES else OTHER


def _is_heic(path: Path) -> bool:
    """By its content: telephones write such files with the suffix .jpg, too."""
    with path.open("rb") as file:
        return file.read(8)[4:] == b"ftyp"


def _saved() -> Record:
    """The record of the last run; empty if it is missing or damaged, and so to be written anew."""
    try:
        record = read_json(MINE_RECORD)
    except UserError:
        return {}
    return record if isinstance(record, dict) else {}


def _read(place: Path, contents: dict[Path, str], current: str) -> Record:
    """Decode every file that may be a picture."""
    taken: list[Record] = []
    left_out: list[Record] = []
    pictures: dict[tuple[str, ...], str] = {}  # pixels and size: the path of the first file that shows them
    with Progress(total=len(contents), label=f"reading {place.name}") as progress:
        for path, sha256 in contents.items():
            name = path.relative_to(place).as_posix()
            found = _read_one(path, name, pictures)
            if "reason" in found:
                left_out.append({"path": name if usable_name(name) else ascii(name)[1:-1], **found})
            else:
                taken.append({"path": name, "file": _copy_name(len(taken), name), "sha256": sha256, **found})
            progress.advance()
    pixels = sha256_bytes("\n".join(picture["pixels_sha256"] for picture in taken).encode())
    entry = {**_entry(place), "count": len(taken), "pixels_sha256": pixels}
    return {"folder": str(place), "digest": current, "entry": entry, "taken": taken, "left_out": left_out}


def _read_one(path: Path, name: str, pictures: dict[tuple[str, ...], str]) -> Record:
    """A picture, or the reason to leave the file out and the name of the same picture, if that is the reason."""
    if reason := _why_not(path):
        return {"reason": reason, "twin": None}
    try:
        picture = _picture(path)
    except BadImage as error:
        return {"reason": str(error).removeprefix("is "), "twin": None}
    original = pictures.setdefault((picture["pixels_sha256"], *map(str, picture["size"])), name)
    return picture if original == name else {"reason": TWIN, "twin": original}


def _picture(path: Path) -> Record:
    """Size, pixels and changes of one picture.  Raises `BadImage`."""
    notes: list[str] = []
    image = decode(path, notes=notes)
    pixels = sha256_bytes(image.tobytes())
    with warnings.catch_warnings(action="ignore"), Image.open(path, formats=FORMATS) as original:  # of odd metadata
        changes = [*_changes(original, notes), *notes]
    return {"pixels_sha256": pixels, "size": list(image.size), "changes": changes}


def _changes(image: ImageFile.ImageFile, notes: list[str]) -> Iterator[str]:
    """What decoding does to a picture, apart from its size and from what `notes` say."""
    if image.getexif().get(ExifTags.Base.Orientation) in range(2, 9):
        yield "turned upright by the EXIF orientation"
    if getattr(image, "is_animated", False):  # unlike `n_frames`, it does not open the other pages
        yield "several frames or pages, only the first taken"
    opaque = "A" in image.getbands() and image.getchannel("A").getextrema()[0] == 255
    if image.has_transparency_data and not opaque:
        yield "transparent parts set on white"
    if "icc_profile" in image.info and not any(note.startswith(UNUSED_PROFILE) for note in notes):
        yield "has a colour profile, converted to sRGB"
    if image.mode.startswith("I") or (image.mode == "RGB" and ";16" in raw_mode(image)):
        yield "converted to 8 bits from 16"
    elif image.mode != "RGB":
        yield f"converted to RGB from {MODES.get(image.mode, image.mode)}"


def _copy_name(index: int, path: str) -> str:
    """A number, so that names from different sub-folders never clash, and as much of the path as is readable."""
    suffix = Path(path).suffix
    readable = re.sub("[^A-Za-z0-9-]+", "_", path.removesuffix(suffix))
    return f"{index + 1:05d}_{readable[-60:]}{suffix.lower()}"


def _entry(place: Path) -> Record:
    """The dataset's entry in the registry."""
    name = unicodedata.normalize("NFC", place.name)  # macOS stores an accent apart from its letter
    title = " ".join(re.sub(r"[^\w .,()-]", " ", name).split())[:40] or "own pictures"
    return {
        "title": title,
        "licence": "your own pictures: for yourself, unless you have the rights to publish them",
        "citation": "your own pictures",
        "attribution": f"Pictures from your folder {title}, and samples of models trained on them.",
        "shareable": False,
        "split": "seeded",
        "sources": [],
    }
