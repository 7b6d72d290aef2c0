"""The saved state of a run: only complete generations, used by one process at a time.

A generation is two files: `<step>.pt`, the state, and `<step>.json`, its digest and all other data.  The JSON is
written last; without it, the generation is ignored.  The two newest generations are kept: if the newest one is damaged,
it is set aside and the one before it is used.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from common.console import UserError, say
from common.files import atomic_path, read_sealed, sweep, write_sealed
from common.hashing import sha256_file
from training.device import out_of_memory
from training.ownership import Ownership

KEPT = 2  # generations


class RunState:
    """The folder `state/<run hash>/` of one run, locked while the object is open.

    Each generation records its run: one copied here from another run is not used.
    """

    def __init__(self, folder: Path, wait: float = 0.0, run_hash: str = "") -> None:
        """run_hash: of the run, if that is not the folder's name.

        Raises `UserError` naming the process that trains in this folder if it still does after `wait` seconds.
        """
        self.folder, self.run_hash = folder, run_hash or folder.name
        folder.mkdir(parents=True, exist_ok=True)
        self._ownership = Ownership(folder, wait)
        sweep(folder)

    def close(self) -> None:
        self._ownership.close()

    def __enter__(self) -> RunState:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def save(self, step: int, state: dict[str, Any], record: dict[str, Any]) -> None:
        """Write the generation of `step`.  state: nested dicts and lists with tensors.  record: plain JSON.

        Raises `UserError`, and writes nothing, if a tensor holds NaN or infinity, or if another process has become the
        owner of the folder; also if the disk is full.
        """
        self._ownership.check()
        for name, tensor in _tensors(state):
            if tensor.is_floating_point() and not tensor.isfinite().all():
                raise UserError(
                    f"{name[1:]} holds NaN or infinity at step {step}; the last good state is kept in {self.folder}: "
                    "lower the learning rate and run again"
                )
        file = self.folder / f"{step:09d}.pt"
        with full_disk_explained(file), atomic_path(file) as temporary:
            torch.save(state, temporary)
        body = {"run": self.run_hash, "step": step, "record": record, "sha256": sha256_file(file)}
        write_sealed(file.with_suffix(".json"), body)
        for stale in self._generations()[KEPT:]:
            stale.unlink()
            stale.with_suffix(".pt").unlink(missing_ok=True)

    def load(self, device: torch.device) -> tuple[int, dict[str, Any], dict[str, Any]] | None:
        """The newest intact generation as (step, state, record), or None for a new run.

        Damaged ones are renamed to *.damaged: they are neither used nor deleted.  A warning names the damage.
        Too little memory and a failing disk are no damage: their errors pass.
        """
        generations = self._generations()
        for path in generations:
            try:
                body = self._intact(path)
                state = torch.load(path.with_suffix(".pt"), map_location=device, weights_only=True)
                return body["step"], state, body["record"]
            except (UserError, FileNotFoundError, RuntimeError, pickle.UnpicklingError, KeyError, TypeError) as error:
                if out_of_memory(error):
                    raise
                say(f"warning: skipping {path}, which cannot be used ({error}); trying the state before it")
                for part in (path, path.with_suffix(".pt")):
                    if part.exists():
                        part.replace(part.with_name(f"{part.name}.damaged"))
        if generations:
            say(f"warning: no intact state is left in {self.folder}; starting again from the first step")
        return None

    def _intact(self, path: Path) -> dict[str, Any]:
        body, state = read_sealed(path), path.with_suffix(".pt")
        if body["run"] != self.run_hash:
            raise UserError(f"{path} belongs to the run {body['run']}")
        if (actual := sha256_file(state)) != body["sha256"]:
            raise UserError(f"{state} has sha256 {actual}, but {body['sha256']} was recorded")
        return body

    def _generations(self) -> list[Path]:
        """The JSON files of all generations, newest first."""
        return sorted(self.folder.glob("[0-9]*.json"), reverse=True)


def save_model(state: dict[str, Tensor], path: Path) -> None:
    """Write a network's weights as safetensors.  Raises `UserError` if the disk is full."""
    with full_disk_explained(path), atomic_path(path) as temporary:
        save_file({name: tensor.detach().contiguous().clone() for name, tensor in state.items()}, temporary)


@contextmanager
def full_disk_explained(path: Path) -> Iterator[None]:
    """Turn what torch and safetensors raise on a full disk into a `UserError`."""
    try:
        yield
    except (RuntimeError, SafetensorError) as error:
        raise UserError(f"{path} cannot be written ({error}); free some space and run again to resume") from None


def _tensors(value: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        yield name, value
    elif isinstance(value, dict | list | tuple):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _tensors(item, f"{name}/{key}")


def checkpoint_steps(steps: int, shares: Sequence[float]) -> list[int]:
    """The steps, besides the last, after which weights are exported.  shares: of all steps (training.checkpoints)."""
    return sorted({max(1, round(share * steps)) for share in shares} - {steps}) if steps else []


def check_checkpoints(record: dict[str, Any], folder: Path, shares: Sequence[float], passed: int | None = None) -> None:
    """Raises `UserError` if a run did not export the weights of one of these shares.

    record: its run.json, or what a stopped run has of it.  passed: the steps that a stopped run has trained; None: all.
    """
    asked = checkpoint_steps(record["steps"], shares)
    exported = {checkpoint["step"] for checkpoint in record["checkpoints"]}
    if absent := {step for step in asked if passed is None or step <= passed} - exported:
        state = record.get("run_hash", folder.name)
        folders = "the folder" if folder.name == state else f"this folder and state/{state}"
        raise UserError(
            f"the run in {folder} has no weights of step {min(absent)}: `training.checkpoints` was changed after this "
            f"step; delete {folders} to train it again, or restore the former value"
        )


def check_weights(kept: Sequence[dict[str, Any]], folder: Path) -> None:
    """Raises `UserError` if weights of a checkpoint are damaged or lost: only a new training can make them again."""
    for checkpoint in kept:
        path = folder / checkpoint["file"]
        if not path.is_file() or sha256_file(path) != checkpoint["sha256"]:
            raise UserError(f"{path} is damaged or missing; delete {folder} to train this run again")
