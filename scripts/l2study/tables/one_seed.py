"""How often a single seed would have said something else than all seeds together.

Every seed is one of all seeds, so with few seeds it agrees with them more often than a new one.
"""

import itertools

import numpy as np
import pandas as pd

from l2study.core.measures import MEASURES
from l2study.tables import statistics
from l2study.tables.build import by_lambda, diverged_seeds, paired_differences
from l2study.tables.choice import chosen_lambda, lowest

ONE_SEED_MEASURES = ("test_accuracy", "gap_generalisation", "gap_reported")
"""What a single seed is asked for the sign of."""

PICKS, PICKS_ANOTHER, OPPOSITE_SIGN = "picks", "picks another", "opposite sign"


def one_seed_table(
    runs: pd.DataFrame, choice: pd.DataFrame, reference: float, confidence: float
) -> pd.DataFrame:
    """Return how many seeds alone say what, see schemas/tables.yaml; of a tie, a seed picks the
    larger lambda."""
    (metric,) = choice.loc[choice["configured"] == "yes", "metric"].unique()
    cells, picks, chosen = by_lambda(runs), _picks(runs, metric), chosen_lambda(choice)
    lambdas = list(cells) if len(cells) > 1 and not picks.empty else []
    said = [(PICKS, metric, l2, None, picks == l2, lambdas) for l2 in lambdas]
    if lambdas and pd.notna(chosen):
        said.append((PICKS_ANOTHER, metric, chosen, None, picks != chosen, lambdas))
    others = [l2 for l2 in cells if l2 != reference] if reference in cells else []
    for measure, l2 in itertools.product(ONE_SEED_MEASURES, others):
        difference = paired_differences(cells, measure, l2, reference)
        sign = np.sign(statistics.mean_of(difference).value)
        if abs(sign) == 1:
            opposite = np.sign(difference) == -sign
            said.append((OPPOSITE_SIGN, measure, l2, reference, opposite, [l2, reference]))
    rows = []
    for says, measure, l2, against, by_seed, of in said:
        count = int(by_seed.sum())
        share = statistics.share_interval(count, len(by_seed), confidence)
        rows.append(
            {
                "finding": says,
                "measure": measure,
                "l2": l2,
                "reference_l2": against,
                "n": share.n,
                "count": count,
                "share": share.value,
                "low": share.low,
                "high": share.high,
                "which_seeds": " ".join(map(str, by_seed.index[by_seed])),
                "diverged_seeds": diverged_seeds(runs, *of),
            }
        )
    return pd.DataFrame(rows)


def _picks(runs: pd.DataFrame, metric: str) -> pd.Series:
    """Return the lambda that every seed picks which has a run at each and completed one."""
    there = runs.pivot(index="seed", columns="l2", values="status").notna().all(axis=1)
    own = runs.pivot(index="seed", columns="l2", values=metric)[there].dropna(how="all")
    lambdas = own.columns.to_numpy(float)
    if own.empty:
        return pd.Series(dtype=float)
    places = lowest(lambdas, MEASURES[metric].sign * own.to_numpy())
    return pd.Series(lambdas[places], own.index)
