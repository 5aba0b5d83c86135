"""The standard deviation over seeds, pooled over the lambdas: one number that few seeds do give."""

import math
from collections.abc import Collection
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from l2study.core.measures import GAPS
from l2study.tables.build import arranged, completed, levels


class Pooled(NamedTuple):
    """A pooled standard deviation with its interval, and the degrees of freedom of its square."""

    sd: float = math.nan
    low: float = math.nan
    high: float = math.nan
    df: float = math.nan


def pooled_sd(values: np.ndarray, confidence: float) -> Pooled:
    """Return the root of the mean over lambdas of the variance over seeds.

    With the covariance matrix S of the lambdas over n seeds, which they share, the mean variance
    tr(S) / L is like a chi-square with (n - 1) tr(S)^2 / tr(S^2) degrees of freedom (Box 1954,
    Annals of Mathematical Statistics 25, 290-302, theorem 3.1). That is fewer than L (n - 1) where
    lambdas go together over seeds, and where their variances differ. S of few seeds makes it a
    little too small and the interval too wide. `values`, shape (lambdas, seeds), are finite and
    supposed to be normal. benchmarks/coverage.py has coverages.
    """
    lambdas, seeds = values.shape
    if seeds < 2 or not lambdas:
        return Pooled()
    covariance = np.atleast_2d(np.cov(values))
    trace, squares = np.trace(covariance), np.sum(covariance**2)
    if trace <= 0:
        return Pooled(0.0, 0.0, 0.0, lambdas * (seeds - 1.0))
    df = (seeds - 1) * trace**2 / squares
    mean, tails = trace / lambdas, ((1 + confidence) / 2, (1 - confidence) / 2)
    low, high = (math.sqrt(mean * df / stats.chi2.ppf(tail, df)) for tail in tails)
    return Pooled(math.sqrt(mean), low, high, float(df))


def spread_table(
    runs: pd.DataFrame, confidence: float, absent: Collection[str] = ()
) -> pd.DataFrame:
    """Return the pooled standard deviation of every gap after the last epoch, but those `absent`,
    over the lambdas at which every seed has a value: the others would leave other seeds."""
    kinds = [kind for kind in GAPS if f"gap_{kind}" not in absent]
    lambdas, seeds = levels(runs)
    tables = arranged(completed(runs), [f"gap_{kind}" for kind in kinds], lambdas, seeds)
    rows = []
    for kind, table in zip(kinds, tables, strict=True):
        whole = table[np.isfinite(table).all(axis=1)]
        found = pooled_sd(whole, confidence)
        counts = {"lambdas": len(whole), "n": len(seeds) if len(whole) else 0}
        ends = {"sd_low": found.low, "sd_high": found.high}
        rows.append({"gap": kind} | counts | {"sd": found.sd, "df": found.df} | ends)
    return pd.DataFrame(rows)
