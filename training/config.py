"""A preset: read and validated once, then passed as the objects below.  No torch here.

config/README.md explains every key.  A run of the benchmark is one cell of a preset: `Preset.run` resolves it.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from common.console import UserError
from common.files import read_json, read_yaml
from data.datasets import Name, dataset_info
from data.tasks import Layout, SuperResolution, Task
from training.registry import ROOT, find_method, method_info
from training.sections import POSITIVE, MethodEntry, Metrics, Sampling, Section, Skip, Statistics, Tables, Training

TASKS: dict[Any, type[BaseModel]] = {"super_resolution": SuperResolution, "layout": Layout}  # by kind
# Folders of results/ that belong to no preset.
RESERVED = ("reference", "rendered", "figure1", "nn_direction", "logs", "community")


class Preset(Section):
    """A configuration file with every default filled in."""

    preset: str = Field(pattern="^[a-z][a-z0-9_]*$")
    resolution: Literal[16, 32, 64, 128, 256]
    datasets: tuple[str, ...] = ()
    tasks: dict[Name, Task] = Field({})  # of conditional methods; a task takes the place of a dataset
    methods: dict[str, MethodEntry] = Field(min_length=1)
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field((0,), min_length=1)
    skip: tuple[Skip, ...] = ()
    training: Training = Training()
    sampling: Sampling = Sampling()
    metrics: Metrics = Metrics()
    tables: Tables = Tables()
    statistics: Statistics = Statistics()
    command: str = ""  # written by the Snakefile: how this preset was run

    def why_left_out(self, dataset: str, method: str, split: str, seed: int | None = None) -> str | None:
        """Why a cell cannot exist or is skipped, or None if it is computed; also for samples made elsewhere.

        dataset: or a task, whose one split is train.  seed: None asks for the reasons why every seed is left out.
        """
        info = find_method(method)
        if is_conditional(method) != (split == "train"):
            return "a conditional method has tasks; all others have data sets"
        if split == "train90":
            if method not in self.methods:
                return "samples made elsewhere, without a generator to backtrack through"
            if info and not info.backtracks:
                return (
                    "the method declares no backtracking" if info.trains else "a control has no latent code to optimise"
                )
        reasons = [
            next((skip.reason for skip in self.skip if skip.covers(dataset, method, split, one)), "")
            for one in (self.seeds if seed is None else (seed,))
        ]
        return "; ".join(dict.fromkeys(reasons)) if all(reasons) else None

    def cells(self, split: str = "full") -> list[tuple[str, str, int]]:
        """(dataset or task, method, seed) of every run of this split."""
        return [
            (name, method, seed)
            for name in (self.tasks if split == "train" else self.datasets)
            for method in self.methods
            for seed in self.seeds
            if self.why_left_out(name, method, split, seed) is None
        ]

    def example(self, method: str) -> RunConfig:
        """The method's run on the first dataset or task of the preset that `skip` leaves to it."""
        names, split = (list(self.tasks), "train") if is_conditional(method) else (list(self.datasets), "full")
        left = (name for name in names if self.why_left_out(name, method, split) is None)
        return self.run(next(left, names[0]), method, self.seeds[0], split)

    def run(self, dataset: str, method: str, seed: int, split: str) -> RunConfig:
        """One cell, resolved.  Raises `UserError` if the preset has no such dataset, task or method."""
        _check_listed("--method", method, self.methods)
        conditional = is_conditional(method)
        _check_listed("--dataset", dataset, self.tasks if conditional else self.datasets)
        if conditional != (split == "train"):
            raise UserError(f"--split {split}: {method} needs --split {'train' if conditional else 'full or train90'}")
        values = self.methods[method].resolved(dataset)
        steps = values.pop("steps")
        return RunConfig(
            preset=self.preset,
            dataset=dataset,
            method=method,
            seed=seed,
            split=split,
            resolution=self.resolution,
            steps=steps if method_info(method).trains else 0,
            threads=self.training.threads,
            config=method_config(method, values),
            task=self.tasks[dataset].model_dump(mode="json") if conditional else None,
        )


def is_conditional(method: str) -> bool:
    """False for names of no method: samples that were made elsewhere."""
    info = find_method(method)
    return info is not None and info.conditional


@dataclass(frozen=True)
class RunConfig:
    """Everything that one training depends on besides data, device and sources.

    config: every field of the method's Config, defaults included.  task: of a conditional run, whose `dataset` is the
    task's name.
    """

    preset: str
    dataset: str
    method: str
    seed: int
    split: str
    resolution: int
    steps: int
    threads: int
    config: dict[str, Any]
    task: dict[str, Any] | None = None

    @property
    def label(self) -> str:
        return f"{self.method}/{self.dataset}/{self.split}/seed{self.seed}"


def read_preset(path: Path | str) -> Preset:
    """Read and check a configuration file; `demo` means config/demo.yaml, and a .json file is a resolved preset.

    Raises `UserError` naming the file and the wrong key.
    """
    path = Path(path)
    if not path.suffix and not path.is_file():
        path = ROOT / "config" / f"{path}.yaml"
    return parse_preset(read_json(path) if path.suffix == ".json" else read_yaml(path), str(path))


def parse_preset(content: Mapping[str, Any], where: str) -> Preset:
    """Validate and check a configuration.  where: the file or files that it comes from, for messages."""
    try:
        preset = load_preset(content)
        check(preset)
    except UserError as error:
        raise UserError(f"{where}: {error}") from None
    return preset


def load_preset(content: Mapping[str, Any]) -> Preset:
    """Validate only structure and types: a saved preset may name methods and fields that no longer exist."""
    try:
        return Preset.model_validate_json(json.dumps(content))
    except ValidationError as error:
        raise UserError(f"{explain(error, Preset)}; config/README.md lists the keys") from None
    except (TypeError, ValueError) as error:  # for example a date, which YAML has and JSON does not
        raise UserError(f"it holds a value that is neither text nor a number ({error})") from None


def check(preset: Preset) -> None:
    """Raises `UserError` if a dataset, a method or a field of one does not exist, or a value contradicts another."""
    if preset.preset in RESERVED:
        raise UserError(f"preset: {preset.preset!r} is the name of another folder of results/; choose a different one")
    lists = {"datasets": preset.datasets, "seeds": preset.seeds}
    lists |= {f"metrics.{key}": getattr(preset.metrics, key) for key in ("precision_recall", "frechet")}
    for key, listed in lists.items():
        if len(set(listed)) < len(listed):
            raise UserError(f"{key}: a value occurs twice; remove one")
    # Values for a dataset that the preset does not have are unused: a preset laid over this one may name fewer.
    specific = (dataset for entry in preset.methods.values() for dataset in entry.by_dataset)
    for dataset in [*preset.datasets, *preset.tables.ablation_datasets, *specific]:
        dataset_info(dataset)
    _check_tasks(preset)
    for name, entry in preset.methods.items():
        if not re.fullmatch("[A-Za-z0-9_]+(-[A-Za-z0-9_]+)?", name):
            raise UserError(f"methods.{name}: name a method, or a method and a suffix, as in fastgan-wide")
        if method_info(name).trains and "steps" not in entry.model_fields_set:
            raise UserError(f"methods.{name}.steps: this key is required")
        for place, values in _entries(name, entry):
            _check_entry(name, place, values)
    for reference in _references(preset):
        _check_listed(*reference)
    if (compared := preset.statistics.reference) and not method_info(compared).trains:
        raise UserError(f"statistics.reference: {compared} is a control; name a method")
    for protocol in preset.metrics.precision_recall:
        if protocol.n_fake > (n := preset.sampling.n):
            raise UserError(f"metrics.precision_recall: {protocol} needs sampling.n of {protocol.n_fake}, not {n}")
    if preset.datasets:
        preset.metrics.check_resolution(preset.resolution, backtracks=bool(preset.cells("train90")))


def _references(preset: Preset) -> Iterator[tuple[str, str | None, Iterable[str]]]:
    """Each key that names a row or a data set of the preset, what it names, and what it may name."""
    yield "statistics.reference", preset.statistics.reference, preset.methods
    yield "metrics.full_set", preset.metrics.full_set, preset.datasets
    for position, skip in enumerate(preset.skip):
        yield f"skip.{position}.dataset", skip.dataset, [*preset.datasets, *preset.tasks]
        yield f"skip.{position}.method", skip.method, preset.methods
    for name, entry in preset.methods.items():
        yield from ((f"methods.{name}.by_task", task, preset.tasks) for task in entry.by_task)


def _check_tasks(preset: Preset) -> None:
    """Do tasks and conditional methods, datasets and other methods belong together?"""
    if not preset.datasets and not preset.tasks:
        raise UserError("datasets: this key is required, or `tasks` with conditional methods")
    for task, definition in preset.tasks.items():
        if task in preset.datasets:
            raise UserError(f"tasks.{task}: a dataset of the preset has this name; choose another")
        info = dataset_info(definition.dataset)
        if definition.kind == "layout" and info.layouts is None:
            raise UserError(f"tasks.{task}.dataset: {definition.dataset} has no label maps; name a set with `layouts`")
        if definition.kind == "layout" and definition.imbalance and info.layouts and info.layouts.answers == 1:
            raise UserError(
                f"tasks.{task}.imbalance: {definition.dataset} has one right answer for each label map; remove the key"
            )
        if definition.kind == "super_resolution" and preset.resolution // definition.factor < 2:
            raise UserError(f"tasks.{task}.factor: {definition.factor} leaves under 2 px; lower it")
    for name in preset.methods:
        there, key = (preset.tasks, "tasks") if is_conditional(name) else (preset.datasets, "datasets")
        if not there:
            raise UserError(f"methods.{name}: it needs the key `{key}`, which the preset does not have")


def _entries(name: str, entry: MethodEntry) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each key of the preset that contains settings of a method, with these settings."""
    yield f"methods.{name}", {"steps": entry.steps, **(entry.model_extra or {})}
    for key in ("by_dataset", "by_task"):
        for dataset, values in getattr(entry, key).items():
            yield f"methods.{name}.{key}.{dataset}", {"steps": entry.steps, **values}


def _check_entry(name: str, place: str, values: dict[str, Any]) -> None:
    steps, fields = values["steps"], {key: value for key, value in values.items() if key != "steps"}
    trains = method_info(name).trains
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < (1 if trains else 0):
        raise UserError(f"{place}.steps must be a whole number of at least {1 if trains else 0}, not {steps!r}")
    method_config(name, fields, place)


def _check_listed(where: str, name: str | None, listed: Iterable[str]) -> None:
    if name is not None and name not in listed:
        raise UserError(f"{where}: {name!r} is not in the preset, which has {', '.join(listed)}")


def method_config(method: str, values: dict[str, Any], place: str | None = None) -> dict[str, Any]:
    """Every field of the method's Config from YAML values.  Raises `UserError` on an unknown key or a wrong type.

    place: the key above these values in the preset, for messages.
    """
    place, config = place or f"methods.{method}", method_info(method).config
    known = list(config.__dataclass_fields__)
    for key, value in values.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise UserError(f"{place}.{key}: the number must be finite, not {value!r}")
        if (key in POSITIVE or key.endswith("_every")) and isinstance(value, int | float) and value <= 0:
            raise UserError(f"{place}.{key}: the number must be above zero, not {value!r}")
        if key not in known:
            raise UserError(f"unknown configuration key {place}.{key}; {method} knows {', '.join(['steps', *known])}")
    try:
        return asdict(TypeAdapter(config).validate_json(json.dumps(values), strict=True))
    except ValidationError as error:
        raise UserError(f"{place}.{explain(error)}") from None


def explain(error: ValidationError, model: type[BaseModel] | None = None) -> str:
    """The first mistake in one sentence: its key, and what is wrong with the value."""
    first = error.errors(include_url=False)[0]
    place, known = list(first["loc"]), _fields_at(model, first["loc"][:-1])
    if place[:1] == ["tasks"] and len(place) > 2 and place[2] in TASKS:
        known = list(TASKS[place.pop(2)].model_fields)  # pydantic names the kind too
    key, value = ".".join(map(str, place)) or "top level", first["input"]
    if first["type"] == "missing":
        return f"{key}: this key is required"
    if first["type"].startswith("union_tag"):
        return f"{key}.kind: this key must be {' or '.join(TASKS)}"
    if first["type"] == "extra_forbidden":
        return f"{key}: unknown key; known are {', '.join(known)}"
    message = first["msg"].removeprefix("Value error, ")
    number = isinstance(value, str) and re.fullmatch(r"[-+]?\d+(\.\d*)?e[-+]?\d+", value)
    hint = " (YAML reads 1e-3 as text: write 1.0e-3)" if number else ""
    return f"{key}: {message[0].lower()}{message[1:]}, not {value!r}{hint}"


def _fields_at(model: type[BaseModel] | None, keys: tuple[int | str, ...]) -> list[str]:
    """The keys that a section of the preset has.  Within a list they are those of Skip: no other section is in one."""
    for key in keys:
        annotation = model.model_fields[str(key)].annotation if model and str(key) in model.model_fields else None
        model = annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else Skip
    return [name for name in model.model_fields if name != "command"] if model else []
