"""Drawings of people as semantic layouts with several right answers each: OpenMoji's SVG files.

The top-level groups of a drawing say what its strokes show (hair, skin, clothes, lines): painted in one colour a
class, they are a label map.  A person is drawn in several appearances of one geometry, the default and one for each
modifier of skin and hair colour, so a label map has as many right answers.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from data.archive import SourceError
from data.datasets import PeopleSource
from data.drawings import draw, expand
from data.labels import Palette, classes_of

SAME = 0.002  # label maps that differ in a smaller share of their pixels count as one

Groups = Mapping[str, Sequence[str]]  # each class with the ids of its groups; the first id must be in the drawing


def rasterise_people(wheel: Path, source: PeopleSource, palette: Palette, staged: Path) -> None:
    """Write staged/<person>_<appearance>.png on white, and staged/labels/<person>.png in the palette's colours.

    A person is a drawing that has all classes of `source.groups` and a variant for each of its modifiers.  Of people
    whose label maps agree in all but `SAME` of their pixels, only the first by code points is kept.
    """
    (staged / "labels").mkdir()
    with zipfile.ZipFile(wheel) as archive:
        drawings = {
            path.stem: str(path) for path in map(PurePosixPath, archive.namelist()) if _is_drawing(path, source.folder)
        }
        colours = np.array(list(palette.values()), np.uint8)
        kept: list[NDArray[np.uint8]] = []
        for person, names in people(drawings, expand(source.modifiers), source.leave_out):
            drawing = archive.read(drawings[person]).decode("utf-8")
            if not has_classes(drawing, source.groups):
                continue
            labels = label_map(drawing, source.groups, palette)
            if any((labels != other).mean() < SAME for other in kept):
                continue
            kept.append(labels)
            Image.fromarray(colours[labels]).save(staged / "labels" / f"{person}.png")
            for number, name in enumerate(names, start=1):
                draw(archive.read(drawings[name]).decode("utf-8")).save(staged / f"{person}_{number}.png")
    if not kept:
        raise SourceError(f"{source.folder} in it has no drawing with {', '.join(source.groups)} and all modifiers")


def _is_drawing(path: PurePosixPath, folder: str) -> bool:
    """One file of the package is misnamed `....sv.svg`."""
    return str(path.parent) == folder and path.suffix == ".svg" and "." not in path.stem


def people(
    drawings: Mapping[str, object], modifiers: Sequence[str], leave_out: Sequence[str]
) -> Iterator[tuple[str, list[str]]]:
    """Each drawing that has all its variants, in the order of code points, with its own name and theirs.

    The modifier follows the first code point: 1F468-200D-1F33E has the variant 1F468-1F3FB-200D-1F33E.
    """
    for person in sorted(drawings, key=lambda name: [int(part, 16) for part in name.split("-")]):
        first, *rest = person.split("-")
        variants = ["-".join([first, modifier, *rest]) for modifier in modifiers]
        if person not in leave_out and all(variant in drawings for variant in variants):
            yield person, [person, *variants]


def has_classes(drawing: str, groups: Groups) -> bool:
    """Has the drawing the first group of every class, not empty?"""
    there = {group.get("id") for group in ElementTree.fromstring(drawing) if len(group)}
    return all(names[0] in there for names in groups.values())


def label_map(drawing: str, groups: Groups, palette: Palette) -> NDArray[np.uint8]:
    """The class of each pixel as its place in the palette, uint8 (RASTER_SIDE, RASTER_SIDE); white is the first."""
    root = ElementTree.fromstring(drawing)
    class_of = {name: label for label, names in groups.items() for name in names}
    for group in list(root):
        label = class_of.get(group.get("id", ""))
        if label is None:
            root.remove(group)
            continue
        colour = f"rgb{palette[label]}"
        group.set("fill", colour)
        for element in group.iter():
            _paint(element, colour)
    root.set("shape-rendering", "crispEdges")
    return classes_of(np.asarray(draw(ElementTree.tostring(root, encoding="unicode"))), palette)


def _paint(element: ElementTree.Element, colour: str) -> None:
    for key in ("fill", "stroke"):
        if element.get(key, "none") != "none":
            element.set(key, colour)
    for key in ("opacity", "fill-opacity", "stroke-opacity"):
        element.attrib.pop(key, None)
