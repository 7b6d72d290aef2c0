"""The figures, each as PNG and PDF.

    python -m workflow.scripts.figures figure2 --settings settings.json --results results/demo \\
        --prepared data/prepared/32 --out-png figure2.png --out-pdf figure2.pdf

figure2        uncurated samples of every method below training images
figure3        LPIPS backtracking: held-out images and each method's reconstruction
interpolation  rows of latent interpolation
memorisation   samples above their nearest training images (by the features given with --features, else by pixels)
curves         everything that training logs
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from common.console import UserError, run
from workflow.scripts import curves
from workflow.scripts.settings import Dataset, Entry, load
from workflow.scripts.sources import Sources
from workflow.scripts.style import GREY, LABEL, WIDTH, Sheet, tile_size

# Pixels.
GUTTER = 16  # between the two panels of a band
GAP = 4  # between tiles
ROW_GAP = 14  # between methods
HEADER = 36
NOTHING = 48  # height of a row that has a reason in place of pictures
MAX_SIDE = 128  # of a tile

MAX_TARGETS = 10  # a row of Figure 3

# A block is what one method shows for one dataset: rows of images (rows, columns, H, W, 3), or the reason for none.
Block = np.ndarray | str


def figure2(sources: Sources) -> Sheet:
    """Training images at even intervals, then the first samples of each method: no image is chosen."""
    columns = 8 if sources.settings.resolution <= 64 else 5
    rows = 2 if len(sources.settings.datasets) <= 2 else 1

    def training(dataset: Dataset) -> Block:
        real = sources.real(dataset.id)
        if real is None:
            return sources.why_no_images(dataset.id)
        return _rows(real[np.linspace(0, len(real) - 1, rows * columns).round().astype(int)], rows)

    def samples(dataset: Dataset, method: Entry) -> Block:
        images = sources.samples(dataset.id, method)
        return sources.why(dataset.id, method) if images is None else _rows(images[: rows * columns], rows)

    lines = [Line("Training images", training)]
    lines += [Line(method.title, partial(samples, method=method)) for method in sources.settings.ranked]
    sheet = panels(sources, lines, columns)
    sheet.footer(notes(sources, "training images at even intervals; samples are the first drawn, without selection"))
    return sheet


def interpolation(sources: Sources) -> Sheet:
    """The first two interpolations of each method."""

    def block(dataset: Dataset, method: Entry) -> Block:
        if sources.samples(dataset.id, method) is None:
            return sources.why(dataset.id, method)
        images = sources.interpolation(dataset.id, method)
        return "n/a (sampled without interpolation)" if images is None else images[:2]

    lines = [Line(method.title, partial(block, method=method)) for method in sources.settings.generators]
    sheet = panels(sources, lines, columns=8)
    sheet.footer(notes(sources, "each row moves between two random latent codes; the first rows, without selection"))
    return sheet


def memorisation(sources: Sources) -> Sheet:
    """The first samples of each method, each above the training image nearest to it."""
    columns = 8 if sources.settings.resolution <= 64 else 5

    def block(dataset: Dataset, method: Entry) -> Block:
        fake, real = sources.samples(dataset.id, method), sources.real(dataset.id)
        if fake is None or real is None:
            return sources.why(dataset.id, method) if fake is None else sources.why_no_images(dataset.id)
        points, among = fake.reshape(len(fake), -1), real.reshape(len(real), -1)
        if sources.features:
            points, among = sources.feature_pair(dataset.id, method)
            if points is None or among is None:
                return "n/a (features are missing)"
        index = nearest(points[:columns], among)
        return np.stack([fake[:columns], real[index][: len(fake)]])

    lines = [Line(method.title, partial(block, method=method), "nearest") for method in sources.settings.ranked]
    sheet = panels(sources, lines, columns)
    by = f"{sources.settings.protocols['fid']['network']} features" if sources.features else "pixel distance"
    sheet.footer(notes(sources, f"upper rows: samples, without selection; lower rows: nearest training image by {by}"))
    return sheet


def figure3(sources: Sources) -> Sheet:
    """Held-out images above each method's reconstructions, whose LPIPS stands below them."""
    sheet = Sheet()
    y = 0
    for dataset in sources.settings.datasets:
        found = {method: sources.backtracking(dataset.id, method) for method in sources.settings.generators}
        y = _reconstructions(sheet, sources, dataset, found, y) + 2 * ROW_GAP
    sheet.footer(notes(sources, "held-out images in order, without selection; LPIPS below, lower is better"))
    return sheet


def _reconstructions(
    sheet: Sheet, sources: Sources, dataset: Dataset, found: dict[Entry, dict[str, np.ndarray] | None], y: int
) -> int:
    """One dataset's part of Figure 3 from height `y` down; returns where it ends."""
    runs = [arrays for arrays in found.values() if arrays is not None]
    sheet.text(LABEL, y + HEADER / 2 - 4, dataset.title, size=7.5, weight="bold")
    y += HEADER
    if not runs:
        reasons = dict.fromkeys(sources.why(dataset.id, method, "train90") for method in found)
        sheet.placeholder("; ".join(reasons), LABEL, y, WIDTH - LABEL, NOTHING)
        return y + NOTHING
    target, index = runs[0]["target"], runs[0]["index"]
    if any(not np.array_equal(arrays["index"], index) for arrays in runs):
        raise UserError(f"backtracking of {dataset.id} used different held-out images per method; evaluate again")
    columns = min(len(target), MAX_TARGETS)
    side = tile_size(WIDTH - LABEL, columns, GAP, target.shape[1], MAX_SIDE)
    best = np.min([arrays["score"] for arrays in runs], axis=0)
    sheet.label(y + side / 2, "Held-out target")
    sheet.row(target[:columns], LABEL, y, side, GAP)
    y += side + ROW_GAP
    for method, arrays in found.items():
        height = NOTHING if arrays is None else side
        sheet.label(y + height / 2, method.title)
        if arrays is None:
            why = sources.why(dataset.id, method, "train90")
            sheet.placeholder(why, LABEL, y, columns * (side + GAP) - GAP, height)
        else:
            sheet.row(arrays["reconstruction"][:columns], LABEL, y, side, GAP)
            _scores(sheet, arrays["score"], best, columns, side, y + side + 15)
            height += 30
        y += height + ROW_GAP
    return y - ROW_GAP


def _scores(sheet: Sheet, score: np.ndarray, best: np.ndarray, columns: int, side: int, y: int) -> None:
    """The mean at the left, then the LPIPS of each picture below it, bold where no method does better."""
    sheet.text(0, y, f"mean {score.mean():.3f}", size=5.8, color=GREY)
    for column in range(columns):
        emphasis = {"weight": "bold"} if score[column] <= best[column] else {"color": GREY}
        x = LABEL + column * (side + GAP) + side / 2
        sheet.text(x, y, f"{score[column]:.3f}", size=5.8, ha="center", bottom=14, **emphasis)


@dataclass(frozen=True)
class Line:
    """One row of a grid of panels: its label, what it shows for a dataset, and a smaller label lower down."""

    title: str
    block: Callable[[Dataset], Block]
    below: str = ""


def panels(sources: Sources, lines: list[Line], columns: int) -> Sheet:
    """A row for each line, a panel for each dataset, two panels to a band, the bands below each other.

    columns: how many tiles make a panel if the blocks do not hold more.
    """
    sheet = Sheet()
    datasets = sources.settings.datasets
    across = min(len(datasets), 2)
    width = (WIDTH - LABEL - GUTTER) // 2 if across == 2 else WIDTH - LABEL
    y = 0
    for start in range(0, len(datasets), across):
        band = datasets[start : start + across]
        lefts = [LABEL + index * (width + GUTTER) for index in range(len(band))]
        for x, dataset in zip(lefts, band, strict=True):
            sheet.text(x, y + HEADER / 2 - 4, dataset.title, size=7.5, weight="bold")
        y = _band(sheet, lines, band, lefts, y + HEADER, width, columns) + ROW_GAP
    return sheet


def _band(
    sheet: Sheet, lines: list[Line], band: Sequence[Dataset], lefts: list[int], y: int, width: int, columns: int
) -> int:
    """The rows of one band from height `y` down, all tiles of one size; returns where it ends."""
    grid = [[line.block(dataset) for dataset in band] for line in lines]
    pictures = [block for row in grid for block in row if not isinstance(block, str)]
    columns = max((block.shape[1] for block in pictures), default=columns)
    resolution = max((block.shape[2] for block in pictures), default=1)
    side = tile_size(width, columns, GAP, resolution, MAX_SIDE)
    for line, row in zip(lines, grid, strict=True):
        deepest = max((len(block) for block in row if not isinstance(block, str)), default=0)
        height = deepest * (side + GAP) - GAP if deepest else NOTHING
        sheet.label(y + height / (4 if line.below else 2), line.title)
        sheet.text(0, y + height * 3 / 4, line.below, size=5.8, color=GREY)
        for x, block in zip(lefts, row, strict=True):
            if isinstance(block, str):
                sheet.placeholder(block, x, y, columns * (side + GAP) - GAP, height)
                continue
            for index, images in enumerate(block):
                sheet.row(images, x, y + index * (side + GAP), side, GAP)
        y += height + ROW_GAP
    return y


def nearest(points: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Index in `among` (m, d) of the Euclidean nearest neighbour of each of `points` (n, d)."""
    points, among = points.astype(np.float64), among.astype(np.float64)
    squared = (points**2).sum(1)[:, None] + (among**2).sum(1) - 2 * points @ among.T
    return squared.argmin(axis=1)


def notes(sources: Sources, what: str) -> Iterator[str]:
    """The last lines of a figure: its scale and rule, then attributions, so that a detached file still tells them."""
    settings = sources.settings
    size = f"{settings.resolution} × {settings.resolution} px"
    yield f"Preset {settings.preset}, {size}, seed {settings.figure_seed}; {what}."
    yield from sources.attributions()


def _rows(images: np.ndarray, rows: int) -> np.ndarray:
    """(n, H, W, 3) -> (rows, n // rows, H, W, 3)."""
    columns = max(len(images) // rows, 1)
    return images[: rows * columns].reshape(-1, columns, *images.shape[1:])


SHEETS = {"figure2": figure2, "figure3": figure3, "interpolation": interpolation, "memorisation": memorisation}


def draw(name: str, sources: Sources, png: Path, pdf: Path) -> None:
    """Draw one figure, of SHEETS or "curves", to both files."""
    if name == "curves":
        curves.draw(sources, png, pdf)
    else:
        SHEETS[name](sources).save(png, pdf)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("figure", choices=[*SHEETS, "curves"])
    parser.add_argument("--settings", type=Path, required=True, help="JSON, see workflow/scripts/settings.py")
    parser.add_argument("--results", type=Path, required=True, help="results/<preset>")
    parser.add_argument("--prepared", type=Path, required=True, help="data/prepared/<resolution>")
    parser.add_argument("--features", type=Path, help="results/<preset>/features/<network>, for memorisation")
    parser.add_argument("--out-png", type=Path, required=True)
    parser.add_argument("--out-pdf", type=Path, required=True)
    arguments = parser.parse_args()
    sources = Sources(load(arguments.settings), arguments.results, arguments.prepared, arguments.features)
    draw(arguments.figure, sources, arguments.out_png, arguments.out_pdf)


if __name__ == "__main__":
    run(main)
