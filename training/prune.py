"""List saved states that are no longer needed, and remove them on request.

A state is superseded if it belongs to this preset, the preset no longer asks for its run, no finished run in results/
came from it, and no process uses it.  Kept in case of doubt: unfinished trainings of rows, seeds or datasets that an
overlay may add, or of another folder of pictures.
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.console import UserError, say
from common.files import read_json, read_sealed
from data.datasets import MINE
from training.checkpoint import RunState
from training.config import Preset
from training.identity import describe_run, differences, run_identity
from training.inputs import hash_of, training_set
from training.ownership import lock


@dataclass(frozen=True)
class Saved:
    """One folder of state/.  label: method, dataset, split and seed; kept: why it is kept, or "" if superseded."""

    folder: Path
    label: str
    kept: str
    why: str = ""

    @property
    def size(self) -> int:
        """In bytes."""
        total = 0
        for path in self.folder.iterdir():
            with suppress(FileNotFoundError):  # a training writes here
                total += path.stat().st_size
        return total


def survey(preset: Preset) -> list[Saved]:
    """Every saved state, kept or superseded."""
    shown = {_run_hash(path) for path in Path("results").glob("*/runs/*/*/*/*/run.json")}
    folders = sorted(path for path in Path("state").glob("*") if path.is_dir())
    return [_judge(folder, preset, shown) for folder in folders]


def _run_hash(path: Path) -> str | None:
    try:
        return read_json(path)["run_hash"]
    except (UserError, KeyError, TypeError):
        return None


def _judge(folder: Path, preset: Preset, shown: set[str | None]) -> Saved:
    try:
        there = read_sealed(folder / "identity.json")
        run = there["settings"]
        cell, finished = (run["dataset"], run["method"], run["seed"]), (folder / "run.json").exists()
        label = f"{run['method']} on {run['dataset']}, {run['split']}, seed {run['seed']}"
        if run["preset"] != preset.preset:
            return Saved(folder, label, f"belongs to the preset {run['preset']}")
        if folder.name in shown:
            return Saved(folder, label, "used in results/")
        if cell not in preset.cells(run["split"]):
            if not finished:  # perhaps of an overlay that was not named this time
                return Saved(folder, label, "unfinished, though not in this configuration; delete the folder by hand")
            return _unless_held(Saved(folder, label, "", "no longer in the configuration"))
        here = _current(preset, there)
    except (UserError, KeyError, TypeError) as error:
        return Saved(folder, "unknown", f"cannot be checked ({error})")
    if found := differences(there, here):
        if run["dataset"] == MINE and not finished and there["data_hash"] != here["data_hash"]:
            return Saved(folder, label, "unfinished, of other pictures of yours; delete the folder by hand")
        return _unless_held(Saved(folder, label, "", "; ".join(found)))
    return Saved(folder, label, "current")


def _current(preset: Preset, there: dict[str, Any]) -> dict[str, Any]:
    """The run that the preset now asks for instead of `there`, the content of an identity.json."""
    saved = there["settings"]
    run = preset.run(saved["dataset"], saved["method"], saved["seed"], saved["split"])
    data, _ = training_set(run)
    return describe_run(run, run_identity(run, hash_of(data), there["device"]))


def _unless_held(saved: Saved) -> Saved:
    try:
        lock(saved.folder).close()
    except UserError as error:
        return Saved(saved.folder, saved.label, str(error))
    return saved


def prune(preset: Preset, delete: bool) -> None:
    """List the saved states, and remove the superseded ones if `delete`."""
    found = survey(preset)
    superseded = [saved for saved in found if not saved.kept]
    for saved in found:
        verdict = f"kept: {saved.kept}" if saved.kept else f"superseded: {saved.why}"
        print(f"{saved.folder}  {saved.size / 2**20:8.1f} MiB  {saved.label}  {verdict}")
    size = sum(saved.size for saved in superseded) / 2**20
    if delete:
        for saved in superseded:
            with RunState(saved.folder):  # locked, so that no training starts in it
                shutil.rmtree(saved.folder)
    said = "removed" if delete else "superseded"
    say(f"{len(superseded)} of {len(found)} saved states {said}, {size:.1f} MiB")
    if superseded and not delete:
        say("nothing was removed; to remove them, run prune_now instead of prune (python -m training prune: --delete)")
