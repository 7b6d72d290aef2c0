"""YAML from anybody: plain values only, and no more of them than settings need, however often anchors repeat them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import yaml

MAX_CHARACTERS = 2**16  # the longest file here has an eighth of it
MAX_VALUES = 10_000  # each as often as aliases repeat it
MAX_DEPTH = 32  # levels of lists and mappings


def parse(text: str) -> Any:
    """The content of a YAML document, held to the limits above before anything is built from it.

    Raises `ValueError` with the reason: beyond a limit, damaged, a tag, a key that stands twice in one mapping or is
    no text, and what JSON could not hold or only some of its readers would (dates, infinities, huge integers).
    """
    try:
        refuse_expansion(text)
        content = yaml.safe_load(text)
    except (yaml.YAMLError, LookupError, AttributeError) as error:  # the last two from tags on scalars that do not fit
        raise ValueError(" ".join(str(error).split())) from None
    refuse_foreign(content)
    return content


@dataclass
class Collection:
    """A list or mapping whose end has not been reached."""

    anchor: str | None
    keys: set[str] | None  # None for a list
    children: int = 0  # of a mapping: keys and values
    size: int = 1  # values at any depth, and itself
    height: int = 1  # levels below, and itself

    def add(self, size: int, height: int, scalar: str | None) -> None:
        if self.keys is not None and self.children % 2 == 0 and scalar is not None:
            if scalar in self.keys:
                raise ValueError(f"the key {scalar[:80]!r} stands twice in one mapping")
            self.keys.add(scalar)
        self.children += 1
        self.size += size
        self.height = max(self.height, height + 1)
        if self.size > MAX_VALUES:
            raise ValueError(f"it has more than {MAX_VALUES} values, with its anchors expanded")


def refuse_expansion(text: str) -> None:
    """Read through the document without building it; PyYAML alone would take exponential time for merged anchors."""
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"it has more than {MAX_CHARACTERS} characters")
    anchored: dict[str, tuple[int, int]] = {}  # size and height of what stands behind an anchor
    open_: list[Collection] = []
    for event in yaml.parse(text, yaml.SafeLoader):
        size, height, scalar = 1, 0, None
        match event:
            case yaml.CollectionStartEvent():
                open_.append(Collection(event.anchor, set() if isinstance(event, yaml.MappingStartEvent) else None))
                _refuse_depth(len(open_))
                continue
            case yaml.CollectionEndEvent():
                ended = open_.pop()
                anchor, size, height = ended.anchor, ended.size, ended.height
            case yaml.AliasEvent():
                anchor = None
                if event.anchor not in anchored:
                    raise ValueError(f"the alias *{event.anchor[:80]} stands inside or before what it names")
                size, height = anchored[event.anchor]
                _refuse_depth(len(open_) + height)
            case yaml.ScalarEvent():
                anchor, scalar = event.anchor, event.value
            case _:
                continue
        if anchor is not None:
            anchored[anchor] = size, height
        if open_:
            open_[-1].add(size, height, scalar)


def _refuse_depth(levels: int) -> None:
    if levels > MAX_DEPTH:
        raise ValueError(f"it is nested more than {MAX_DEPTH} levels deep")


def refuse_foreign(value: Any) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise ValueError(f"the key {key} is no text; put it in quotes")
            refuse_foreign(key)
            refuse_foreign(item)
    elif isinstance(value, list):
        for item in value:
            refuse_foreign(item)
    elif isinstance(value, str):
        value.encode()  # which a lone surrogate does not survive
    elif isinstance(value, int):
        if value.bit_length() > 63:
            raise ValueError(f"an integer has {value.bit_length()} bits, more than 63")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value} is not a finite number")
    elif value is not None:
        raise ValueError(f"it holds a {type(value).__name__}, which is no setting; put it in quotes")
