"""Means of crossed designs, from all their runs.

Runs that share a level are alike, so that their number says little of how sure a mean is. The runs
that share none are independent, but they are few. The mean of all runs has the variance

    sum over sets A of sources of var(A) / (product of the levels of A),

with the components of `variance`. Put in mean squares, every set B of sources has the factor
(-1)^(|B| + 1) / N for N runs: the mean squares of single sources are added, those of two are
subtracted, those of three added, and so on (Searle, Casella and McCulloch 1992, chapter 4).
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from l2study.core.design import Setup
from l2study.core.measures import GAPS
from l2study.core.scope_rows import SEEDS_AND_IMAGES
from l2study.tables import statistics
from l2study.tables.build import arranged, completed, measure_of, of_completed
from l2study.tables.image_intervals import NO_IMAGES, Images
from l2study.tables.statistics import Mean
from l2study.tables.variance import mean_squares

Tables = Mapping[str, pd.DataFrame]


def grand_mean(values: np.ndarray) -> Mean:
    """Return the mean of a balanced crossed design with its standard error for new levels.

    `values` are as for `mean_squares`. The variance is never taken for less than the largest mean
    square of a source alone gives, since a difference of mean squares may come out near 0 or below.
    Degrees of freedom are those of Satterthwaite (1946), and never fewer than the source with the
    fewest levels has.
    """
    squares, runs = mean_squares(values), np.size(values)
    sizes = np.array([len(one) for one in squares.sets])
    parts = (-1.0) ** (sizes + 1) * squares.mean / runs
    variance = max(parts.sum(), parts[sizes == 1].max())
    spread = np.sum(parts**2 / squares.df)
    least = min(np.shape(values)) - 1
    df = max(variance**2 / spread, least) if spread > 0 else math.nan
    return Mean(float(np.mean(values)), runs, math.sqrt(variance), df)


class Crossing(NamedTuple):
    """All runs of a crossed design."""

    seeds: list[int]
    """The last source changes fastest."""
    shape: tuple[int, ...]
    """The numbers of levels of the sources, in that order."""
    splits: int
    """How many levels the split has."""

    @property
    def whole(self) -> bool:
        """Whether there is a run at every combination of levels, of two or more of each source."""
        return min(self.shape) > 1 and math.prod(self.shape) == len(self.seeds)

    def mean(self, values: np.ndarray) -> Mean | None:
        """Return the mean of values in the order of `seeds`; None if one is missing."""
        if not self.whole or not np.isfinite(values).all():
            return None
        return grand_mean(np.reshape(values, self.shape))


def crossing_of(setup: Setup, seeds: Sequence[int]) -> Crossing:
    """Return how the runs with these seeds are crossed, of a set-up whose sources are."""
    levels = pd.DataFrame([setup.sources(seed) for seed in seeds], index=list(seeds))
    levels = levels[setup.crossed].sort_values(setup.crossed)
    splits = levels["split"].nunique() if "split" in levels else 1
    return Crossing(levels.index.tolist(), tuple(levels.nunique()), splits)


def widest_mean(
    few: pd.Series, every: pd.Series | None, crossing: Crossing | None
) -> tuple[pd.Series, Mean, int | None]:
    """Return the values that a mean is of, this mean, and how many splits they have.

    Of a crossed design, it is of all runs (`every`), unless one is missing, and else of the runs
    that share no level (`few`). Of these alone the number of splits is None, as of a design that is
    not crossed.
    """
    if crossing:
        of_all = every.reindex(crossing.seeds)
        if mean := crossing.mean(of_all.to_numpy(float)):
            return of_all, mean, crossing.splits
    return few, statistics.mean_of(few), None


def with_all_runs(
    tables: Tables,
    setup: Setup,
    histories: pd.DataFrame,
    runs: pd.DataFrame,
    images: Images = NO_IMAGES,
) -> dict[str, pd.DataFrame]:
    """Return the tables means, contrasts and gap of a crossed design, with means of all its runs.

    Their means, intervals, t-tests and `n` are then of every run; variances, exchange tests and
    effect sizes stay those of the runs that share no level, of which `tables` are. A row stays as
    it is where a run is missing or has diverged, and its `n` says so.
    """
    design = crossing_of(setup, sorted(set(runs["seed"])))
    if not design.whole:
        return dict(tables)
    complete = completed(runs)
    names = {
        "means": ("mean", "low", "high"),
        "contrasts": ("mean_difference", "low", "high"),
        "gap": ("mean", "mean_low", "mean_high"),
    }
    after = {
        place: cell.set_index("seed").reindex(design.seeds)
        for place, cell in of_completed(histories, runs).groupby(["l2", "epoch"])
    }

    def values(row: dict, l2: float) -> np.ndarray:
        if "gap" not in row:
            return arranged(complete, [row["measure"]], [l2], design.seeds)[0, 0]
        if (l2, row["epoch"]) not in after:
            return np.array([math.nan])
        first, second = (after[l2, row["epoch"]][name] for name in GAPS[row["gap"]])
        return (first - second).to_numpy()

    found = {}
    for name, table in tables.items():
        rows = []
        for row in table.to_dict("records"):
            against = row.get("reference_l2")
            of_runs = values(row, row["l2"])
            if against is not None:
                of_runs = statistics.differences(of_runs, values(row, against))
            mean = design.mean(of_runs)
            if mean is not None and row["scope"] == SEEDS_AND_IMAGES:
                of_seed, places = pd.Series(of_runs, design.seeds), (row["l2"], against)
                mean = images.mean(measure_of(row), of_seed, *places, mean, design.splits)
            rows.append(row if mean is None else row | _cells(mean, setup, names[name], row))
        found[name] = pd.DataFrame(rows, columns=table.columns).astype(table.dtypes)
    if len(found["contrasts"]):
        families = found["contrasts"].groupby(["measure", "scope"])
        found["contrasts"]["p_holm"] = families["p_t"].transform(statistics.holm)
    return found


def _cells(mean: Mean, setup: Setup, names: Sequence[str], row: dict) -> dict:
    """Return what a mean says in the columns `names` of value and ends, and beside them."""
    ends = mean.interval(setup.confidence)
    cells = {"n": mean.n} | dict(zip(names, ends[:3], strict=True))
    if "p_t" in row:
        cells |= {"p_t": mean.p_value(), "p_equivalent": mean.equivalence(row["margin"])}
    return cells
