"""A grid of lambdas: its numbers, whether it is wide enough, and the lambda to try next."""

import math
from collections.abc import Collection, Iterable, Sequence

INSIDE, AT_END, BEYOND = "inside", "at the end", "may lie beyond"
"""Where the best lambda is in a grid."""

PICKED = 0.025
"""A lambda that is picked in a larger share of resamples may be the best one."""

MANTISSAS = (1, 2, 3, 5)
"""What lambdas are rounded to, with any power of ten."""

MOST_DECADES = 2
"""How many decades beyond either end of a range lambdas are added at most."""

MOST_PER_DECADE = 10
"""How many numbers an evenly spaced grid has in a decade at most."""


def factors_of(per_decade: int) -> list[float]:
    """Return what an evenly spaced grid has in the decade from 1 to 10, as people write it: 1, or
    1, 3, or 1, 2, 5; more numbers have two digits."""
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


def reach(first: float, last: float, per_decade: int) -> list[float]:
    """Return the lambdas above 0 that a range may get when it is extended, ascending."""
    return even_grid(first / 10**MOST_DECADES, last * 10**MOST_DECADES, per_decade)


def widened(tried: Sequence[float], ends: Collection[float], reach: Sequence[float]) -> list[float]:
    """Return lambdas and the next one beyond each of some of their ends, as far as in `reach`."""
    above_0 = [l2 for l2 in tried if l2 > 0]
    smallest, largest = min(above_0), max(above_0)
    above = [l2 for l2 in reach if l2 > largest][:1] if largest in ends else []
    below = [l2 for l2 in reach if l2 < smallest][-1:] if smallest in ends else []
    return sorted([*tried, *above, *below])


def open_ends(tried: Sequence[float]) -> list[float]:
    """Return the ends of a grid beyond which another lambda may be better; 0 is none."""
    ends = sorted({min(tried), max(tried)})
    return [end for end in ends if end > 0 or end == max(tried)]


def reached(tried: Sequence[float], best: float, picks: Sequence[float]) -> list[float]:
    """Return the open ends at which the best lambda is, or beyond which it may lie: those that more
    than the share `PICKED` of resamples choose, see `position`."""
    return [end for end in open_ends(tried) if end == best or _share(picks, end) > PICKED]


def position(tried: Sequence[float], best: float, picks: Sequence[float]) -> str:
    """Return where the best lambda is: INSIDE, AT_END or BEYOND.

    `tried` has every lambda of the study, `best` is the one that is chosen, and `picks` are those
    that are chosen in resamples; none if there are none.
    """
    ends = reached(tried, best, picks)
    if best in ends:
        return AT_END
    return BEYOND if ends else INSIDE


def next_lambda(tried: Sequence[float], best: float, picks: Sequence[float]) -> float:
    """Return the lambda to add, beyond the end where the best is or may lie; NaN if inside.

    It continues an `even_grid`. Beyond other grids it is as far from the end as that is from its
    neighbour on a logarithmic scale (ten times as large where it has none above 0), rounded to one
    of `MANTISSAS`, or to more digits where steps are small.
    """
    if position(tried, best, picks) == INSIDE:
        return math.nan
    ends = open_ends(tried)
    end = best if best in ends else max(ends, key=lambda end: _share(picks, end))
    above_0 = sorted(l2 for l2 in tried if l2 > 0)
    if not above_0:
        return math.nan
    if len(above_0) == 1:
        return rounded(10 * end, end)
    for per_decade in range(1, MOST_PER_DECADE + 1):
        if even_grid(above_0[0], above_0[-1], per_decade) == above_0:
            further = reach(above_0[0], above_0[-1], per_decade)
            return (set(widened(tried, [end], further)) - set(tried)).pop()
    nearest = min((l2 for l2 in above_0 if l2 != end), key=lambda l2: abs(l2 - end))
    return rounded(end * end / nearest, end)


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
