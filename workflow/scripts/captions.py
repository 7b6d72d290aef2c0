"""Captions: what a number or picture is, how it was measured, and at what scale, in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from workflow.scripts.numbers import RESAMPLES, Cell, Metric
from workflow.scripts.settings import Entry, Settings

# The presets whose budget is that of the published runs.
PUBLISHED_SCALE = ("paper", "official")

HEADLINES = {
    1: "FID and LPIPS backtracking score",
    2: "Precision and recall",
    3: "Adaptive IMLE against vanilla IMLE: FID, precision and recall",
}


def scale(settings: Settings) -> str:
    """The sentence that keeps a demo number from being taken for a paper number."""
    warning = "" if settings.preset in PUBLISHED_SCALE else " Not comparable with published numbers."
    return f"Preset {settings.preset}, {settings.resolution} × {settings.resolution} px.{warning}"


def table_caption(
    number: int, settings: Settings, metrics: Sequence[Metric], rows: Sequence[Entry], cells: Sequence[Cell]
) -> str:
    """Preset, resolution, sample counts, feature network, k, seeds and steps behind one table.

    Counts and steps are those of the ranked rows' cells, as measured; what deviates is a note of the table.
    """
    ranked = {row.id for row in rows if row.ranked}
    main = [cell for cell in cells if cell.method in ranked and cell.values]
    sentences = [f"{HEADLINES[number]}.", scale(settings)]
    for protocol in dict.fromkeys(metric.protocol for metric in metrics):
        sentences.append(_protocol(protocol, settings, [cell for cell in main if cell.metric.protocol == protocol]))
    sentences += [_steps(rows, main), _seeds(settings), _ranking(rows)]
    return " ".join(sentence for sentence in sentences if sentence)


def figure_caption(name: str, settings: Settings) -> str:
    """The caption of one figure; `name` is its file's stem."""
    seed = settings.figure_seed
    text = {
        "figure2": f"Uncurated samples. Each method's first samples of seed {seed}, without selection, below training "
        "images taken at even intervals.",
        "figure3": "LPIPS backtracking. Held-out images (top row of each set) and the nearest image that each method "
        f"can reach through its latent space, with its LPIPS below (lower is better; bold: best of the column). "
        f"Generators trained on 90% of the images, seed {seed}; {_backtracking(settings)}. The mean at the left is "
        "over all held-out images.",
        "interpolation": "Each row moves between two random latent codes in equal steps; "
        f"rows are the first of seed {seed}, without selection.",
        "memorisation": f"Each method's first samples of seed {seed} and, below each, its nearest "
        "training image. A method that copies shows the same picture twice; a method that generalises does not.",
        "curves": "Every scalar that a method logs, against its own steps; losses of different "
        "methods are not comparable. Full training set, one line for each dataset and seed: pale as logged, solid a "
        "moving average.",
    }[name]
    return f"{text} {scale(settings)}"


def _protocol(key: str, settings: Settings, cells: list[Cell]) -> str:
    protocol = settings.protocols[key]
    if key == "lpips_backtracking":
        return _backtracking_protocol(settings, cells)
    label = "FID (↓):" if key == "fid" else f"Precision and recall (↑): k = {protocol['k']},"
    n_real = _listed(count[0] for cell in cells for count in cell.counts)
    n_fake = _listed(count[1] for cell in cells for count in cell.counts)
    counts = f", {n_fake} generated against {n_real} real images" if cells else ""
    return f"{label} {protocol['network']} features{counts} (protocol {protocol['name']})."


def _backtracking_protocol(settings: Settings, cells: list[Cell]) -> str:
    held_out = _listed(cell.items for cell in cells if cell.items)
    sentence = "LPIPS backtracking (↓): generators trained on 90% of the images, "
    sentence += f"{held_out} held-out images, " if held_out else ""
    sentence += f"{_backtracking(settings)} (protocol {settings.protocols['lpips_backtracking']['name']})"
    if any(cell.interval for cell in cells):
        sentence += f"; in brackets, 95% bootstrap intervals over held-out images ({RESAMPLES:,} resamples)"
    return f"{sentence}."


def _backtracking(settings: Settings) -> str:
    protocol = settings.protocols["lpips_backtracking"]
    return f"LPIPS ({protocol['network']}), {protocol['steps']:,} steps, best of {protocol['restarts']} restarts"


def _steps(rows: Sequence[Entry], cells: list[Cell]) -> str:
    parts = []
    for row in rows:
        steps = {step for cell in cells if cell.method == row.id for step in cell.steps}
        if row.kind == "method" and steps:
            parts.append(f"{row.title} {_listed(steps)}")
    return f"Training steps: {'; '.join(parts)}." if parts else ""


def _seeds(settings: Settings) -> str:
    if len(settings.seeds) == 1:
        return f"Seed {settings.seeds[0]} alone (n = 1: no deviation can be given)."
    seeds = ", ".join(map(str, settings.seeds))
    return f"Mean ± standard deviation over n = {len(settings.seeds)} seeds ({seeds})."


def _ranking(rows: Sequence[Entry]) -> str:
    kinds = {row.kind for row in rows}
    unranked = [name for kind, name in (("control", "controls"), ("floor", "the floor")) if kind in kinds]
    return "Bold: best of the methods" + (f"; {' and '.join(unranked)} are not ranked." if unranked else ".")


def _listed(values: Iterable[int]) -> str:
    """Distinct counts in order, with thousands separators: "100, 160, 389"."""
    return ", ".join(f"{value:,}" for value in sorted(set(values)))
