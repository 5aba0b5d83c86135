"""What the chosen lambda is worth on the test images, and what it costs to choose as one did.

A best lambda is chosen on validation images of the runs that are then tested, so chance in a run
that lowers its validation loss may raise its test accuracy, even though no test image decides.
"""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from l2study.core.lambda_grid import PICKED
from l2study.core.measures import MEASURES
from l2study.tables import statistics
from l2study.tables.build import completed
from l2study.tables.choice import Choice, lowest

WORTH = ("test_accuracy", "test_ce")
"""What the chosen lambda is compared in with the reference."""

COLUMNS = (
    *("metric", "configured", "best_l2", "best_l2_low", "best_l2_high", "share", "picked"),
    *("grid", "next_l2", "reference_l2", "n"),
    *(
        f"{measure}_{name}"
        for measure in WORTH
        for name in ("difference", "low", "high", "left_out", "regret", "regret_one_seed")
    ),
    *("resolved", "other_l2", "other_difference", "other_low", "other_high", "metrics_differ"),
)
"""Those of the table `best`, also where no lambda can be chosen."""


def best_table(
    choices: Sequence[Choice], choice: pd.DataFrame, reference: float, confidence: float
) -> pd.DataFrame:
    """Return what each metric chooses in a set-up, and what that is worth: a row for each.

    `choice` is the table of `choices`. Where no lambda can be chosen, only `n` is given, as 0.
    `metrics_differ` is by an interval, since the estimate is not enough: at lambdas that are about
    as good, the noise of ten seeds is often larger than the margin.
    """
    known = choice[choice["rule"] == "best"].drop_duplicates("metric", keep="last")
    known = known.set_index("metric")
    rows = []
    for own in choices:
        other = next(one for one in choices if one is not own)
        found = known.loc[own.metric]
        row = {"metric": own.metric, "configured": found["configured"], "n": 0}
        if pd.notna(own.best):
            row |= {f"best_{name}": found[name] for name in ("l2", "l2_low", "l2_high")}
            row |= {name: found[name] for name in ("share", "grid", "next_l2")}
            row |= _gain(own, reference, confidence)
            row |= _against(own, other.best, confidence)
        rows.append(row)
    return pd.DataFrame(rows).reindex(columns=COLUMNS)


def picked_often(own: Choice) -> int:
    """Return how many lambdas are picked in more than the share `PICKED` of the resamples, or 1."""
    picked = own.picks(own.widest).best
    if not picked.size:
        return 1
    _, counts = np.unique(picked, return_counts=True)
    return max(int((counts > PICKED * picked.size).sum()), 1)


def counting_choice(
    own: Choice, measure: str, against: float, confidence: float
) -> statistics.Estimate:
    """Return by how much a measure differs between the chosen lambda and another.

    The interval counts that lambda was chosen, with the same runs: by Bonferroni's correction, it
    holds at once for all that are `picked_often`, so for whichever of them is chosen.
    benchmarks/coverage.py has coverages.
    """
    level = 1 - (1 - confidence) / picked_often(own)
    return own.difference(measure, own.best, against, own.widest).interval(level)


def left_out(own: Choice, measure: str, against: float) -> float:
    """Return the mean difference of a measure to another lambda, with each seed left out in turn.

    A seed is measured at the lambda that the other seeds choose (cross-validation of the choice,
    Stone 1974, JRSS B 36, 111-147). So no seed is measured at a lambda that itself has chosen, and
    the mean is not biased by the choice. NaN for fewer than three seeds.
    """
    values, seeds = own.sign * own.by_seed.to_numpy(float), len(own.by_seed)
    if seeds < 3 or against not in own.cells:
        return math.nan
    of_others = (values.sum(axis=0) - values) / (seeds - 1)
    places = lowest(own.eligible, of_others)
    table = tested(own, measure)
    base = own.cells[against][measure].reindex(own.by_seed.index).to_numpy(float)
    return float(statistics.mean_of(table[np.arange(seeds), places] - base).value)


def regret(own: Choice, measure: str) -> tuple[float, float]:
    """Return by how much a choice is expected to fall short of the best of the lambdas tried.

    The first number is of choosing by the mean of as many seeds as there are, the second of
    choosing by one seed. Each choice is of a bootstrap sample of `Choice.picks`, or of one seed,
    and is measured by the seeds that took no part in it: the leave-one-out bootstrap (Efron and
    Tibshirani 1997, JASA 92, 548-560, there for the error of a prediction). The best lambda is that
    with the best mean of `measure` over all seeds. It looks better than it is, by chance, so that
    the regret is rather too large than too small; where all lambdas are alike it is 0, and what is
    given is as large as noise. benchmarks/coverage.py has simulations. NaN for fewer than three
    seeds.
    """
    again, seeds = own.picks(own.widest), len(own.by_seed)
    if seeds < 3:
        return math.nan, math.nan
    loss = MEASURES[measure].sign * tested(own, measure)
    short = loss - loss[:, [lowest(own.eligible, loss.mean(axis=0))]]
    outside = again.counts == 0
    some = outside.any(axis=1)
    means = outside[some] @ short / outside[some].sum(axis=1, keepdims=True)
    of_others = (short.sum(axis=0) - short) / (seeds - 1)
    best, alone = (np.searchsorted(own.eligible, of) for of in (again.best[some], again.alone))
    as_chosen, by_one = means[np.arange(len(best)), best], of_others[np.arange(seeds), alone]
    return float(as_chosen.mean()), float(by_one.mean())


def tested(own: Choice, measure: str) -> np.ndarray:
    """Return a measure of the runs by which is chosen, shape (seeds, lambdas)."""
    table = own.runs.pivot(index="seed", columns="l2", values=measure)
    return table.loc[own.by_seed.index, own.eligible].to_numpy(float)


def _gain(own: Choice, reference: float, confidence: float) -> dict:
    """Return what the chosen lambda is worth, beside the one that it is compared with."""
    there = sorted(set(completed(own.runs)["l2"]))
    reference = reference if reference in there else there[0]
    row = {"reference_l2": reference, "picked": picked_often(own), "resolved": "no"}
    for measure in WORTH:
        found = counting_choice(own, measure, reference, confidence)
        row |= {"n": found.n, f"{measure}_difference": found.value}
        if own.best != reference:
            row |= {f"{measure}_low": found.low, f"{measure}_high": found.high}
        row[f"{measure}_left_out"] = left_out(own, measure, reference)
        both = regret(own, measure)
        row |= dict(zip((f"{measure}_regret", f"{measure}_regret_one_seed"), both, strict=True))
    low, high = (row.get(f"test_accuracy_{end}", 0) for end in ("low", "high"))
    return row | {"resolved": "yes" if low > 0 or high < 0 else "no"}


def _against(own: Choice, l2: float, confidence: float) -> dict:
    """Return how the test accuracy at the other metric's lambda differs from that at the own."""
    more = own.difference("test_accuracy", l2, own.best, own.widest).interval(confidence)
    margin = MEASURES["test_accuracy"].margin
    row = {"other_l2": l2, "other_difference": more.value}
    row["metrics_differ"] = "yes" if more.low > margin or more.high < -margin else "no"
    return row | ({} if l2 == own.best else {"other_low": more.low, "other_high": more.high})
