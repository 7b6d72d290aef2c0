"""A page of small images: lines of panels with sizes in whole pixels, so that images stay sharp."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from workflow.rendering.style import DPI, GREY, LABEL, PALE, RULE, SMALL, TINY, WIDTH, new_figure, save, styled, wrapped

# Pixels of the PNG.
GUTTER = 16  # between the two panels of a band
GAP = 4  # between images
ROW_GAP = 14  # below a line
HEADER = 36
NOTHING = 48  # least height of a line with a reason instead of pictures
TITLE = 24  # height of a line of a title
SCORES = 30
MAX_SIDE = 128  # of an image
FOOTER = 20  # a line of the footer


# Images, uint8 (rows, columns, H, W, 3); or the reason why there are none.
Block = np.ndarray | str


@dataclass(frozen=True)
class Line:
    """A label, a smaller one below it, a block for each panel, and scores of the first panel's images (True: bold)."""

    title: str
    blocks: tuple[Block, ...]
    below: str = ""
    scores: Sequence[tuple[str, bool]] = ()

    @property
    def words(self) -> list[str]:
        """The title, in lines of about nine letters."""
        return wrap(self.title, 10, break_long_words=False)

    @property
    def gap(self) -> int:
        """Pixels between this line and the next one."""
        return ROW_GAP + (SCORES if self.scores else 0)


@dataclass(frozen=True)
class Band:
    """Panels side by side, each with its title; all images have one size."""

    titles: tuple[str, ...]
    lines: list[Line]

    @property
    def pictures(self) -> list[np.ndarray]:
        return [block for line in self.lines for block in line.blocks if isinstance(block, np.ndarray)]

    def side(self, width: int) -> int:
        """The side in pixels of an image in a panel of this width."""
        columns = max((block.shape[1] for block in self.pictures), default=1)
        resolution = max((block.shape[2] for block in self.pictures), default=1)
        return tile_size(width, columns, resolution)

    def width(self, panel: int) -> int:
        """The width of the images of a panel, or of the panel if there are none."""
        columns = max((block.shape[1] for block in self.pictures), default=0)
        return columns * (self.side(panel) + GAP) - GAP if columns else panel

    def height(self, line: Line, width: int) -> int:
        rows = [len(block) for block in line.blocks if isinstance(block, np.ndarray)]
        return max(rows) * (self.side(width) + GAP) - GAP if rows else max(NOTHING, TITLE * len(line.words))


def tile_size(width: int, columns: int, resolution: int) -> int:
    """Side in pixels of one of `columns` images in `width`: a multiple of the resolution if possible."""
    side = min((width - GAP * (columns - 1)) // columns, MAX_SIDE)
    return side // resolution * resolution if side >= resolution else side


@styled
def draw_sheet(bands: list[Band], footer: Sequence[str], png: Path | str, pdf: Path | str) -> None:
    """Draw the bands below each other.  The PDF has twice the pixels, for photographs that are shrunk."""
    for path, scale in ((png, 1), (pdf, 2)):
        save(_sheet(bands, footer, scale), path)


def _sheet(bands: list[Band], footer: Sequence[str], scale: int) -> Figure:
    across = max(len(band.titles) for band in bands)
    width = (WIDTH - LABEL - GUTTER * (across - 1)) // across
    foot = wrapped(footer)
    heights = [HEADER + sum(band.height(line, width) + line.gap for line in band.lines) + ROW_GAP for band in bands]
    figure = new_figure(sum(heights) + FOOTER * len(foot), DPI * scale)
    page = figure.add_axes((0, 0, 1, 1))
    page.set(xlim=(0, WIDTH), ylim=(figure.get_figheight() * DPI, 0))
    page.set_axis_off()
    y = 0
    for band, height in zip(bands, heights, strict=True):
        _draw_band(figure, band, y, width, scale)
        y += height
    page.text(1, y, "\n".join(foot), size=TINY, color=GREY, va="top", linespacing=1.25)
    return figure


def _draw_band(figure: Figure, band: Band, y: int, width: int, scale: int) -> None:
    """Draw titles and lines, from `y` downwards."""
    page, side = figure.axes[0], band.side(width)
    lefts = [LABEL + index * (width + GUTTER) for index in range(len(band.titles))]
    for x, title in zip(lefts, band.titles, strict=True):
        page.text(x, y + HEADER / 2 - 4, title, size=7.5, weight="bold", va="center")
    y += HEADER
    for line in band.lines:
        height = band.height(line, width)
        _draw_labels(page, line, y, height)
        _draw_scores(page, line, y + height + SCORES // 2, side)
        for x, block in zip(lefts, line.blocks, strict=True):
            if isinstance(block, str):
                _draw_reason(page, block, x, y, band.width(width), height)
            else:
                pixels = mosaic(block, side * scale, GAP * scale, scale)
                bottom = (round(figure.get_figheight() * DPI) - y + 1) * scale - len(pixels)
                figure.figimage(pixels, (x - 1) * scale, bottom, origin="upper")
        y += height + line.gap


def _draw_labels(page: Axes, line: Line, y: int, height: int) -> None:
    """Draw the labels in the left column; words longer than nine letters get a smaller font."""
    if line.title:
        size = SMALL * min(1.0, 9 / max(map(len, line.words)))
        middle = height / (4 if line.below and not line.scores else 2)
        page.text(0, y + middle, "\n".join(line.words), size=size, va="center", linespacing=1.3)
    lower = height + SCORES / 2 if line.scores else height * 3 / 4
    page.text(0, y + lower, line.below, size=TINY, color=GREY, va="center")


def _draw_scores(page: Axes, line: Line, y: int, side: int) -> None:
    for column, (text, bold) in enumerate(line.scores):
        x = LABEL + column * (side + GAP) + side / 2
        style: dict[str, Any] = {"weight": "bold"} if bold else {"color": GREY}
        page.text(x, y, text, size=TINY, ha="center", va="center", **style)


def _draw_reason(page: Axes, reason: str, x: int, y: int, width: int, height: int) -> None:
    """A pale box that says why there is no picture."""
    page.axhspan(y, y + height, x / WIDTH, (x + width) / WIDTH, facecolor=PALE, linewidth=0)
    text = "\n".join(wrap(reason, width // 10))
    page.text(x + 12, y + height / 2, text, size=6, color=GREY, va="center", linespacing=1.4)


def mosaic(images: np.ndarray, side: int, gap: int, rule: int, framed: np.ndarray | None = None) -> np.ndarray:
    """Images (rows, columns, H, W, 3) in one picture, each `side` pixels wide with a frame of `rule` pixels.

    framed: (rows, columns), False where a place stays empty; without it, none does.
    """
    rows, columns = images.shape[:2]
    step, frame = side + gap, side + 2 * rule
    canvas = np.full((rows * step - gap + 2 * rule, columns * step - gap + 2 * rule, 3), 255, np.uint8)
    colour = np.round(np.array(to_rgb(RULE)) * 255)
    for row, column in np.ndindex(rows, columns):
        tile = canvas[row * step : row * step + frame, column * step : column * step + frame]
        if framed is not None and not framed[row, column]:
            continue
        tile[:] = colour
        tile[rule:-rule, rule:-rule] = resized(images[row, column], side)
    return canvas


def resized(image: np.ndarray, side: int) -> np.ndarray:
    """uint8 (H, H, 3) -> (side, side, 3): pixels are repeated if the factor is an integer, otherwise filtered."""
    sampling = Image.Resampling.NEAREST if side % len(image) == 0 else Image.Resampling.LANCZOS
    return np.asarray(Image.fromarray(image).resize((side, side), sampling))
