"""Figure 4: the first held-out inputs of each task, right answers, and the first answers of each method, uncurated."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from workflow.rendering.answers import entry, lines
from workflow.rendering.captions import footer
from workflow.rendering.results import Results
from workflow.rendering.sheet import FOOTER, GAP, mosaic, tile_size
from workflow.rendering.style import COLOURS, DPI, GREY, SMALL, TINY, WIDTH, new_figure, save, styled, wrapped

ACROSS = 16  # images in a row
INPUTS = 4  # of a task, where one right answer is known
GUTTER = 12  # pixels between groups of columns
TITLE, HEAD, BELOW = 30, 52, 26  # pixels of a block's title, of the heads of its columns, and below it
CLASSES = ("#ffffff", *COLOURS)  # of a layout; the first is the background


@dataclass(frozen=True)
class Group:
    """Columns with one head: images, uint8 (rows, columns, H, W, 3)."""

    head: str
    images: np.ndarray


@styled
def draw(results: Results, png: Path | str, pdf: Path | str) -> None:
    for path, scale in ((png, 1), (pdf, 2)):
        save(_page(results, scale), path)


def _page(results: Results, scale: int) -> Figure:
    blocks = [(title, groups) for title, groups in _blocks(results) if groups]
    side = tile_size(WIDTH - 5 * GUTTER, ACROSS, results.preset.resolution)
    heights = [TITLE + HEAD + len(groups[0].images) * (side + GAP) + BELOW for _, groups in blocks]
    what = f"seed {results.preset.seeds[0]}; first held-out inputs, first answers, uncurated"
    foot = wrapped(footer(results, what))
    total = sum(heights) + FOOTER * (len(foot) + 1)
    figure, top = new_figure(total, DPI * scale), 0
    for (title, groups), height in zip(blocks, heights, strict=True):
        figure.text(0, 1 - (top + TITLE - 8) / total, title, size=SMALL + 1, weight="bold")
        left = 0
        for group in groups:
            framed = group.images.min(axis=(2, 3, 4)) < 255  # not the white ones that fill a group up
            pixels = mosaic(group.images, side * scale, GAP * scale, scale, framed=framed)
            bottom = (total - top - TITLE - HEAD) * scale - len(pixels)
            figure.figimage(pixels, left * scale, bottom, origin="upper")
            width = pixels.shape[1] // scale
            head = wrap(group.head, max(width // 9, 8), break_long_words=False)
            size = TINY * min(1, width / (9 * max(map(len, head))))  # a letter is at most nine pixels wide
            place = left / WIDTH, 1 - (top + TITLE + HEAD - 8) / total
            figure.text(*place, "\n".join(head), size=size, color=GREY, va="bottom")
            left += width + GUTTER
        top += height
    figure.text(0, 6 / total, "\n".join(foot), size=TINY, color=GREY, va="bottom", linespacing=1.25)
    return figure


def _blocks(results: Results) -> list[tuple[str, list[Group]]]:
    """The title of each task and its groups of columns."""
    preset = results.preset
    return [(task.title(preset.resolution), _groups(results, name, task.kind)) for name, task in preset.tasks.items()]


def _groups(results: Results, name: str, kind: str) -> list[Group]:
    """Input, right answers, then all methods: one answer of each if all its answers are equal, else equally many.

    Where several right answers are known, half as many inputs have two lines each, so that twice as many answers fit.
    """
    methods = [method for task, method in lines(results.preset, kind) if task == name]
    found = [(method, arrays) for method in methods if (arrays := results.answers(name, method))]
    if not found:
        return []
    shown = found[0][1]
    lines_each = 2 if shown["answers"].shape[1] > 1 else 1
    inputs, side = INPUTS // lines_each, shown["answers"].shape[2]
    groups = [
        Group("input", folded(pictures(shown["conditions"][:inputs], side)[:, None], lines_each)),
        Group("truth" if lines_each == 1 else "right answers", folded(shown["answers"][:inputs], lines_each)),
    ]
    single: list[Group] = []
    several: list[Group] = []
    for method, arrays in found:
        if method in ("truth", "real_answers"):
            continue
        drawn, title = arrays["drawn"][:inputs], entry(results, method, kind).title
        title = title.replace(" (control)", "").replace("(control, ", "(")
        alone = (drawn == drawn[:, :1]).all()
        (single if alone else several).append(Group(title, folded(drawn[:, :1] if alone else drawn, lines_each)))
    groups += sorted(single, key=lambda group: group.head)
    left = ACROSS - sum(group.images.shape[1] for group in groups)
    each = max(left // max(len(several), 1), 1)
    return groups + [Group(group.head, group.images[:, :each]) for group in several]


def folded(images: np.ndarray, rows: int) -> np.ndarray:
    """The columns of each input in several rows, from top to bottom, filled up with white: (n * rows, columns, ...)."""
    n, columns = images.shape[:2]
    white = np.full((n, -columns % rows, *images.shape[2:]), 255, np.uint8)
    filled = np.concatenate([images, white], axis=1)
    return filled.reshape(n, -1, rows, *images.shape[2:]).swapaxes(1, 2).reshape(n * rows, -1, *images.shape[2:])


def pictures(conditions: np.ndarray, side: int) -> np.ndarray:
    """Conditions (n, c, h, w) as images, uint8 (n, side, side, 3): small images enlarged, layouts in colours."""
    if conditions.shape[-1] == side and conditions.min() >= 0:
        palette = np.array([to_rgb(CLASSES[index % len(CLASSES)]) for index in range(conditions.shape[1])])
        return (np.einsum("nchw,cd->nhwd", conditions, palette) * 255).round().clip(0, 255).astype(np.uint8)
    small = ((conditions + 1) * 127.5).round().clip(0, 255).astype(np.uint8).transpose(0, 2, 3, 1)
    factor = side // small.shape[1]
    return small.repeat(factor, axis=1).repeat(factor, axis=2)
