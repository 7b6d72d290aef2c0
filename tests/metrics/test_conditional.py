"""Metrics of several answers: known values for oracles, constants and noise."""

from __future__ import annotations

import itertools

import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch.nn import functional as F

from metrics import conditional

N, K, A, SIDE = 4, 24, 6, 16


@pytest.fixture
def random() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture
def people(random):
    """Answers (N, A, 3, SIDE, SIDE) in 0..255 that differ in colour inside a mask (N, SIDE, SIDE)."""
    inside = torch.zeros(N, SIDE, SIDE, dtype=torch.bool)
    inside[:, 4:12, 6:10] = True
    tones = torch.tensor(
        [[248, 240, 45], [248, 228, 195], [230, 194, 149], [200, 160, 105], [171, 126, 59], [110, 73, 49]]
    )
    outside = torch.rand(N, 1, 3, SIDE, SIDE, generator=random) * 255
    return torch.where(inside[:, None, None], tones[None, :, :, None, None].float(), outside), inside


def coverage(drawn, people):
    nearest, counts = conditional.modes(drawn, *people)
    return conditional.mode_coverage(nearest, counts, A).item(), counts.float().mean().item(), nearest


def test_coverage_of_an_oracle_is_1_and_of_a_constant_a_sixth(people):
    answers = people[0]
    assert coverage(answers.repeat(1, K // A, 1, 1, 1), people)[:2] == (1, 1)
    assert coverage(answers[:, 2:3].repeat(1, K, 1, 1, 1), people)[:2] == (pytest.approx(1 / 6), 1)
    assert coverage(answers[:, [5, 0, 0, 5]], people)[:2] == (pytest.approx(2 / 6), 1)
    assert coverage(answers, people)[2].tolist() == [list(range(A))] * N


def test_an_answer_between_two_tones_or_of_no_tone_does_not_count(people):
    answers = people[0]
    between = answers[:, 3:4].lerp(answers[:, 4:5], 0.5)
    green = torch.tensor([0.0, 255, 0])[:, None, None].expand(N, 1, 3, SIDE, SIDE)
    for drawn in (between, green):
        assert coverage(drawn, people)[:2] == (0, 0)


def test_what_lies_outside_the_mask_does_not_matter(people, random):
    answers, inside = people
    other = torch.where(inside[:, None, None], answers, torch.rand(answers.shape, generator=random) * 255)
    assert coverage(other, people)[:2] == (1, 1)


def test_diversity_is_the_mean_over_pairs(random):
    drawn = torch.randn(N, 5, 7, generator=random)
    pairs = [(drawn[:, a] - drawn[:, b]).square().sum(1) for a, b in itertools.combinations(range(5), 2)]
    assert conditional.diversity(drawn) == pytest.approx(torch.stack(pairs).mean().item(), rel=1e-5)
    assert conditional.diversity(drawn[:, :1].repeat(1, 5, 1)) == pytest.approx(0, abs=1e-6)
    assert conditional.diversity(drawn[:, :1]) == 0


def test_distances_both_ways():
    right = torch.tensor([[[0.0], [10.0]]])
    drawn = torch.tensor([[[0.0], [1.0], [0.0]]])  # one right answer is missed
    distances = conditional.between(drawn, right)
    assert distances.shape == (1, 3, 2)
    assert conditional.recall_distance(distances) == pytest.approx((0 + 81) / 2)
    assert conditional.precision_distance(distances) == pytest.approx((0 + 1 + 0) / 3)


def test_best_of_k():
    scores = torch.tensor([[1.0, 3.0], [8.0, 6.0]])
    assert conditional.best_of_k(scores) == 3.5 and conditional.best_of_k(scores, higher=True) == 5.5


def test_fwv_of_faithful_answers_is_their_variance(random):
    drawn = 1e-3 * torch.randn(N, K, 5, generator=random)
    distances = torch.zeros(N, K, 1)
    variance = (drawn - drawn.mean(1, keepdim=True)).square().sum(2).mean()
    assert conditional.fwv(drawn, distances) == pytest.approx(variance.item())
    right = torch.tensor([0.5, 0.08]).expand(N, K, 2)  # the nearest of two counts: exp(-0.08 / (2 * 0.04)) = 1 / e
    weighted = conditional.fwv(drawn, right)
    assert weighted == pytest.approx(variance.item() * 0.36788, rel=1e-4)


def test_psnr_of_known_errors():
    truth = torch.zeros(1, 3, 16, 16)
    drawn = torch.stack([truth, truth + 25.5, truth + 255], dim=1)
    assert conditional.psnr(drawn, truth)[0].tolist() == pytest.approx([100, 20, 0], abs=1e-4)


def test_ssim_is_that_of_wang_et_al(random):
    """Against scipy's Gaussian filter, truncated to the same 11 pixels."""
    truth = torch.rand(2, 3, 24, 24, generator=random, dtype=torch.double) * 255
    drawn = truth[:, None] + 40 * torch.randn(2, 2, 3, 24, 24, generator=random, dtype=torch.double)

    def blurred(image):
        return gaussian_filter(image, sigma=1.5, truncate=3.4)[5:-5, 5:-5]

    def reference(x, y):
        mx, my = blurred(x), blurred(y)
        vx, vy, cov = blurred(x * x) - mx**2, blurred(y * y) - my**2, blurred(x * y) - mx * my
        c1, c2 = 6.5025, 58.5225
        return ((2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))).mean()

    expected = [
        [sum(reference(x.numpy(), y.numpy()) for x, y in zip(one, truth[i], strict=True)) / 3 for one in drawn[i]]
        for i in range(2)
    ]
    assert torch.allclose(conditional.ssim(drawn, truth), torch.tensor(expected, dtype=torch.double), atol=1e-6)
    assert conditional.ssim(truth[:, None], truth) == pytest.approx(1)


def test_consistency_is_zero_for_whatever_shrinks_to_the_input_and_in_levels(random):
    truth = torch.rand(N, 1, 3, 32, 32, generator=random) * 255
    small = F.avg_pool2d(truth[:, 0], 8)
    assert conditional.consistency(truth, small) == pytest.approx(0, abs=1e-4)
    blocks = F.interpolate(small, scale_factor=8, mode="nearest")[:, None]
    assert conditional.consistency(blocks, small) == pytest.approx(0, abs=1e-4)
    assert conditional.consistency(blocks + 3, small) == pytest.approx(3, abs=1e-4)
