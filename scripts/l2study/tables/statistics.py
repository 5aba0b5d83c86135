"""Statistics over the seeds of a study: pure functions of arrays; scipy computes.

Conventions. Values that are not a number are left out (in pairs: the pair is). A quantity that the
data at hand do not have is NaN, never an error: an interval of one value, a p-value of no pair.
Intervals are two-sided at `confidence`, and p-values are two-sided unless said otherwise.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy import stats

EXACT_UP_TO = 16
"""Largest number of pairs whose sign flips are all enumerated."""
RANDOM_FLIPS = 19_999
SMOOTHING = 3
"""Epochs in the trailing mean by which creep is judged."""
ROUNDING = 1e-12
"""Differences below this, relative to the values (or to 1), are rounding and count as 0."""


class Estimate(NamedTuple):
    """A value with its interval, and the number of runs or pairs it rests on."""

    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    n: int = 0


class Trend(NamedTuple):
    """Page's test: mean rank correlation with the treatments' order, and one-sided p-values."""

    correlation: float = math.nan
    p_increasing: float = math.nan
    p_decreasing: float = math.nan
    n: int = 0


def finite(values: Sequence[float]) -> np.ndarray:
    """Return the finite ones of `values` as a float array."""
    values = np.asarray(values, float)
    return values[np.isfinite(values)]


def paired(first: Sequence[float], second: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Return both arrays at the places where both are finite.

    Raises:
        ValueError: they are not of one length.
    """
    first, second = np.asarray(first, float), np.asarray(second, float)
    if first.shape != second.shape:
        raise ValueError(f"pairs need two arrays of one length, not {first.size} and {second.size}")
    both = np.isfinite(first) & np.isfinite(second)
    return first[both], second[both]


def differences(first: Sequence[float], second: Sequence[float]) -> np.ndarray:
    """Return first - second over the complete pairs, with mere rounding set to 0."""
    first, second = paired(first, second)
    difference = first - second
    scale = np.maximum(1.0, np.maximum(np.abs(first), np.abs(second)))
    return np.where(np.abs(difference) <= ROUNDING * scale, 0.0, difference)


def mean_interval(values: Sequence[float], confidence: float) -> Estimate:
    """Return the mean with Student's t interval, mean -+ t(n-1) * sd / sqrt(n).

    One value has no interval. Values that are all alike have one of no width.
    """
    values = finite(values)
    n = values.size
    if n == 0:
        return Estimate()
    # the mean of equal numbers is not always that number in floating point
    mean = float(values[0]) if np.ptp(values) == 0 else float(values.mean())
    if n == 1:
        return Estimate(mean, n=1)
    half = float(stats.t.ppf((1 + confidence) / 2, n - 1)) * standard_error(values)
    return Estimate(mean, mean - half, mean + half, n)


def standard_error(values: Sequence[float]) -> float:
    """Return the standard error of the mean, sd / sqrt(n) with ddof 1; NaN below two values."""
    values = finite(values)
    if values.size < 2:
        return math.nan
    return 0.0 if np.ptp(values) == 0 else float(values.std(ddof=1)) / math.sqrt(values.size)


def variance_interval(values: Sequence[float], confidence: float) -> Estimate:
    """Return the variance (ddof 1) with its chi-square interval.

    The interval (n-1) s^2 / chi2((1+c)/2) to (n-1) s^2 / chi2((1-c)/2) supposes normal values.
    Below two values there is neither; values that are all alike have variance 0, from 0 to 0.
    """
    values = finite(values)
    n = values.size
    if n < 2:
        return Estimate(n=n)
    variance = 0.0 if np.ptp(values) == 0 else float(values.var(ddof=1))
    upper, lower = stats.chi2.ppf([(1 + confidence) / 2, (1 - confidence) / 2], n - 1)
    return Estimate(variance, (n - 1) * variance / upper, (n - 1) * variance / lower, n)


def paired_t(difference: Sequence[float]) -> float:
    """Return the two-sided p-value of the t-test that paired differences have mean 0.

    NaN below two differences. Without spread it takes the limit: 1 if all are 0, else 0.
    """
    difference = finite(difference)
    if difference.size < 2:
        return math.nan
    if np.ptp(difference) == 0:
        return 1.0 if difference[0] == 0 else 0.0
    return float(stats.ttest_1samp(difference, 0.0).pvalue)


def sign_flip(difference: Sequence[float]) -> float:
    """Return the two-sided p-value of the sign-flip (paired permutation) test of mean 0.

    The share of sign assignments whose mean is at least as far from 0 as the observed one: of all
    2^n up to `EXACT_UP_TO` differences, so at least 2 / 2^n, and beyond that of `RANDOM_FLIPS`
    drawn with a fixed seed, as (b + 1) / (m + 1) (Phipson and Smyth 2010). NaN for no difference.
    """
    difference = finite(difference)
    n = difference.size
    if n == 0:
        return math.nan
    observed = abs(difference.sum())
    tolerance = 1e-10 * np.abs(difference).sum()
    as_far = np.abs(_signs(n) @ difference) >= observed - tolerance
    if n <= EXACT_UP_TO:
        return float(as_far.mean())
    return (int(as_far.sum()) + 1) / (RANDOM_FLIPS + 1)


@lru_cache(maxsize=4)
def _signs(n: int) -> np.ndarray:
    if n > EXACT_UP_TO:
        flips = np.random.default_rng(0).integers(0, 2, size=(RANDOM_FLIPS, n))
    else:
        # flipping every sign gives the same distance from 0: half the assignments are enough
        flips = (np.arange(2 ** (n - 1))[:, None] >> np.arange(n)) & 1
    return 2.0 * flips - 1.0


def holm(p_values: Sequence[float]) -> np.ndarray:
    """Return Holm's adjusted p-values; missing ones stay missing and do not count as tests.

    The i-th smallest of m is multiplied by m - i + 1, at least as large as the one before, at most
    1 (Holm 1979).
    """
    # not statsmodels' multipletests: it collects all garbage at every call, 0.1 s per measure
    p_values = np.asarray(p_values, float)
    adjusted = np.full(p_values.shape, math.nan)
    order = np.argsort(p_values)[: np.isfinite(p_values).sum()]
    factors = np.arange(order.size, 0, -1)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(factors * p_values[order]))
    return adjusted


def cohen_d_z(difference: Sequence[float]) -> float:
    """Return the mean of paired differences over their standard deviation (ddof 1).

    NaN below two differences and where they have no spread.
    """
    difference = finite(difference)
    if difference.size < 2 or np.ptp(difference) == 0:
        return math.nan
    return float(difference.mean() / difference.std(ddof=1))


def correlation(first: Sequence[float], second: Sequence[float]) -> float:
    """Return Pearson's correlation of pairs; NaN below three, and where one side has no spread."""
    first, second = paired(first, second)
    if first.size < 3 or min(np.ptp(first), np.ptp(second)) <= ROUNDING:
        return math.nan
    return float(np.corrcoef(first, second)[0, 1])


def probability_improvement(difference: Sequence[float], *, higher_is_better: bool) -> float:
    """Return the share of paired differences that are improvements; a difference of 0 counts half.

    An improvement is above 0 if higher is better, else below. NaN without a difference.
    """
    difference = finite(difference)
    if difference.size == 0:
        return math.nan
    better = difference > 0 if higher_is_better else difference < 0
    return float((better.sum() + 0.5 * (difference == 0).sum()) / difference.size)


def pitman_morgan(first: Sequence[float], second: Sequence[float]) -> float:
    """Return the two-sided p-value that paired values have equal variances.

    The correlation of sums and differences is 0 if and only if the variances are equal (Pitman
    1939, Morgan 1939). NaN below three pairs, and where sums or differences have no spread.
    """
    first, second = paired(first, second)
    total, difference = first + second, differences(first, second)
    if first.size < 3 or min(np.ptp(total), np.ptp(difference)) <= ROUNDING:
        return math.nan
    return float(stats.pearsonr(total, difference).pvalue)


def rank_correlations(table: np.ndarray) -> np.ndarray:
    """Return for every row of `table` its rank correlation with the order of the columns.

    Spearman's without ties; ties get their mean rank, as in Page's test, whose L of one row it is
    on a scale from -1 to 1: 12 L / (k (k^2 - 1)) - 3 (k + 1) / (k - 1).

    Args:
        table: complete rows, at least two columns.
    """
    table = np.asarray(table, float)
    k = table.shape[1]
    page_l = stats.rankdata(table, axis=1) @ np.arange(1, k + 1)
    return 12 * page_l / (k * (k**2 - 1)) - 3 * (k + 1) / (k - 1)


def page_trend(table: np.ndarray) -> Trend:
    """Return Page's trend test of a table of subjects (rows) by ordered treatments (columns).

    Rows that are not complete are left out. `correlation` is the mean of `rank_correlations`. With
    two columns it is the sign test, which Page's test then is. No p-values for a single row of
    more columns; only NaN below two columns or without a row.
    """
    table = np.asarray(table, float)
    table = table[np.isfinite(table).all(axis=1)]
    rows, columns = table.shape
    if rows == 0 or columns < 2:
        return Trend(n=rows)
    correlation = float(rank_correlations(table).mean())
    if columns == 2:
        rise = np.sign(table[:, 1] - table[:, 0])
        p_values = [_sign_test(rise), _sign_test(-rise)]
    elif rows == 1:
        p_values = [math.nan, math.nan]
    else:
        orders = np.arange(1, columns + 1), np.arange(columns, 0, -1)
        p_values = [stats.page_trend_test(table, predicted_ranks=o).pvalue for o in orders]
    return Trend(correlation, *map(float, p_values), rows)


def _sign_test(signs: np.ndarray) -> float:
    """Return the one-sided p-value that more signs are 1 than -1; those that are 0 do not count."""
    count = np.count_nonzero(signs)
    ups = np.count_nonzero(signs > 0)
    return stats.binomtest(ups, count, alternative="greater").pvalue if count else 1.0


def smoothed_rise(curve: Sequence[float], width: int = SMOOTHING) -> float:
    """Return how far the mean of the last `width` values is above the lowest such mean before.

    A single value that is noisy lies above the lowest of many, on average, even where nothing
    rises; means of `width` neighbours do so much less. 0 if the last is the lowest, NaN for a
    curve that is shorter than `width`.
    """
    curve = np.asarray(curve, float)
    if curve.size < width:
        return math.nan
    means = np.lib.stride_tricks.sliding_window_view(curve, width).mean(axis=1)
    return float(means[-1] - means.min())


def kendall(
    first: Sequence[float], second: Sequence[float], clusters: Sequence[int], confidence: float
) -> Estimate:
    """Return Kendall's tau-b with a jackknife interval that leaves out one cluster at a time.

    tau -+ t(m-1) * se over the m clusters, se^2 = (m-1)/m * sum of squared deviations of the
    leave-one-out values: the jackknife of a U-statistic (Arvesen 1969), by groups because values
    of one cluster (the runs of one seed) are not independent. Cut to [-1, 1]. `n` is the number of
    pairs. Below three clusters there is no interval, and no tau where one variable is constant.
    """
    first, second = np.asarray(first, float), np.asarray(second, float)
    there = np.isfinite(first) & np.isfinite(second)
    first, second, clusters = first[there], second[there], np.asarray(clusters)[there]
    tau = _tau(first, second)
    names = np.unique(clusters)
    if math.isnan(tau) or names.size < 3:
        return Estimate(tau, n=first.size)
    without = np.array([_tau(first[clusters != c], second[clusters != c]) for c in names])
    m = names.size
    error = math.sqrt((m - 1) / m * np.square(without - without.mean()).sum())
    half = float(stats.t.ppf((1 + confidence) / 2, m - 1)) * error
    return Estimate(tau, max(-1.0, tau - half), min(1.0, tau + half), first.size)


def kendall_within(
    first: Sequence[float], second: Sequence[float], groups: Sequence[float], confidence: float
) -> Estimate:
    """Return the mean over groups of Kendall's tau-b within each, with Student's t interval.

    What the groups have in common does not count. A group where one variable is constant or has
    fewer than two pairs is left out; `n` is the number of groups.
    """
    first, second, groups = (np.asarray(values, float) for values in (first, second, groups))
    there = np.isfinite(first) & np.isfinite(second)
    names = np.unique(groups)
    taus = [_tau(first[there & (groups == g)], second[there & (groups == g)]) for g in names]
    estimate = mean_interval(taus, confidence)
    low, high = np.clip(estimate[1:3], -1.0, 1.0).tolist()
    return estimate._replace(low=low, high=high)


def _tau(first: np.ndarray, second: np.ndarray) -> float:
    if first.size < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return math.nan
    return float(stats.kendalltau(first, second).statistic)


def one_standard_error(
    l2: Sequence[float], mean: Sequence[float], error: Sequence[float]
) -> tuple[int, int]:
    """Return the places of the best lambda and of the one-standard-error lambda.

    The best has the smallest mean (the larger lambda of a tie); the other is the largest lambda
    whose mean is within the best's standard error of it (Hastie et al. 2009, section 7.10).

    Raises:
        ValueError: no mean is finite.
    """
    l2, mean = np.asarray(l2, float), np.asarray(mean, float)
    if not np.isfinite(mean).any():
        raise ValueError("no lambda has a finite mean")
    best = max(np.flatnonzero(mean == np.nanmin(mean)), key=lambda i: l2[i])
    within = mean[best] + np.nan_to_num(np.asarray(error, float)[best])
    return int(best), int(max(np.flatnonzero(mean <= within), key=lambda i: l2[i]))


def paired_t_power(effect: float, n: int, confidence: float) -> float:
    """Return the chance that a paired t-test of `n` pairs finds a true difference above 0.

    Two-sided at 1 - confidence, for normal differences whose mean is `effect` times their standard
    deviation: the upper tail of the noncentral t distribution. The lower one, a significant
    difference of the wrong sign, is left out: it adds next to nothing, and scipy has no value for
    it where the effect is large.
    """
    critical = stats.t.ppf((1 + confidence) / 2, n - 1)
    # differences that are equal but for rounding have an effect for which scipy has no value
    shift = min(effect * math.sqrt(n), 1e8)
    return float(stats.nct.sf(critical, n - 1, shift))


def seeds_needed(sd: float, difference: float, confidence: float, power: float = 0.8) -> float:
    """Return the smallest number of pairs at which a paired t-test resolves `difference`.

    Two-sided at 1 - confidence, with at least `power`, if differences of pairs have standard
    deviation `sd`. At least 2; NaN if `sd` is not a number.

    Raises:
        ValueError: `difference` is not positive.
    """
    if not difference > 0:
        raise ValueError(f"difference {difference!r} is not above 0")
    if not math.isfinite(sd):
        return math.nan
    if sd == 0:
        return 2.0

    def enough(n: int) -> bool:
        return paired_t_power(difference / sd, n, confidence) >= power

    high = 2
    while not enough(high):
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return float(high)
