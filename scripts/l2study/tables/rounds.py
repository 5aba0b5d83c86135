"""Seeds in rounds, until intervals are narrow enough: how many the next round has.

To look at the data and to stop when an interval is narrow makes Student's intervals hold too
seldom: a study tends to stop when its runs happen to differ little. Stein (1945, Annals of
Mathematical Statistics 16, 243-258) takes the spread from a first round alone, whose size the data
did not decide. Here there may be more rounds, and the spread is the largest standard deviation that
the end of any round has seen: that of the first round, or a larger one.
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from l2study.core.seeds import FIRST_ROUND
from l2study.tables import statistics


class Known(NamedTuple):
    """What is known of a cell at the end of a round, by the values of its `n` completed runs.

    `mean` -+ `half_width` is the interval with the largest spread so far, `sd`.
    """

    n: int
    mean: float
    sd: float
    half_width: float


class Round(NamedTuple):
    """A round that is over: its seeds, those of earlier rounds included, and what it tells."""

    seeds: int
    cells: dict[Hashable, Known]

    @property
    def widest(self) -> Hashable:
        """The cell with the widest interval."""
        return max(self.cells, key=lambda cell: self.cells[cell].half_width)


def at_end_of(values: Sequence[float], before: float, confidence: float) -> Known:
    """Return what is known of a cell at the end of a round, after which the largest standard
    deviation at the end of an earlier one was `before`, or 0."""
    values = statistics.finite(values)
    n = len(values)
    if n < 2:
        return Known(n, math.nan, before, math.inf)
    sd = max(before, float(values.std(ddof=1)))
    half_width = float(statistics.student(confidence, n - 1)) * sd / math.sqrt(n)
    return Known(n, float(values.mean()), sd, half_width)


def seeds_for(last: Known, half_width: float, confidence: float) -> int:
    """Return how many seeds a cell needs in all; as many as it has if they are enough. As in Stein
    (1945), that is (t sd / half_width)^2, with t for the runs that there are."""
    if last.half_width <= half_width:
        return last.n
    if last.n < 2:
        return FIRST_ROUND
    critical = statistics.student(confidence, last.n - 1)
    return max(last.n + 1, math.ceil((critical * last.sd / half_width) ** 2))


def rounds(
    cells: Mapping[Hashable, Sequence[float]], half_width: float, max_seeds: int, confidence: float
) -> tuple[int, list[Round]]:
    """Return how many seeds the study needs now, and its rounds that are over.

    Every round after the first has what the cell that needs most asks for. There are no more once
    no interval is wider than `half_width` to either side, or with `max_seeds` seeds. `cells` has
    the values of every set-up and lambda, in the order of the seeds, as far as their runs are
    there; NaN for a run that has diverged.
    """
    there = min((len(values) for values in cells.values()), default=0)
    wanted, over, sds = min(FIRST_ROUND, max_seeds), [], dict.fromkeys(cells, 0.0)
    while wanted <= there:
        known = {c: at_end_of(values[:wanted], sds[c], confidence) for c, values in cells.items()}
        sds = {cell: so_far.sd for cell, so_far in known.items()}
        last = Round(wanted, known)
        over.append(last)
        if known[last.widest].half_width <= half_width or wanted == max_seeds:
            break
        needed = max(seeds_for(cell, half_width, confidence) for cell in known.values())
        diverged = max(wanted - cell.n for cell in known.values())
        wanted = min(max_seeds, max(wanted + 1, needed + diverged))
    return wanted, over


def rounds_table(
    until: Mapping | None, confidence: float, runs: Mapping[str, pd.DataFrame]
) -> pd.DataFrame:
    """Return what every round of a study tells of every lambda.

    `until` is that of `Setup.until`, and `runs` are the tables of every set-up, by its name.
    """
    if until is None:
        return pd.DataFrame()
    measure, cells = until["measure"], {}
    for name, of_setup in runs.items():
        for l2, cell in of_setup.groupby("l2"):
            values = cell.set_index("seed")[measure].reindex(range(until["now"]))
            cells[name, l2] = values.to_numpy(float)
    _, over = rounds(cells, until["half_width"], until["max_seeds"], confidence)
    table = pd.DataFrame(
        {"setup": setup, "l2": l2, "measure": measure, "round": number, "seeds": last.seeds}
        | known._asdict()
        for number, last in enumerate(over, start=1)
        for (setup, l2), known in last.cells.items()
    )
    if table.empty:
        return table
    low, high = (table["mean"] + side * table["half_width"] for side in (-1, 1))
    table = table.assign(low=low, high=high, wanted=until["half_width"])
    return table.replace([np.inf, -np.inf], math.nan)
