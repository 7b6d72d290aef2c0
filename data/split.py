"""Which images are trained on and which are held out for LPIPS backtracking (section 5.1 of the paper: 90% and 10%)."""

from __future__ import annotations

from typing import Literal

from common.hashing import derive_seed

Rule = Literal["lexicographic", "seeded"]


def n_train(n: int, train: int | None = None) -> int:
    """How many of n are trained on: `train`, or 90 %."""
    return 9 * n // 10 if train is None else train


def split(n: int, rule: Rule, dataset: str, train: int | None = None) -> dict[str, list[int]]:
    """Split the indices 0..n-1 into {"train", "heldout"}, both ascending; train has floor(0.9 n) or `train` of them.

    `lexicographic` takes the first images by file name, as the official code does; `seeded` draws them, with a seed
    derived from the dataset's name: for sets whose file names follow the content, such as code points.
    """
    import numpy as np

    order = list(range(n))
    if rule == "seeded":
        order = np.random.default_rng(derive_seed("split", dataset)).permutation(n).tolist()
    first = n_train(n, train)
    return {"train": sorted(order[:first]), "heldout": sorted(order[first:])}
