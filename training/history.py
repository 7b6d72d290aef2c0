"""The scalars that a training logs: read from the device, and written as history.csv."""

from __future__ import annotations

import csv
import io

import torch
from torch import Tensor

from methods.api import Scalars


def read_scalars(steps: list[Scalars]) -> list[dict[str, float]]:
    """The scalars of several steps as numbers: those on a GPU by one transfer."""
    tensors = [value for scalars in steps for value in scalars.values() if isinstance(value, Tensor)]
    values = iter(torch.stack(tensors).tolist() if tensors else [])
    return [
        {name: next(values) if isinstance(value, Tensor) else value for name, value in scalars.items()}
        for scalars in steps
    ]


def to_csv(rows: list[dict[str, float]]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row)) or ["step", "seconds"]
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
