"""Statistics of ranks: trends over lambdas, and associations of two measures over runs.

Conventions are those of `statistics`.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from l2study.tables.statistics import Estimate


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
    taus = [
        _taus_without(first[here], second[here], np.eye(m)[places[here]])
        for here in (groups == group for group in np.unique(groups))
    ]
    taus = np.array(taus).reshape(-1, m + 1)
    known = np.isfinite(taus)
    with np.errstate(invalid="ignore"):
        tau, *without = np.where(known, taus, 0.0).sum(axis=0) / known.sum(axis=0)
    if m < 3:
        return Estimate(float(tau), n=m)
    error = math.sqrt((m - 1) / m * np.square(without - np.mean(without)).sum())
    half = float(stats.t.ppf((1 + confidence) / 2, m - 1)) * error
    low, high = np.clip([tau - half, tau + half], -1.0, 1.0).tolist()
    return Estimate(float(tau), low, high, m)


def _taus_without(first: np.ndarray, second: np.ndarray, members: np.ndarray) -> np.ndarray:
    """Return tau-b, then tau-b without each cluster, shape (1 + clusters,); NaN if there is none.

    tau-b is the sum over pairs of sign(dx) sign(dy), over the root of the numbers of pairs that
    differ in x and in y (Kendall 1945). Without a cluster, its own pairs are taken off each sum.

    Args:
        first: shape (values,).
        second: shape (values,).
        members: shape (values, clusters), 1 where a value is of a cluster, else 0.
    """
    # not scipy's kendalltau: it also computes a p-value, and all of them take 50 times as long
    x, y = (np.sign(values[:, None] - values) for values in (first, second))

    def sums(matrix: np.ndarray) -> np.ndarray:
        blocks = members.T @ matrix @ members
        whole = blocks.sum()
        return np.append(whole, whole - 2 * blocks.sum(axis=0) + np.diag(blocks))

    with np.errstate(invalid="ignore"):
        return sums(x * y) / np.sqrt(sums(np.abs(x)) * sums(np.abs(y)))


def _tau(first: np.ndarray, second: np.ndarray) -> float:
    if first.size < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return math.nan
    return float(stats.kendalltau(first, second).statistic)
