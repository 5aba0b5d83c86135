"""The tables that compare the set-ups of a study: what each is, and what differs between them.

`studied` has the tables of every set-up that has runs, by its name, without a column for the
set-up. There is no test over set-ups, because they are chosen and not sampled: every interval is
for other seeds in one set-up, on the images of the study.
"""

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from l2study.core.design import Design, Setup
from l2study.tables import statistics
from l2study.tables.build import (
    COMPARED,
    absent_measures,
    arranged,
    by_lambda,
    diverged_seeds,
    independent,
    levels,
)
from l2study.tables.claims import ALSO, claims_table
from l2study.tables.laws import OVER_SETUPS, Sized
from l2study.tables.ledger import recognising_rows

OF_TIME = ("epochs", "evaluate_at", "predict_at")
"""Keys of `training` that say how long runs are, and when they are looked at."""

Studied = Mapping[str, Mapping[str, pd.DataFrame]]


def setups_table(design: Design, studied: Studied, ledger: dict) -> pd.DataFrame:
    """Return every set-up, also those without runs, with its levels and its runs."""
    promised, rows = len(design.base.lambdas) * design.base.seed_count, []
    for setup in design.setups:
        tables = studied.get(setup.name)
        status = pd.Series(dtype=str) if tables is None else tables["runs"]["status"]
        close = "" if tables is None else matches_exercise(ledger, tables["claims"])
        rows.append(
            {
                "setup": setup.name,
                **setup.levels,
                "runs": promised,
                "completed": int((status == "completed").sum()),
                "diverged": int((status == "diverged").sum()),
                "missing": promised - len(status),
                "matches_exercise": close,
            }
        )
    return pd.DataFrame(rows)


def matches_exercise(ledger: dict, claims: pd.DataFrame) -> str:
    """Return yes or no: whether the estimate of every row in the ledger's `exercise_check` lies
    within its bounds. Empty if there is no such row, or an estimate is missing."""
    within = []
    for row in recognising_rows(ledger):
        found = _of_row(row, claims[claims["id"] == ledger["exercise_check"]["claim"]])
        if found.empty or found.isna().any():
            return ""
        above, below = row["expect"].get("above", -math.inf), row["expect"].get("below", math.inf)
        within.append(bool(((found > above) & (found < below)).all()))
    if not within:
        return ""
    return "yes" if all(within) else "no"


def _of_row(row: dict, claim: pd.DataFrame) -> pd.Series:
    """Return the estimates of a row of the ledger, from the rows of its claim in the table."""
    own = ~claim["estimand"].str.startswith(ALSO)
    for column in ("statistic", "measure"):
        own &= claim[column] == row[column]
    for column in ("against", "epoch", "given"):
        own &= claim[column] == row[column] if column in row else claim[column].isna()
    if isinstance(row.get("at"), list):
        own &= claim["l2"].isin([float(l2) for l2 in row["at"]])
    return claim.loc[own, "estimate"]


def interactions_table(design: Design, studied: Studied) -> pd.DataFrame:
    """Return how the effect of lambda in a set-up differs from that in the base, seed by seed.

    A seed gives a set-up the weights and the order of batches that it gives the base, as far as
    the two can share them. Where they cannot, pairing gains nothing and costs nothing but degrees
    of freedom. Rows are for the independent seeds, the measures of `COMPARED` and the lambdas that
    both have; none if either lacks the reference.
    """
    base, *others = design.setups
    pairs = [(other, base) for other in others if {other.name, base.name} <= set(studied)]
    tables = [
        _interactions(pair, [studied[setup.name]["runs"] for setup in pair]) for pair in pairs
    ]
    table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
    if len(table):
        table["p_holm"] = table.groupby(["measure", "l2"])["p_t"].transform(statistics.holm)
    return table


def _interactions(setups: tuple[Setup, Setup], runs: list[pd.DataFrame]) -> pd.DataFrame:
    """Return the rows of the first set-up against the second, the base, without `p_holm`."""
    setup, base = setups
    runs = [independent(table, base) for table in runs]
    pairs = zip(*map(levels, runs), strict=True)
    lambdas, seeds = (sorted(set(own) & set(others)) for own, others in pairs)
    others = [l2 for l2 in lambdas if l2 != base.reference]
    if base.reference not in lambdas or not others:
        return pd.DataFrame()
    absent = set.union(*map(absent_measures, setups, runs))
    compared = [measure for measure in COMPARED if measure not in absent]
    values, reference = (
        np.stack([arranged(table, compared, at, seeds) for table in runs])
        for at in (others, [base.reference])
    )
    in_setup, in_base, difference = map(statistics.mean_of, _effects(values, reference))
    ends = difference.interval(base.confidence)
    found = {
        "n": difference.n,
        "effect": in_setup.value,
        "effect_in_base": in_base.value,
        "difference": difference.value,
        "low": ends.low,
        "high": ends.high,
        "p_t": difference.p_value(),
    }
    both = pd.concat(runs)
    lost = [diverged_seeds(both, l2, base.reference) for l2 in others]
    rows = pd.MultiIndex.from_product([compared, others], names=["measure", "l2"])
    return rows.to_frame(index=False).assign(
        setup=setup.name,
        factor=",".join(setup.changes),
        level=",".join(setup.levels[factor] for factor in setup.changes),
        reference_l2=base.reference,
        diverged_seeds=lost * len(compared),
        **{name: numbers.ravel() for name, numbers in found.items()},
    )


def _effects(values: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return the effect in a set-up, that in the base, and the first minus the second, shape
    (3, measures, lambdas, seeds); all NaN where one of the four values is missing.

    Mere rounding is 0, as in `statistics.differences`. `values` has the shape (2, measures,
    lambdas, seeds), of the set-up and of the base, and `reference` (2, measures, 1, seeds).
    """
    of_setup, of_base = values - reference
    difference = of_setup - of_base
    found = np.where(np.isfinite(difference), [of_setup, of_base, difference], math.nan)
    scale = np.maximum(np.abs(values), np.abs(reference)).max(axis=0)
    return np.where(np.abs(found) <= statistics.ROUNDING * np.maximum(1.0, scale), 0.0, found)


def judged_over_setups(
    design: Design, studied: Studied, ledger: dict, rows: Mapping[str, int | None]
) -> dict[str, pd.DataFrame]:
    """Return the claims of every set-up, those on several set-ups judged again, by all of these.

    `rows` says how many rows the runs of a set-up are trained on, None if that is not known.
    """
    claims = {name: tables["claims"] for name, tables in studied.items()}
    over = [
        claim
        for claim in ledger["claims"]
        if any(row["statistic"] in OVER_SETUPS for row in claim["rows"])
    ]
    if not over:
        return claims
    ids = [claim["id"] for claim in ledger["claims"]]
    there = [setup for setup in design.setups if rows.get(setup.name) and setup.name in studied]
    sized = {
        one.name: Sized(rows[one.name], by_lambda(independent(studied[one.name]["runs"], one)))
        for one in there
    }
    for setup in there:
        alike = _but_rows(setup, rows)
        others = [one for one in there if one is not setup and _but_rows(one, rows) == alike]
        if not others:
            continue
        sizes = [sized[one.name] for one in (setup, *others)]
        tables = studied[setup.name]
        histories, runs = (independent(tables[name], setup) for name in ("histories", "runs"))
        judged = claims_table(
            ledger | {"claims": over},
            histories,
            runs,
            tables["choice"],
            setup.epochs,
            setup.confidence,
            sizes=sizes,
        )
        kept = tables["claims"].query("id not in @judged.id")
        both = pd.concat([kept, judged])
        claims[setup.name] = both.sort_values("id", key=lambda id: id.map(ids.index), kind="stable")
    return claims


def _but_rows(setup: Setup, rows: Mapping[str, int | None]) -> dict:
    """Return what set-ups have in common that differ in the number of training rows alone: the
    number of steps, and the configuration but for the epochs that make it up."""
    config = {part: setup.config[part] for part in ("dataset", "validation", "model")}
    config["dataset"] = config["dataset"] | {"train_size": None}
    given = setup.config["training"]
    training = {key: own for key, own in given.items() if key not in OF_TIME}
    return config | {"training": training, "steps": setup.steps(rows[setup.name])}
