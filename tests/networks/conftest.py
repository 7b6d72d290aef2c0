"""Golden vectors: weights, inputs and outputs of the original networks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

TOLERANCE = 1e-4  # of the largest absolute value of the original's output


@pytest.fixture
def golden() -> Callable[[str], dict[str, Any]]:
    """`golden(name)`: the tensors of one file of tests/golden (float16 cast to float32), and its strings."""

    def read(name: str) -> dict[str, Any]:
        with np.load(Path(__file__).parents[1] / "golden" / f"{name}.npz") as file:
            arrays = {key: file[key] for key in file.files}
        return {key: value.item() if value.dtype.kind == "U" else to_tensor(value) for key, value in arrays.items()}

    return read


def to_tensor(value: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(value.astype(np.float32) if value.dtype == np.float16 else value)


def weights(vector: dict[str, Any]) -> dict[str, torch.Tensor]:
    """The original's weights by its own names."""
    return {key.removeprefix("param/"): value for key, value in vector.items() if key.startswith("param/")}


def assert_close(ours: torch.Tensor, original: torch.Tensor, scale: float = 0.0) -> None:
    assert ours.shape == original.shape
    assert (ours - original).abs().max() <= TOLERANCE * max(scale, float(original.abs().max()))
