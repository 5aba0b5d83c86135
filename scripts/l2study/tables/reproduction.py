"""Whether a study reproduces a reference that was made elsewhere: pure functions of their tables.

The same seeds do not give the same runs on another kind of machine: sums are rounded in another
order, and training makes much of little. So there, means over the seeds are compared.
"""

import warnings

import numpy as np
import pandas as pd
from scipy import stats

from l2study.core.columns import ALL_COLUMNS
from l2study.core.measures import MEASURES
from l2study.tables import statistics

RUN = ["setup", "l2", "seed"]
"""The columns that say of which run a row is."""

SWAPS = 999
"""How often runs change places at random."""


def different_histories(ours: pd.DataFrame, reference: pd.DataFrame) -> pd.DataFrame:
    """Return where histories first differ from the reference's, by setup, l2, seed and epoch: a row
    for each run whose history is not the same to the last bit, but for the column `seconds`."""
    at = [*RUN, "epoch"]
    columns = [name for name in ALL_COLUMNS if name not in (*at, "seconds")]
    first, second = (table.set_index(at).reindex(columns=columns) for table in (ours, reference))
    everywhere = first.index.union(second.index)
    in_both = first.index.intersection(second.index)
    same = everywhere.isin(in_both)
    first, second = first.reindex(everywhere), second.reindex(everywhere)
    same &= ((first == second) | (first.isna() & second.isna())).all(axis=1).to_numpy()
    return everywhere[~same].to_frame(index=False).groupby(RUN, as_index=False, sort=False).min()


def compared_means(ours: pd.DataFrame, reference: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """Return every mean over seeds beside the reference's, a row per set-up, lambda and measure.

    `low` and `high` are the joint interval of the difference, for means of two samples whose
    variances may differ (Welch 1947). A mean is inside if it holds 0. `p_holm` is Welch's p-value,
    adjusted over all rows.
    """
    cells, names = ours.set_index(RUN[:2]).index.unique().sort_values(), _measures(ours, reference)
    first, second = _values(ours, names), _values(reference, names)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of means of nothing
        test = stats.ttest_ind(first, second, axis=-1, equal_var=False, nan_policy="omit")
        interval = test.confidence_interval(confidence)
        columns = {
            "n": np.isfinite(first).sum(axis=-1),
            "mean": np.nanmean(first, axis=-1),
            "n_reference": np.isfinite(second).sum(axis=-1),
            "mean_reference": np.nanmean(second, axis=-1),
        }
    columns |= {
        "difference": columns["mean"] - columns["mean_reference"],
        "low": interval.low,
        "high": interval.high,
        "p_holm": statistics.holm(test.pvalue.ravel()),
        "inside": ~_outside(first, second, confidence),
    }
    table = pd.DataFrame([(*cell, name) for cell in cells for name in names])
    table.columns = [*RUN[:2], "measure"]
    return table.assign(**{name: np.ravel(values) for name, values in columns.items()})


def outside_by_chance(ours: pd.DataFrame, reference: pd.DataFrame, confidence: float) -> int:
    """Return how many means may lie outside their joint interval by chance, at `confidence`.

    If it does not matter where a run was made, ours and the reference's can change places. All
    pairs do so at random, `SWAPS` times, each with all measures of the run, since these depend on
    one another. The result is the quantile `confidence` of how many means then lie outside.
    """
    names = _measures(ours, reference)
    both = np.stack([_values(ours, names), _values(reference, names)])
    cells, seeds = np.indices((both.shape[1], both.shape[3])).reshape(2, -1)

    def outside(first: np.ndarray, second: np.ndarray) -> int:
        arranged = np.empty_like(both)
        for place, which in ((0, first), (1, second)):
            arranged[place][cells, :, seeds] = both[which, cells, :, seeds]
        return int(_outside(*arranged, confidence).sum())

    pairs = np.zeros(cells.size, int), np.ones(cells.size, int)
    swapped = stats.permutation_test(
        pairs, outside, permutation_type="samples", n_resamples=SWAPS, rng=np.random.default_rng(0)
    )
    counts = [*swapped.null_distribution, swapped.statistic]
    return int(np.quantile(counts, confidence, method="higher"))


def _measures(ours: pd.DataFrame, reference: pd.DataFrame) -> list[str]:
    return [name for name in MEASURES if name in ours and name in reference]


def _values(runs: pd.DataFrame, names: list[str]) -> np.ndarray:
    """Return measures as an array of cells, which are set-ups and lambdas, measures and seeds."""
    wide = runs.set_index(RUN)[names].astype(float).unstack("seed").sort_index()
    return wide.to_numpy().reshape(len(wide), len(names), -1)


def _outside(first: np.ndarray, second: np.ndarray, confidence: float) -> np.ndarray:
    """Return whether the joint interval of the means over the last axis leaves out 0, or one of
    them has no values and the other has."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        p = stats.ttest_ind_from_stats(*_summary(first), *_summary(second), equal_var=False).pvalue
    return (p < 1 - confidence) | (np.isfinite(first).any(-1) != np.isfinite(second).any(-1))


def _summary(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    n = np.isfinite(values).sum(axis=-1)
    return np.nanmean(values, axis=-1), np.nanstd(values, axis=-1, ddof=1), n
