"""The identity of a run: a hash of everything that decides the bits of a training, and of nothing else.

It covers the configuration, the images, the kind of device, and the content of every source file that the computation
reaches.  Comments, docstrings and the location of the project do not count.
"""

from __future__ import annotations

import ast
import io
import json
import tokenize
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields
from functools import cache
from pathlib import Path
from typing import Any

from common.console import UserError, say
from common.files import read_json, read_sealed, write_sealed
from common.hashing import digest, sha256_bytes
from training.config import RunConfig
from training.registry import ROOT, method_info, parse

PARTS = ("config_hash", "data_hash", "device", "sources_hash", "loss_weights")
PIXEL_SEARCHES = ("exact", "sketch", "l2")  # of the IMLE family: with `lpips_weight: 0`, these see pixels alone
BUILD = "training/build.py"  # seeds the streams and initialises the method
BUILD_CONDITIONAL = "training/build_conditional.py"

# Modules whose edits cannot change what a training computes.
NOT_TRACKED = (
    "common.console",  # messages
    "common.files",  # reading and writing
    "common.machine",  # names of hosts and batch jobs
    "data",  # returns an array, whose hash is part of the identity
    "networks.weights",  # returns tensors, whose sha256 is part of the identity
    "training.config",  # returns a RunConfig, which is part of the identity
    "training.device",  # chooses a GPU
    "training.identity",  # this module: only compares
    "training.ownership",  # locks
    "training.protocols",  # names of the metrics' protocols
    "training.registry",  # finds the method's class
    "training.sections",  # returns settings, which are part of the identity or parameters of the rules
)


def run_identity(run: RunConfig, data_hash: str, device: str) -> dict[str, str]:
    """The hashes that name a run: same hashes, same numbers.  device: "cpu" or "cuda", whose sums differ."""
    parts = {
        "config_hash": config_hash(run),
        "data_hash": data_hash,
        "device": device,
        "sources_hash": sources_hash(run.method),
    }
    if weights := loss_weights(run):
        parts["loss_weights"] = weights
    return {**parts, "run_hash": run_hash(parts)}


def loss_weights(run: RunConfig) -> str | None:
    """The recorded sha256 of the LPIPS weights that the run trains with; None without LPIPS, or if it is not fetched.

    A run without its weights ends when it loads them.
    """
    if pixels_alone(run.config):
        return None
    record = Path("data/raw/weights", f"lpips_{run.config.get('perceptual')}.json")
    return str(read_json(record)["sha256"]) if record.is_file() else None


def pixels_alone(config: Mapping[str, Any]) -> bool:
    """Does a row of the IMLE family, whose distance usually contains LPIPS, compare pixels alone?"""
    return config.get("lpips_weight") == 0 and config.get("search", "exact") in PIXEL_SEARCHES


def config_hash(run: RunConfig) -> str:
    """The hash of all settings except the preset's name."""
    return digest({**settings(run), "preset": None})


def run_hash(identity: dict[str, str]) -> str:
    """The name of the run's folder in state/."""
    return digest({part: identity[part] for part in PARTS if part in identity})[:16]


def sources_hash(method: str) -> str:
    """The hash of all code that a method's training reaches: an edit starts a new run beside the old one."""
    return digest(method_sources(method))


def method_sources(method: str) -> dict[str, str]:
    """The source files that a training of this method reaches, each with the hash of its code."""
    info = method_info(method)
    build = BUILD_CONDITIONAL if info.conditional else BUILD
    return code_hashes(build, info.module.replace(".", "/") + ".py")


def code_hashes(*paths: str) -> dict[str, str]:
    """These files of the project and all that they import, directly or not, each with the hash of its code."""
    seen: dict[str, str] = {}
    queue = list(paths)
    while queue:
        path = queue.pop()
        if path not in seen:
            seen[path] = code_hash(ROOT / path)
            queue += imported_files(ROOT / path)
    return dict(sorted(seen.items()))


@cache
def code_hash(path: Path) -> str:
    """The sha256 of a source file without comments, docstrings and blank lines; the same under every Python."""
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            start, end = node.body[0].lineno, node.body[0].end_lineno
            lines[start - 1 : end] = [""] * (end - start + 1)  # type: ignore[operator]
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            line, column = token.start
            lines[line - 1] = lines[line - 1][:column]
    return sha256_bytes("\n".join(line.rstrip() for line in lines if line.strip()).encode())


@cache
def imported_files(path: Path) -> list[str]:
    """The files of this project that a file imports, apart from NOT_TRACKED, relative to the project's root."""
    found: dict[str, None] = {}
    for node in _executed(parse(path)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            file = ROOT.joinpath(*name.split(".")).with_suffix(".py")
            skipped = any(name == module or name.startswith(f"{module}.") for module in NOT_TRACKED)
            if file.is_file() and not skipped:
                found[str(file.relative_to(ROOT))] = None
    return list(found)


def _executed(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes except those that only a type checker sees."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        yield node
        yield from _executed(node)


def claim(folder: Path, run: RunConfig, identity: dict[str, str]) -> None:
    """Record in identity.json which run the state in `folder` belongs to; the folder's name is its hash.

    Raises `UserError` if it belongs to another run, saying what differs.
    """
    path, content = folder / "identity.json", describe_run(run, identity)
    try:
        there = read_sealed(path) if path.exists() else None
    except UserError as error:
        say(f"warning: {error}; writing it again, because the folder's name is the hash of this run")
        there = None
    if there is None:
        write_sealed(path, content)
    elif found := differences(there, content):
        raise UserError(f"{folder} holds another run: {'; '.join(found)}; move it away")


def describe_run(run: RunConfig, identity: dict[str, str]) -> dict[str, Any]:
    """The content of identity.json: the hashes of a run and what they are made of."""
    return {**identity, "settings": settings(run), "sources": method_sources(run.method)}


def settings(run: RunConfig) -> dict[str, Any]:
    """The fields of a RunConfig; only a conditional run has a task."""
    return {key: value for key, value in asdict(run).items() if key != "task" or value is not None}


def recorded_run(record: dict[str, Any]) -> RunConfig:
    """The RunConfig inside a run.json or the settings of an identity.json."""
    names = [field.name for field in fields(RunConfig) if field.name != "task"]
    return RunConfig(**{name: record[name] for name in names}, task=record.get("task"))


def differences(there: dict[str, Any], here: dict[str, Any]) -> list[str]:
    """What differs between two runs, in words.  Both are contents of identity.json."""
    one, other = (_flat(json.loads(json.dumps(run["settings"]))) for run in (there, here))  # JSON has no tuples
    found = [
        f"{key} is {one.get(key, 'absent')} there and {other.get(key, 'absent')} here"
        for key in sorted(one.keys() | other.keys())
        if key != "preset" and one.get(key) != other.get(key)
    ]
    found += [
        f"{source} was edited"
        for source in sorted(there["sources"].keys() | here["sources"].keys())
        if there["sources"].get(source) != here["sources"].get(source)
    ]
    if there["data_hash"] != here["data_hash"]:
        found.append("the training images differ")
    if there.get("loss_weights") != here.get("loss_weights"):
        found.append("the weights of the loss network differ")
    if there["device"] != here["device"]:
        found.append(f"it ran on {there['device']}, not on {here['device']}")
    return found


def _flat(settings: dict[str, Any]) -> dict[str, Any]:
    config = {f"methods.{settings['method']}.{key}": value for key, value in settings["config"].items()}
    return {**{key: value for key, value in settings.items() if key != "config"}, **config}
