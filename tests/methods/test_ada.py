"""ADA's augmentations and their controller beside their description (Karras et al. 2020)."""

from __future__ import annotations

import math
from collections.abc import Collection

import pytest
import torch
from torch import Tensor

from methods import resampling
from methods.resampling import plan, sampling_grid
from methods.stylegan2 import ada
from methods.stylegan2.ada import ALL, GEOMETRY, Draws, colours, draw_adaptive, geometry, rotation, scaling, translation
from methods.stylegan2.adaptive import Controller

N = 4000
CPU = torch.device("cpu")


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def adaptive_augment(images: Tensor, p: float, generator: torch.Generator, kinds: Collection[str] = ALL) -> Tensor:
    return ada.adaptive_augment(images, draw_adaptive(len(images), images.shape[3], p, generator, kinds))


def transform(images: Tensor, matrix: Tensor) -> Tensor:
    return resampling.transform(images, plan(matrix, images.shape[3]))


def noise(n: int, side: int = 16) -> Tensor:
    return torch.rand(n, 3, side, side, generator=rng(1)) * 2 - 1


def test_chance_zero_is_the_identity_in_the_filters_too(float64: None) -> None:
    images = noise(2)
    assert torch.equal(adaptive_augment(images, 0.0, rng()), images)
    assert (adaptive_augment(images, 1e-12, rng()) - images).abs().max() < 1e-6
    identity = torch.eye(3).repeat(2, 1, 1)
    reach = resampling.margins(identity, 16)
    warped = plan(identity, 16)._replace(margins=reach, grid=sampling_grid(identity, 16, reach))
    assert (resampling.warp(images, warped) - images).abs().max() < 1e-6


@pytest.mark.parametrize(
    ("kind", "results"),
    [("flip", lambda x: [x, x.flip(3)]), ("turn", lambda x: [torch.rot90(x, k, (2, 3)) for k in range(4)])],
)
def test_flips_and_quarter_turns_equal_torchs(kind, results) -> None:
    """Every image is one of the results, and they are equally likely."""
    images = noise(200)
    after = adaptive_augment(images, 1.0, rng(), (kind,))
    same = torch.stack([(after == each).flatten(1).all(dim=1) for each in results(images)])
    assert (same.sum(dim=0) == 1).all()
    assert same.float().mean(dim=1).tolist() == pytest.approx([1 / len(same)] * len(same), abs=0.14)


def test_whole_pixel_shifts_reach_an_eighth_and_reflect() -> None:
    images, seen = noise(300), set()
    for before, after in zip(images, adaptive_augment(images, 1.0, rng(), ("shift",)), strict=True):
        padded = torch.nn.functional.pad(before, [2] * 4, mode="reflect")
        found = [(y, x) for y in range(5) for x in range(5) if torch.equal(padded[:, y : y + 16, x : x + 16], after)]
        assert len(found) == 1
        seen |= set(found)
    assert seen == {(y, x) for y in range(5) for x in range(5)}


def test_resampling_moves_a_smooth_picture_where_the_matrix_says() -> None:
    """A wide bump, at (4, -3) pixels from the centre: each pixel of the result has the value of its place."""
    side, angle = 32, torch.tensor([0.5])
    matrix = rotation(angle) @ scaling(torch.tensor([1.2]), torch.tensor([0.9])) @ translation(torch.ones(2, 1) * 1.3)
    y, x = torch.meshgrid(torch.arange(side) - 15.5, torch.arange(side) - 15.5, indexing="ij")

    def bump(x: Tensor, y: Tensor) -> Tensor:
        return (-((x - 4) ** 2 + (y + 3) ** 2) / 50).exp()

    source = torch.einsum("ij,jhw->ihw", matrix[0], torch.stack([x, y, torch.ones_like(x)]))
    result = transform(bump(x, y).expand(1, 3, -1, -1), matrix)[0, 0]
    inside = source[:2].abs().amax(dim=0) < 13
    assert inside.float().mean() > 0.5
    assert (result - bump(source[0], source[1])).abs()[inside].max() < 0.02  # sym6 is not quite symmetric


def test_the_border_is_reflected() -> None:
    """Half a pixel beyond the edge there is still the picture, not the zeros of the interpolation."""
    ones = torch.ones(1, 3, 16, 16)
    assert (transform(ones, translation(torch.tensor([[5.5], [-3.3]]))) - 1).abs().max() < 1e-4


def test_each_transformation_of_the_geometry_has_its_law() -> None:
    """The matrices of one transformation alone, for many images, with chance 1."""

    def matrices(*kinds: str) -> Tensor:
        return geometry(Draws(N, 1.0, kinds, rng()), side=40)

    scale = matrices("scale")
    assert torch.equal(scale[:, 0, 0], scale[:, 1, 1])
    assert scale[:, 0, 0].log2().std().item() == pytest.approx(0.2, rel=0.05)
    stretch = matrices("stretch")
    assert torch.allclose(stretch[:, 0, 0] * stretch[:, 1, 1], torch.ones(N))
    assert stretch[:, 0, 0].log2().std().item() == pytest.approx(0.2, rel=0.05)
    assert matrices("move")[:, :2, 2].std(dim=0).tolist() == pytest.approx([5.0, 5.0], rel=0.05)
    angle = torch.atan2(*matrices("rotate")[:, [1, 0], 0].T)
    assert angle.abs().mean().item() == pytest.approx(math.pi / 2, rel=0.05)
    assert angle.abs().max().item() == pytest.approx(math.pi, rel=0.01)


@pytest.mark.parametrize("kind", ALL)
def test_each_transformation_falls_on_its_share_of_the_images(kind: str) -> None:
    """p = 0.3; half of the flips and inversions, a quarter of the turns and 1 / 121 of shifts change nothing."""
    draws = Draws(N, 0.3, (kind,), rng())
    matrix = geometry(draws, side=40) if kind in ("flip", "turn", "shift", *GEOMETRY) else None
    if matrix is None:
        geometry(draws, side=40)
        matrix = colours(draws)
    changed = ((matrix - torch.eye(len(matrix[0]))).abs() > 1e-6).flatten(1).any(dim=1).float().mean().item()
    visible = {"flip": 1 / 2, "invert": 1 / 2, "turn": 3 / 4, "shift": 120 / 121}.get(kind, 1.0)
    assert changed == pytest.approx(0.3 * visible, abs=0.03)


def test_each_change_of_colour_by_hand() -> None:
    """What brightness, contrast, inversion, hue and saturation do to one colour: along the greys, and beside them."""
    colour = torch.tensor([0.6, 0.0, -0.3])
    grey, chroma = colour.mean(), colour - colour.mean()

    def after(kind: str) -> tuple[Tensor, Tensor]:
        pixels = adaptive_augment(colour.view(1, 3, 1, 1).repeat(N, 1, 2, 2), 1.0, rng(), (kind,))[:, :, 0, 0]
        return pixels.mean(dim=1), pixels - pixels.mean(dim=1, keepdim=True)

    greys, chromas = after("brightness")
    assert (greys - grey).std().item() == pytest.approx(0.2, rel=0.05)
    torch.testing.assert_close(chromas, chroma.expand(N, 3))
    greys, chromas = after("contrast")
    assert (greys / grey).log2().std().item() == pytest.approx(0.5, rel=0.05)
    torch.testing.assert_close(chromas, chroma * (greys / grey)[:, None])
    greys, chromas = after("invert")
    assert (greys.sign() == grey.sign()).float().mean().item() == pytest.approx(0.5, abs=0.04)
    torch.testing.assert_close(chromas, chroma.expand(N, 3))
    greys, chromas = after("hue")
    torch.testing.assert_close(greys, grey.expand(N))
    torch.testing.assert_close(chromas.norm(dim=1), chroma.norm().expand(N))
    assert (chromas @ chroma / chroma.square().sum()).mean().abs() < 0.05  # the mean of a cosine
    greys, chromas = after("saturation")
    torch.testing.assert_close(greys, grey.expand(N))
    assert (chromas @ chroma / chroma.square().sum()).log2().std().item() == pytest.approx(1.0, rel=0.05)


def test_an_image_is_changed_without_regard_to_the_others() -> None:
    """Alone and in a batch, where others need a wider border.  Equal images are not changed alike."""
    images, sizes = noise(8, side=32), torch.linspace(1.5, 1.9, 8)
    matrices = scaling(sizes, sizes)
    alone = torch.cat([transform(images[i : i + 1], matrices[i : i + 1]) for i in range(8)])
    torch.testing.assert_close(transform(images, matrices), alone, rtol=0, atol=1e-4)
    equal = adaptive_augment(images[:1].expand(8, -1, -1, -1), 0.8, rng(2))
    assert len(equal.flatten(1).unique(dim=0)) == 8


def test_first_and_second_derivatives_are_those_of_finite_differences(float64: None) -> None:
    """R1 differentiates the discriminator's gradient, which passes through the pipe."""
    images = noise(3, side=8).requires_grad_()

    def function(x: Tensor) -> Tensor:
        return adaptive_augment(x, 0.7, rng(3)).pow(3)

    assert torch.autograd.gradcheck(function, (images,), fast_mode=True)
    assert torch.autograd.gradgradcheck(function, (images,), fast_mode=True)


def test_the_controller_counts_images() -> None:
    """All signs positive: p is the images seen, in units of kimg thousand; then all negative: it falls, not below 0."""
    controller = Controller(target=0.6, kimg=0.5, every=4, batch=8, device=CPU)
    for step in range(22):
        controller.observe(step, torch.tensor([0.1, 3.0]))
    assert controller.p == pytest.approx(20 * 8 / 500)
    for step in range(22, 80):
        controller.observe(step, torch.tensor([-0.1, -3.0]))
    assert controller.p == 0.0


def test_the_controller_holds_the_mean_sign_at_the_target() -> None:
    """Seven of eight signs positive: mean 0.75, above 0.6; six: 0.5, below.  The logits' sizes do not count."""
    for positive, direction in [(7, 1), (6, 0)]:
        controller = Controller(target=0.6, kimg=0.5, every=2, batch=8, device=CPU)
        for step in range(2):
            controller.observe(step, torch.tensor([1e-3] * positive + [-1e3] * (8 - positive)))
        assert controller.p == pytest.approx(direction * 16 / 500)
