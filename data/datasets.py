"""The registry of datasets: datasets.yaml, validated.  data/README.md explains the keys."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from common.console import UserError
from common.files import read_json, read_yaml

DATASETS = Path(__file__).with_name("datasets.yaml")
MINE = "mine"  # the user's own pictures: `--config images=FOLDER`
MINE_RECORD = Path(__file__).with_name("mine.json")  # written by data/mine.py; `entry` is this dataset's entry

Text = Annotated[str, Field(min_length=1)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Codepoints = Annotated[str, Field(pattern="^[0-9A-F]{4,6}(-[0-9A-F]{4,6})?$")]  # one, or a range with both ends


class Entry(BaseModel):
    """Part of datasets.yaml.  An unknown key or a value of another type is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Source(Entry):
    """A place that has the images of a dataset."""

    def record(self) -> dict[str, Any]:
        """The keys that were given, for fetched.json."""
        return self.model_dump(mode="json", exclude_unset=True)


class ArchiveSource(Source):
    """A zip or tar archive."""

    sha256: Sha256 | None = None
    bundle: bool = False  # does it contain other sets too?  Then only `folders` are searched


class HttpSource(ArchiveSource):
    """An archive on the web."""

    kind: Literal["http"]
    url: str = Field(pattern="^https?://")

    def __str__(self) -> str:
        return self.url


class DriveSource(ArchiveSource):
    """An archive that is a public file of Google Drive."""

    kind: Literal["gdrive"]
    id: str = Field(pattern="^[A-Za-z0-9_-]+$")

    def __str__(self) -> str:
        return f"Google Drive file {self.id}"


class PackageSource(Source):
    """SVG drawings in the wheel of a Python package."""

    kind: Literal["package"]
    package: str = Field(pattern="^[A-Za-z0-9][A-Za-z0-9._-]*$")
    version: str = Field(pattern="^[0-9][A-Za-z0-9.+!]*$")
    sha256: Sha256  # of the wheel
    folder: Text
    codepoints: tuple[Codepoints, ...] = Field(min_length=1)

    def __str__(self) -> str:
        return f"package {self.package} {self.version}"


class Dataset(Entry):
    """One entry of datasets.yaml."""

    name: str = Field(pattern="^[A-Za-z0-9_-]+$")
    title: Text
    count: int = Field(ge=2)
    licence: Text
    citation: Text
    attribution: Text
    shareable: bool  # may figures that show its images be committed and published?
    split: Literal["lexicographic", "seeded"]
    sources: tuple[Annotated[HttpSource | DriveSource | PackageSource, Field(discriminator="kind")], ...]
    folders: tuple[Text, ...] = ()  # where archives keep it
    size: int | None = Field(None, ge=16, le=8192)  # side of every image in pixels, if known
    optional: bool = False  # does a failed fetch say how to leave it out?
    manifest_sha256: Sha256 | None = None
    pixels_sha256: Sha256 | None = None

    @property
    def pins(self) -> dict[str, str]:
        """The digests that its images must have, from any source."""
        return self.model_dump(include={"manifest_sha256", "pixels_sha256"}, exclude_none=True)


def dataset_names() -> list[str]:
    """All datasets of datasets.yaml, in its order; not `mine`."""
    return list(_datasets(DATASETS))


def dataset_info(name: str) -> Dataset:
    """One dataset's entry; that of `mine` is of the user's own pictures.

    Raises `UserError` listing the known ones if there is none of this name.
    """
    datasets = _datasets(DATASETS)
    if name == MINE and name not in datasets and MINE_RECORD.is_file():
        return _parse(MINE_RECORD, name, read_json(MINE_RECORD).get("entry"))
    if name not in datasets:
        raise UserError(f"unknown dataset {name!r}; known: {', '.join(datasets)} (add one in data/datasets.yaml)")
    return datasets[name]


@cache
def _datasets(path: Path) -> dict[str, Dataset]:
    return {name: _parse(path, name, entry) for name, entry in read_yaml(path).items()}


def _parse(path: Path, name: Any, entry: Any) -> Dataset:
    if not isinstance(entry, dict):
        raise UserError(f"{path}: {name}: expected keys and values, not {entry!r}; data/README.md lists the keys")
    try:
        return Dataset.model_validate_json(json.dumps({**entry, "name": name}, default=str))
    except ValidationError as error:
        raise UserError(f"{path}: {name}: {_explain(error)}; data/README.md lists the keys") from None


def _explain(error: ValidationError) -> str:
    """The first mistake: its key and what is wrong with the value."""
    first = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"])
    match first["type"]:
        case "missing":
            return f"the key {key} is required"
        case "extra_forbidden":
            return f"the key {key} is unknown"
    message = first["msg"]
    return f"{key}: {message[0].lower()}{message[1:]}, not {first['input']!r}"
