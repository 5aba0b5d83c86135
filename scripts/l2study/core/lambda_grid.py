"""A grid of lambdas: its numbers, whether it is wide enough, and the lambda to try next."""

import math
from collections.abc import Iterable, Sequence

INSIDE, AT_END, BEYOND = "inside", "at the end", "may lie beyond"
"""Where the best lambda is in a grid."""

PICKED = 0.025
"""A lambda that is picked in a larger share of resamples may be the best one."""

MANTISSAS = (1, 2, 3, 5)
"""What lambdas are rounded to, with any power of ten."""

MOST_PER_DECADE = 10
"""How many numbers an evenly spaced grid has in a decade at most."""


def factors_of(per_decade: int) -> list[float]:
    """Return what an evenly spaced grid has in the decade from 1 to 10, as people write it.

    With one digit for up to three numbers: 1; 1, 3; 1, 2, 5. More of them have two digits.
    """
    digits = 1 if per_decade <= 3 else 2
    return [float(f"{10 ** (place / per_decade):.{digits}g}") for place in range(per_decade)]


def even_grid(first: float, last: float, per_decade: int) -> list[float]:
    """Return the numbers of `factors_of` times powers of ten from `first` to `last`, ascending.

    Each is the number that its decimal digits are read as, on every machine.
    """
    powers = range(math.floor(math.log10(first)) - 1, math.ceil(math.log10(last)) + 1)
    numbers = (float(f"{f}e{power}") for power in powers for f in factors_of(per_decade))
    # both ends may be products, and off by rounding
    return [l2 for l2 in numbers if first * (1 - 1e-9) <= l2 <= last * (1 + 1e-9)]


def open_ends(tried: Sequence[float]) -> list[float]:
    """Return the ends of a grid beyond which another lambda may be better.

    The largest, and the smallest unless that is 0: there is nothing below 0.
    """
    ends = sorted({min(tried), max(tried)})
    return [end for end in ends if end > 0 or end == max(tried)]


def position(tried: Sequence[float], best: float, picks: Sequence[float]) -> str:
    """Return where the best lambda is: INSIDE, AT_END or BEYOND.

    Args:
        tried: every lambda of the study.
        best: the one that is chosen.
        picks: those that are chosen in resamples; none if there are none. It may lie beyond an end
            that more than the share `PICKED` of them choose.
    """
    ends = open_ends(tried)
    if best in ends:
        return AT_END
    return BEYOND if any(_share(picks, end) > PICKED for end in ends) else INSIDE


def next_lambda(tried: Sequence[float], best: float, picks: Sequence[float]) -> float:
    """Return the lambda to add, beyond the end where the best is or may lie; NaN if inside.

    It is as far from the end as that is from its neighbour on a logarithmic scale (ten times where
    it has none above 0), rounded to one of `MANTISSAS`, or to more digits where steps are small.
    """
    if position(tried, best, picks) == INSIDE:
        return math.nan
    ends = open_ends(tried)
    end = best if best in ends else max(ends, key=lambda end: _share(picks, end))
    neighbours = sorted((l2 for l2 in tried if l2 > 0 and l2 != end), key=lambda l2: abs(l2 - end))
    ratio = end / neighbours[0] if neighbours else (10 if end == max(tried) else 0.1)
    return rounded(end * ratio, end) if end else math.nan


def rounded(l2: float, end: float) -> float:
    """Return a lambda as people write it, half a step to one and a half beyond `end`."""
    step = math.log(l2 / end)

    def fits(candidate: float) -> bool:
        return 0.5 <= math.log(candidate / end) / step <= 1.5

    power = math.floor(math.log10(l2))
    usual = (float(f"{m}e{p}") for m in MANTISSAS for p in (power, power + 1))
    nearest = min(usual, key=lambda candidate: abs(math.log(candidate / l2)))
    further = (float(f"{l2:.{digits}g}") for digits in range(2, 18))
    return next(filter(fits, [nearest, *further]))


def _share(picks: Iterable[float], l2: float) -> float:
    picks = list(picks)
    return sum(pick == l2 for pick in picks) / len(picks) if picks else 0.0
