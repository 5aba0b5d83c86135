"""Statistics of ranks: trends over lambdas, and associations of two measures over runs.

Conventions are those of `statistics`.
"""

import itertools
import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import special

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
    return 12 * _page_l(table) / (k * (k**2 - 1)) - 3 * (k + 1) / (k - 1)


def _page_l(table: np.ndarray) -> np.ndarray:
    """Return Page's L of every row; ties get their mean rank."""
    return pd.DataFrame(table).rank(axis=1).to_numpy() @ np.arange(1, table.shape[1] + 1)


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
        p_values = [_page_p_value(_page_l(of).sum(), rows, columns) for of in (table, -table)]
    return Trend(correlation, *map(float, p_values), rows)


def _page_p_value(page_l: float, rows: int, columns: int) -> float:
    """Return the chance of an L as large as this one or larger, without a trend.

    Exact up to 8 columns and 20 rows, or 12 rows of more than 3 columns, as scipy.stats has it, and
    beyond that by L's mean and variance (Page 1963, JASA 58, 216-230). Half an L, which ties may
    give, counts as the whole one below.
    """
    if columns > 8 or rows > 20 or (rows > 12 and columns > 3):
        mean = rows * columns * (columns + 1) ** 2 / 4
        variance = rows * columns**2 * (columns + 1) * (columns**2 - 1) / 144
        return special.ndtr((mean - page_l) / math.sqrt(variance))
    return np.sum(_page_chances(rows, columns)[int(page_l) :])


@lru_cache
def _page_chances(rows: int, columns: int) -> np.ndarray:
    """Return the chance of every L from 0, if all orders are equally likely in every row."""
    orders = np.array(list(itertools.permutations(range(1, columns + 1))))
    of_row = np.bincount(orders @ np.arange(1, columns + 1)) / len(orders)
    found = of_row
    for _ in range(rows - 1):
        found = np.convolve(found, of_row)
    return found


def _sign_test(signs: np.ndarray) -> float:
    """Return the one-sided p-value that more signs are 1 than -1; those that are 0 do not count."""
    count = np.count_nonzero(signs)
    ups = np.count_nonzero(signs > 0)
    return special.bdtrc(ups - 1, count, 0.5) if ups else 1.0


def kendall(
    first: ArrayLike, second: ArrayLike, clusters: ArrayLike, confidence: float
) -> Estimate:
    """Return Kendall's tau-b over all pairs, with the interval of `kendall_within`.

    `n` is the number of pairs. There is no tau where one variable is constant.
    """
    found = kendall_within(first, second, np.zeros(np.size(first)), clusters, confidence)
    return found._replace(n=int((np.isfinite(first) & np.isfinite(second)).sum()))


def kendall_within(
    first: ArrayLike, second: ArrayLike, groups: ArrayLike, clusters: ArrayLike, confidence: float
) -> Estimate:
    """Return the mean over groups of Kendall's tau-b within each, with a jackknife interval.

    What the groups have in common does not count. Values of one cluster (the runs of one seed) are
    not independent, in one group or in several. So the jackknife leaves out one cluster at a time,
    in all groups at once: mean -+ t(m-1) * se over the m clusters, se^2 = (m-1)/m * sum of squared
    deviations of the leave-one-out means, the jackknife of a U-statistic (Arvesen 1969). Cut to
    [-1, 1]. `n` is the number of clusters.

    A group where one variable is constant or has fewer than two pairs is left out. Below three
    clusters there is no interval.
    """
    values = np.stack([np.asarray(one, float) for one in (first, second, groups)])
    there = np.isfinite(values[:2]).all(axis=0)
    names, clusters = np.unique(np.asarray(clusters)[there], return_inverse=True)
    first, second, groups = values[:, there]
    m = names.size
    of_each = [
        _taus(first[own], second[own], clusters[own], m)
        for own in (groups == group for group in np.unique(groups))
    ]
    taus = np.reshape(of_each, (-1, m + 1))
    count = np.isfinite(taus).sum(axis=0)
    with np.errstate(invalid="ignore"):
        tau, *without = np.nansum(taus, axis=0) / count
    if m < 3 or math.isnan(tau):
        return Estimate(float(tau), n=m)
    error = math.sqrt((m - 1) / m * np.square(without - np.mean(without)).sum())
    half = student(confidence, m - 1) * error
    return Estimate(float(tau), *np.clip([tau - half, tau + half], -1.0, 1.0).tolist(), m)


_PAIRS_AT_A_TIME = 2**20


def _taus(first: np.ndarray, second: np.ndarray, clusters: np.ndarray, count: int) -> np.ndarray:
    """Return Kendall's tau-b, and what it is without each of `count` clusters; NaN without one.

    tau-b is the sum over pairs of the product of signs of their differences, over the root of the
    product of the sums of squares of both signs. Of each of these three sums, a cluster takes with
    it the pairs that it has a member in.
    """
    sums = np.zeros((3, count + 1))
    rows = max(1, _PAIRS_AT_A_TIME // max(1, len(first)))
    for start in range(0, len(first), rows):
        some = slice(start, start + rows)
        x, y = (np.sign(of[some, None] - of) for of in (first, second))
        within = clusters[some, None] == clusters
        for of_sum, pairs in zip(sums, (x * y, x * x, y * y), strict=True):
            # a pair of a member and another is there twice, also below where both are members
            lost = 2 * pairs.sum(axis=1) - np.sum(pairs, axis=1, where=within)
            of_sum[0] += pairs.sum()
            of_sum[1:] -= np.bincount(clusters[some], lost, count)
    sums[:, 1:] += sums[:, :1]
    sums /= 2  # every pair was there in both orders
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.clip(sums[0] / np.sqrt(sums[1]) / np.sqrt(sums[2]), -1.0, 1.0)
