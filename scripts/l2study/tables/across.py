"""The tables that compare the set-ups of a study: what each is, and what differs between them.

Here `studied` holds the tables of every set-up that has any, by its name, as `build`,
`decision_tables` and `claims` make them: without a column for the set-up. A set-up of which nothing
is there has no key. Only the table of set-ups has a row for it.

There is no test over set-ups, because they are chosen and not sampled. Every interval is for other
seeds in the set-up that it is of. Those of verdicts and of best lambdas are for other images too,
where the table that they come from has such a row; interactions are on the images of the study.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from l2study.core.scope_rows import widest
from l2study.core.setups import Setup
from l2study.tables import statistics
from l2study.tables.build import (
    CONTRAST_MEASURES,
    diverged_seeds,
    independent,
    without_value,
)
from l2study.tables.claims import ALSO, OVERALL
from l2study.tables.ledger import recognising_rows

Studied = Mapping[str, Mapping[str, pd.DataFrame]]

SETUP_COLUMNS = ["setup", "runs", "completed", "diverged", "missing", "close_to_given"]
"""The columns of every table of set-ups; those of the factors come after the first."""

_DECISIVE = [
    "estimand",
    "measure",
    "l2",
    "against",
    "epoch",
    "estimate",
    "low",
    "high",
    "above",
    "below",
    "n",
    "scope",
]
VERDICT_COLUMNS = ["setup", "id", "claim", "verdict", *_DECISIVE]

INTERACTION_COLUMNS = [
    "setup",
    "factor",
    "level",
    "measure",
    "l2",
    "reference_l2",
    "n",
    "effect",
    "effect_in_base",
    "difference",
    "low",
    "high",
    "p_t",
    "p_holm",
    "diverged_seeds",
]

BEST_COLUMNS = [
    "setup",
    "best_l2",
    "best_l2_low",
    "best_l2_high",
    "share",
    "reference_l2",
    "n",
    "test_accuracy_difference",
    "test_accuracy_low",
    "test_accuracy_high",
    "test_ce_difference",
    "test_ce_low",
    "test_ce_high",
    "resolved",
]
_GAINS = ("test_accuracy", "test_ce")


def setups_table(
    setups: Sequence[Setup], studied: Studied, promised_runs: int, ledger: dict
) -> pd.DataFrame:
    """Return every set-up with its levels and its runs, by `SETUP_COLUMNS`.

    After the first column there is one for every factor, named after it, with the label of its
    level. `missing` are the promised runs that are neither completed nor diverged.

    Args:
        setups: of the study, the base first.
        studied: the tables `runs` and `claims` of every set-up that has any.
        promised_runs: the runs of a set-up, its lambdas times its seeds.
        ledger: from `read_ledger`; what it names in `recognised_by` makes `close_to_given`.
    """
    rows = []
    for setup in setups:
        tables = studied.get(setup.name)
        status = pd.Series(dtype=str) if tables is None else tables["runs"]["status"]
        rows.append(
            {
                "setup": setup.name,
                **setup.levels,
                "runs": promised_runs,
                "completed": int((status == "completed").sum()),
                "diverged": int((status == "diverged").sum()),
                "missing": promised_runs - len(status),
                "close_to_given": ""
                if tables is None
                else close_to_given(ledger, tables["claims"]),
            }
        )
    first, *others = SETUP_COLUMNS
    return pd.DataFrame(rows, columns=[first, *setups[0].levels, *others])


def close_to_given(ledger: dict, claims: pd.DataFrame) -> str:
    """Return whether a set-up comes close to the figures by which the ledger recognises its own.

    Args:
        ledger: from `read_ledger`.
        claims: from `claims_table`, of the set-up.

    Returns:
        yes if the estimate of every row in `recognised_by` lies within the bounds that the row
        holds, else no; empty if the ledger has no such rows, or an estimate is missing.
    """
    within = []
    for row in recognising_rows(ledger):
        found = _of_row(row, claims[claims["id"] == ledger["recognised_by"]["claim"]])
        if found.empty or found.isna().any():
            return ""
        above, below = row["holds"].get("above", -math.inf), row["holds"].get("below", math.inf)
        within.append(bool(((found > above) & (found < below)).all()))
    if not within:
        return ""
    return "yes" if all(within) else "no"


def _of_row(row: dict, claim: pd.DataFrame) -> pd.Series:
    """Return the estimates of a row of the ledger at its lambdas, from the rows of its claim."""
    own = ~claim["estimand"].str.startswith(ALSO)
    for column in ("statistic", "measure"):
        own &= claim[column] == row[column]
    for column in ("against", "epoch", "given"):
        own &= claim[column] == row[column] if column in row else claim[column].isna()
    if isinstance(row.get("at"), list):
        own &= claim["l2"].isin([float(l2) for l2 in row["at"]])
    return claim.loc[own, "estimate"]


def verdicts_table(studied: Studied) -> pd.DataFrame:
    """Return the verdict on every claim in every set-up, by `VERDICT_COLUMNS`.

    With the estimate that the verdict rests on, the `decisive` one of the table of claims; for an
    artefact that is the figure as reported, for a claim that is not judged the first row that lacks
    something. `scope` says what its interval is for.
    """
    found = []
    for name, tables in studied.items():
        claims = tables["claims"]
        whole = claims.loc[claims["estimand"] == OVERALL, ["id", "claim", "verdict"]]
        decisive = claims.loc[claims["decisive"] == "yes", ["id", *_DECISIVE]]
        found.append(whole.merge(decisive, on="id", validate="1:1").assign(setup=name))
    if not found:
        return pd.DataFrame(columns=VERDICT_COLUMNS)
    return pd.concat(found, ignore_index=True)[VERDICT_COLUMNS]


def interactions_table(
    setups: Sequence[Setup], studied: Studied, confidence: float
) -> pd.DataFrame:
    """Return how the effect of lambda in a set-up differs from that in the base.

    By `INTERACTION_COLUMNS`: one row per set-up but the base, measure of `CONTRAST_MEASURES` that
    both have, and lambda but the reference. The effect is the value at the lambda minus that at the
    reference, in the unit of the measure. `effect`, `effect_in_base` and their `difference` are
    means over the `n` independent seeds that completed at both lambdas in both set-ups; `low`,
    `high` and `p_t` are Student's for the differences seed by seed. `p_holm` is `p_t` adjusted over
    the set-ups, for one measure and lambda (Holm 1979).

    A seed gives a set-up the weights and the order of batches that it gives the base, as far as
    the two can share them. Where they cannot, pairing gains nothing and costs nothing but degrees
    of freedom. A set-up has rows for the lambdas that it and the base have; none if either lacks
    the reference.
    """
    base, *others = setups
    tables = [
        _interactions(
            setup, studied[setup.name]["runs"], base, studied[base.name]["runs"], confidence
        )
        for setup in others
        if setup.name in studied and base.name in studied
    ]
    rows = [table for table in tables if len(table)]
    if not rows:
        return pd.DataFrame(columns=INTERACTION_COLUMNS)
    table = pd.concat(rows, ignore_index=True)
    table["p_holm"] = table.groupby(["measure", "l2"])["p_t"].transform(statistics.holm)
    return table[INTERACTION_COLUMNS]


def _interactions(
    setup: Setup, runs: pd.DataFrame, base: Setup, base_runs: pd.DataFrame, confidence: float
) -> pd.DataFrame:
    """Return the rows of one set-up, without `p_holm`, by measure and lambda."""
    reference = float(base.config["reference_lambda"])
    runs, base_runs = (independent(table, base.config) for table in (runs, base_runs))
    lambdas = sorted(set(runs["l2"]) & set(base_runs["l2"]))
    if reference not in lambdas:
        return pd.DataFrame()
    seeds = sorted(set(runs["seed"]) & set(base_runs["seed"]))
    absent = without_value(setup.config) | without_value(base.config)
    compared = [measure for measure in CONTRAST_MEASURES if measure not in absent]
    values = np.stack([_values(table, compared, lambdas, seeds) for table in (runs, base_runs)])
    effects = _effects(values, lambdas.index(reference))
    lambdas.remove(reference)
    measures = len(compared)
    size = measures * len(lambdas)
    of_setup, of_base, difference = (
        statistics.mean_tests(effect.reshape(len(seeds), size), confidence) for effect in effects
    )
    lost = [
        " ".join(diverged_seeds(table, l2, reference) for table in (runs, base_runs))
        for l2 in lambdas
    ]
    lost = [" ".join(sorted(set(seeds_of.split()), key=int)) for seeds_of in lost]
    return pd.DataFrame(
        {
            "setup": setup.name,
            "factor": ",".join(setup.changes),
            "level": ",".join(setup.levels[factor] for factor in setup.changes),
            "measure": np.repeat(compared, len(lambdas)),
            "l2": np.tile(lambdas, measures),
            "reference_l2": reference,
            "n": difference.n,
            "effect": of_setup.mean,
            "effect_in_base": of_base.mean,
            "difference": difference.mean,
            "low": difference.low,
            "high": difference.high,
            "p_t": difference.p,
            "diverged_seeds": np.tile(np.array(lost, object), measures),
        }
    )


def _values(
    runs: pd.DataFrame, compared: list[str], lambdas: list[float], seeds: list[int]
) -> np.ndarray:
    """Return the compared measures, shape (seeds, measures, lambdas); NaN for a run not there."""
    index = pd.MultiIndex.from_product([seeds, lambdas], names=["seed", "l2"])
    table = runs.set_index(["seed", "l2"])[compared].reindex(index)
    values = table.to_numpy(float).reshape(len(seeds), len(lambdas), -1)
    return np.where(np.isfinite(values), values, math.nan).swapaxes(1, 2)


def _effects(values: np.ndarray, reference: int) -> np.ndarray:
    """Return the effect in a set-up, that in the base, and the first minus the second.

    Args:
        values: shape (2, seeds, measures, lambdas), of the set-up and of the base; NaN if missing.
        reference: the place of the reference lambda, which has no effect and is left out.

    Returns:
        Shape (3, seeds, measures, lambdas - 1). Where one of the four values is missing, all three
        are. Mere rounding is 0, as in `statistics.differences`.
    """
    at_reference = values[..., [reference]]
    others = np.delete(values, reference, axis=-1)
    of_setup, of_base = others - at_reference
    difference = of_setup - of_base
    found = np.where(np.isnan(difference), math.nan, [of_setup, of_base, difference])
    scale = np.maximum(np.abs(others), np.abs(at_reference)).max(axis=0)
    return np.where(np.abs(found) <= statistics.ROUNDING * np.maximum(1.0, scale), 0.0, found)


def best_table(studied: Studied) -> pd.DataFrame:
    """Return the lambda that validation chooses in every set-up and its gain, by `BEST_COLUMNS`.

    The lambda is that of the rule `best` in the table `choice`, with its bootstrap interval and
    share. The differences are test accuracy (a fraction) and test cross-entropy (nats) there less
    those at `reference_l2`, paired by seed, from the table `answer`. `resolved` is yes where the
    interval of the difference in accuracy excludes 0. Where the best lambda is the reference, the
    differences are 0 without an interval, and nothing is resolved. Where no lambda can be chosen,
    only the set-up and `n`, which is 0, are given.

    The intervals do not count that the lambda was chosen. It was chosen on validation images of the
    same runs, and chance in a run that lowers its validation loss may raise its test accuracy, even
    though no test image decides. Simulated coverage of a 95 % interval with 10 seeds: .95 where the
    two do not go together within a lambda, or where one or two lambdas are clearly best. If lambda
    changes nothing, so that chance alone chooses one of 7, it is .943, .927 and .902 for
    correlations of -.3, -.6 and -.9 between validation loss and test accuracy; of 13, it is .939,
    .910 and .867. What is missed is then nearly always a gain stated too high.
    """
    rows = []
    for name, tables in studied.items():
        best = widest(tables["choice"], ["rule"]).set_index("rule").loc["best"]
        answer = widest(tables["answer"], ["comparison", "measure"])
        chosen = answer[answer["comparison"] == "chosen"].set_index("measure")
        row = {"setup": name, "n": int(best["n"]), "resolved": ""}
        if pd.notna(best["l2"]):
            row |= {"best_l2": best["l2"], "share": best["share"]}
            row |= {"best_l2_low": best["l2_low"], "best_l2_high": best["l2_high"]}
            row |= _gain(chosen) if len(chosen) else _no_gain(best["l2"])
        rows.append(row)
    return pd.DataFrame(rows, columns=BEST_COLUMNS)


def _gain(chosen: pd.DataFrame) -> dict:
    """Return what the best lambda gains, from the rows `chosen` of the table `answer`."""
    accuracy = chosen.loc["test_accuracy"]
    excludes_0 = accuracy["low"] > 0 or accuracy["high"] < 0
    row = {"reference_l2": accuracy["reference_l2"], "n": int(accuracy["n"])}
    for measure in _GAINS:
        row[f"{measure}_difference"] = chosen.loc[measure, "mean_difference"]
        row |= {f"{measure}_{end}": chosen.loc[measure, end] for end in ("low", "high")}
    return row | {"resolved": "yes" if excludes_0 else "no"}


def _no_gain(l2: float) -> dict:
    """Return what a lambda gains over itself."""
    row = {f"{measure}_difference": 0.0 for measure in _GAINS}
    return row | {"reference_l2": l2, "resolved": "no"}
