"""How every figure looks: fonts, colours, and a sheet laid out in pixels, so that small images stay sharp."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np

from common.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 200
WIDTH = 1200  # pixels: six inches, the text width of a paper
LABEL = 102  # pixels: the column of row labels, about nine letters
PDF_DPI = 2 * DPI  # images in a PDF are resampled at this rate: a multiple of DPI keeps enlarged pixels square

INK, GREY, RULE, PALE = "#1a1a1a", "#6b6b6b", "#d4d4d4", "#f5f5f3"
# Okabe and Ito's palette for colour-blind readers, without its yellow, too light for lines.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
RC = {
    "font.family": "DejaVu Sans",
    "font.size": 7,
    "text.color": INK,
    "axes.labelcolor": GREY,
    "axes.edgecolor": "#a8a8a8",
    "axes.linewidth": 0.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": "#ececec",
    "grid.linewidth": 0.5,
    "xtick.color": "#a8a8a8",
    "ytick.color": "#a8a8a8",
    "xtick.labelcolor": GREY,
    "ytick.labelcolor": GREY,
    "xtick.labelsize": 5.5,
    "ytick.labelsize": 5.5,
    "xtick.major.width": 0.5,
    "ytick.major.width": 0.5,
    "xtick.major.size": 2,
    "ytick.major.size": 2,
    "lines.linewidth": 0.9,
    "pdf.fonttype": 42,
}


def tile_size(width: int, columns: int, gap: int, resolution: int, limit: int) -> int:
    """Side in pixels of one of `columns` tiles in `width`: a whole multiple of the resolution if it fits at all."""
    side = min((width - gap * (columns - 1)) // columns, limit)
    return side // resolution * resolution if side >= resolution else side


@dataclass
class Sheet:
    """Pictures and words placed in pixels from the top left corner; the height follows the content."""

    width: int = WIDTH
    height: int = 0
    _images: list[tuple[np.ndarray, int, int, int]] = field(default_factory=list)
    _texts: list[tuple[float, float, str, dict[str, Any]]] = field(default_factory=list)
    _boxes: list[tuple[int, int, int, int]] = field(default_factory=list)

    def image(self, pixels: np.ndarray, x: int, y: int, side: int) -> None:
        """A square picture, uint8 (H, W, 3), its top left corner at (x, y)."""
        self._images.append((pixels, x, y, side))
        self.height = max(self.height, y + side + 1)

    def row(self, images: np.ndarray, x: int, y: int, side: int, gap: int) -> None:
        """Square pictures (n, H, W, 3) side by side."""
        for index, pixels in enumerate(images):
            self.image(pixels, x + index * (side + gap), y, side)

    def text(self, x: float, y: float, text: str, *, size: float = 7, bottom: float = 0, **style: Any) -> None:
        """Words anchored at (x, y), by default at their left and vertical middle; `bottom`: room they need below y."""
        self._texts.append((x, y, text, {"size": size, "ha": "left", "va": "center", **style}))
        self.height = max(self.height, int(y + bottom))

    def label(self, y: float, title: str) -> None:
        """A row label in the left column, in lines of about nine letters; longer words are set smaller."""
        lines = wrap(title, 10, break_long_words=False)
        size = 6.5 * min(1.0, 9 / max(map(len, lines)))
        self.text(0, y, "\n".join(lines), size=size, linespacing=1.3)

    def placeholder(self, text: str, x: int, y: int, width: int, height: int) -> None:
        """A pale box that says why there is no picture."""
        self._boxes.append((x, y, width, height))
        lines = wrap(text, max(width // 10, 12))
        self.text(x + 12, y + height / 2, "\n".join(lines), size=6, color=GREY, linespacing=1.4)
        self.height = max(self.height, y + height + 1)

    def footer(self, lines: Sequence[str]) -> None:
        """Small grey lines below everything else."""
        wrapped = [part for line in lines for part in wrap(line, int(self.width / 8.4))]
        top = self.height + 22
        for index, line in enumerate(wrapped):
            self.text(1, top + 20 * index, line, size=5.8, color=GREY, va="top", bottom=22)

    def save(self, png: Path, pdf: Path) -> None:
        """Draw once, write both files."""
        import matplotlib
        from matplotlib.figure import Figure
        from matplotlib.patches import Rectangle

        with matplotlib.rc_context(RC):
            figure = Figure(figsize=(self.width / DPI, self.height / DPI), dpi=DPI, facecolor="white")
            axes = figure.add_axes((0, 0, 1, 1))
            axes.set_axis_off()
            for x, y, width, height in self._boxes:
                axes.add_patch(Rectangle((x, y), width, height, facecolor=PALE, edgecolor="none"))
            for pixels, x, y, side in self._images:
                # Enlarged by repeating pixels, shrunk through a filter.
                interpolation = "nearest" if side >= len(pixels) else "hanning"
                axes.imshow(pixels, extent=(x, x + side, y + side, y), interpolation=interpolation)
                # A keyline, one pixel wide: it lies below the picture and covers none of it.
                axes.add_patch(Rectangle((x - 1, y - 1), side + 2, side + 2, facecolor=RULE, linewidth=0, zorder=-1))
            for x, y, text, style in self._texts:
                axes.text(x, y, text, **style)
            # Last: every imshow resets the limits.
            axes.set(xlim=(0, self.width), ylim=(self.height, 0), aspect="auto")
            write(figure, png, pdf)


def write(figure: Figure, png: Path, pdf: Path) -> None:
    """Both files, whole or not at all, without dates or versions: the same data give the same bytes."""
    with atomic_path(png) as temporary:
        figure.savefig(temporary, dpi=DPI, metadata={"Software": None})
    with atomic_path(pdf) as temporary:
        figure.savefig(temporary, dpi=PDF_DPI, metadata={"CreationDate": None})
