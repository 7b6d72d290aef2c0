"""Conditional tasks: what is given, what is asked for, and every right answer that is known.

A task is a view of a prepared data set.  Super-resolution gives the area average of an image of any set and asks for
the image.  Layout gives a label map of a set that has them and asks for a picture of it; training shows one picture for
each label map, also where several are known.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from common.console import UserError
from common.hashing import derive_seed, digest, sha256_bytes
from data.datasets import Entry, Name, dataset_info
from data.load import data_hash, load, load_labels
from data.split import n_train

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Split = Literal["train", "heldout"]
INSIDE = 0.9  # a pixel belongs to a class if this share of it does


class SuperResolution(Entry):
    """From an image that is smaller by `factor` to the image; the training part of the split is trained on."""

    kind: Literal["super_resolution"]
    dataset: Name
    factor: Literal[2, 4, 8, 16]
    mirror: bool = True  # train on mirrored pairs too: twice as many

    @property
    def pairs(self) -> int:
        """How many pairs are trained on."""
        info = dataset_info(self.dataset)
        answers, train = (info.layouts.answers, info.layouts.train) if info.layouts else (1, None)
        return n_train(info.count // answers, train) * answers * (1 + self.mirror)

    def title(self, resolution: int) -> str:
        return f"{dataset_info(self.dataset).title}, {resolution // self.factor} to {resolution} px"


class Layout(Entry):
    """From a label map to an image."""

    kind: Literal["layout"]
    dataset: Name
    imbalance: float | None = Field(None, gt=0, lt=1)  # share of the first answer in training; None: all equally often
    mirror: bool = False

    @property
    def pairs(self) -> int:
        """How many pairs are trained on."""
        info = dataset_info(self.dataset)
        assert info.layouts is not None
        return n_train(info.count // info.layouts.answers, info.layouts.train) * (1 + self.mirror)

    def title(self, resolution: int) -> str:
        bias = f", {self.imbalance:.0%} in one appearance" if self.imbalance else ""
        return f"{dataset_info(self.dataset).title}{bias}"


TaskKind = SuperResolution | Layout
Task = Annotated[TaskKind, Field(discriminator="kind")]


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

    def __getitem__(self, which: slice) -> Examples:
        parts = (self.conditions[which], self.answers[which], self.shown[which])
        return Examples(*parts, None if self.inside is None else self.inside[which])

    @property
    def images(self) -> NDArray[np.uint8]:
        """The answers that training shows, uint8 (n, H, W, 3)."""
        import numpy as np

        return self.answers[np.arange(len(self.answers)), self.shown]

    @property
    def sha256(self) -> str:
        """What a run records as the data it was trained on."""
        return digest([data_hash(self.images), sha256_bytes(self.conditions.tobytes())])


def load_task(task: TaskKind, resolution: int, split: Split, root: Path | str = "data/prepared") -> Examples:
    """The training pairs of a task, or those that are held out, in the order of the prepared set.

    Mirrored pairs follow the others; nothing that is held out is mirrored.
    Raises `UserError` if the set is not prepared, or does not fit the task.
    """
    if isinstance(task, SuperResolution):
        images, _ = load(task.dataset, resolution, "train90" if split == "train" else "heldout", root)
        examples = shrunk(images, task.factor)
    else:
        examples = _layouts(task, resolution, split, root)
    return _with_mirrored(examples) if task.mirror and split == "train" else examples


def shrunk(images: NDArray[np.uint8], factor: int) -> Examples:
    """Images with their area averages as conditions: (n, H, W, 3) and (n, 3, H / factor, W / factor)."""
    import numpy as np

    n, side = len(images), images.shape[1] // factor
    if side * factor != images.shape[1] or side < 2:
        raise UserError(f"super-resolution by {factor} does not fit images of {images.shape[1]} px: lower `factor`")
    small = images.reshape(n, side, factor, side, factor, 3).mean(axis=(2, 4)) / 127.5 - 1
    return Examples(_planes(small), images[:, None], np.zeros(n, np.int64))


def stand_in(task: TaskKind, images: NDArray[np.uint8]) -> Examples:
    """Any images (n, H, W, 3) as pairs of a task: for measuring what a step costs, with no meaning."""
    import numpy as np

    if isinstance(task, SuperResolution):
        return shrunk(images, task.factor)
    layouts = dataset_info(task.dataset).layouts
    assert layouts is not None  # training.config.check
    classes = np.arange(images.shape[1] * images.shape[2]).reshape(1, *images.shape[1:3]) % len(layouts.classes)
    shares = np.eye(len(layouts.classes))[np.tile(classes, (len(images), 1, 1))]
    return Examples(_planes(shares), images[:, None], np.zeros(len(images), np.int64))


def _layouts(task: Layout, resolution: int, split: Split, root: Path | str) -> Examples:
    import numpy as np

    labels, about = load_labels(task.dataset, resolution, root)
    images, _ = load(task.dataset, resolution, root=root)
    places = about["split"][split]
    answers = images.reshape(len(labels), about["answers"], *images.shape[1:])[places]
    shares = labels[places] / 255
    shown = np.zeros(len(places), np.int64)
    if split == "train" and about["answers"] > 1:
        shown = shown_answers(len(places), about["answers"], task.imbalance, task.dataset)
    inside = None
    if about["answers"] > 1 and about["told_apart_by"]:
        inside = shares[..., about["classes"].index(about["told_apart_by"])] > INSIDE
    return Examples(_planes(shares), answers, shown, inside)


def shown_answers(n: int, answers: int, imbalance: float | None, dataset: str) -> NDArray[np.int64]:
    """Which of its answers training shows for each of n label maps: all equally often, up to one.

    imbalance: the share of the first answer; the others share the rest.  The same for every seed of a run.
    """
    import numpy as np

    first = round(imbalance * n) if imbalance else 0
    rest = np.arange(n - first) % (answers - 1) + 1 if imbalance else np.arange(n) % answers
    shown = np.concatenate([np.zeros(first, np.int64), rest])
    return np.random.default_rng(derive_seed("answers", dataset)).permutation(shown)


def _planes(array: NDArray[np.float64]) -> NDArray[np.float32]:
    """NHWC to NCHW."""
    import numpy as np

    return np.ascontiguousarray(array.transpose(0, 3, 1, 2), np.float32)


def _with_mirrored(examples: Examples) -> Examples:
    import numpy as np

    def both(array: Any, axis: int) -> Any:
        return np.concatenate([array, np.flip(array, axis)])

    return Examples(
        both(examples.conditions, 3),
        both(examples.answers, 3),
        np.tile(examples.shown, 2),
        None if examples.inside is None else both(examples.inside, 2),
    )
