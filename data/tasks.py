"""Conditional tasks: what is given, what is asked for, and every right answer that is known.

A task is a view of a prepared data set.  Super-resolution gives the area average of an image of any set and asks for
the image.  Layout gives a label map of a set that has them and asks for a picture of it; training shows one picture for
each label map, also where several are known.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from common.console import UserError
from common.hashing import derive_seed, digest, sha256_bytes
from data.datasets import Entry, Layouts, Name, dataset_info
from data.load import data_hash, load, load_labels

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Split = Literal["train", "heldout"]
INSIDE = 0.9  # a pixel belongs to a class if this share of it does


class SuperResolution(Entry):
    """From an image that is smaller by `factor` to the image; 90 % of the images are trained on."""

    kind: Literal["super_resolution"]
    dataset: Name
    factor: Literal[2, 4, 8, 16]
    mirror: bool = True  # train on mirrored pairs too: twice as many

    def title(self, resolution: int) -> str:
        return f"{dataset_info(self.dataset).title}, {resolution // self.factor} to {resolution} px"


class Layout(Entry):
    """From a label map to an image."""

    kind: Literal["layout"]
    dataset: Name
    imbalance: float | None = Field(None, gt=0, lt=1)  # share of the first answer in training; None: all equally often
    mirror: bool = False

    def title(self, resolution: int) -> str:
        bias = f", {self.imbalance:.0%} in one appearance" if self.imbalance else ""
        return f"{dataset_info(self.dataset).title}{bias}"


Task = Annotated[SuperResolution | Layout, Field(discriminator="kind")]


@dataclass(frozen=True)
class Examples:
    """Conditions with their right answers.

    conditions: float32 (n, c, h, w): a small image in [-1, 1], or the share of each class in every pixel, in [0, 1].
    answers: uint8 (n, a, H, W, 3), all that are known.  shown: (n,), which of them training shows.
    inside: bool (n, H, W), the pixels whose colour tells several answers apart; None if one answer is known.
    """

    conditions: NDArray[np.float32]
    answers: NDArray[np.uint8]
    shown: NDArray[np.int64]
    inside: NDArray[np.bool_] | None = None

    @property
    def images(self) -> NDArray[np.uint8]:
        """The answers that training shows, uint8 (n, H, W, 3)."""
        import numpy as np

        return self.answers[np.arange(len(self.answers)), self.shown]

    @property
    def sha256(self) -> str:
        """What a run records as the data it was trained on."""
        return digest([data_hash(self.images), sha256_bytes(self.conditions.tobytes())])


def load_task(
    task: SuperResolution | Layout, resolution: int, split: Split, root: Path | str = "data/prepared"
) -> Examples:
    """The training pairs of a task, or what is held out, in the order of the prepared set.

    Mirrored pairs follow the others; nothing held out is mirrored.
    Raises `UserError` if the set is not prepared, or is none for this task.
    """
    examples = _small_images(task, resolution, split, root) if task.kind == "super_resolution" else _layouts(
        task, resolution, split, root
    )
    return _with_mirrored(examples) if task.mirror and split == "train" else examples
