"""The saved state of a run: whole generations only, one owner at a time.

A generation is two files: `<step>.safetensors` with every tensor and `<step>.json` with everything else and the
digests of both.  The JSON is written last, so a generation without a valid one never happened.  The two newest
generations are kept: if the newest turns out damaged, it is put aside and the one before it is used.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Any, TextIO

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from data.console import UserError, say
from data.files import atomic_path, read_sealed, sha256_file, sweep, write_sealed

KEPT = 2  # generations


class RunState:
    """The folder `state/<run hash>/` of one run, held exclusively while the object is open.

    Every generation says which folder it was written in, so that one copied here from another run is not used.
    """

    def __init__(self, folder: Path) -> None:
        """Raises `UserError` naming the process that already trains in this folder."""
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = self._acquire(folder / "lock")
        sweep(folder)

    @staticmethod
    def _acquire(path: Path) -> TextIO:
        handle = path.open("a+")
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.seek(0)
            owner = handle.read().strip() or "unknown"
            handle.close()
            raise UserError(
                f"process {owner} is training in {path.parent}; wait for it, or stop it with: kill {owner}"
            ) from None
        handle.truncate(0)
        handle.write(str(os.getpid()))
        handle.flush()
        return handle

    def close(self) -> None:
        self._lock.close()

    def __enter__(self) -> RunState:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def clear(self) -> None:
        """Forget everything but the lock and whose folder this is: the run starts again."""
        for path in self.folder.iterdir():
            if path.name not in ("lock", "identity.json"):
                path.unlink()

    def save(self, step: int, state: dict[str, Any], record: dict[str, Any]) -> None:
        """Write the generation of `step`: `state` may hold tensors, `record` is plain JSON (history, timings).

        Raises `UserError`, and writes nothing, if a tensor holds NaN or infinity.
        """
        tensors: dict[str, Tensor] = {}
        tree = _split(state, "", tensors)
        for name, tensor in tensors.items():
            if tensor.is_floating_point() and not tensor.isfinite().all():
                raise UserError(
                    f"{name[1:]} holds NaN or infinity at step {step}; the last good state is kept in {self.folder}: "
                    "lower the learning rate and run again"
                )
        file = self.folder / f"{step:09d}.safetensors"
        save_tensors(tensors, file)
        body = {"run": self.folder.name, "step": step, "tree": tree, "record": record, "tensors": sha256_file(file)}
        write_sealed(file.with_suffix(".json"), body)
        for stale in self._generations()[KEPT:]:
            stale.unlink()
            stale.with_suffix(".safetensors").unlink(missing_ok=True)

    def load(self, device: Any) -> tuple[int, dict[str, Any], dict[str, Any]] | None:
        """The newest intact generation as (step, state, record), or None for a new run.

        Damaged ones get the suffix .damaged, so that they neither count nor get lost; a warning names the damage.
        """
        generations = self._generations()
        for path in generations:
            try:
                body = self._intact(path)
                tensors = load_file(path.with_suffix(".safetensors"), device=str(device))
                return body["step"], _join(body["tree"], tensors), body["record"]
            except (UserError, OSError, SafetensorError, KeyError, TypeError) as error:
                say(f"warning: skipping a damaged state, {path} ({error}); using the one before it, if there is one")
                path.replace(path.with_suffix(".json.damaged"))
        if generations:
            say(f"warning: no intact state is left in {self.folder}; starting again from the first step")
        return None

    def _intact(self, path: Path) -> dict[str, Any]:
        body, tensors = read_sealed(path), path.with_suffix(".safetensors")
        if body["run"] != self.folder.name:
            raise UserError(f"{path} belongs to the run {body['run']}")
        if (actual := sha256_file(tensors)) != body["tensors"]:
            raise UserError(f"{tensors} has sha256 {actual}, but {body['tensors']} was recorded")
        return body

    def _generations(self) -> list[Path]:
        """The JSON files of all generations, newest first."""
        return sorted(self.folder.glob("[0-9]*.json"), reverse=True)


def save_tensors(tensors: dict[str, Tensor], path: Path) -> None:
    """Write a safetensors file, whole or not at all.  Raises `UserError` if the disk does not take it."""
    # clone: safetensors refuses tensors that share storage (views, tied weights)
    separate = {name: tensor.detach().contiguous().clone() for name, tensor in tensors.items()}
    try:
        with atomic_path(path) as temporary:
            save_file(separate, temporary)
    except SafetensorError as error:
        raise UserError(f"{path} cannot be written ({error}); free some space and run again to resume") from None


def _split(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """Move the tensors of a nested state into `tensors`; what is left is JSON.

    A tensor becomes {"tensor": name}; a dict becomes {"dict": [[key, value], ...]}, which keeps integer keys.
    """
    if isinstance(value, Tensor):
        tensors[name] = value
        return {"tensor": name}
    if isinstance(value, dict):
        return {"dict": [[key, _split(item, f"{name}/{key}", tensors)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        return [_split(item, f"{name}/{position}", tensors) for position, item in enumerate(value)]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"state entry {name} is a {type(value).__name__}, which JSON cannot hold")


def _join(tree: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(tree, list):
        return [_join(item, tensors) for item in tree]
    if isinstance(tree, dict):
        if "tensor" in tree:
            return tensors[tree["tensor"]]
        return {key: _join(item, tensors) for key, item in tree["dict"]}
    return tree
