"""All figures of a preset.  Those that show images are made here; each diagram has a module of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from workflow.rendering import counts, curves, learning, ranking, shots, variants
from workflow.rendering.captions import footer
from workflow.rendering.contents import Entry, dataset_title
from workflow.rendering.results import Arrays, Results, check_targets, nearest_images
from workflow.rendering.sheet import Band, Block, Line, draw_sheet

MAX_TARGETS = 10  # a row of Figure 3
NO_PATH = "n/a (the method has no latent code to move along)"  # its class says `backtracks = False`
Source = Callable[
    [str], Block
]  # what a line shows for a dataset: images (rows, columns, H, W, 3), or why there are none


def figure2(results: Results) -> tuple[list[Band], str]:
    """Training images at even intervals, then the first samples of each method: no image is chosen."""
    columns, rows = _columns(results), 2 if len(results.pictured) == 2 else 1

    def training(dataset: str) -> Block:
        real = results.real(dataset)
        if real is None:
            return results.why_no_images(dataset)
        return _in_rows(real[np.linspace(0, len(real) - 1, rows * columns).round().astype(int)], rows)

    def samples(row: Entry, dataset: str) -> Block:
        arrays = results.samples(dataset, row)
        return _in_rows(arrays["images"][: rows * columns], rows) if arrays else results.why(dataset, row)

    lines: list[tuple[str, Source]] = [("Training images", training)]
    lines += [(row.title, partial(samples, row)) for row in results.ranked]
    return _bands(results, lines), "training images at even intervals; samples are the first drawn, without selection"


def interpolation(results: Results) -> tuple[list[Band], str]:
    """The first two interpolations of each method."""

    def block(row: Entry, dataset: str) -> Block:
        arrays = results.samples(dataset, row)
        if arrays is None:
            return results.why(dataset, row)
        return arrays["interpolation"][:2] if "interpolation" in arrays else NO_PATH

    lines = [(row.title, partial(block, row)) for row in results.generators]
    return _bands(results, lines), "each row moves between two random latent codes; the first rows, without selection"


def memorisation(results: Results) -> tuple[list[Band], str]:
    """The most copied samples of each method, each above the training image nearest to it in pixels."""

    def block(row: Entry, dataset: str) -> Block:
        arrays, real, copies = results.samples(dataset, row), results.real(dataset), results.copies(dataset, row)
        if arrays is None or real is None:
            return results.why_no_images(dataset) if arrays else results.why(dataset, row)
        if copies is None or not len(copies["ratio"]):
            return "n/a (the copy rate was not measured)"
        first = np.argsort(copies["ratio"], kind="stable")[: _columns(results)]
        return np.stack([arrays["images"][first], nearest_images(real, copies, first)])

    lines = [(row.title, partial(block, row)) for row in results.ranked]
    what = "upper rows: samples, the most copied first; lower rows: nearest training image in pixels"
    return _bands(results, lines, below="nearest"), what


def figure3(results: Results) -> tuple[list[Band], str]:
    """Held-out images above each method's reconstructions, with their LPIPS below."""
    bands = [_reconstructions(results, dataset) for dataset in results.pictured]
    return bands, "held-out images in order, without selection; LPIPS below, lower is better"


def _reconstructions(results: Results, dataset: str) -> Band:
    """One dataset's part of Figure 3."""
    title = (dataset_title(dataset),)
    found = {row: results.backtracking(dataset, row) for row in results.generators}
    runs = [arrays for arrays in found.values() if arrays]
    if not runs:
        reasons = dict.fromkeys(results.why(dataset, row, "train90") for row in found)
        return Band(title, [Line("", ("; ".join(reasons),))])
    check_targets(runs, dataset)
    target = runs[0]["target"]
    best = np.min([arrays["score"] for arrays in runs], axis=0)
    lines = [Line("Held-out target", (target[None, :MAX_TARGETS],))]
    for row, arrays in found.items():
        if arrays:
            lines.append(_reconstruction(row, arrays, best))
        else:
            lines.append(Line(row.title, (results.why(dataset, row, "train90"),)))
    return Band(title, lines)


def _reconstruction(row: Entry, arrays: Arrays, best: np.ndarray) -> Line:
    """Pictures with their scores below, bold if no method is better, and the mean at the left."""
    score, images = arrays["score"], arrays["reconstruction"][None, :MAX_TARGETS]
    texts = [(f"{value:.3f}", f"{value:.3f}" == f"{least:.3f}") for value, least in zip(score, best, strict=True)]
    return Line(row.title, (images,), f"mean {score.mean():.3f}", texts[:MAX_TARGETS])


def _bands(results: Results, lines: Sequence[tuple[str, Source]], below: str = "") -> list[Band]:
    """A line for each title, a panel for each dataset, two panels to a band."""
    datasets = results.pictured
    bands = []
    for start in range(0, len(datasets), 2):
        band = datasets[start : start + 2]
        rows = []
        for title, source in lines:
            blocks = tuple(source(dataset) for dataset in band)
            drawn = any(isinstance(block, np.ndarray) for block in blocks)
            rows.append(Line(title, blocks, below if drawn else ""))
        bands.append(Band(tuple(map(dataset_title, band)), rows))
    return bands


def _columns(results: Results) -> int:
    """Images in a row of a panel; a data set alone has the whole width."""
    return (8 if results.preset.resolution <= 64 else 5) * (2 if len(results.pictured) == 1 else 1)


def _in_rows(images: np.ndarray, rows: int) -> np.ndarray:
    """(n, H, W, 3) -> (rows, n // rows, H, W, 3), a copy, so that the other samples need no memory."""
    columns = max(len(images) // rows, 1)
    return images[: rows * columns].reshape(-1, columns, *images.shape[1:]).copy()


IMAGES = {"figure2": figure2, "figure3": figure3, "interpolation": interpolation, "memorisation": memorisation}

DIAGRAMS = {  # show no image
    "curves": curves.draw,
    "ranking": ranking.draw,
    "learning": learning.draw,
    "shots": shots.draw,
    "variants": variants.draw,
    "counts": counts.draw,
}


def draw(name: str, results: Results, png: Path | str, pdf: Path | str) -> None:
    """Draw one of contents.figures_of to both files."""
    if name in DIAGRAMS:
        DIAGRAMS[name](results, png, pdf)
    else:
        bands, what = IMAGES[name](results)
        seed, split = results.preset.seeds[0], "train90" if name == "figure3" else "full"
        shown = [run for run in results.runs if (run["seed"], run["split"]) == (seed, split)]
        shown = [run for run in shown if run["dataset"] in results.pictured]
        draw_sheet(bands, footer(results, f"seed {seed}; {what}", runs=shown), png, pdf)
