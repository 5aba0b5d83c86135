"""The small drawings of claims: where the estimate lies that decides one, and how it came there.

They are facts for the macros of reports/page/drawings.html.j2. Places are in the units of the
drawing, from its upper left corner.
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

import pandas as pd
from matplotlib.ticker import MaxNLocator

from l2study.core.scope_rows import SEEDS, SEEDS_AND_IMAGES
from l2study.core.wording import bounds, minus, unit_of
from l2study.report.claim_text import ends
from l2study.report.study import Study

WIDTH = 200
"""The width of the drawing of one estimate."""

CORRELATIONS = ("trend", "association", "within")
"""The statistics between -1 and 1. Their drawings have this as their axis, to be compared."""

COURSE = (400, 160)
"""The width and the height of a course."""


class Axis(NamedTuple):
    """An axis: the number `low` is at the place `start`, and `high` at `end`."""

    low: float
    high: float
    start: float
    end: float

    @classmethod
    def over(
        cls, numbers: Iterable[float], start: float, end: float, spare: float = 0.12
    ) -> "Axis":
        """Return the axis over finite numbers, with a share to `spare` at both sides."""
        known = [number for number in numbers if math.isfinite(number)]
        beside = spare * (max(known) - min(known)) or 1.0
        return cls(min(known) - beside, max(known) + beside, start, end)

    def at(self, number: float) -> float:
        """Return the place of a number; NaN stands for no bound, and stays NaN."""
        share = (number - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 2)

    def marks(self, most: int, integer: bool = False) -> list[tuple[float, str]]:
        """Return the places and the names of round numbers, at most about so many."""
        numbers = MaxNLocator(most, integer=integer).tick_values(self.low, self.high)
        inside = (number for number in numbers if self.low <= number <= self.high)
        return [(self.at(number), minus(f"{number:.6g}")) for number in inside]

    def between(self, above: float, below: float) -> tuple[float, float]:
        """Return the places between which numbers are above and below two bounds."""
        return (
            self.start if math.isnan(above) else self.at(above),
            self.end if math.isnan(below) else self.at(below),
        )


def estimate(row: tuple) -> dict | None:
    """Return the drawing of a row of the table of claims; None where there is no estimate.

    `needed` are the ends of what the claim needs, and `said` is the same in words; `bounds` has
    place and name of every bound, `limits` those of the ends of an axis that others have too, `at`
    is the place of the estimate, and `interval` has the ends of that by which it is judged, None
    without one.
    """
    if pd.isna(row.estimate):
        return None
    unit, limits = unit_of(row.measure, row.statistic), [row.above, row.below]
    low, high, _ = ends(row)
    ends_of_axis = [-1, 1] if row.statistic in CORRELATIONS else []
    if ends_of_axis:
        axis = Axis.over(ends_of_axis, 0, WIDTH, spare=0.03)
    else:
        axis = Axis.over([row.estimate, low, high, *limits], 0, WIDTH)
    return {
        "needed": axis.between(*limits),
        "said": bounds(*limits, unit),
        "bounds": [(axis.at(x), minus(f"{unit.scale * x:g}")) for x in limits if pd.notna(x)],
        "limits": [(axis.at(x), minus(f"{x:g}")) for x in ends_of_axis],
        "at": axis.at(row.estimate),
        "interval": None if pd.isna(low) else (axis.at(low), axis.at(high)),
        "width": WIDTH,
    }


def course(study: Study, row: tuple) -> dict | None:
    """Return the drawing of the estimate that decides a claim over the epochs; None without one.

    `line` and the outline `band` are for other seeds, and `bars` have for epochs with predictions
    the place and the ends of the interval for other images too. `here` is the place of the estimate
    in `row`, after `epoch`. `needed` are the ends of what the claim needs; `epochs` and `numbers`
    are marks at the axes.
    """
    table = study.tables.get("course", pd.DataFrame(columns=["id", "epoch"]))
    own = table[table["id"] == row.id]
    if own["epoch"].nunique() < 2:
        return None
    unit, (width, height) = unit_of(row.measure, row.statistic), COURSE
    numbers = ["estimate", "low", "high"]
    own = own.assign(**unit.scale * own[numbers])
    seeds, images = (own[own["scope"] == scope] for scope in (SEEDS, SEEDS_AND_IMAGES))
    limits = [unit.scale * row.above, unit.scale * row.below]
    across = Axis.over(own["epoch"], 0, width, 0.03)
    up = Axis.over([*seeds["estimate"], *images["low"], *images["high"], *limits], height, 0)
    epoch = own["epoch"].max() if pd.isna(row.epoch) else row.epoch

    def places(column: str) -> list[tuple[float, float]]:
        kept = seeds[["epoch", column]].dropna()
        return [(across.at(x), up.at(y)) for x, y in kept.itertuples(index=False)]

    return {
        "line": places("estimate"),
        "band": places("high") + places("low")[::-1],
        "bars": [(across.at(one.epoch), up.at(one.low), up.at(one.high))
                 for one in images.itertuples()],
        "here": (across.at(epoch), up.at(unit.scale * row.estimate)),
        "epoch": int(epoch),
        "needed": up.between(*limits),
        "said": bounds(row.above, row.below, unit),
        "bounds": [up.at(limit) for limit in limits if pd.notna(limit)],
        "epochs": across.marks(6, integer=True),
        "numbers": up.marks(5),
        "unit": unit.unit,
        "size": COURSE,
    }  # fmt: skip
