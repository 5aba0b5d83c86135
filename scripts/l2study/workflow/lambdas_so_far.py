"""Which lambdas a study has now whose range is extended in rounds, by the runs that are there.

The rule is that of the tables: what `tables.choice` says of the grid with the lambdas of a round.
It needs nothing but the runs and what was measured of them. So there is no state to keep: an
invocation goes through the rounds from the first, and one that was killed goes on.
"""

import itertools
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from l2study.core.design import Design, Setup
from l2study.core.files import read_json
from l2study.core.labels import l2_label
from l2study.core.lambda_grid import open_ends, reached, widened
from l2study.core.paths import run_folder
from l2study.core.runs import DamagedRunError, read_runs
from l2study.tables import build
from l2study.tables.choice import choices_of
from l2study.tables.image_intervals import images_of


class Round(NamedTuple):
    """A round that is over: its lambdas, and the ends at which the best is or may lie beyond, each
    with the name of a set-up where this is so."""

    lambdas: list[str]
    ends: dict[str, str]


def look(design: Design, results: str) -> tuple[list[str], list[Round]]:
    """Return the lambdas that a study in rounds has now, and its rounds that are over."""
    most, base = list(map(float, design.base.reach)), design.base.config["lambdas"]
    within = (l2 for l2 in most if l2 == 0 or float(base["from"]) <= l2 <= float(base["to"]))
    now, over = list(map(l2_label, within)), []
    while (ends := _ends(design.in_round(now), results)) is not None:
        over.append(Round(now, ends))
        wider = list(map(l2_label, widened(list(map(float, now)), list(map(float, ends)), most)))
        if wider == now:
            break
        now = wider
    return now, over


def _ends(design: Design, results: str) -> dict[str, str] | None:
    """Return the ends of a round as `Round` has them; None if the round is not over."""
    base = design.base
    for setup, l2, seed in itertools.product(design.setups, base.lambdas, base.seeds):
        if not (run_folder(f"{results}{setup.place}", l2, seed) / "run.json").exists():
            return None
    found: dict[str, str] = {}
    most = len(open_ends(list(map(float, design.base.lambdas))))
    for setup in design.setups:
        if len(found) == most:
            break  # the other set-ups can add nothing, and each takes a second
        try:
            ends = _ends_of(setup, results)
        except DamagedRunError:
            return None
        found = dict.fromkeys(ends, setup.name) | found
    return found


def _ends_of(setup: Setup, results: str) -> list[str]:
    """Return the ends at which the best lambda of a set-up is, or beyond which it may lie."""
    manifest = Path(f"{results}{setup.data_place}", "data.json")
    data = read_json(manifest) if manifest.exists() else None
    runs = read_runs(Path(f"{results}{setup.place}"), setup, data, ())
    predicted = {(float(run.l2), run.seed): run.predictions for run in runs if run.predictions}
    table = build.independent(build.runs_table(runs), setup)
    own = choices_of(table, setup.choose_by, images_of(setup, predicted))[0]
    if pd.isna(own.best):
        return []
    picks = own.picks(own.widest).best.tolist()
    return list(map(l2_label, reached(list(own.cells), own.best, picks)))


def words(design: Design, results: str) -> str:
    """Return in a sentence whether the range is wide enough, for the end of an invocation."""
    now, over = look(design, results)
    again = "run the same command again."
    if not over or over[-1].lambdas != design.base.lambdas:
        return f"This round, with lambdas up to {design.base.lambdas[-1]}, is not finished: {again}"
    last = over[-1]
    if not last.ends:
        return f"The range of lambdas, up to {now[-1]}, is wide enough: the best is inside."
    where = " and ".join(
        l2 if len(design.setups) == 1 else f"{l2} in the set-up {setup}"
        for l2, setup in last.ends.items()
    )
    at_end = f"The best lambda is at an end of the range, or may lie beyond it: {where}."
    if added := [l2 for l2 in now if l2 not in last.lambdas]:
        return f"{at_end} To train {' and '.join(added)} too, {again}"
    return (
        f"{at_end} The range is not extended further; to go on, change lambdas.from or lambdas.to."
    )
