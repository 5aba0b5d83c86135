"""How many seeds a question needs.

Conventions are those of `statistics`.
"""

import itertools
import math

import numpy as np
import pandas as pd
from scipy import stats

from l2study.tables import statistics
from l2study.tables.build import by_lambda, diverged_seeds, paired_differences

POWER_GAPS = ("reported", "generalisation", "endpoint")
POWER_DIFFERENCES = (0.001, 0.002, 0.005)
POWER = 0.8

_MANY = 10**6
"""As many degrees of freedom are as good as infinitely many."""


def t_power(effect: float, df: float, confidence: float) -> float:
    """Return the chance that a t-test finds a true difference above 0, for normal values.

    Two-sided at 1 - confidence: the upper tail of the noncentral t distribution. The lower one, a
    significant difference of the wrong sign, is left out: it adds next to nothing, and scipy has no
    value for it where the effect is large.

    Args:
        effect: the difference in standard errors of its estimate.
        df: the degrees of freedom of that standard error.
        confidence: of the interval that belongs to the test.
    """
    # differences that are equal but for rounding have an effect for which scipy has no value
    return float(stats.nct.sf(statistics.student(confidence, df), df, min(effect, 1e8)))


def seeds_needed(
    sd: float, difference: float, confidence: float, power: float = POWER, floor: float = 0.0
) -> float:
    """Return the smallest number of pairs at which a paired t-test resolves `difference`.

    Two-sided at 1 - confidence, with at least `power`. The variance of a mean of n pairs is
    sd^2 / n + floor, with degrees of freedom by Satterthwaite, as those of `floor` are many.

    Args:
        sd: standard deviation of the differences of pairs.
        difference: the true difference, above 0.
        confidence: of the interval that belongs to the test.
        power: the chance to find the difference.
        floor: the part of the variance that more pairs do not make smaller, that of the images.

    Returns:
        At least 2; infinite if no number is enough; NaN if `sd` is not a number.

    Raises:
        ValueError: `difference` is not positive.
    """
    if not difference > 0:
        raise ValueError(f"difference {difference!r} is not above 0")
    if not math.isfinite(sd) or not math.isfinite(floor):
        return math.nan

    def enough(n: float) -> bool:
        own = sd**2 / n
        variance = own + floor
        if variance == 0:
            return True
        df = (n - 1) * (variance / own) ** 2 if own else math.inf
        return t_power(difference / math.sqrt(variance), min(df, _MANY), confidence) >= power

    if not enough(math.inf):
        return math.inf
    high = 2
    while not enough(high):
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return float(high)


def power_table(runs: pd.DataFrame, reference: float, confidence: float) -> pd.DataFrame:
    """Return how many seeds a paired t-test needs to resolve a difference in a gap.

    One row per lambda, kind of `POWER_GAPS` and difference of `POWER_DIFFERENCES` (fractions), at
    power `POWER`, two-sided at 1 - confidence, from the observed spread `sd_difference` of the `n`
    paired differences to the reference. `seeds_low` and `seeds_high` are the seeds needed at the
    ends of Bonett's interval of that spread: a bootstrap over seeds would be too narrow. No rows if
    the study does not have the reference.
    """
    cells = by_lambda(runs)
    lambdas = [l2 for l2 in cells if l2 != reference] if reference in cells else []
    rows = []
    for l2, kind in itertools.product(lambdas, POWER_GAPS):
        values = paired_differences(cells, f"gap_{kind}", l2, reference)
        spread = np.sqrt(statistics.variance_interval(values, confidence)[:3])
        known = {"l2": l2, "gap": kind, "sd_difference": spread[0], "n": len(values)}
        known["diverged_seeds"] = diverged_seeds(runs, l2, reference)
        for difference in POWER_DIFFERENCES:
            needed = (seeds_needed(sd, difference, confidence) for sd in spread)
            seeds = dict(zip(("seeds", "seeds_low", "seeds_high"), needed, strict=True))
            rows.append(known | {"difference": difference} | seeds)
    return pd.DataFrame(rows)
