"""Rows of a metrics file, one number each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Row = dict[str, Any]


def metric_rows(
    values: Mapping[str, float | None], protocol: str, n_real: int, n_fake: int, **more: object
) -> list[Row]:
    """One row for each number by name, all measured alike.  more: further keys of each."""
    counts = {"n_real": n_real, "n_fake": n_fake}
    return [{"metric": name, "value": value, "protocol": protocol, **counts, **more} for name, value in values.items()]
