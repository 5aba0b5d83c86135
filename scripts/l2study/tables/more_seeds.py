"""How many seeds would resolve what is not resolved, if the estimate and its spread are the truth.

They are estimates, so this is a plan and no promise. It is uncertain above all where an estimate is
close to its bound.
"""

import math
from collections.abc import Iterable, Sequence

from l2study.tables.choice import seeds_needed
from l2study.tables.judge import NOT_RESOLVED, SUPPORTED, Judged

POWER = 0.8


def row_seeds(item: Judged, confidence: float, strict_confidence: float) -> float:
    """Return how many seeds resolve a row of the ledger with a power of `POWER`.

    The row is resolved once its interval is on one side of the bound that is nearest to the
    estimate. More seeds make the part of the images in the variance no smaller.

    Args:
        item: the row.
        confidence: of the interval that supports a row.
        strict_confidence: of the wider interval that contradicts a claim.

    Returns:
        Infinite if no number of seeds does. NaN for a row that is resolved, or is kept from it by
        something else than the width of an interval of a mean.
    """
    if item.verdict != NOT_RESOLVED or item.note or not item.error > 0:
        return math.nan
    distance, within = _to_bound(item)
    if not distance > 0:
        return math.inf
    of_seeds = max(item.error**2 - item.floor, 0.0) * item.estimate.n
    wanted = confidence if within else strict_confidence
    return seeds_needed(math.sqrt(of_seeds), distance, wanted, POWER, item.floor)


def claim_seeds(judged: Iterable[Judged], confidence: float) -> float:
    """Return how many seeds resolve a claim that is not resolved; NaN if that is not known.

    One row on the wrong side of its bound is enough to contradict a claim. Without such a row all
    have to be supported, and the one that takes most seeds counts.
    """
    deciding = [item for item in judged if item.decides]
    strict = 1 - (1 - confidence) / max(1, len(deciding))
    left = [item for item in deciding if item.verdict != SUPPORTED]
    needed = [row_seeds(item, confidence, strict) for item in left]
    outside = [
        seeds
        for item, seeds in zip(left, needed, strict=True)
        if not math.isnan(seeds) and not _to_bound(item)[1]
    ]
    if outside:
        return min(outside)
    return math.nan if not needed or any(map(math.isnan, needed)) else max(needed)


def words(needed: float, judged: Sequence[Judged]) -> str:
    """Return in a sentence what `claim_seeds` found; empty if it is not known."""
    if math.isnan(needed):
        return ""
    if math.isinf(needed):
        return "More seeds on these images would not resolve it: the images leave too much open."
    there = max((item.estimate.n for item in judged if item.decides), default=0)
    if needed <= there:
        return "With as many seeds as here, four of five such studies would resolve it."
    return (
        f"If the estimate is the truth, about {needed:.0f} seeds in all would resolve it, with a"
        f" power of {100 * POWER:.0f} %."
    )


def _to_bound(item: Judged) -> tuple[float, bool]:
    """Return how far the estimate is from its nearest bound, and whether it is within all bounds.

    On the scale on which its interval is symmetric: logarithms for a ratio.
    """
    value = item.estimate.value
    above, below = (item.row["holds"].get(key, math.nan) for key in ("above", "below"))
    if item.row["statistic"] == "ratio":
        value, above, below = (math.log(number) for number in (value, above, below))
    distances = [d for d in (value - above, below - value) if not math.isnan(d)]
    if min(distances) > 0:
        return min(distances), True
    return max(-d for d in distances if d <= 0), False
