"""Where the variance over runs comes from, source by source.

A plain study varies all sources at once, and its table has their total alone. A crossed design has
the components of variance. A value is the sum of a mean, an effect of the level of every source
(the main effects), an effect of every combination of levels of some sources (the interactions), and
the rest. All effects are random and independent, and their variances are the components. With one
run per combination of levels, the interaction of all sources cannot be told from anything else: it
is the rest.

The estimates come from the mean squares of the balanced analysis of variance (ANOVA). For a set A
of sources, the expected mean square is the sum over all sets B that hold A of c(B) var(B), where
c(B) is the number of runs at one combination of the levels of B. So var(A) is 1 / c(A) times the
sum over these B of (-1)^|B - A| ms(B) (Searle, Casella and McCulloch 1992, chapter 4).

The intervals are modified large-sample intervals of linear combinations of mean squares (Graybill
and Wang 1980; Ting, Burdick, Graybill, Jeyaratnam and Lu 1990, the bounds without the terms for
pairs of one sign). They suppose normal effects. An interval of a share has every share r for which
the interval of (component - r total), which is such a combination, contains 0. The upper end of a
main effect's standard deviation is three to four times the estimate, or more: few degrees of
freedom say no more. benchmarks/coverage.py has coverages, and those of other intervals.
"""

import itertools
import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from l2study.core.design import Setup
from l2study.core.measures import OPTIONAL, names
from l2study.core.seeds import REST, TOTAL
from l2study.tables import statistics

VARIANCE_MEASURES = [*names("gap"), "val_accuracy", "test_accuracy", "val_ce"]

_SHARES = np.linspace(0, 1, 1001)
"""The shares that are tried for an interval, which is exact to a thousandth."""


class Component(NamedTuple):
    """A component of variance, or the total of all, each with its interval."""

    source: str
    sources: tuple[str, ...]
    """Those whose combination it belongs to."""
    variance: float
    low: float
    high: float
    share: float
    """Of the total; NaN where that is 0."""
    share_low: float
    share_high: float
    negative: bool
    """Whether the estimate was below 0 and is set to 0."""


class MeanSquares(NamedTuple):
    """The mean squares of a crossed design, one for every set of its sources but the empty one."""

    sets: list[tuple[int, ...]]
    """As tuples of axes, the smaller first."""
    df: np.ndarray
    mean: np.ndarray
    runs: np.ndarray
    """c(A), the number of runs at one combination of the levels of a set."""


def mean_squares(values: np.ndarray) -> MeanSquares:
    """Return the mean squares of `values`, an array with an axis for every source.

    Raises:
        ValueError: a source has fewer than two levels, or a value is not finite.
    """
    values = np.asarray(values, float)
    if min(values.shape, default=0) < 2 or not np.isfinite(values).all():
        raise ValueError("every source needs two levels or more, and every run a finite value")
    axes = range(values.ndim)
    sets = [s for size in axes for s in itertools.combinations(axes, size + 1)]
    df = [math.prod(values.shape[axis] - 1 for axis in s) for s in sets]
    runs = [values.size // math.prod(values.shape[axis] for axis in s) for s in sets]
    mean = []
    for s, degrees, count in zip(sets, df, runs, strict=True):
        effect = values.mean(axis=tuple(set(axes) - set(s)), keepdims=True)
        for axis in s:
            effect = effect - effect.mean(axis=axis, keepdims=True)
        mean.append(count * np.sum(effect**2) / degrees)
    # equal numbers have means that differ by rounding
    mean = np.zeros(len(sets)) if np.ptp(values) == 0 else np.array(mean)
    return MeanSquares(sets, np.array(df), mean, np.array(runs))


def component_sources(sources: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the names of all components of a design, and of the total, with their sources:
    `weights`, `order`, `weights x order`, and so on. That of all sources is the rest."""
    sizes = range(1, len(sources))
    sets = [s for size in sizes for s in itertools.combinations(sources, size)]
    return {" x ".join(s): s for s in sets} | dict.fromkeys((REST, TOTAL), tuple(sources))


def components(values: np.ndarray, sources: Sequence[str], confidence: float) -> list[Component]:
    """Return the components of variance of a crossed design, and their total last.

    The total is the variance of one new run, at new levels of all sources. It is the sum of the
    estimates before negative ones are set to 0, which keeps it free of bias. So the components may
    add up to more. `values` are as for `mean_squares`, and `sources` are the names of their axes.
    """
    squares = mean_squares(values)
    # what every mean square (column) counts in the estimate of every component (row)
    each = np.array(
        [
            [(-1) ** len(set(b) - set(a)) / c if set(a) <= set(b) else 0.0 for b in squares.sets]
            for a, c in zip(squares.sets, squares.runs, strict=True)
        ]
    )
    total = each.sum(axis=0)
    combinations = np.vstack([each, total])
    estimates = combinations @ squares.mean
    ends = np.maximum(0.0, _interval(combinations, squares, confidence))
    found = []
    for rank, (name, own) in enumerate(component_sources(sources).items()):
        share = (math.nan,) * 3
        if name != TOTAL and estimates[-1] > 0:
            value = np.clip(estimates[rank] / estimates[-1], 0, 1)
            low, high = _interval(each[rank] - _SHARES[:, None] * total, squares, confidence)
            inside = np.append(_SHARES[(low <= 0) & (high >= 0)], value)
            share = (value, inside.min(), inside.max())
        estimate = estimates[rank]
        numbers = map(float, (max(0.0, estimate), *ends[:, rank], *share))
        found.append(Component(name, own, *numbers, negative=bool(estimate < 0)))
    return found


def _interval(
    combinations: np.ndarray, squares: MeanSquares, confidence: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return both ends of the interval of every row of `combinations` of mean squares."""
    low, high = (side * _lower(side * combinations, squares, confidence) for side in (1, -1))
    return low, high


def _lower(combinations: np.ndarray, squares: MeanSquares, confidence: float) -> np.ndarray:
    """Return the lower bound of every row of `combinations` of mean squares."""
    below, above, both = _factors(tuple(squares.df.tolist()), confidence)
    parts = combinations * squares.mean
    added, taken = np.maximum(parts, 0), np.maximum(-parts, 0)
    width = added**2 @ below**2 + taken**2 @ above**2 + np.sum(added @ both * taken, axis=-1)
    return parts.sum(axis=-1) - np.sqrt(np.maximum(width, 0))


@lru_cache(maxsize=16)
def _factors(df: tuple[int, ...], confidence: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return G, H and the gamma of Ting et al. (1990) for mean squares with `df`."""
    degrees, tail = np.array(df), (1 - confidence) / 2
    below = 1 - degrees / stats.chi2.ppf(1 - tail, degrees)
    above = degrees / stats.chi2.ppf(tail, degrees) - 1
    f = stats.f.ppf(1 - tail, degrees[:, None], degrees)
    return below, above, ((f - 1) ** 2 - (below[:, None] * f) ** 2 - above**2) / f


def variance_table(setup: Setup, runs: pd.DataFrame) -> pd.DataFrame:
    """Return the variance of a new run and its components, by lambda, measure and source.

    A measure that only some models have has no rows where no run has it.
    """
    absent = [name for name in OPTIONAL if name not in runs or runs[name].isna().all()]
    measures = [name for name in VARIANCE_MEASURES if name not in absent]
    rows = []
    for l2, cell in runs.groupby("l2"):
        cell = cell[cell["status"] == "completed"].set_index("seed")
        for measure in measures:
            values = cell[measure].astype(float)
            found = _of_measure(setup, values[np.isfinite(values)])
            rows += [{"l2": l2, "measure": measure} | row for row in found]
    return pd.DataFrame(rows)


def _of_measure(setup: Setup, values: pd.Series) -> list[dict]:
    """Return the rows of one measure, whose finite values are indexed by seed."""
    if not setup.crossed:
        variance, low, high, n = statistics.variance_interval(values, setup.confidence)
        row = {"source": TOTAL, "n": n, "variance": variance, "low": low, "high": high}
        return [row | ({} if math.isnan(variance) else {"negative": "no"})]
    design = pd.DataFrame([setup.sources(seed) for seed in values.index], columns=setup.crossed)
    kept = balanced(design.assign(value=values.to_numpy()), setup.crossed)
    if kept.empty:
        return [{"source": name, "n": 0} for name in component_sources(setup.crossed)]
    levels = kept[setup.crossed].nunique()
    ordered = kept.sort_values(setup.crossed)["value"].to_numpy().reshape(tuple(levels))
    rows = []
    for part in components(ordered, setup.crossed, setup.confidence):
        row = part._asdict() | {"n": len(kept), "negative": "yes" if part.negative else "no"}
        row["levels"] = " x ".join(str(levels[source]) for source in row.pop("sources"))
        rows.append(row)
    return rows


def balanced(runs: pd.DataFrame, sources: Sequence[str]) -> pd.DataFrame:
    """Return the runs of a crossed design of some of the levels in which no run is missing; none if
    a source would have fewer than two levels.

    The level with the largest share of lost runs is left out, of whichever source that has more
    than two levels, until the rest is complete: of equal ones the last level of the last source.
    What is left out makes the estimates those of runs that complete. `runs` has a column of levels
    for every source.
    """
    while True:
        counts = {source: runs[source].value_counts() for source in sources}
        if min(map(len, counts.values())) < 2:
            return runs[:0]
        if len(runs) == math.prod(map(len, counts.values())):
            return runs
        expected = {s: math.prod(len(counts[o]) for o in sources if o != s) for s in sources}
        shares = [
            (1 - count / expected[source], place, level)
            for place, source in enumerate(sources)
            for level, count in counts[source].items()
            if len(counts[source]) > 2
        ]
        if not shares:
            return runs[:0]
        _, place, level = max(shares)
        runs = runs[runs[sources[place]] != level]
