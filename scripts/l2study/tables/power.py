"""How many seeds a question needs, and how many images."""

import bisect
import itertools
import math
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import special, stats

from l2study.core.scope_rows import SEEDS, SEEDS_AND_IMAGES
from l2study.tables import statistics
from l2study.tables.build import by_lambda, diverged_seeds, paired_differences
from l2study.tables.image_intervals import NO_IMAGES, Images

POWER_GAPS = ("reported", "generalisation", "endpoint")
POWER_DIFFERENCES = (0.001, 0.002, 0.005)
POWER = 0.8

_MANY = 10**6
"""As many degrees of freedom are as good as infinitely many."""


def t_power(effect: float, df: float, confidence: float) -> float:
    """Return the chance that a t-test finds a true difference above 0, for normal values.

    Two-sided at 1 - confidence: the upper tail of the noncentral t distribution. The lower one, a
    significant difference of the wrong sign, is left out: it adds next to nothing, and scipy has no
    value for it where the effect is large. `effect` is the difference in standard errors of its
    estimate, which have `df` degrees of freedom.
    """
    # differences that are equal but for rounding have an effect for which scipy has no value, and
    # scipy.special has none for many around 40
    return float(stats.nct.sf(statistics.student(confidence, df), df, min(effect, 1e8)))


def seeds_needed(
    sd: float, difference: float, confidence: float, power: float = POWER, floor: float = 0.0
) -> float:
    """Return the smallest number of pairs at which a paired t-test resolves `difference`, above 0.

    Two-sided at 1 - confidence, with at least `power`. The variance of a mean of n pairs is
    sd^2 / n + floor, with degrees of freedom by Satterthwaite, as those of `floor` are many: it is
    the part that more pairs do not make smaller, that of the images. At least 2; infinite if no
    number is enough; NaN if `sd` is not a number.
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
    return float(bisect.bisect_left(range(high), True, lo=high // 2 + 1, key=enough))


def least_resolvable(floor: float, confidence: float) -> float:
    """Return the smallest difference that infinitely many pairs resolve with the power `POWER`:
    (z(confidence) + z(POWER)) * sqrt(floor), since the images alone still add to the variance."""
    return (statistics.student(confidence, _MANY) + special.ndtri(POWER)) * math.sqrt(floor)


class Plan(NamedTuple):
    """How many seeds resolve a difference, and where no number does, with how many more images."""

    seeds: float
    """Infinite where images leave too much open."""
    images: float = math.nan
    """Then these leave half of what may be open to the seeds; NaN elsewhere."""
    seeds_with_images: float = math.nan


def plan(
    sd: float, difference: float, confidence: float, floor: float = 0.0, images: float = math.nan
) -> Plan:
    """Return the plan for a true difference, as `seeds_needed`.

    `floor` is what so many `images` add to the variance of a mean; NaN if their number is to stay.
    The spread over seeds stays as it is with more images, which is a little too large. A study
    must resolve the difference for other seeds alone, too, as `image_intervals.wide_mean` says.
    """

    def seeds(part: float) -> float:
        needed = [seeds_needed(sd, difference, confidence, floor=part) for part in (part, 0.0)]
        return math.nan if any(map(math.isnan, needed)) else max(needed)

    found = seeds(floor)
    if found != math.inf or math.isnan(images):
        return Plan(found)
    more = math.ceil(2 * images * (least_resolvable(floor, confidence) / difference) ** 2)
    return Plan(found, more, seeds(floor * images / more))


def power_table(
    runs: pd.DataFrame, reference: float, confidence: float, images: Images = NO_IMAGES
) -> pd.DataFrame:
    """Return how many seeds a paired t-test needs to resolve a difference in a gap.

    `seeds_low` and `seeds_high` are the seeds needed at the ends of Bonett's interval of the
    spread: a bootstrap over seeds would be too narrow.
    """
    cells = by_lambda(runs)
    lambdas = [l2 for l2 in cells if l2 != reference] if reference in cells else []
    rows = []
    for l2, kind in itertools.product(lambdas, POWER_GAPS):
        measure = f"gap_{kind}"
        values = paired_differences(cells, measure, l2, reference)
        spread = np.sqrt(statistics.variance_interval(values, confidence)[:3])
        known = {"l2": l2, "gap": kind, "sd_difference": spread[0], "n": len(values)}
        known["diverged_seeds"] = diverged_seeds(runs, l2, reference)
        floors = {SEEDS: 0.0}
        if wide := images.mean(measure, values, l2, reference):
            floors[SEEDS_AND_IMAGES] = max(wide.error**2 - spread[0] ** 2 / len(values), 0.0)
        for difference, scope in itertools.product(POWER_DIFFERENCES, floors):
            floor, least = floors[scope], least_resolvable(floors[scope], confidence)
            count = images.count(measure) if scope == SEEDS_AND_IMAGES else math.nan
            own, *ends = (plan(sd, difference, confidence, floor, count) for sd in spread)
            found = own._asdict() | {"scope": scope, "least_difference": least}
            found |= {"seeds_low": ends[0].seeds, "seeds_high": ends[1].seeds}
            rows.append(known | {"difference": difference} | found)
    return pd.DataFrame(rows).replace(math.inf, math.nan)
