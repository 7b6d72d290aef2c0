"""Statistics over seeds and datasets: intervals, tests, ranks and scaled scores.  docs/protocol.md says which to read.

A table of scores has the columns dataset, method, seed and value.  Seeds of two methods are independent runs; datasets
are paired.  Tests between datasets use the mean over seeds of each dataset.  Every random draw has a fixed seed.

Sources: Demsar (2006) for tests over datasets, Agarwal et al. (2021) for the interquartile mean and the probability of
improvement, Efron (1987) for the BCa interval, Welch (1947) for that of a difference between runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import combinations
from math import comb, log, nan, prod, sqrt
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from metrics.intervals import ALPHA

RESAMPLES = 9999
PERMUTATIONS = 200_000  # all patterns of two sets of ten runs; of more patterns, so many random ones
EXACT_PAIRS = 13  # with more pairs, signs are drawn at random: all 2^n patterns would be more than RESAMPLES
FEWEST = 3  # seeds, or images, that an interval needs


@dataclass(frozen=True)
class Comparison:
    """The effect of one method against another, with an interval and a test where there are enough values.

    estimate: a difference, or a ratio of geometric means.  low, high: 95% interval, NaN for fewer than FEWEST values.
    smallest_p: the smallest p-value that the test can give with so many values, whatever they are.
    """

    estimate: float
    low: float
    high: float
    p: float
    smallest_p: float

    @property
    def can_be_significant(self) -> bool:
        return self.smallest_p <= ALPHA


def summary(scores: pd.DataFrame) -> pd.DataFrame:
    """Mean, standard deviation (NaN for one seed) and number of seeds of each (dataset, method)."""
    grouped = scores.groupby(["dataset", "method"], sort=False)["value"]
    return grouped.agg(mean="mean", std="std", n="count").reset_index()


def compare_runs(ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray], ratio: bool = False) -> Comparison:
    """Difference of means between the independent runs of two methods, averaged over the same datasets.

    ours, theirs: for each dataset an array of runs, (n,) and (m,).  With `ratio`, the ratio of geometric means.  The
    interval is Welch's: a bootstrap of three runs contains the true difference in four of five cases only.  The test
    permutes the methods of the runs within each dataset, so it speaks of other runs on these datasets.  All patterns
    are tried, if there are at most PERMUTATIONS, otherwise random ones.  p is NaN for one run of each on one dataset.
    """
    if ratio:
        ours, theirs = ([np.log(runs) for runs in method] for method in (ours, theirs))
    pairs = list(zip(ours, theirs, strict=True))
    estimate = float(np.mean([mine.mean() - other.mean() for mine, other in pairs]))
    patterns = prod(comb(len(mine) + len(other), len(mine)) for mine, other in pairs)
    smallest = min(1.0, 2 / patterns if patterns <= PERMUTATIONS else 2 / (PERMUTATIONS + 1))
    runs = [*ours, *theirs]
    p = _permutation_p(pairs, estimate, patterns) if patterns > 2 else nan
    half = _welch(runs, len(pairs))
    low, high = estimate - half, estimate + half
    if ratio:
        estimate, low, high = (float(np.exp(value)) for value in (estimate, low, high))
    return Comparison(estimate, low, high, p, smallest)


def compare_paired(ours: np.ndarray, theirs: np.ndarray) -> Comparison:
    """Mean difference between paired values (n,), such as scores of the same images: the signs are permuted.

    All patterns of signs are tried for up to EXACT_PAIRS pairs, RESAMPLES random ones for more.  With a single pair
    there is no test: p is NaN.
    """
    differences = ours - theirs
    smallest = 2.0 ** (1 - len(ours)) if len(ours) <= EXACT_PAIRS else 2 / (RESAMPLES + 1)
    p = nan
    if len(differences) > 1:
        options: dict[str, Any] = {"permutation_type": "samples", "n_resamples": RESAMPLES, "rng": _generator()}
        p = stats.permutation_test((differences,), _mean, vectorized=True, **options).pvalue
    low, high = interval_of_mean(differences)
    return Comparison(float(differences.mean()), low, high, float(p), min(1.0, smallest))


def compare_over_datasets(ours: np.ndarray, theirs: np.ndarray, ratio: bool) -> Comparison:
    """Wilcoxon's signed-rank test on means of the same datasets (n,), and the mean difference.

    With `ratio`, on their logarithms, and the ratio of geometric means.
    """
    differences = _differences(ours, theirs, ratio)
    p = _wilcoxon(differences)
    low, high = interval_of_mean(differences)
    estimate = float(differences.mean())
    if ratio:
        estimate, low, high = (float(np.exp(value)) for value in (estimate, low, high))
    return Comparison(estimate, low, high, p, min(1.0, 2.0 ** (1 - len(ours))))


def interval_of_mean(values: np.ndarray) -> tuple[float, float]:
    """The 95% BCa interval of the mean of values (n,): NaN for fewer than FEWEST, a point if all are (almost) equal."""
    if len(values) < FEWEST:
        return nan, nan
    if np.allclose(values, values[0], rtol=1e-9, atol=0):
        return float(values.mean()), float(values.mean())
    found = stats.bootstrap((values,), _mean, method="BCa", rng=_generator()).confidence_interval
    return float(found.low), float(found.high)


def holm(p_values: list[float]) -> list[float]:
    """Holm's adjusted p-values: compare each with ALPHA."""
    order = np.argsort(p_values)
    adjusted = np.maximum.accumulate([(len(p_values) - rank) * p_values[index] for rank, index in enumerate(order)])
    return [float(min(1.0, adjusted[rank])) for rank in np.argsort(order)]


def ranks(means: pd.DataFrame, lower_is_better: bool) -> pd.DataFrame:
    """Rank of each method (columns) on each dataset (rows), 1 the best; equal means share the average of their ranks.

    A method without a number on a dataset gets the worst rank there.
    """
    order = means if lower_is_better else -means
    return order.fillna(np.inf).rank(axis=1, method="average")


@dataclass(frozen=True)
class Friedman:
    """Friedman's chi-square and Iman and Davenport's F, which is less conservative, with their p-values.

    F and its p are NaN where the order is the same on every dataset: F is then infinite, for two datasets too.
    """

    chi_square: float
    chi_square_p: float
    f: float
    f_p: float


def friedman(average_ranks: np.ndarray, n_datasets: int) -> Friedman:
    """Do the k methods differ at all, given their average ranks (k,) over n datasets?  Demsar (2006), equation 6."""
    k, n = len(average_ranks), n_datasets
    chi_square = 12 * n / (k * (k + 1)) * float((np.square(average_ranks)).sum() - k * (k + 1) ** 2 / 4)
    p = float(stats.chi2.sf(chi_square, k - 1))
    rest = n * (k - 1) - chi_square
    if rest <= 1e-9:  # the same order on every dataset
        return Friedman(chi_square, p, nan, nan)
    f = (n - 1) * chi_square / rest
    return Friedman(chi_square, p, f, float(stats.f.sf(f, k - 1, (k - 1) * (n - 1))))


def critical_difference(k: int, n_datasets: int) -> float:
    """Nemenyi's: average ranks of two of k methods that differ by more differ at the level ALPHA."""
    q = stats.studentized_range.ppf(1 - ALPHA, k, np.inf) / sqrt(2)
    return float(q * sqrt(k * (k + 1) / (6 * n_datasets)))


def nemenyi(average_ranks: pd.Series, n_datasets: int) -> pd.DataFrame:
    """Nemenyi's p-values of all pairs of methods."""
    k, values = len(average_ranks), average_ranks.to_numpy()
    q = np.abs(values[:, None] - values) / sqrt(k * (k + 1) / (6 * n_datasets)) * sqrt(2)
    return _square(average_ranks.index, stats.studentized_range.sf(q, k, np.inf))


def wilcoxon_holm(means: pd.DataFrame, ratio: bool) -> pd.DataFrame:
    """Wilcoxon p-values of all pairs of methods (columns) over datasets (rows), adjusted together by Holm.

    Unlike Nemenyi's, a verdict on two methods depends on the others only through the number of comparisons.
    """
    first, second = np.triu_indices(means.shape[1], 1)
    values = means.to_numpy()
    pairs = [_differences(values[:, i], values[:, j], ratio) for i, j in zip(first, second, strict=True)]
    found = holm([_wilcoxon(pair[~np.isnan(pair)]) for pair in pairs])
    p = np.ones((means.shape[1], means.shape[1]))
    p[first, second] = p[second, first] = found
    return _square(means.columns, p)


def scaled(scores: pd.DataFrame, worst: dict[str, float], best: dict[str, float]) -> pd.DataFrame:
    """Scores on a scale where 0 is the worst and 1 the best control of each dataset.  Values outside are kept."""
    low, high = scores["dataset"].map(worst), scores["dataset"].map(best)
    return scores.assign(value=(scores["value"] - low) / (high - low)).dropna(subset="value")


def interquartile_mean(per_dataset: list[np.ndarray]) -> tuple[float, float, float]:
    """The mean of the middle half of all runs, with a 95% interval: runs are resampled within each dataset.

    per_dataset: one array of runs for each dataset.  The interval is NaN where a dataset has fewer than FEWEST runs.
    """
    estimate = float(stats.trim_mean(np.concatenate(per_dataset), 0.25))
    if min(map(len, per_dataset)) < FEWEST:
        return estimate, nan, nan
    draw = _generator()
    drawn = np.concatenate([draw.choice(runs, (RESAMPLES, len(runs))) for runs in per_dataset], axis=1)
    low, high = np.quantile(stats.trim_mean(drawn, 0.25, axis=1), [ALPHA / 2, 1 - ALPHA / 2])
    return estimate, float(low), float(high)


def probability_of_improvement(ours: list[np.ndarray], theirs: list[np.ndarray]) -> float:
    """The chance that a run of ours has a higher score than one of theirs on a random dataset; ties count half."""
    wins = [stats.mannwhitneyu(a, b).statistic / (len(a) * len(b)) for a, b in zip(ours, theirs, strict=True)]
    return float(np.mean(wins))


def fewest_datasets(comparisons: int) -> int:
    """How many datasets Wilcoxon's test with Holm's adjustment needs before anything can reach ALPHA."""
    return int(np.ceil(1 + log(comparisons / ALPHA) / log(2)))


def _differences(ours: np.ndarray, theirs: np.ndarray, ratio: bool) -> np.ndarray:
    return np.log(ours) - np.log(theirs) if ratio else ours - theirs


def _wilcoxon(differences: np.ndarray) -> float:
    """The two-sided p-value; 1 if nothing differs."""
    return float(stats.wilcoxon(differences).pvalue) if differences.any() else 1.0


def _welch(runs: list[np.ndarray], n_datasets: int) -> float:
    """Half the width of Welch's 95% interval of a difference, averaged over datasets; NaN for too few runs."""
    if min(map(len, runs)) < FEWEST:
        return nan
    degrees = np.array([len(one) - 1 for one in runs])
    variances = np.array([one.var(ddof=1) / len(one) for one in runs]) / n_datasets**2
    if not (total := variances.sum()):
        return 0.0
    return float(stats.t.ppf(1 - ALPHA / 2, total**2 / (variances**2 / degrees).sum()) * sqrt(total))


def _permutation_p(pairs: list[tuple[np.ndarray, np.ndarray]], estimate: float, patterns: int) -> float:
    """Two-sided: twice the smaller share of patterns with an effect at least as low, or as high, as the estimate."""
    effects = [_permuted(*pair) / len(pairs) for pair in pairs]
    if exact := patterns <= PERMUTATIONS:
        null = reduce(np.add.outer, effects).ravel()
    else:
        drawn = [_generator(place).choice(found, PERMUTATIONS) for place, found in enumerate(effects)]
        null = np.sum(drawn, axis=0)
    rounding = 1e-9 * max(1e-9, float(np.abs(null).max()))
    smaller = min((null <= estimate + rounding).sum(), (null >= estimate - rounding).sum())
    return float(min(1.0, 2 * (smaller / patterns if exact else (smaller + 1) / (PERMUTATIONS + 1))))


def _permuted(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """The difference of means for each pattern of which runs are ours: all patterns, or PERMUTATIONS random ones."""
    runs, n = np.concatenate([ours, theirs]), len(ours)
    if comb(len(runs), n) <= PERMUTATIONS:
        chosen = np.array(list(combinations(range(len(runs)), n)))
    else:
        chosen = _generator().permuted(np.tile(np.arange(len(runs)), (PERMUTATIONS, 1)), axis=1)[:, :n]
    sums = runs[chosen].sum(axis=1)
    return np.asarray(sums / n - (runs.sum() - sums) / len(theirs))


def _mean(values: np.ndarray, axis: int = -1) -> np.ndarray:
    return np.asarray(values.mean(axis=axis))


def _generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def _square(names: pd.Index, values: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(values, index=names, columns=names)
