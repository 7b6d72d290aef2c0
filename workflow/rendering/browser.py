"""The report's sample browser: which tiles of which sheets it shows, and where the page finds the sheets."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workflow.rendering import pictures
from workflow.rendering.contents import Entry, dataset_title
from workflow.rendering.figures import NO_PATH
from workflow.rendering.pictures import COLUMNS, FOLDER, SHARP, rows_of
from workflow.rendering.results import Results

EMBEDDED = 3_000_000  # bytes of all sheets up to which they are part of the page; text needs a third more


@dataclass(frozen=True)
class Sheet:
    """A sheet as a class of the page's style.  path: beside the page."""

    name: str
    path: str
    columns: int
    rows: int


@dataclass(frozen=True)
class Tile:
    """A place on a sheet."""

    sheet: Sheet
    index: int
    mirrored: bool = False

    @property
    def x(self) -> int:
        return self.index % self.sheet.columns

    @property
    def y(self) -> int:
        return self.index // self.sheet.columns


@dataclass(frozen=True)
class Sample:
    """A sample, and beside it the nearest training image, if that is known.  extra: shown for its likeness alone."""

    tile: Tile
    number: int
    near: Tile | None
    image: int  # index of the nearest training image
    ratio: float | None
    distance: float | None
    extra: bool

    @property
    def label(self) -> str:
        if self.near is None:
            return f"Sample {self.number}"
        mirrored = ", mirrored" if self.near.mirrored else ""
        return (
            f"Sample {self.number}. Nearest training image: {self.image}{mirrored}; distance {self.distance:.3f}, "
            f"d1/d2 {self.ratio:.2f}"
        )


@dataclass(frozen=True)
class Shown:
    """What is shown of one method on one data set; for each part that is absent, `why_...` says why."""

    row: Entry
    samples: list[Sample]
    why: str
    paths: list[list[Tile]]
    why_no_paths: str
    reconstructions: list[tuple[Tile, Tile, float]]  # target, reconstruction, LPIPS
    why_no_reconstructions: str


@dataclass(frozen=True)
class Gallery:
    """One data set: training images at even intervals, and each method."""

    dataset: str
    title: str
    training: list[Tile]
    why: str
    shown: list[Shown]


class Browser:
    """All galleries of a preset and the sheets that they use."""

    def __init__(self, results: Results) -> None:
        self.results = results
        self.sheets: list[Sheet] = []
        self.galleries = [self._gallery(dataset) for dataset in results.preset.datasets]

    @property
    def beside(self) -> bool:
        """Do the sheets lie beside the page, because images or all of them together are large?"""
        size = sum((self.results.folder / sheet.path).stat().st_size for sheet in self.sheets)
        return self.results.preset.resolution > SHARP or size > EMBEDDED

    def sources(self) -> list[tuple[Sheet, str]]:
        """Each sheet with its address: data within the page, or the file beside it."""
        if self.beside:
            return [(sheet, sheet.path) for sheet in self.sheets]
        return [(sheet, _data(self.results.folder / sheet.path)) for sheet in self.sheets]

    def _sheet(self, path: Path | str, tiles: int, columns: int = COLUMNS) -> Sheet:
        sheet = Sheet(f"s{len(self.sheets)}", f"{FOLDER}/{path}", columns, rows_of(tiles, columns))
        self.sheets.append(sheet)
        return sheet

    def _gallery(self, dataset: str) -> Gallery:
        about = pictures.read(self.results, dataset)
        title = dataset_title(dataset)
        if about is None:
            shown = [self._absent(dataset, row) for row in self.results.ranked]
            return Gallery(dataset, title, [], self.results.why_no_images(dataset), shown)
        training = self._sheet(f"{dataset}/training.webp", len(about["training"])) if about["training"] else None
        targets = self._sheet(f"{dataset}/targets.webp", len(about["heldout"])) if about["heldout"] else None
        shown = [
            self._method(dataset, row, about["methods"][row.id], about, training, targets)
            if row.id in about["methods"]
            else self._absent(dataset, row)
            for row in self.results.ranked
        ]
        return Gallery(dataset, title, [Tile(training, tile) for tile in about["even"]] if training else [], "", shown)

    def _absent(self, dataset: str, row: Entry) -> Shown:
        return Shown(row, [], self.results.why(dataset, row), [], "", [], "")

    def _method(
        self,
        dataset: str,
        row: Entry,
        found: dict[str, Any],
        about: pictures.About,
        training: Sheet | None,
        targets: Sheet | None,
    ) -> Shown:
        folder = f"{dataset}/{row.id}"
        samples, paths, pairs = [], [], []
        if found["samples"]:
            sheet = self._sheet(f"{folder}/samples.webp", len(found["samples"]))
            samples = [
                _sample(Tile(sheet, index), index, sample, about, training)
                for index, sample in enumerate(found["samples"])
            ]
        if "paths" in found:
            rows, steps = found["paths"]
            sheet = self._sheet(f"{folder}/paths.webp", rows * steps, steps)
            paths = [[Tile(sheet, path * steps + step) for step in range(steps)] for path in range(rows)]
        if "scores" in found and targets:
            sheet = self._sheet(f"{folder}/reconstructions.webp", len(found["scores"]))
            pairs = [(Tile(targets, index), Tile(sheet, index), score) for index, score in enumerate(found["scores"])]
        why, why_90 = (self.results.why(dataset, row, split) for split in ("full", "train90"))
        no_path = NO_PATH if row.kind == "method" else "n/a (samples made elsewhere, without a generator)"
        return Shown(row, samples, why, paths, no_path, pairs, why_90)


def _sample(tile: Tile, index: int, sample: dict[str, Any], about: pictures.About, training: Sheet | None) -> Sample:
    extra = index >= pictures.FIRST
    if training is None or "nearest" not in sample:
        return Sample(tile, sample["number"], None, 0, None, None, extra)
    near = Tile(training, sample["nearest"], sample["mirrored"])
    image = about["training"][sample["nearest"]]
    return Sample(tile, sample["number"], near, image, sample["ratio"], sample["distance"], extra)


def _data(path: Path) -> str:
    return f"data:image/webp;base64,{base64.b64encode(path.read_bytes()).decode()}"
