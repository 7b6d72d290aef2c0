"""Affine maps of images: exact where pixels fall on pixels, near the analytic image elsewhere."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from methods.warp import warp


def hill(x: float, y: float, side: int = 32) -> Tensor:
    """(1, 3, side, side): a smooth spot, so many pixels right of and below the centre."""
    axis = torch.arange(side, dtype=torch.float64) - (side - 1) / 2
    spot = torch.exp(-((axis[None, :] - x) ** 2 + (axis[:, None] - y) ** 2) / 18)
    return spot.expand(1, 3, side, side)


def matrix(rows: list[list[float]]) -> Tensor:
    return torch.tensor([rows], dtype=torch.float64)


def test_the_identity_returns_any_image_up_to_its_border() -> None:
    images = torch.rand(2, 3, 16, 16, dtype=torch.float64)
    torch.testing.assert_close(warp(images, torch.eye(3, dtype=torch.float64).expand(2, 3, 3)), images)


def test_a_shift_by_whole_pixels_moves_them_and_reflects_the_border() -> None:
    images = torch.rand(1, 3, 16, 16, dtype=torch.float64)
    right = warp(images, matrix([[1, 0, -3], [0, 1, 0], [0, 0, 1]]))
    torch.testing.assert_close(right[..., 3:], images[..., :-3])
    torch.testing.assert_close(right[..., :3], images[..., 1:4].flip(3))


def test_the_pixel_at_p_is_the_input_s_at_the_matrix_times_p() -> None:
    """A quarter turn, and a scaling along one axis of a spot off the centre.

    The filter is not symmetric, which moves a turned image by 0.3 pixels: the tolerance allows for this.
    """
    turned = warp(hill(6, 2), matrix([[0, -1, 0], [1, 0, 0], [0, 0, 1]]))
    assert (turned - hill(2, -6)).abs().max() < 0.1
    stretched = warp(hill(6, 2), matrix([[0.5, 0, 0], [0, 1, 0], [0, 0, 1]]))
    centre = stretched[0, 0].argmax().item()
    assert (centre // 32, centre % 32) in {(17, 27), (17, 28), (18, 27), (18, 28)}  # 12 right, 2 below


def test_an_image_of_a_batch_keeps_its_own_matrix() -> None:
    angle = math.pi / 5
    turn = matrix([[math.cos(angle), -math.sin(angle), 1], [math.sin(angle), math.cos(angle), 2], [0, 0, 1]])
    images = torch.rand(2, 3, 16, 16, dtype=torch.float64)
    both = warp(images, torch.cat([torch.eye(3, dtype=torch.float64)[None], turn]))
    torch.testing.assert_close(both[:1], images[:1])
    torch.testing.assert_close(both[1:], warp(images[1:], turn))
