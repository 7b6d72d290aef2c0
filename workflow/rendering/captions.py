"""Captions: what a number or picture is, how it was measured, and at what scale."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from metrics.statistics import RESAMPLES
from networks.names import NETWORK_TITLES
from training.config import Preset
from training.identity import pixels_alone
from training.protocols import DENSE, VERSION
from workflow.rendering import stamp
from workflow.rendering.contents import ALL, Entry, dataset_title, paper_scale
from workflow.rendering.numbers import Cell, Metric
from workflow.rendering.results import Results

HEADLINES = {
    ALL: "Every metric",
    1: "FID and LPIPS backtracking score",
    2: "Precision and recall",
    3: "Adaptive IMLE against vanilla IMLE: FID, precision and recall",
    4: "Diversity",
}

# What the metrics of one protocol are, by the first of them.
MEANING = {
    "fd": "FD (↓): Fréchet distance of other features{network}",
    "copy_rate": "Copies (↓): share of samples nearer to one training image than half the distance to any other, in "
    "pixels at 32 × 32, mirror images included; in brackets, 95% Wilson intervals",
    "recall_equal": "Recall (n = real), density and coverage: k = {k}, as many samples as real images, mean of 20 "
    "draws; new images of the same kind would have about the recall and coverage of the real halves",
    "vendi": "Vendi score (↑): effective number of different samples{network}, as many samples as real images, mean of "
    "20 draws",
    "intra_lpips": "Intra-LPIPS (↑): mean LPIPS{network} between samples with the same nearest training image. Mode "
    "distance (↓): mean LPIPS of a training image to the nearest sample, low also for copies",
}
MEANING["mode_distance"] = MEANING["intra_lpips"]  # if that column is left out


def scale(preset: Preset) -> str:
    """Preset and resolution, and for other presets than the paper's a warning that numbers are not comparable."""
    warning = "" if paper_scale(preset) else " Not comparable with published numbers."
    return f"Preset {preset.preset}, {preset.resolution} × {preset.resolution} px, protocol version {VERSION}.{warning}"


def table_caption(number: int, results: Results, rows: Sequence[Entry], cells: Iterable[Cell]) -> str:
    """Preset, resolution, sample counts, feature network, k, seeds, steps and commit behind one table.

    Counts and steps are those of the ranked rows' cells, as measured; a row with another number of samples than the
    preset takes has it in a footnote of the table.
    """
    cells, preset = list(cells), results.preset
    main = [cell for cell in cells if cell.row.ranked and cell.values]
    sentences = [f"{HEADLINES[number]}.", scale(preset)]
    measured: dict[str, list[Cell]] = {}
    for metric in dict.fromkeys(cell.metric for cell in cells):
        name = metric.protocol(preset).name
        if name not in measured:
            measured[name] = [cell for cell in main if cell.metric.protocol(preset).name == name]
            sentences.append(_protocol(metric, preset, measured[name]))
            if metric.id == "lpips_backtracking":
                sentences.append(_trained_with(preset.metrics.backtracking.net, results, main))
    if any(row.track for row in rows):
        sentences.append("Track: outside knowledge that a method uses (docs/protocol.md).")
    sentences += [_dense(main), _steps(rows, main), seeds(preset, *measured_seeds(main)), _ranking(rows)]
    behind = {(cell.dataset, cell.row.id, cell.metric.split) for cell in cells if cell.values}
    runs = [run for run in results.measured_runs if (run["dataset"], run["method"], run["split"]) in behind]
    sentences += [stamp.sentence(runs, rows)]
    return " ".join(sentence for sentence in sentences if sentence)


def footer(
    results: Results, what: str, attributions: bool = True, runs: Sequence[stamp.Record] | None = None
) -> list[str]:
    """The last lines of a figure, so that the file itself states its scale, selection, commit and licence.

    runs: the trainings that the figure shows; all that were measured if not given.
    """
    preset, runs = results.preset, results.measured_runs if runs is None else runs
    size = f"{preset.resolution} × {preset.resolution} px"
    origin = f"; {stamp.commits(runs)}" if runs else ""
    line = f"Preset {preset.preset}, {size}, {what}{origin}."
    return [line, *(results.attributions() if attributions else [])]


def _protocol(metric: Metric, preset: Preset, cells: list[Cell]) -> str:
    if metric.id == "lpips_backtracking":
        return _backtracking_protocol(metric, preset, cells)
    protocol = metric.protocol(preset)
    if metric.id in MEANING:
        network = "" if metric.id == "copy_rate" else f" ({protocol.network})"
        return f"{MEANING[metric.id].format(network=network, k=protocol.k)} (protocol {protocol.name})."
    label = "FID (↓):" if metric.id == "fid" else f"Precision and recall (↑): k = {protocol.k},"
    counts_of = [count for cell in cells for count in cell.counts]
    usual = [count for count in counts_of if count[1] == metric.n_fake(preset)] or counts_of
    n_real, n_fake = _listed(real for real, _ in counts_of), _listed(fake for _, fake in usual)
    counts = f", {n_fake} generated against {n_real} real images" if cells else ""
    return f"{label} {protocol.network} features{counts} (protocol {protocol.name})."


def _backtracking_protocol(metric: Metric, preset: Preset, cells: list[Cell]) -> str:
    held_out = _listed(cell.items for cell in cells if cell.items)
    sentence = "LPIPS backtracking (↓): generators trained on 90% of the images, "
    sentence += f"{held_out} held-out images, " if held_out else ""
    sentence += f"{_backtracking(preset)} (protocol {metric.protocol(preset).name})"
    if any(cell.interval for cell in cells):
        sentence += f"; in brackets, 95% BCa intervals over held-out images ({RESAMPLES:,} resamples)"
    return f"{sentence}."


def _trained_with(network: str, results: Results, cells: list[Cell]) -> str:
    """Which measured methods have the network of the score in their training loss."""
    measured = {cell.row.id: cell.row.title for cell in cells if cell.metric.id == "lpips_backtracking"}
    found = trained_with(network, results)
    titles = [title for method, title in measured.items() if method in found]
    return f"Their training loss has the same network: {', '.join(titles)}." if titles else ""


def trained_with(network: str, results: Results) -> set[str]:
    """The methods with this LPIPS network in their training loss."""
    trained = (run for run in results.runs if not pixels_alone(run["config"]))
    return {run["method"] for run in trained if run["config"].get("perceptual") == network}


def _dense(cells: list[Cell]) -> str:
    """Which methods have a density above `DENSE`."""
    dense = [cell for cell in cells if cell.metric.id == "density" and cell.mean > DENSE]
    found = [f"{cell.row.title} on {dataset_title(cell.dataset)} ({cell.text})" for cell in dense]
    return f"Density above {DENSE}, a sign of collapse: {', '.join(found)}." if found else ""


def _backtracking(preset: Preset) -> str:
    protocol = preset.metrics.backtracking
    starts = "one start" if protocol.restarts == 1 else f"best of {protocol.restarts} restarts"
    return f"LPIPS ({NETWORK_TITLES[protocol.net]}), {protocol.steps:,} steps, {starts}"


def _steps(rows: Sequence[Entry], cells: list[Cell]) -> str:
    parts = []
    for row in rows:
        steps = {step for cell in cells if cell.row == row for step in cell.steps}
        if row.kind == "method" and steps:
            parts.append(f"{row.title} {_listed(steps)}")
    return f"Training steps: {'; '.join(parts)}." if parts else ""


def measured_seeds(cells: Iterable[Cell]) -> tuple[int, int]:
    """The smallest and the largest number of seeds of any number.

    Of the full training set if some is measured, because 90 % runs have fewer.
    """
    measured = [cell for cell in cells if cell.values]
    full = [cell for cell in measured if cell.metric.split == "full"]
    counts = [len(cell.values) for cell in full or measured]
    return min(counts, default=0), max(counts, default=0)


def seeds(preset: Preset, fewest: int, most: int) -> str:
    """fewest, most: `measured_seeds`."""
    asked, listed = len(preset.seeds), ", ".join(map(str, preset.seeds))
    if most == 0:
        return ""
    if asked == 1:
        return f"Seed {preset.seeds[0]} alone (n = 1: no deviation can be given)."
    if most == 1:
        return f"So far one of {asked} seeds ({listed}): no deviation can be given."
    so_far = f"; so far at most {most} are finished" if 0 < most < asked else ""
    some = f"; some numbers have only {fewest}" if fewest < most else ""
    return f"Mean ± standard deviation over n = {asked} seeds ({listed}){so_far}{some}."


def _ranking(rows: Sequence[Entry]) -> str:
    kinds = {row.kind for row in rows}
    unranked = [name for kind, name in (("control", "controls"), ("floor", "the real halves")) if kind in kinds]
    return "Bold: best of the methods" + (f"; {' and '.join(unranked)} are not ranked." if unranked else ".")


def _listed(values: Iterable[int]) -> str:
    """Distinct counts in order, with thousands separators: "100, 160, 389"."""
    return ", ".join(f"{value:,}" for value in sorted(set(values)))
