"""What a run trains on: the images of a data set or, in a conditional run, the pairs of a task."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import TypeAdapter

from common.console import UserError
from data.load import data_hash, load
from data.tasks import Examples, Task, TaskKind, load_task, stand_in
from methods.api import Method
from training.build import build
from training.build_conditional import build_conditional
from training.config import RunConfig

TrainingSet = NDArray[np.uint8] | Examples


def task_of(run: RunConfig) -> TaskKind | None:
    """None: the run is not conditional."""
    return None if run.task is None else TypeAdapter(Task).validate_python(run.task)


def training_set(run: RunConfig, root: Path | str = "data/prepared") -> tuple[TrainingSet, str]:
    """The prepared data of a run, and its title.  Raises `UserError` if it is missing or damaged."""
    if (task := task_of(run)) is not None:
        return load_task(task, run.resolution, "train", root), task.title(run.resolution)
    images, manifest = load(run.dataset, run.resolution, run.split, root)
    return images, manifest["title"]


def hash_of(data: TrainingSet) -> str:
    """What a run records as the data it was trained on."""
    return data.sha256 if isinstance(data, Examples) else data_hash(data)


def new_method(run: RunConfig, data: TrainingSet, device: torch.device) -> Method:
    """The run's method, newly initialised.  Raises `UserError` for settings of which torch makes no network."""
    try:
        return build_conditional(run, data, device) if isinstance(data, Examples) else build(run, data, device)
    except (ValueError, ArithmeticError) as error:
        raise UserError(f"methods.{run.method}: a setting is out of range ({error})") from error


def unprepared(run: RunConfig, images: NDArray[np.uint8]) -> TrainingSet:
    """These images as a run's training set, to measure it before its data is prepared."""
    task = task_of(run)
    return images if task is None else stand_in(task, images)
