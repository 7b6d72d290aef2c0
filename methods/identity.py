"""Which run is this?  The hashes that name a training, and what tells two trainings apart."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from data.console import UserError, say
from data.files import digest, read_sealed, sha256_file, write_sealed
from methods.discover import ROOT, method_info
from methods.settings import method_config

PARTS = ("config_hash", "data_hash", "device", "sources_hash")
SETTINGS = ("dataset", "method", "seed", "split", "resolution", "steps", "threads", "config")  # all but the preset


def run_identity(settings: dict[str, Any], data_hash: str, device: str) -> dict[str, str]:
    """The hashes that name a run: same hashes, same numbers.  device: "cpu" or "cuda", whose sums differ."""
    parts = {
        "config_hash": config_hash({**settings, "config": full_config(settings)}),
        "data_hash": data_hash,
        "device": device,
        "sources_hash": sources_digest(settings["method"]),
    }
    return {**parts, "run_hash": run_hash(parts)}


def config_hash(settings: dict[str, Any]) -> str:
    """settings: those of a run, or its run.json, with every field of the method's Config."""
    return digest({**{key: settings[key] for key in SETTINGS}, "preset": None})


def run_hash(identity: dict[str, str]) -> str:
    """The name of the run's folder in state/."""
    return digest({part: identity[part] for part in PARTS})[:16]


def sources_digest(method: str) -> str:
    """A hash of the method's source files: an edit starts a new run beside the old one."""
    return digest(_sources(method))


def claim(folder: Path, settings: dict[str, Any], identity: dict[str, str]) -> None:
    """Write down, in identity.json, whose state `folder` is.

    Raises `UserError` saying what differs if it is another run's, or that none can tell: two runs are never mixed.
    """
    path, run = folder / "identity.json", describe_run(settings, identity)
    own = folder.name == identity["run_hash"]
    try:
        there = read_sealed(path) if path.exists() else None
    except UserError as error:
        if not own:
            raise
        say(f"warning: {error}; writing it anew, since the folder's name is this run's")
        there = None
    if there is None:
        write_sealed(path, run)
    elif found := differences(there, run):
        way_out = "move it away" if own else "without --resume, a new run starts beside it"
        raise UserError(f"{folder} holds another run: {'; '.join(found)}; {way_out}")


def describe_run(settings: dict[str, Any], identity: dict[str, str]) -> dict[str, Any]:
    """The hashes of a run and what they are made of: the content of identity.json."""
    config = full_config(settings)
    return {**identity, "settings": {**settings, "config": config}, "sources": _sources(settings["method"])}


def differences(there: dict[str, Any], here: dict[str, Any]) -> list[str]:
    """What tells two runs apart, in words.  Both are contents of identity.json."""
    one, other = (_flat(json.loads(json.dumps(run["settings"]))) for run in (there, here))  # JSON has no tuples
    found = [
        f"{key} is {one.get(key, 'absent')} there and {other.get(key, 'absent')} here"
        for key in sorted(one.keys() | other.keys())
        if key != "preset" and one.get(key) != other.get(key)
    ]
    sources = there["sources"].keys() | here["sources"].keys()
    found += [
        f"{source} was edited"
        for source in sorted(sources)
        if there["sources"].get(source) != here["sources"].get(source)
    ]
    if there["data_hash"] != here["data_hash"]:
        found.append("the training images differ")
    if there["device"] != here["device"]:
        found.append(f"it ran on {there['device']}, not on {here['device']}")
    return found


def full_config(settings: dict[str, Any]) -> dict[str, Any]:
    """The method's Config with its defaults filled in."""
    return dataclasses.asdict(method_config(settings["method"], settings["config"]))


def _sources(method: str) -> dict[str, str]:
    return {source: sha256_file(ROOT / source) for source in method_info(method).sources}


def _flat(settings: dict[str, Any]) -> dict[str, Any]:
    config = {f"methods.{settings['method']}.{key}": value for key, value in settings["config"].items()}
    return {**{key: value for key, value in settings.items() if key != "config"}, **config}
