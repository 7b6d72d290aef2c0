"""EDM's augmentation: its nine-number label says what was done, and zeros say that nothing was."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from methods import resampling
from methods.diffusion.augment import LABELS, Transformation, draw, plan


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def one(**changes: float | tuple[float, float]) -> Transformation:
    """A single image's transformation, in float64."""
    shift = torch.tensor([changes.pop("shift", (0.0, 0.0))], dtype=torch.float64)
    names = Transformation._fields[:-1]
    return Transformation(*(torch.tensor([changes.get(name, 0.0)], dtype=torch.float64) for name in names), shift)


def transform(images: Tensor, done: Transformation) -> Tensor:
    return resampling.transform(images, plan(done, images.shape[3]))


def images(n: int = 1) -> Tensor:
    return torch.rand(n, 3, 16, 16, generator=generator(), dtype=torch.float64)


def test_with_chance_zero_half_the_images_are_mirrored_and_the_label_says_which() -> None:
    done = draw(100, 0.0, generator())
    label = done.label()
    assert label.shape == (100, LABELS)
    assert 30 < label[:, 0].sum() < 70
    assert not label[:, 1:].any()
    expected = torch.where(label[:, 0, None, None, None] == 1, images(100).flip(3), images(100))
    torch.testing.assert_close(transform(images(100), done), expected, atol=1e-5, rtol=0)


def test_each_other_transformation_is_drawn_with_its_chance_and_spread() -> None:
    label = draw(20_000, 0.12, generator()).label()
    flipped, zoomed, turned, stretched, shifted = (label[:, columns] for columns in (1, 2, 4, [5, 6], [7, 8]))
    assert flipped.mean() == pytest.approx(0.06, abs=0.01)
    # A sine has the mean square 1/2; so have the two coordinates of a stretch together, whatever its direction.
    for values, square in ((zoomed[:, None], 1), (turned[:, None], 0.5), (stretched, 0.5), (shifted, 1)):
        applied = values[(values != 0).any(1)]
        assert len(applied) / 20_000 == pytest.approx(0.12, abs=0.01)
        assert applied.square().mean() == pytest.approx(square, abs=0.1)
    along_x = (stretched[(stretched != 0).any(1), 1] == 0).float().mean()
    assert along_x == pytest.approx(0.5, abs=0.03), "EDM turns half of the stretches"
    together = ((zoomed != 0) & (turned != 0)).float().mean()
    assert together == pytest.approx(0.0144, abs=0.004)  # independent of each other


@pytest.mark.parametrize(
    ("changes", "label"),
    [
        ({}, [0] * 9),
        ({"flip_x": 1, "flip_y": 1}, [1, 1, 0, 0, 0, 0, 0, 0, 0]),
        ({"zoom": 0.7}, [0, 0, 0.7, 0, 0, 0, 0, 0, 0]),
        ({"angle": math.pi / 2}, [0, 0, 0, -1, 1, 0, 0, 0, 0]),
        ({"stretch": 2, "direction": math.pi / 6}, [0, 0, 0, 0, 0, 3**0.5, 1, 0, 0]),
        ({"shift": (0.3, -0.4)}, [0, 0, 0, 0, 0, 0, 0, 0.3, -0.4]),
    ],
)
def test_the_label_of_each_transformation(changes: dict[str, float], label: list[float]) -> None:
    torch.testing.assert_close(one(**changes).label(), torch.tensor([label], dtype=torch.float64))


def test_what_each_transformation_does_to_a_point() -> None:
    """The matrix leads from the result's pixels to the input's: a zoom of 5 doubles, a shift of 1 is an eighth."""

    def source(x: float, y: float, **changes: float | tuple[float, float]) -> list[float]:
        point = one(**changes).matrix(16)[0] @ torch.tensor([x, y, 1], dtype=torch.float64)
        return [round(value, 6) for value in point.tolist()[:2]]

    assert source(4, 2, zoom=5) == [2, 1]
    assert sorted(map(abs, source(4, 2, angle=math.pi / 2))) == [2, 4]
    assert source(4, 2, stretch=5) == [2, 4]
    assert source(4, 2, stretch=5, direction=math.pi / 2) == [8, 1]
    assert source(4, 2, shift=(1, -1)) == [2, 4]
    assert source(4, 2, zoom=5, shift=(1, 0)) == [1, 1]  # the shift comes after the zoom


def test_flips_come_before_the_rest() -> None:
    flipped = images().flip(2)
    torch.testing.assert_close(transform(images(), one(flip_y=1)), flipped)
    moved = transform(images(), one(flip_y=1, shift=(0, 1)))
    torch.testing.assert_close(moved[..., 2:, :], flipped[..., :-2, :])
