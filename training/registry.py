"""Which methods exist, read from their source files without importing torch.

The Snakefile needs each method's title, abilities and configuration keys on a machine that may not have torch.  So only
parts of each file of `methods/` are executed: its classes with their constants, and its `Config` classes.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.console import UserError

if TYPE_CHECKING:
    from methods.api import Method

ROOT = Path(__file__).resolve().parent.parent
STANDARD = ("dataclasses", "typing")  # modules that a Config may use
TRACKS = ("none", "loss", "inside")


@dataclass(frozen=True)
class MethodInfo:
    """What the benchmark knows about a method before it runs."""

    name: str
    title: str
    module: str
    class_name: str
    trains: bool
    backtracks: bool
    conditional: bool  # does it draw at a condition (methods/conditional.py)?
    track: str
    config: type[Any]  # its Config, executed without the rest of the module

    def load(self) -> type[Method]:
        """Import the class (and with it torch)."""
        method: type[Method] = getattr(import_module(self.module), self.class_name)
        return method


@cache
def methods() -> dict[str, MethodInfo]:
    """All methods by name: the classes in `methods/` that descend from `Method` and have a name of their own."""
    base = declarations("methods.api")["Method"]
    found: dict[str, MethodInfo] = {}
    for path in sorted((ROOT / "methods").rglob("*.py")):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for cls in declarations(module).values():
            if not issubclass(cls, base) or cls.__module__ != module or "name" not in vars(cls):
                continue
            if cls.name in found:
                raise UserError(f"two classes are named {cls.name!r}: rename one in {path.relative_to(ROOT)}")
            found[cls.name] = MethodInfo(
                name=cls.name,
                title=_title(cls, path),
                module=module,
                class_name=cls.__name__,
                trains=cls.trains,
                backtracks=cls.backtracks,
                conditional=getattr(cls, "conditional", False),
                track=_track(cls, path),
                config=cls.Config,
            )
    return dict(sorted(found.items()))


def method_info(name: str) -> MethodInfo:
    """A method by the name of its row; `fastgan-wide` is a row of its own for `fastgan`, with other settings.

    Raises `UserError` listing the known methods if there is none of this name.
    """
    if (info := find_method(name)) is None:
        raise UserError(f"no method is named {name!r}; methods/ holds {', '.join(methods())}")
    return info


def find_method(name: str) -> MethodInfo | None:
    """The same; None if there is no such method."""
    method, hyphen, variant = name.partition("-")
    info = methods().get(method)
    if info is None or not hyphen:
        return info
    title, parenthesis, rest = info.title.removesuffix(")").partition(" (")
    within = ", ".join([*([rest] if parenthesis else []), variant.replace("_", " ")])  # one pair of parentheses
    return replace(info, name=name, title=f"{title} ({within})")


def _title(cls: type[Any], path: Path) -> str:
    """Raises `UserError` if a method does not say what tables print."""
    if not isinstance(title := vars(cls).get("title"), str):
        raise UserError(f"{path.relative_to(ROOT)}: {cls.name} needs a literal `title` of its own, for the tables")
    return title


def _track(cls: type[Any], path: Path) -> str:
    """Raises `UserError` if a method does not say what outside knowledge it uses."""
    if (track := getattr(cls, "track", None)) not in TRACKS:
        raise UserError(
            f"{path.relative_to(ROOT)}: {cls.name} needs a literal `track`, one of {', '.join(TRACKS)}: "
            "docs/protocol.md explains them"
        )
    return str(track)


@cache
def declarations(module: str) -> dict[str, type[Any]]:
    """The classes of a module of `methods/` by name, each with only its bases, its constants and its `Config`.

    A class whose name ends in Config is executed completely.
    """
    path = ROOT.joinpath(*module.split(".")).with_suffix(".py")
    namespace: dict[str, Any] = {"__name__": module}
    for node in parse(path).body:
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("methods."):
            known = declarations(node.module)
            namespace |= {alias.asname or alias.name: known[alias.name] for alias in node.names if alias.name in known}
        elif isinstance(node, ast.ImportFrom) and node.module in STANDARD:
            _execute(node, path, namespace)
        elif isinstance(node, ast.ClassDef):
            _execute(node if node.name.endswith("Config") else _declaration(node, namespace), path, namespace)
    return {name: value for name, value in namespace.items() if isinstance(value, type)}


def _declaration(node: ast.ClassDef, namespace: dict[str, Any]) -> ast.ClassDef:
    """The class without its functions, its decorators, and the bases that are not known."""
    bases: list[ast.expr] = [base for base in node.bases if isinstance(base, ast.Name) and base.id in namespace]
    return ast.ClassDef(name=node.name, bases=bases, keywords=[], body=list(_constants(node)), decorator_list=[])


def _constants(node: ast.ClassDef) -> Iterator[ast.stmt]:
    yield ast.Pass()
    for statement in node.body:
        if isinstance(statement, ast.ClassDef) and statement.name == "Config":
            yield statement
        elif isinstance(statement, ast.Assign | ast.AnnAssign) and isinstance(statement.value, ast.Constant):
            targets: list[ast.expr] = (
                list(statement.targets) if isinstance(statement, ast.Assign) else [statement.target]
            )
            yield ast.Assign(targets=targets, value=statement.value)


def _execute(node: ast.stmt, path: Path, namespace: dict[str, Any]) -> None:
    try:
        tree = ast.fix_missing_locations(ast.Module([node], type_ignores=[]))
        exec(compile(tree, path, "exec", dont_inherit=True), namespace)
    except (NameError, TypeError) as error:
        raise UserError(
            f"{path.relative_to(ROOT)}: {error} (a Config may use built-in types, `dataclasses` and `typing` only)"
        ) from None


@cache
def parse(path: Path) -> ast.Module:
    """The syntax tree of a source file.

    Raises `UserError` naming file and line of a syntax error, and of a relative import: neither the search for methods
    nor the hash of a run's sources follows it.
    """
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except SyntaxError as error:
        raise UserError(f"{path.relative_to(ROOT)}, line {error.lineno}: {error.msg}") from None
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            raise UserError(
                f"{path.relative_to(ROOT)}, line {node.lineno}: write `from methods.{node.module or '...'} import ...` "
                "instead of a relative import"
            )
    return tree
