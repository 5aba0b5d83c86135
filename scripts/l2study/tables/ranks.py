"""Statistics of ranks: trends over lambdas, and associations of two measures over runs."""

import math
import warnings
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
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
    """
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
    deviations of the leave-one-out means, the jackknife of a U-statistic (Arvesen 1969). `n` is the
    number of clusters; below three there is no interval. A group where one variable is constant or
    has fewer than two pairs is left out.
    """
    values = np.stack([np.asarray(one, float) for one in (first, second, groups)])
    there = np.isfinite(values[:2]).all(axis=0)
    values, clusters = values[:, there], np.asarray(clusters)[there]
    names = np.unique(clusters)
    tau, m = _mean_tau(*values), names.size
    if m < 3 or math.isnan(tau):
        return Estimate(tau, n=m)
    without = np.array([_mean_tau(*values[:, clusters != name]) for name in names])
    error = math.sqrt((m - 1) / m * np.square(without - without.mean()).sum())
    half = student(confidence, m - 1) * error
    return Estimate(tau, *np.clip([tau - half, tau + half], -1.0, 1.0).tolist(), m)


def _mean_tau(first: np.ndarray, second: np.ndarray, groups: np.ndarray) -> float:
    """Return the mean of the taus of all groups that have one; NaN if none has."""
    of_each = [groups == group for group in np.unique(groups)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of too few pairs, of the mean of nothing
        taus = [float(stats.kendalltau(first[own], second[own]).statistic) for own in of_each]
        return float(np.nanmean(taus)) if taus else math.nan
