"""How many seeds a study in rounds has now, by the runs that are there.

The rule of `l2study.tables.rounds` needs nothing but the runs in the order of their seeds. So there
is no state to keep: an invocation finds the round that it is in, and one that was killed goes on.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from l2study.core.columns import ALL_COLUMNS
from l2study.core.design import Design, Setup
from l2study.core.measures import MEASURES
from l2study.core.paths import run_folder
from l2study.core.runs import DamagedRunError, read_run
from l2study.tables.rounds import Round, rounds


def look(design: Design, results: str) -> tuple[int, list[Round]]:
    """Return how many seeds the study needs now, and its rounds that are over, with a cell for
    each pair of a set-up's name and a lambda's label."""
    wanted = design.base.until
    cells = {
        (setup.name, l2): _values(setup, l2, f"{results}{setup.place}", wanted)
        for setup in design.setups
        for l2 in setup.lambdas
    }
    return rounds(cells, wanted["half_width"], wanted["max_seeds"], design.base.confidence)


def _values(setup: Setup, l2: str, results: str, wanted: Mapping) -> list[float]:
    """Return the values of a lambda, of as many seeds as are there without a gap."""
    values, measure = [], wanted["measure"]
    first, *second = MEASURES[measure].difference or (measure,)
    for seed in range(wanted["max_seeds"]):
        try:
            run = read_run(run_folder(Path(results), l2, seed), l2, seed, setup.promised)
        except DamagedRunError:
            break
        values.append(np.nan)
        if run.record["status"] == "completed":
            last = dict(zip(ALL_COLUMNS, run.history[-1].tolist(), strict=False))
            values[-1] = last[first] - sum(last[column] for column in second)
    return values


def words(design: Design, results: str) -> str:
    """Return in a sentence whether the study has seeds enough, for the end of an invocation."""
    wanted = design.base.until
    needed, over = look(design, results)
    if not over:
        return f"The first round, of {needed} seeds, is not finished: run the same command again."
    last, measure = over[-1], MEASURES[wanted["measure"]]
    setup, l2 = last.widest
    at = f"lambda {l2}" if len(design.setups) == 1 else f"lambda {l2} of the set-up {setup}"
    half_width = last.cells[last.widest].half_width

    def width(value: float) -> str:
        return f"{measure.scale * value:.3g} {measure.unit}"

    widest = (
        f"With {last.seeds} seeds, the widest interval of the {measure.label[0].lower()}"
        f"{measure.label[1:]} is ±{width(half_width)}, at {at}. Wanted:"
        f" ±{width(wanted['half_width'])} or less."
    )
    if half_width <= wanted["half_width"]:
        return widest
    if needed > last.seeds:
        return f"{widest} This takes {needed} seeds: run the same command again."
    return f"{widest} To allow more seeds, raise seeds.until.max_seeds."
