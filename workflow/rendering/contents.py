"""The rows, tables and figures of a preset, for the rules and for rendering.  No pandas, no matplotlib."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal

from common.console import UserError
from data.datasets import dataset_info
from training.config import Preset, is_conditional
from training.identity import pixels_alone
from training.protocols import PrecisionRecall
from training.registry import MethodInfo, find_method, methods
from training.sections import SPLITS, MethodEntry

FIGURES = (
    *("figure2", "figure3", "interpolation", "memorisation", "curves"),
    *("ranking", "learning", "shots", "variants", "counts"),
)
KINDS = {"super_resolution": "super_resolution", "layouts": "layout"}  # table of answers: kind of its tasks
MANY = 3  # rows of one method, which then have a figure of their own
# Metrics of the tables, by their names in numbers.METRICS; a column without any number is left out.
# Tables 1-3 are the paper's, Table 4 is about diversity.
TABLES = {
    1: ("fid", "fd", "copy_rate", "lpips_backtracking"),
    2: ("precision", "recall", "recall_equal", "density", "coverage"),
    3: ("fid", "copy_rate", "precision", "recall"),
    4: ("vendi", "intra_lpips", "mode_distance"),
}
ALL = 0  # the number of the report's table, which has every metric
ABLATION = ("adaptive_imle", "vanilla_imle")  # rows of Table 3


@dataclass(frozen=True)
class Entry:
    """One row of the tables: a method, samples made elsewhere, a control, or real halves against each other."""

    id: str
    title: str
    kind: Literal["method", "external", "control", "floor"] = "method"
    track: str = ""  # the outside knowledge that a method uses: docs/protocol.md

    @property
    def ranked(self) -> bool:
        """Controls and the real halves are not ranked."""
        return self.kind in ("method", "external")


HALVES = Entry("floor", "Real halves", "floor")


def tables_of(preset: Preset) -> list[int]:
    """The tables of a preset; Table 3 exists only if the preset names datasets for it that it has."""
    if not preset.datasets:
        return []
    return [number for number in TABLES if number != 3 or set(preset.tables.ablation_datasets) & set(preset.datasets)]


def answer_tables(preset: Preset) -> list[str]:
    """The tables of answers: those of the kinds of tasks that the preset has."""
    kinds = {task.kind for task in preset.tasks.values()}
    return [name for name, kind in KINDS.items() if kind in kinds]


def figures_of(preset: Preset) -> list[str]:
    """File stems of a preset's figures."""
    needed = {
        "learning": bool(preset.training.checkpoints),
        "shots": preset.metrics.full_set is not None,
        "variants": bool(variants(preset)),
        "counts": len(counted(preset)) > 1,
    }
    return [name for name in FIGURES if needed.get(name, True)]


def places(preset: Preset) -> dict[str, int]:
    """A number for each row, which decides its colour: of a method it is the same in every preset.

    Rows with a suffix, such as `fastgan-wide`, come after all methods.
    """
    names = [name for name, info in methods().items() if info.trains and not info.conditional]
    others = [row.id for row in entries(preset) if row.kind == "method" and row.id not in names]
    return {name: place for place, name in enumerate([*names, *others])}


def paper_scale(preset: Preset) -> bool:
    """Are images, networks and training steps those of the published runs?"""
    return preset.preset in ("paper", "official")


def entries(preset: Preset, conditional: bool = False) -> list[Entry]:
    """The preset's methods and controls.  A method that no longer exists, in a saved preset, has its name as title.

    conditional: those that answer the inputs of tasks instead.
    """
    found = []
    for name, settings in preset.methods.items():
        if is_conditional(name) != conditional:
            continue
        info = find_method(name)
        trains = info.trains if info else settings.steps > 0
        kind: Literal["method", "control"] = "method" if trains else "control"
        track = _track(info, settings) if info and trains else ""
        found.append(Entry(name, info.title if info else name, kind, track))
    return found


def _track(info: MethodInfo, settings: MethodEntry) -> str:
    """The method's; `none` for a row whose settings leave the pretrained network out of the loss."""
    config = {field.name: field.default for field in fields(info.config)} | (settings.model_extra or {})
    return "none" if pixels_alone(config) else info.track


def variants(preset: Preset) -> dict[str, list[Entry]]:
    """The rows of each method that has MANY, such as `fastgan`, `fastgan-2` and `fastgan-3`, by the method's title."""
    groups: dict[str, list[Entry]] = {}
    for row in entries(preset):
        if row.ranked and (info := find_method(row.id.partition("-")[0])):
            groups.setdefault(info.title, []).append(row)
    return {title: rows for title, rows in groups.items() if len(rows) >= MANY}


def counted(preset: Preset) -> list[PrecisionRecall]:
    """The tables' protocol of precision and recall, and those that differ from it only in the number of samples."""
    protocols = preset.metrics.precision_recall
    return [one for one in protocols if (one.network, one.k) == (protocols[0].network, protocols[0].k)]


def learning_files(preset: Preset) -> list[str]:
    """The files with the metrics of checkpoints, in the results folder: one for each training that keeps some."""
    if not preset.training.checkpoints:
        return []
    return [
        f"metrics/{dataset}/{method}/seed{seed}/learning_{split}.json"
        for split in SPLITS
        for dataset, method, seed in preset.cells(split)
        if preset.methods[method].steps
    ]


def dataset_title(name: str) -> str:
    """As in data/datasets.yaml; the name itself if the dataset is no longer listed there."""
    try:
        return dataset_info(name).title
    except UserError:
        return name


def printed(preset: Preset) -> dict[str, Any]:
    """The values of a preset that tables, figures and captions print; as a rule's parameter, a change renders again."""
    keys = {"preset", "resolution", "datasets", "seeds", "skip", "metrics", "tables", "statistics", "tasks"}
    titles = {entry.id: entry.title for conditional in (False, True) for entry in entries(preset, conditional)}
    titles |= {name: dataset_title(name) for name in preset.datasets}
    titles |= {name: task.title(preset.resolution) for name, task in preset.tasks.items()}
    order = list(preset.methods)  # of the rows; the first one is the default reference method
    return {**preset.model_dump(mode="json", include=keys), "titles": titles, "order": order}
