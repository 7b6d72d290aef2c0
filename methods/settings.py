"""From a configuration file to the settings of one run.  Shared by the Snakefile and the command lines; no torch."""

from __future__ import annotations

import types
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from data.console import UserError
from data.files import read_yaml
from data.load import dataset_info
from methods.discover import ROOT, method_info
from metrics.protocols import PrecisionRecall

SCHEMA = ROOT / "workflow" / "schemas" / "config.schema.yaml"
SPLITS = ("full", "train90")
NOT_IN_CONFIG = ("steps", "by_dataset")  # keys of a method's entry that its Config does not see


def load_config(path: Path | str) -> dict[str, Any]:
    """Read and check a preset; `demo` means config/demo.yaml.  Raises `UserError` naming the key at fault."""
    from jsonschema.exceptions import ValidationError
    from snakemake.exceptions import WorkflowError
    from snakemake.utils import validate

    path = Path(path)
    if not path.suffix and not path.exists():
        path = ROOT / "config" / f"{path}.yaml"
    config = read_yaml(path)
    try:
        validate(config, str(SCHEMA))
    except (WorkflowError, ValidationError) as error:
        raise UserError(f"{path}: {explain(error)}") from None
    check(config)
    return config


def explain(error: Exception) -> str:
    """The sentence inside a schema violation: which key, and what is wrong with it."""
    cause: Any = error if hasattr(error, "absolute_path") else error.__cause__ or error.__context__
    if cause is None or not hasattr(cause, "absolute_path"):
        return " ".join(str(error).split())
    key = ".".join(str(part) for part in cause.absolute_path) or "top level"
    return f"{key}: {cause.message}; config/README.md lists the keys"


def check(config: dict[str, Any]) -> None:
    """What the schema cannot know: that datasets, methods and the methods' own keys exist and have the right type."""
    datasets, methods = config["datasets"], config["methods"]
    for dataset in datasets:
        dataset_info(dataset)
    for name, entry in methods.items():
        _check_method(name, entry)
        for dataset in entry["by_dataset"]:
            _check_listed(f"methods.{name}.by_dataset", dataset, datasets)
    for position, skip in enumerate(config["skip"]):
        _check_listed(f"skip.{position}.dataset", skip.get("dataset", datasets[0]), datasets)
        _check_listed(f"skip.{position}.method", skip.get("method", next(iter(methods))), methods)
    for dataset in config["tables"]["ablation_datasets"]:
        _check_listed("tables.ablation_datasets", dataset, datasets)
    n = config["sampling"]["n"]
    for protocol in map(PrecisionRecall.parse, config["metrics"]["precision_recall"]):
        if protocol.n_fake > n:
            raise UserError(f"metrics.precision_recall: {protocol} needs sampling.n of {protocol.n_fake}, not {n}")


def _check_listed(where: str, name: str, listed: Iterable[str]) -> None:
    if name not in listed:
        raise UserError(f"{where}: {name!r} is not among the preset's {', '.join(listed)}")


def _check_method(name: str, entry: dict[str, Any]) -> None:
    info = method_info(name)
    for place, keys in [("", entry), *((f".by_dataset.{d}", k) for d, k in entry["by_dataset"].items())]:
        for key, value in keys.items():
            where = f"methods.{name}{place}.{key}"
            if key == "by_dataset" and not place:
                continue
            if key != "steps" and key not in info.fields:
                known = ", ".join(["steps", *info.fields])
                raise UserError(f"unknown configuration key {where}; {name} knows {known}")
            _check_type(where, value, "int" if key == "steps" else info.fields[key])
    if info.trains and entry["steps"] < 1:
        raise UserError(f"methods.{name}.steps is missing: {name} has to be trained for at least one step")


def _check_type(where: str, value: Any, annotation: str) -> None:
    """Compare a YAML value with a dataclass annotation, given as text."""
    try:
        expected = eval(annotation, {"Literal": Literal})
    except NameError as error:
        raise UserError(
            f"{where}: Config annotations are built-in types and Literal, not {annotation}: {error}"
        ) from None
    if not _fits(value, expected):
        hint = " (YAML reads 1e-3 as text: write 1.0e-3)" if isinstance(value, str) else ""
        raise UserError(f"configuration key {where} must be {annotation}, not {value!r}{hint}")


def _fits(value: Any, expected: Any) -> bool:
    origin = get_origin(expected)
    if origin is types.UnionType:
        return any(_fits(value, option) for option in get_args(expected))
    if origin is Literal:
        return value in get_args(expected)
    if origin is tuple:
        parts = get_args(expected)
        if not isinstance(value, list | tuple):
            return False
        if parts[-1] is Ellipsis:
            return all(_fits(item, parts[0]) for item in value)
        return len(value) == len(parts) and all(_fits(item, part) for item, part in zip(value, parts, strict=True))
    if expected is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if expected is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if expected is None or expected is type(None):
        return value is None
    return isinstance(value, expected)


def skip_reason(config: dict[str, Any], dataset: str, method: str, split: str) -> str | None:
    """Why this run is left out, or None if it is to be done."""
    cell = {"dataset": dataset, "method": method, "split": split}
    for skip in config["skip"]:
        if all(skip.get(key, value) == value for key, value in cell.items()):
            return skip["reason"]
    info = method_info(method)
    if split == "train90" and not info.backtracks:
        return "has no latent code to optimise"
    return None


def cells(config: dict[str, Any], split: str = "full") -> list[tuple[str, str, int]]:
    """(dataset, method, seed) of every run of the configuration that is not skipped."""
    return [
        (dataset, method, seed)
        for dataset in config["datasets"]
        for method in config["methods"]
        for seed in config["seeds"]
        if skip_reason(config, dataset, method, split) is None
    ]


def run_settings(config: dict[str, Any], dataset: str, method: str, seed: int, split: str) -> dict[str, Any]:
    """Everything that one training depends on besides data and sources; JSON-serialisable."""
    entry = config["methods"][method]
    merged = {**entry, **entry["by_dataset"].get(dataset, {})}
    return {
        "preset": config["preset"],
        "dataset": dataset,
        "method": method,
        "seed": seed,
        "split": split,
        "resolution": config["resolution"],
        "steps": merged["steps"] if method_info(method).trains else 0,
        "threads": config["training"]["threads"],
        "config": {key: value for key, value in merged.items() if key not in NOT_IN_CONFIG},
    }


def method_config(method: str, values: dict[str, Any]) -> Any:
    """The method's Config from YAML values.  Raises `UserError` on an unknown key or a wrong type."""
    info = method_info(method)
    for key, value in values.items():
        if key not in info.fields:
            raise UserError(f"unknown configuration key {method}.{key}; {method} knows {', '.join(info.fields)}")
        _check_type(f"methods.{method}.{key}", value, info.fields[key])
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    return info.load().Config(**values)
