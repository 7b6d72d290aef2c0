"""The registry of datasets: datasets.yaml, validated.  data/README.md explains the keys."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from common.console import UserError
from common.files import read_json, read_yaml
from data.split import Rule

DATASETS = Path(__file__).with_name("datasets.yaml")
MINE = "mine"  # the user's own pictures: `--config images=FOLDER`
MINE_RECORD = Path(__file__).with_name("mine.json")  # written by data/mine.py; `entry` is this dataset's entry

# Folders of data/raw/ that belong to no dataset, and words that a CSV reader takes for a missing value.
RESERVED = ("weights", "na", "nan", "null", "none")


def _form(pattern: str, wanted: str) -> AfterValidator:
    """Text of this form; `wanted` describes it in messages."""

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"must be {wanted}")
        return text

    return AfterValidator(check)


def _one_line(text: str) -> str:
    if not (line := " ".join(text.split())):
        raise ValueError("must be text, not empty")
    return line


def _unreserved(name: str) -> str:
    if name.lower() in RESERVED:
        raise ValueError(f"must not be one of the reserved names {', '.join(RESERVED)}")
    return name


NAME = "1 to 64 letters (a to z, A to Z), digits, '-' or '_', the first of them no '-'"
Name = Annotated[str, _form("[A-Za-z0-9_][A-Za-z0-9_-]{0,63}", NAME), AfterValidator(_unreserved)]
Text = Annotated[str, AfterValidator(_one_line)]
Sha256 = Annotated[str, _form("[0-9a-f]{64}", "a sha256 of 64 digits 0-9 and a-f")]
Codepoints = Annotated[  # one, or a range with both ends
    str, _form("[0-9A-F]{4,6}(-[0-9A-F]{4,6})?", "a code point such as 1F600, or a range such as 1F600-1F644")
]
Url = Annotated[str, _form(r"https?://\S+", "an address that begins with http:// or https://")]
DriveId = Annotated[str, _form("[A-Za-z0-9_-]+", "the id of a Google Drive file: letters, digits, '-' and '_'")]
Package = Annotated[str, _form("[A-Za-z0-9][A-Za-z0-9._-]*", "the name of a Python package")]
Level = Annotated[int, Field(ge=0, le=255)]
Colour = tuple[Level, Level, Level]
Version = Annotated[str, _form("[0-9][A-Za-z0-9.+!]*", "the version of a Python package, such as 1.0.2")]


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
    url: Url

    def __str__(self) -> str:
        return self.url


class DriveSource(ArchiveSource):
    """An archive that is a public file of Google Drive."""

    kind: Literal["gdrive"]
    id: DriveId

    def __str__(self) -> str:
        return f"Google Drive file {self.id}"


class WheelSource(Source):
    """SVG drawings in the wheel of a Python package."""

    package: Package
    version: Version
    sha256: Sha256  # of the wheel
    folder: Text

    def __str__(self) -> str:
        return f"package {self.package} {self.version}"


class PackageSource(WheelSource):
    """Drawings by code point."""

    kind: Literal["package"]
    codepoints: tuple[Codepoints, ...] = Field(min_length=1)


class PeopleSource(WheelSource):
    """All drawings of people, each with a label map and in several appearances: `data/people.py`."""

    kind: Literal["people"]
    groups: dict[Text, tuple[Text, ...]]  # the ids of each class's groups in a drawing
    modifiers: tuple[Codepoints, ...] = Field(min_length=1)  # of the appearances beside the default
    leave_out: tuple[Text, ...] = ()


KINDS: dict[str, type[Source]] = {
    "http": HttpSource,
    "gdrive": DriveSource,
    "package": PackageSource,
    "people": PeopleSource,
}


class Layouts(Entry):
    """What makes a data set one of pairs: its images have label maps."""

    classes: dict[Text, Colour | None] = Field(min_length=2)  # their colours in the label maps; null: all other colours
    answers: int = Field(1, ge=1, le=9)  # images of each label map NAME: NAME_1 to NAME_9; 1: one image, called NAME
    told_apart_by: Text | None = None  # with several answers: the class whose colour differs between them
    train: int | None = Field(None, ge=1)  # label maps to train on; None: 90 %

    @model_validator(mode="after")
    def _consistent(self) -> Layouts:
        colours = list(self.classes.values())
        if twins := sorted(name for name, colour in self.classes.items() if colours.count(colour) > 1):
            raise ValueError(f"the classes {' and '.join(twins)} must have different colours")
        if self.told_apart_by not in (None, *self.classes):
            raise ValueError(f"`told_apart_by` must be one of the classes {', '.join(self.classes)}")
        return self


class Dataset(Entry):
    """One entry of datasets.yaml."""

    name: Name
    title: Text
    count: int = Field(ge=2, le=100_000)
    licence: Text
    citation: Text
    attribution: Text
    shareable: bool  # may figures that show its images be committed and published?
    split: Rule
    sources: tuple[Annotated[HttpSource | DriveSource | PackageSource | PeopleSource, Field(discriminator="kind")], ...]
    folders: tuple[Text, ...] = ()  # where archives keep it
    size: int | None = Field(None, ge=16, le=8192)  # side of every image in pixels, if known
    depth: int | None = Field(None, ge=8, le=16)  # bits of the values in 16-bit files that do not use all 16
    optional: bool = False  # does a failed fetch say how to leave it out?
    manifest_sha256: Sha256 | None = None
    pixels_sha256: Sha256 | None = None
    layouts: Layouts | None = None  # for a set of pairs: `count` images in images/ and their label maps in labels/

    @model_validator(mode="after")
    def _whole_answers(self) -> Dataset:
        if self.layouts and self.count % self.layouts.answers:
            raise ValueError(f"`count` must be a multiple of `layouts.answers`, {self.layouts.answers}")
        if self.layouts and self.layouts.train is not None and self.layouts.train >= self.count // self.layouts.answers:
            raise ValueError("`layouts.train` must leave at least one label map that is held out")
        people = [source for source in self.sources if isinstance(source, PeopleSource)]
        classes = self.layouts.classes if self.layouts else {}
        if people and (not classes or None in classes.values()):
            raise ValueError("a source of `kind: people` needs the key `layouts`, with a colour for every class")
        if odd := [name for one in people for name, ids in one.groups.items() if name not in classes or not ids]:
            raise ValueError(f"`groups`: {odd[0]} must be one of `layouts.classes`, with at least one id")
        return self

    @model_validator(mode="after")
    def _bundles_need_folders(self) -> Dataset:
        if not self.folders and any(isinstance(source, ArchiveSource) and source.bundle for source in self.sources):
            raise ValueError(
                "a source with `bundle: true` holds several sets: `folders` must name the folders of this one"
            )
        return self

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
        record = read_json(MINE_RECORD)
        return _parse(MINE_RECORD, name, record.get("entry") if isinstance(record, dict) else record)
    if name not in datasets:
        raise UserError(f"unknown dataset {name!r}; known: {', '.join(datasets)} (add one in data/datasets.yaml)")
    return datasets[name]


@cache
def _datasets(path: Path) -> dict[str, Dataset]:
    datasets = {name: _parse(path, name, entry) for name, entry in read_yaml(path).items()}
    folded: dict[str, str] = {}
    for name in datasets:
        if (other := folded.setdefault(name.lower(), name)) != name:
            raise UserError(f"{path}: {other} and {name} differ only in upper and lower case; rename one of them")
    return datasets


def _parse(path: Path, name: Any, entry: Any) -> Dataset:
    if not isinstance(entry, dict):
        found = _as_typed(entry)
        raise UserError(f"{path}: {name}: expected keys and values, not {found}; data/README.md lists the keys")
    try:
        return Dataset.model_validate_json(json.dumps({**entry, "name": name}, default=str))
    except ValidationError as error:
        raise UserError(f"{path}: {name}: {_explain(error)}; data/README.md lists the keys") from None
    except (TypeError, ValueError, RecursionError):  # a key that is a list, an entry that contains itself
        raise UserError(f"{path}: {name}: the keys and values cannot be read; data/README.md lists the keys") from None


def _explain(error: ValidationError) -> str:
    """The first mistake in one sentence: its key, what is allowed, and the value as it was typed."""
    first = error.errors(include_url=False)[0]
    # Inside a source, pydantic names its kind too: sources.0.http.url.
    place = [part for index, part in enumerate(first["loc"]) if index != 2 or first["loc"][0] != "sources"]
    key, context = ".".join(map(str, place)), first.get("ctx", {})
    allowed = {
        "int_type": "must be a whole number",
        "int_from_float": "must be a whole number",
        "string_type": "must be text (in quotes, if YAML reads it as a number, a date or yes and no)",
        "bool_type": "must be true or false",
        "tuple_type": "must be a list",
        "too_short": "must have at least one item",
        "dict_type": "must have keys and values, such as {kind: http, url: ...}",
        "greater_than_equal": f"must be at least {context.get('ge')}",
        "less_than_equal": f"must be at most {context.get('le')}",
        "literal_error": f"must be {context.get('expected')}".replace("'", ""),
        "value_error": first["msg"].removeprefix("Value error, "),
    }
    match first["type"]:
        case "missing":
            return f"the key {key} is required"
        case "union_tag_not_found":
            return f"the key {key}.kind is required: {', '.join(KINDS)}"
        case "union_tag_invalid":
            return f"{key}.kind: must be one of {', '.join(KINDS)}, not {_as_typed(context.get('tag'))}"
        case "extra_forbidden":
            inside: dict[str, type[BaseModel]] = {**KINDS, "layouts": Layouts}
            model: type[BaseModel] = inside.get(str(first["loc"][-2]), Dataset) if len(place) > 1 else Dataset
            known = ", ".join(field for field in model.model_fields if field != "name")
            return f"the key {key} is unknown; known are {known}"
    sentence = allowed.get(str(first["type"]), first["msg"])
    return f"{key}: {sentence}, not {_as_typed(first['input'])}" if key else sentence


def _as_typed(value: Any) -> str:
    """As in YAML: true, "12", 12.  Long values are cut."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else f"{text[:77]}..."
