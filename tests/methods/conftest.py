"""Fixtures shared by the tests of the methods."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch


def read_vector(path: Path) -> dict[str, Any]:
    """Tensors (float16 cast to float32), and strings as such."""
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    return {name: value.item() if value.dtype.kind == "U" else to_tensor(value) for name, value in arrays.items()}


def to_tensor(value: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(value.astype(np.float32) if value.dtype == np.float16 else value)


@pytest.fixture
def golden() -> Callable[[str], dict[str, Any]]:
    """`golden(name)`: weights, inputs and outputs of an original network, by name.

    The environment variable GOLDEN_VECTORS names another folder of files with the same names: other sizes.
    """
    folder = Path(os.environ.get("GOLDEN_VECTORS", Path(__file__).parents[1] / "golden"))
    return lambda name: read_vector(folder / f"{name}.npz")
