"""Figure 5: samples of IMLE and of the 1-NN GAN in the plane and on the faces, from two starts.

The numbers come from nn_direction.py, which defines them.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from workflow.rendering.notation import markdown_table
from workflow.rendering.sheet import GAP, mosaic, tile_size
from workflow.rendering.style import (
    COLOURS,
    DPI,
    GREY,
    INK,
    LABEL,
    SMALL,
    TINY,
    WIDTH,
    new_figure,
    save,
    styled,
    wrapped,
)

DIRECTIONS = {"nn_gan": ("1-NN GAN", COLOURS[1]), "imle": ("IMLE", COLOURS[0])}
STARTS = {"default": "default\nstart", "spread": "spread\nstart"}
PLANE = {"ring": 8, "grid": 25}  # modes
FACES = 16  # shown in a row
HEIGHT, BOTTOM = 1150, 510  # pixels; all, and below the panels of the plane
LEGEND = (
    "Above: data points (black) and 2,000 samples of the first seed.  Modes: those with at least 20 of 10,000 samples "
    "within three deviations.  Covered: share of data points with a sample within one deviation.  On a mode: share of "
    "samples.  Below: the first samples of the first seed, uncurated, and how many of the 100 drawings are the nearest "
    "drawing of some of 1,000 samples.  All numbers are means over {seeds} seeds."
)
Arrays = dict[str, np.ndarray]


@styled
def draw(numbers: pd.DataFrame, arrays: Arrays, png: Path | str, pdf: Path | str) -> None:
    """numbers, arrays: what nn_direction.compare returns, for the plane and the faces together."""
    means = numbers.groupby(["data", "start", "direction", "metric"])["value"].mean()
    for path, scale in ((png, 1), (pdf, 2)):
        save(_page(means, arrays, numbers["seed"].nunique(), scale), path)


def _page(means: pd.Series, arrays: Arrays, seeds: int, scale: int) -> Figure:
    figure = new_figure(HEIGHT, DPI * scale)
    columns = [(data, direction) for data in PLANE for direction in DIRECTIONS]
    grid = figure.add_gridspec(
        len(STARTS),
        len(columns),
        left=LABEL / WIDTH,
        right=0.998,
        top=1 - 90 / HEIGHT,
        bottom=BOTTOM / HEIGHT,
        wspace=0.06,
        hspace=0.22,
    )
    for (start, label), panels in zip(STARTS.items(), grid.subplots(squeeze=False), strict=True):
        middle = (panels[0].get_position().y0 + panels[0].get_position().y1) / 2
        figure.text(0, middle, label, size=SMALL, va="center")
        for axes, (data, direction) in zip(panels, columns, strict=True):
            samples = arrays[f"{data}_{start}_{direction}"]
            _draw_points(axes, arrays[f"{data}_data"], samples, DIRECTIONS[direction][1])
            axes.set_title(_numbers(means[data, start, direction], PLANE[data]), size=TINY, color=GREY, pad=3)
            if start == "default":
                name, colour = DIRECTIONS[direction]
                style: dict[str, Any] = {"size": SMALL, "weight": "bold", "color": colour, "ha": "center"}
                axes.text(0.5, 1.2, f"{name}, {data}", transform=axes.transAxes, **style)
    _draw_faces(figure, means, arrays, scale)
    legend = "\n".join(wrapped([LEGEND.format(seeds=seeds)]))
    figure.text(0.002, 8 / HEIGHT, legend, size=TINY, color=GREY, linespacing=1.4)
    return figure


def _numbers(means: pd.Series, modes: int) -> str:
    return f"modes {means['modes']:.1f} of {modes}\ncovered {means['covered']:.0%}, on a mode {means['on_a_mode']:.0%}"


def _draw_points(axes: Axes, data: np.ndarray, samples: np.ndarray, colour: str) -> None:
    axes.set(xticks=[], yticks=[], xlim=(-1.35, 1.35), ylim=(-1.35, 1.35), aspect="equal")
    axes.grid(visible=False)
    axes.spines[:].set(visible=True, color="#c4c4c4", linewidth=0.5)
    axes.scatter(data[:, 0], data[:, 1], s=3, marker="s", color=INK, linewidths=0)
    axes.scatter(samples[:, 0], samples[:, 1], s=1.2, color=colour, alpha=0.4, linewidths=0, rasterized=True)


def _draw_faces(figure: Figure, means: pd.Series, arrays: Arrays, scale: int) -> None:
    images = arrays["faces_data"]
    rows: list[tuple[str, np.ndarray, str]] = [("drawings", images[:: len(images) // FACES][:FACES], INK)]
    for start in STARTS:
        for direction, (name, colour) in DIRECTIONS.items():
            reached = means["faces", start, direction, "reached"]
            label = f"{name}\n{start} start\n{reached:.0f} of {len(images)}"
            rows.append((label, arrays[f"faces_{start}_{direction}"][:FACES], colour))
    resolution = round((images.shape[1] / 3) ** 0.5)
    side = tile_size(WIDTH - LABEL, FACES, resolution)
    for number, (label, vectors, colour) in enumerate(rows):
        bottom = BOTTOM - 30 - (number + 1) * (side + 10)
        pixels = mosaic(_pictures(vectors, resolution)[None], side * scale, GAP * scale, scale)
        figure.figimage(pixels, LABEL * scale, bottom * scale, origin="upper")
        figure.text(0, (bottom + side / 2) / HEIGHT, label, size=TINY, color=colour, va="center", linespacing=1.4)


def _pictures(vectors: np.ndarray, resolution: int) -> np.ndarray:
    """(n, D) in [-1, 1], channels first, to uint8 (n, H, W, 3)."""
    images = vectors.reshape(-1, 3, resolution, resolution).transpose(0, 2, 3, 1)
    return ((images + 1) * 127.5).round().clip(0, 255).astype(np.uint8)


COLUMNS = {  # of the tables: metric, head, decimals
    "plane": [("modes", "modes", 1), ("covered", "data covered", 2), ("on_a_mode", "samples on a mode", 2)],
    "faces": [
        ("reached", "drawings nearest to a sample", 1),
        ("effective_number", "effective number", 1),
        ("largest_share", "largest share", 2),
    ],
}
BOTH = [("data_to_sample", "data to nearest sample", 4), ("sample_to_data", "sample to nearest data", 4)]


TEXTS = ("data", "start", "training")


def tables(numbers: pd.DataFrame) -> list[tuple[tuple[str, ...], list[tuple[str, ...]]]]:
    """All numbers, mean and standard deviation over the seeds: heads and rows of the plane, then of the faces."""
    grouped = numbers.groupby(["data", "start", "direction", "metric"])["value"]
    means, deviations = grouped.mean(), grouped.std()
    names = {"none": "the start", **{name: title for name, (title, _) in DIRECTIONS.items()}}
    found = []
    for part, sets in (("plane", PLANE), ("faces", ("faces",))):
        columns = COLUMNS[part] + BOTH
        rows = []
        for data, start, direction in product(sets, STARTS, names):
            at = (data, start, direction)
            cells = (f"{means[*at, key]:.{digits}f} ± {deviations[*at, key]:.{digits}f}" for key, _, digits in columns)
            rows.append((data, start, names[direction], *cells))
        found.append(((*TEXTS, *(head for _, head, _ in columns)), rows))
    return found


def markdown(numbers: pd.DataFrame) -> str:
    return "\n\n".join(markdown_table(heads, rows, TEXTS) for heads, rows in tables(numbers)) + "\n"
