"""The table of where the variance over runs comes from, source by source; `components` computes.

A plain study varies all sources at once, and its table has their total alone. A crossed design has
the components. It needs a run for every combination of levels. If some diverged or are missing, the
level with the largest share of lost runs is left out, of whichever source that has more than two
levels, until the rest is complete: of equal ones the last level of the last source. Without such a
rest there are no values. What is left out makes the estimates those of runs that complete.
"""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from l2study.core.measures import names
from l2study.core.variation import TOTAL, crossed_sources, source_seeds
from l2study.tables import components, statistics

VARIANCE_MEASURES = [*names("gap"), "val_accuracy", "test_accuracy", "val_ce"]
VARIANCE_COLUMNS = [
    "l2",
    "measure",
    "source",
    "levels",
    "n",
    "variance",
    "low",
    "high",
    "share",
    "share_low",
    "share_high",
    "negative",
]


def variance_table(config: dict, runs: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """Return the variance of a new run and its components, by `VARIANCE_COLUMNS`.

    One row per lambda, measure of `VARIANCE_MEASURES` and source: the name of a component, `rest`
    or `total`. `levels` are those of every source behind the row, such as "4 x 4"; `n` counts runs.
    The intervals of components are those of `components.components`, and that of a plain study's
    total is Bonett's, see `statistics.variance_interval`.

    Args:
        config: of the set-up, canonical.
        runs: one row per run.
        confidence: of the intervals.
    """
    sources, rows = crossed_sources(config), []
    for l2, cell in runs.groupby("l2"):
        completed = cell[cell["status"] == "completed"]
        for measure in VARIANCE_MEASURES:
            there = completed[np.isfinite(completed[measure])]
            if sources:
                design = [source_seeds(config, seed) for seed in there["seed"]]
                design = pd.DataFrame(design, there.index, sources).assign(
                    **{measure: there[measure]}
                )
                found = _parts(design, measure, confidence)
            else:
                found = _total(there, measure, confidence)
            rows += [{"l2": l2, "measure": measure} | row for row in found]
    return pd.DataFrame(rows, columns=VARIANCE_COLUMNS)


def _total(runs: pd.DataFrame, measure: str, confidence: float) -> list[dict]:
    """Return the one row of a plain study."""
    variance, low, high, n = statistics.variance_interval(runs[measure], confidence)
    row = {"source": TOTAL, "n": n, "variance": variance, "low": low, "high": high}
    return [row | ({} if math.isnan(variance) else {"negative": "no"})]


def _parts(design: pd.DataFrame, measure: str, confidence: float) -> list[dict]:
    """Return the rows of a crossed design, of runs with a column of levels for every source."""
    sources = list(design.columns.drop(measure))
    design = balanced(design, sources)
    if design.empty:
        return [{"source": name, "n": 0} for name in components.names(sources)]
    levels = {source: design[source].nunique() for source in sources}
    values = design.sort_values(sources)[measure].to_numpy(float).reshape(tuple(levels.values()))
    return [
        {
            "source": part.name,
            "levels": " x ".join(str(levels[source]) for source in part.sources),
            "n": values.size,
            "negative": "yes" if part.negative else "no",
            **{field: getattr(part, field) for field in VARIANCE_COLUMNS[5:11]},
        }
        for part in components.components(values, sources, confidence)
    ]


def balanced(runs: pd.DataFrame, sources: Sequence[str]) -> pd.DataFrame:
    """Return the runs of a crossed design of some of the levels in which no run is missing.

    Args:
        runs: one row per run, with a column of levels for every source.
        sources: at least one.

    Returns:
        Nothing if a source would have fewer than two levels.
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
