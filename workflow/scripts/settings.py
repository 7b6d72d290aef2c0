"""What tables, figures and report must know of the configuration: one JSON file, written by the workflow.

    {"preset": "demo", "resolution": 32, "command": "snakemake --cores all --configfile config/demo.yaml",
     "datasets": [{"id": "openmoji_faces", "title": "OpenMoji faces"}],
     "methods": [{"id": "adaptive_imle", "title": "Adaptive IMLE", "kind": "method", "backtracks": true}],
     "seeds": [0], "figure_seed": 0,
     "protocols": {"fid": {"name": ..., "network": ...},
                   "precision_recall": {"name": ..., "network": ..., "k": 5},
                   "lpips_backtracking": {"name": ..., "network": ..., "steps": 50, "restarts": 3}},
     "table3": {"datasets": ["openmoji_faces"], "methods": ["vanilla_imle", "adaptive_imle"]},
     "skips": [{"dataset": ..., "method": ..., "split": "full" | "train90", "reason": ...}]}

The order of datasets and methods is the order of columns and rows.  A skip without dataset, method or split
holds for all of them.  `figure_seed` is the seed that the figures show.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.console import UserError
from common.files import read_json

KINDS = ("method", "external", "control")
NOT_RUN = "not run"
NO_LATENT = {
    "method": "the method declares no backtracking",
    "external": "samples made elsewhere, without a generator to backtrack through",
    "control": "a control has no latent code",
}


@dataclass(frozen=True)
class Dataset:
    id: str
    title: str


@dataclass(frozen=True)
class Entry:
    """One row of the tables.  `kind`: a method, samples trained elsewhere, or a control; only controls go unranked."""

    id: str
    title: str
    kind: str = "method"
    backtracks: bool = True

    @property
    def ranked(self) -> bool:
        return self.kind in ("method", "external")


@dataclass(frozen=True)
class Settings:
    preset: str
    resolution: int
    command: str
    datasets: tuple[Dataset, ...]
    methods: tuple[Entry, ...]
    seeds: tuple[int, ...]
    figure_seed: int
    protocols: dict[str, dict[str, Any]]
    table3: dict[str, list[str]]
    skips: tuple[dict[str, Any], ...]

    @property
    def ranked(self) -> tuple[Entry, ...]:
        """What competes and is shown in figures: every row but the controls."""
        return tuple(method for method in self.methods if method.ranked)

    @property
    def generators(self) -> tuple[Entry, ...]:
        """What has a latent space: neither controls nor samples made elsewhere."""
        return tuple(method for method in self.methods if method.kind == "method")

    def why_missing(self, dataset: str, method: Entry, split: str) -> str:
        """What stands in a cell without a number or picture: "n/a (reason)" where it cannot exist, else "not run"."""
        if split == "train90" and not method.backtracks:
            return f"n/a ({NO_LATENT[method.kind]})"
        here = {"dataset": dataset, "method": method.id, "split": split}
        for skip in self.skips:
            if all(skip.get(key, value) == value for key, value in here.items()):
                return f"n/a ({skip['reason']})"
        return NOT_RUN


def load(path: Path | str) -> Settings:
    """Read the settings file.  Raises `UserError` naming the file and the key that is missing or wrong."""
    raw = read_json(path)
    try:
        settings = Settings(
            preset=raw["preset"],
            resolution=raw["resolution"],
            command=raw["command"],
            datasets=tuple(Dataset(item["id"], item["title"]) for item in raw["datasets"]),
            methods=tuple(
                Entry(item["id"], item["title"], item["kind"], item["backtracks"]) for item in raw["methods"]
            ),
            seeds=tuple(raw["seeds"]),
            figure_seed=raw["figure_seed"],
            protocols={key: raw["protocols"][key] for key in ("fid", "precision_recall", "lpips_backtracking")},
            table3={key: raw["table3"][key] for key in ("datasets", "methods")},
            skips=tuple(raw["skips"]),
        )
    except KeyError as error:
        raise UserError(f"{path} lacks the key {error}; delete it and let snakemake write it again") from None
    for method in settings.methods:
        if method.kind not in KINDS:
            raise UserError(f"{path}: kind of {method.id} is {method.kind!r}, expected one of {', '.join(KINDS)}")
    return settings
