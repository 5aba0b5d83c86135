"""Statistics of ranks: trends over lambdas, and associations of two measures over runs.

Conventions are those of `statistics`.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from l2study.tables.statistics import Estimate, student


class Trend(NamedTuple):
    """Page's test: mean rank correlation with the treatments' order, and one-sided p-values."""

    correlation: float = math.nan
    p_increasing: float = math.nan
    p_decreasing: float = math.nan
    n: int = 0


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
    names, places = np.unique(clusters, return_inverse=True)
    both, in_x, in_y = _sums_without(first, second, places, names.size)
    with np.errstate(invalid="ignore"):
        taus = np.clip(both / 2 / np.sqrt(in_x / 2) / np.sqrt(in_y / 2), -1.0, 1.0)
    tau, without = float(taus[0]), taus[1:]
    if math.isnan(tau) or names.size < 3:
        return Estimate(tau, n=first.size)
    m = names.size
    error = math.sqrt((m - 1) / m * np.square(without - without.mean()).sum())
    half = student(confidence, m - 1) * error
    return Estimate(tau, max(-1.0, tau - half), min(1.0, tau + half), first.size)


def kendall_within(
    first: Sequence[float],
    second: Sequence[float],
    groups: Sequence[float],
    clusters: Sequence[int],
    confidence: float,
) -> Estimate:
    """Return the mean over groups of Kendall's tau-b within each, with a jackknife interval.

    What the groups have in common does not count. The groups are not independent, because they
    share clusters (the lambdas share seeds). So the jackknife leaves out one cluster at a time, in
    all groups at once: mean -+ t(m-1) * se over the m clusters, se^2 = (m-1)/m * sum of squared
    deviations of the leave-one-out means (Arvesen 1969). Cut to [-1, 1]. `n` is the number of
    clusters.

    A group where one variable is constant or has fewer than two pairs is left out. Below three
    clusters there is no interval.
    """
    first, second, groups = (np.asarray(values, float) for values in (first, second, groups))
    there = np.isfinite(first) & np.isfinite(second)
    first, second, groups = first[there], second[there], groups[there]
    names, places = np.unique(np.asarray(clusters)[there], return_inverse=True)
    m = names.size
    sums = [
        _sums_without(first[here], second[here], places[here], m)
        for here in (groups == group for group in np.unique(groups))
    ]
    both, in_x, in_y = np.array(sums).reshape(-1, 3, m + 1).swapaxes(0, 1)
    with np.errstate(invalid="ignore"):
        taus = both / np.sqrt(in_x * in_y)
    known = np.isfinite(taus)
    with np.errstate(invalid="ignore"):
        tau, *without = np.where(known, taus, 0.0).sum(axis=0) / known.sum(axis=0)
    if m < 3:
        return Estimate(float(tau), n=m)
    error = math.sqrt((m - 1) / m * np.square(without - np.mean(without)).sum())
    half = student(confidence, m - 1) * error
    low, high = np.clip([tau - half, tau + half], -1.0, 1.0).tolist()
    return Estimate(float(tau), low, high, m)


def _sums_without(
    first: np.ndarray, second: np.ndarray, places: np.ndarray, clusters: int
) -> list[np.ndarray]:
    """Return the sums of `_of_pairs`, then those without each cluster, each (1 + clusters,).

    tau-b is the first sum over the root of the product of the others (Kendall 1945). Every pair
    counts twice. Without a cluster, its own pairs are taken off each sum.

    Args:
        first: shape (values,).
        second: shape (values,).
        places: shape (values,), the cluster of every value, below `clusters`.
        clusters: how many there are.
    """
    # not scipy's kendalltau without each cluster in turn, whose time grows with their square
    within = [np.zeros(clusters), np.zeros(clusters), np.zeros(clusters)]
    order = np.argsort(places, kind="stable")
    x, y, of = first[order], second[order], places[order]
    for apart in range(1, np.bincount(places, minlength=1).max()):
        pairs = of[apart:] == of[:-apart]
        signs = [np.sign(v[apart:] - v[:-apart])[pairs] for v in (x, y)]
        for total, values in zip(within, _of_pairs(*signs), strict=True):
            total += 2 * np.bincount(of[apart:][pairs], values, clusters)

    def sums(of_values: np.ndarray, own: np.ndarray) -> np.ndarray:
        whole = of_values.sum()
        return np.append(whole, whole - 2 * np.bincount(places, of_values, clusters) + own)

    # whole numbers, so nothing is rounded
    return list(map(sums, _pair_sums(first, second), within))


def _of_pairs(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return of pairs with these signs of differences: the product, and whether x and y differ."""
    return x * y, np.abs(x), np.abs(y)


def _pair_sums(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return for every value the sums of `_of_pairs` over its pairs with all values.

    From counts of the values that are smaller or equal in x and in y, in a time that grows as
    n log n.

    Args:
        first: x, shape (values,).
        second: y, shape (values,).
    """
    n = first.size
    x, y = (np.unique(v, return_inverse=True)[1] for v in (first, second))
    below_x, upto_x = _below(x)
    below_y, upto_y = _below(y)
    below, upto = _below(x * n + y)
    equal = upto - below
    equal_x = below - below_x  # x is equal and y smaller
    equal_y = _below(y * n + x)[0] - below_y
    smaller = _smaller(x, y)
    left, right = below_x - smaller - equal_y, below_y - smaller - equal_x
    larger = n - upto_x - (upto_y - below_y - equal - equal_y) - right
    both = smaller + larger - left - right
    return tuple(v.astype(float) for v in (both, n - upto_x + below_x, n - upto_y + below_y))


def _below(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return for every value how many are below it, and how many are not above it."""
    ordered = np.sort(values)
    return tuple(np.searchsorted(ordered, values, side) for side in ("left", "right"))


def _smaller(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return for every value how many are smaller in both `x` and `y`, whole numbers from 0.

    In the order of x, those are the ones before it with a smaller y. They are counted block by
    block: those of the left half of a block that have a smaller y than one of its right half.
    """
    n = x.size
    by_x = np.lexsort((-y, x))
    slots, counts = np.arange(n), np.zeros(n, int)
    # places in the order of x, by block and within it by y; of equal y, the later place first
    places = np.lexsort((-slots, y[by_x]))
    half = 1 << max(n - 1, 1).bit_length() - 1
    while half:
        right = places & half > 0
        start = places & -2 * half
        lefts = np.cumsum(~right) - ~right
        before = lefts - lefts[start]
        counts[places[right]] += before[right]
        target = np.where(right, slots + half - before, start + before)
        following = np.empty_like(places)
        following[target] = places
        places, half = following, half // 2
    found = np.empty(n, int)
    found[by_x] = counts
    return found
