"""Rows of a metrics file, one number each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Row = dict[str, Any]


def metric_rows(
    values: Mapping[str, float | None], protocol: str, n_real: int, n_fake: int, **more: object
) -> list[Row]:
    """One row for each number by name, all measured alike.  more: further keys of each."""
    counts = {"n_real": n_real, "n_fake": n_fake}
    return [{"metric": name, "value": value, "protocol": protocol, **counts, **more} for name, value in values.items()]


def not_computed(names: Iterable[str], protocol: str, reason: str, n_real: int, n_fake: int) -> list[Row]:
    """Rows with the reason why there is no number."""
    return metric_rows(dict.fromkeys(names), protocol, n_real, n_fake, reason=reason)
