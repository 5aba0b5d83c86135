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
from l2study.tables.build import arranged, completed
from l2study.tables.image_intervals import NO_IMAGES, Images
from l2study.tables.statistics import Mean
from l2study.tables.variance import mean_squares

Tables = Mapping[str, pd.DataFrame]


def grand_mean(values: np.ndarray) -> Mean:
    """Return the mean of a balanced crossed design with its standard error for new levels.

    The variance is never taken for less than the largest mean square of a source alone gives, since
    a difference of mean squares may come out near 0 or below. Degrees of freedom are those of
    Satterthwaite (1946), and never fewer than the source with the fewest levels has.

    Args:
        values: an array with an axis for every source, of one run each.

    Raises:
        ValueError: a source has fewer than two levels, or a value is not finite.
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
    """All runs of a crossed design: their seeds, the last source changing fastest, the numbers of
    levels of the sources in that order, and how many splits there are.
    """

    seeds: list[int]
    shape: tuple[int, ...]
    splits: int

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

    Of a crossed design, it is of all runs, unless one is missing, and else of the runs that share
    no level. Of these alone the number of splits is None, as of a design that is not crossed.

    Args:
        few: by seed, of the runs that share no level of a source.
        every: of all runs.
        crossing: how they are crossed; None for another design.
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

    Their means, intervals, t-tests and `n` are then of every run. What else stands in a row stays
    that of the runs that share no level: variances, exchange tests, effect sizes. A row stays as it
    is where a run is missing or has diverged, and its `n` says so.

    Args:
        tables: these three, of the runs that share no level.
        setup: the set-up.
        histories: of all runs.
        runs: all runs.
        images: the predictions of all runs.
    """
    design = crossing_of(setup, sorted(set(runs["seed"])))
    if not design.whole:
        return dict(tables)
    complete = completed(runs)
    kept = histories.merge(complete[["l2", "seed"]], on=["l2", "seed"])
    names = {"means": ("mean", "low", "high"), "gap": ("mean", "mean_low", "mean_high")}
    names["contrasts"] = ("mean_difference", "low", "high")
    last, gaps = kept["epoch"].max() if len(kept) else 0, _gaps(kept, design)

    def values(row: dict, l2: float) -> np.ndarray:
        if "gap" in row and row["epoch"] != last:
            return gaps.get((row["gap"], l2, row["epoch"]), np.array([math.nan]))
        measure = row.get("measure", f"gap_{row.get('gap')}")
        return arranged(complete, [measure], [l2], design.seeds)[0, 0]

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
                measure = row.get("measure", f"gap_{row.get('gap')}")
                of_seed = pd.Series(of_runs, design.seeds)
                mean = images.mean(measure, of_seed, row["l2"], against, mean, design.splits)
            rows.append(row if mean is None else row | _cells(mean, setup, names[name], row))
        found[name] = pd.DataFrame(rows, columns=table.columns).astype(table.dtypes)
    if len(found["contrasts"]):
        families = found["contrasts"].groupby(["measure", "scope"])
        found["contrasts"]["p_holm"] = families["p_t"].transform(statistics.holm)
    return found


def _gaps(kept: pd.DataFrame, design: Crossing) -> dict[tuple, np.ndarray]:
    """Return every gap in the order of the seeds, by kind, lambda and epoch."""
    found = {}
    for kind, (first, second) in GAPS.items():
        if not {first, second} <= set(kept):  # only some models have them
            continue
        values = kept.assign(value=kept[first] - kept[second])
        table = values.pivot(index=["l2", "epoch"], columns="seed", values="value")
        table = table.reindex(columns=design.seeds)
        found |= {
            (kind, *place): row for place, row in zip(table.index, table.to_numpy(), strict=True)
        }
    return found


def _cells(mean: Mean, setup: Setup, names: Sequence[str], row: dict) -> dict:
    """Return what a mean says in the columns `names` of value and ends, and beside them."""
    ends = mean.interval(setup.confidence)
    cells = {"n": mean.n} | dict(zip(names, ends[:3], strict=True))
    if "p_t" in row:
        cells |= {"p_t": mean.p_value(), "p_equivalent": mean.equivalence(row["margin"])}
    return cells
