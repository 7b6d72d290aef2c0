"""Statistics against published values, and on tables whose answer is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from metrics import statistics

DATASETS = ("obama", "grumpy_cat", "panda", "cat", "dog", "ffhq_100")
# FID as the RS-IMLE project page gives it (github SerChirag/rs-imle, commit 85c8267).
PUBLISHED = pd.DataFrame(
    {
        "FastGAN": [41.1, 26.6, 10.0, 35.1, 50.7, 54.2],
        "FakeCLR": [29.9, 20.6, 8.8, 27.4, 44.4, 62.1],
        "FreGAN": [33.4, 24.9, 9.0, 31.0, 47.9, 50.5],
        "ReGAN": [45.7, 27.3, 12.6, 42.1, 57.2, 87.4],
        "AdaIMLE": [25.0, 19.1, 7.6, 24.9, 43.0, 33.2],
        "RS-IMLE": [14.0, 11.5, 3.5, 15.9, 23.1, 12.9],
    },
    index=DATASETS,
)


def table(values: dict[str, list[float]], dataset: str = "a") -> pd.DataFrame:
    """Scores of one dataset; each method's values are those of seeds 0, 1, ..."""
    rows = [(dataset, method, seed, value) for method, found in values.items() for seed, value in enumerate(found)]
    return pd.DataFrame(rows, columns=["dataset", "method", "seed", "value"])


def test_a_cell_has_a_deviation_from_two_seeds_on() -> None:
    found = statistics.summary(table({"x": [1.0, 3.0], "y": [5.0]})).set_index("method")
    assert found.loc["x", ["mean", "n"]].tolist() == [2.0, 2]
    assert found.loc["x", "std"] == pytest.approx(2**0.5)
    assert np.isnan(found.loc["y", "std"])


def test_the_published_table_gives_the_known_ranks_and_tests() -> None:
    ranks = statistics.ranks(PUBLISHED, lower_is_better=True).mean()
    assert ranks.round(3).tolist() == [4.833, 3.333, 3.833, 6.0, 2.0, 1.0]
    found = statistics.friedman(ranks.to_numpy(), 6)
    assert found.chi_square == pytest.approx(28.571, abs=5e-4)
    assert found.chi_square_p == pytest.approx(2.81e-5, abs=5e-8)
    nemenyi = statistics.nemenyi(ranks, 6)
    assert nemenyi.loc["RS-IMLE", "AdaIMLE"] == pytest.approx(0.940, abs=5e-4)
    assert nemenyi.loc["RS-IMLE", "FastGAN"] == pytest.approx(0.0052, abs=5e-5)
    against = statistics.compare_over_datasets(PUBLISHED["RS-IMLE"].to_numpy(), PUBLISHED["AdaIMLE"].to_numpy(), True)
    assert against.p == against.smallest_p == 0.03125
    assert against.estimate == pytest.approx(np.exp(np.log(PUBLISHED["RS-IMLE"] / PUBLISHED["AdaIMLE"]).mean()))
    assert against.low < against.estimate < against.high < 1


def test_demsars_example() -> None:
    """Section 3.2.2: four variants of C4.5 on 14 data sets."""
    found = statistics.friedman(np.array([3.143, 2.000, 2.893, 1.964]), 14)
    assert (round(found.chi_square, 2), round(found.f, 2)) == (9.28, 3.69)
    assert statistics.critical_difference(4, 14) == pytest.approx(1.25, abs=5e-3)


def test_the_same_order_on_every_dataset_has_no_f() -> None:
    found = statistics.friedman(np.array([1.0, 2.0, 3.0]), 2)
    assert found.chi_square == 4
    assert np.isnan([found.f, found.f_p]).all()


@pytest.mark.parametrize(("k", "n", "expected"), [(4, 6, 1.92), (6, 6, 3.08), (8, 6, 4.29), (4, 9, 1.56), (8, 9, 3.50)])
def test_critical_differences(k: int, n: int, expected: float) -> None:
    assert statistics.critical_difference(k, n) == pytest.approx(expected, abs=6e-3)


def test_ranks_of_ties_and_of_a_missing_cell() -> None:
    means = pd.DataFrame({"x": [1.0, 2.0], "y": [1.0, np.nan], "z": [3.0, 1.0]})
    assert statistics.ranks(means, lower_is_better=True).to_numpy().tolist() == [[1.5, 1.5, 3], [2, 3, 1]]
    assert statistics.ranks(means, lower_is_better=False).to_numpy().tolist() == [[2.5, 2.5, 1], [1, 3, 2]]


def test_three_seeds_against_three_cannot_be_significant() -> None:
    found = statistics.compare_runs([np.array([1.0, 2.0, 3.0])], [np.array([11.0, 12.0, 13.5])])
    assert (found.p, found.smallest_p, found.can_be_significant) == (0.1, 0.1, False)
    assert found.estimate == pytest.approx(-10.1667, abs=1e-4)
    assert found.low < found.estimate < found.high < 0
    five = statistics.compare_runs([np.arange(5.0)], [np.arange(10.0, 15.0)])
    assert five.p == pytest.approx(2 / 252)
    assert five.can_be_significant


def test_many_runs_are_permuted_at_random_and_the_smallest_p_says_so() -> None:
    """All patterns of 15 runs and 15 are 155 million."""
    found = statistics.compare_runs([np.arange(15.0)], [np.arange(20.0, 35.0)])
    assert found.p == found.smallest_p == 2 / 200_001
    three = statistics.compare_runs([np.arange(5.0)] * 3, [np.arange(20.0, 25.0)] * 3)  # 252 patterns on each dataset
    assert three.p == three.smallest_p == 2 / 200_001


def test_three_seeds_on_two_datasets_can_be_significant() -> None:
    """20 patterns on each dataset; what differs in opposite directions is no difference."""
    low, high = np.array([10.0, 11.0, 12.0]), np.array([20.0, 24.0, 30.0])
    found = statistics.compare_runs([low, 8 * low], [high, 8 * high], ratio=True)
    assert (found.p, found.smallest_p) == (2 / 400, 2 / 400)
    assert found.estimate == pytest.approx(stats.gmean(low) / stats.gmean(high))
    assert found.low < found.estimate < found.high < 1
    assert statistics.compare_runs([low, high], [high, low]).p == 1
    mixed = statistics.compare_runs([low, low], [high, low + 0.5])
    assert 0.005 < mixed.p < 0.1, "within a dataset, runs of the other dataset are no alternative"


@pytest.mark.parametrize(("ours", "theirs"), [([3.0, 5, 4], [6.0, 5, 9, 7]), ([2.0, 2, 8], [3.0, 7, 1])])
def test_one_dataset_agrees_with_scipy(ours: list[float], theirs: list[float]) -> None:
    """Its permutation test and Welch's interval, also for unequal numbers of runs."""
    found = statistics.compare_runs([np.array(ours)], [np.array(theirs)])
    test = stats.permutation_test((ours, theirs), lambda a, b, axis: a.mean(axis) - b.mean(axis), vectorized=True)
    assert found.p == pytest.approx(test.pvalue)
    welch = stats.ttest_ind(ours, theirs, equal_var=False).confidence_interval()
    assert (found.low, found.high) == pytest.approx((welch.low, welch.high))


def test_an_interval_of_three_runs_contains_the_true_difference() -> None:
    """On two datasets of different spread, in 95 of 100 cases; a bootstrap does so in 85."""
    draw, hits = np.random.default_rng(0), 0
    for _ in range(400):
        ours, theirs = ([draw.normal(0, spread, 3) for spread in (1, 2)] for _ in range(2))
        found = statistics.compare_runs(ours, theirs)
        hits += found.low <= 0 <= found.high
    assert 0.93 <= hits / 400 <= 0.99


def test_one_seed_gives_an_estimate_without_an_interval() -> None:
    found = statistics.compare_runs([np.array([1.0])], [np.array([4.0])])
    assert (found.estimate, found.smallest_p) == (-3.0, 1.0)
    assert np.isnan([found.low, found.high, found.p]).all()


def test_equal_runs_differ_by_nothing() -> None:
    found = statistics.compare_runs([np.full(3, 2.0)], [np.full(3, 2.0)])
    assert (found.estimate, found.low, found.high, found.p) == (0.0, 0.0, 0.0, 1.0)
    assert statistics.compare_over_datasets(np.full(6, 2.0), np.full(6, 2.0), True).p == 1.0


def test_pairs_see_a_small_difference_that_independent_runs_hide() -> None:
    images = np.linspace(0.1, 0.9, 10)
    paired = statistics.compare_paired(images - 0.01 - 0.001 * np.arange(10), images)
    assert paired.p == pytest.approx(2 / 1024)
    assert paired.high < 0
    assert statistics.compare_runs([images[:5] - 0.01], [images[:5]]).p > 0.5


def test_many_pairs_are_permuted_at_random_and_the_smallest_p_says_so() -> None:
    images = np.linspace(0.1, 0.9, 16)
    found = statistics.compare_paired(images - 0.1 - 0.001 * np.arange(16), images)
    assert found.p == found.smallest_p == 2 / 10_000


def test_holm_adjusts_in_order_and_never_decreases() -> None:
    assert statistics.holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert statistics.holm([0.9, 0.9]) == [1.0, 1.0]


@pytest.mark.parametrize(("comparisons", "datasets"), [(1, 6), (2, 7), (3, 7), (7, 9)])
def test_the_fewest_datasets_that_can_be_significant(comparisons: int, datasets: int) -> None:
    assert statistics.fewest_datasets(comparisons) == datasets
    reached = [statistics.holm([2.0 ** (1 - n)] + [1.0] * (comparisons - 1))[0] for n in (datasets - 1, datasets)]
    assert reached[0] > statistics.ALPHA >= reached[1]


def test_scaled_scores_put_the_controls_at_0_and_1() -> None:
    scores = table({"noise": [400.0], "half": [60.0], "x": [230.0], "better": [40.0]})
    found = statistics.scaled(scores, {"a": 400.0}, {"a": 60.0}).set_index("method")["value"]
    assert found[["noise", "half", "x"]].tolist() == [0.0, 1.0, 0.5]
    assert found["better"] > 1


def test_the_interval_of_a_mean_is_deterministic_and_covers() -> None:
    """The half-width is about 1.96 standard errors (within 10% at n = 400)."""
    values = np.random.default_rng(1).normal(0.4, 0.1, 400)
    low, high = statistics.interval_of_mean(values)
    assert (low, high) == statistics.interval_of_mean(values)
    assert (high - low) / 2 == pytest.approx(1.96 * values.std() / 20, rel=0.1)
    assert low < values.mean() < high
    assert np.isnan(statistics.interval_of_mean(values[:2])).all()


def test_rliables_own_examples() -> None:
    """The interquartile mean and probability of improvement of its unit tests; here one array for each task."""
    x = [np.array([1, 2, 1, 2]), np.array([2, 2, 1, 1])]
    y = [np.array([1, 2, 3]), np.array([1, 2, 3])]
    assert statistics.interquartile_mean(x)[0] == 1.5
    assert statistics.interquartile_mean(y)[0] == 2.0
    assert statistics.probability_of_improvement(x, y) == pytest.approx(1 / 3)


def test_the_interval_of_the_interquartile_mean_needs_three_runs_on_each_dataset() -> None:
    assert np.isnan(statistics.interquartile_mean([np.array([1.0, 2.0, 3.0]), np.array([2.0, 3.0])])[1:]).all()
    estimate, low, high = statistics.interquartile_mean([np.array([1.0, 2.0, 3.0]), np.array([2.0, 3.0, 4.0])])
    assert 1 < low < estimate < high < 4


def test_at_most_one_null_table_in_twenty_is_called_different() -> None:
    """Methods without any difference: the adjusted tests must not find more than ALPHA of them."""
    draw, tables, found = np.random.default_rng(0), 400, 0
    for _ in range(tables):
        means = pd.DataFrame(draw.lognormal(3, 0.5, (9, 3)), columns=list("abc"))
        found += statistics.wilcoxon_holm(means, ratio=True).to_numpy().min() <= statistics.ALPHA
    assert 0 < found / tables <= statistics.ALPHA


def test_one_held_out_image_gives_a_difference_and_no_test() -> None:
    """Ten pictures leave one image out."""
    found = statistics.compare_paired(np.array([0.3]), np.array([0.5]))
    assert found.estimate == pytest.approx(-0.2)
    assert np.isnan([found.p, found.low, found.high]).all() and not found.can_be_significant


def test_all_pairs_agree_with_single_comparisons() -> None:
    pairs = statistics.wilcoxon_holm(PUBLISHED, ratio=True)
    assert pairs.loc["RS-IMLE", "AdaIMLE"] == pytest.approx(min(1.0, 15 * 0.03125))
    assert (np.diag(pairs) == 1).all()
