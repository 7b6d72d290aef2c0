"""Which methods exist, read from their source files without importing torch.

The Snakefile needs each method's name, abilities, configuration keys and source files at parse time, on a driver
that may have no torch; parsing the files with `ast` gives all four in milliseconds.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.console import UserError

if TYPE_CHECKING:
    from methods.api import Method

ROOT = Path(__file__).resolve().parent.parent
# Modules whose edits cannot change what a training computes: `data` hands over an array whose hash is part of the
# run's, `metrics.weights` hands over tensors whose hash is pinned.
NOT_TRACKED = ("data", "metrics.weights")


@dataclass(frozen=True)
class MethodInfo:
    """What the benchmark knows of a method before running it."""

    name: str
    title: str
    module: str
    class_name: str
    trains: bool
    backtracks: bool
    fields: dict[str, str]  # configuration key -> annotation
    sources: tuple[str, ...]  # files that the method is made of, relative to the project root

    def load(self) -> type[Method]:
        """Import the class (and with it torch)."""
        return getattr(import_module(self.module), self.class_name)


@cache
def methods() -> dict[str, MethodInfo]:
    """All methods by name: the concrete subclasses of `Method` in the files of `methods/`."""
    classes = [
        (node, path)
        for path in sorted((ROOT / "methods").rglob("*.py"))
        for node in _parse(path).body
        if isinstance(node, ast.ClassDef)
    ]
    by_name = {node.name: node for node, _ in classes}
    found: dict[str, MethodInfo] = {}
    for node, path in classes:
        line = _ancestry(node, by_name)
        own = _literals(node)
        if not isinstance(own.get("name"), str) or line[-1].name != "Method" or line[0].name == "Method":
            continue
        if own["name"] in found:
            raise UserError(f"two classes are named {own['name']!r}: rename one in {path.relative_to(ROOT)}")
        inherited = {key: value for ancestor in reversed(line) for key, value in _literals(ancestor).items()}
        found[own["name"]] = MethodInfo(
            name=own["name"],
            title=own.get("title", own["name"].replace("_", " ")),
            module=_module(path),
            class_name=node.name,
            trains=inherited["trains"],
            backtracks=inherited["backtracks"],
            fields=_config_fields(line),
            sources=sources_of(path),
        )
    return dict(sorted(found.items()))


def method_info(name: str) -> MethodInfo:
    try:
        return methods()[name]
    except KeyError:
        known = ", ".join(methods())
        raise UserError(f"no method is named {name!r}; methods/ holds {known}") from None


@cache
def _parse(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_text(encoding="utf-8"))
    except SyntaxError as error:
        raise UserError(f"{path.relative_to(ROOT)}, line {error.lineno}: {error.msg}") from None


def _module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def _ancestry(node: ast.ClassDef, by_name: dict[str, ast.ClassDef]) -> list[ast.ClassDef]:
    """The class and its first bases, as far as they are defined in `methods/`."""
    line = [node]
    while line[-1].bases:
        base = line[-1].bases[0]
        name = base.id if isinstance(base, ast.Name) else getattr(base, "attr", "")
        if name not in by_name or by_name[name] in line:
            break
        line.append(by_name[name])
    return line


def _literals(node: ast.ClassDef) -> dict[str, Any]:
    """Class attributes that are assigned constants: name, title, trains, backtracks."""
    found = {}
    for statement in node.body:
        if isinstance(statement, ast.Assign):
            target = statement.targets[0]
        elif isinstance(statement, ast.AnnAssign):
            target = statement.target
        else:
            continue
        if isinstance(target, ast.Name) and isinstance(statement.value, ast.Constant):
            found[target.id] = statement.value.value
    return found


def _config_fields(line: list[ast.ClassDef]) -> dict[str, str]:
    """Fields of the nearest nested `Config`, those of the Config it extends first."""
    for position, node in enumerate(line):
        for nested in node.body:
            if isinstance(nested, ast.ClassDef) and nested.name == "Config":
                extends = any(isinstance(base, ast.Attribute) and base.attr == "Config" for base in nested.bases)
                inherited = _config_fields(line[position + 1 :]) if extends else {}
                own = {
                    statement.target.id: ast.unparse(statement.annotation)
                    for statement in nested.body
                    if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)
                }
                return inherited | own
    return {}


def sources_of(path: Path | str) -> tuple[str, ...]:
    """The file and all files of this project that it imports, directly or not, relative to the project root."""
    seen: set[Path] = set()
    queue = [ROOT / path]
    while queue:
        current = queue.pop()
        if current in seen:
            continue
        seen.add(current)
        for node in ast.walk(_parse(current)):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            queue += [file for name in names if (file := _module_file(name))]
    return tuple(sorted(str(file.relative_to(ROOT)) for file in seen))


def _module_file(name: str) -> Path | None:
    if any(name == skipped or name.startswith(skipped + ".") for skipped in NOT_TRACKED):
        return None
    base = ROOT.joinpath(*name.split("."))
    return next((file for file in (base.with_suffix(".py"), base / "__init__.py") if file.is_file()), None)
