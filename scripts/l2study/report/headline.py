"""The answer that leads page and summary: what regularisation did here, in a few sentences.

The sentences are chosen by the numbers in the tables, so they stay true whatever the numbers are.
"""

import math
from typing import NamedTuple

import pandas as pd

from l2study.core.labels import l2_label
from l2study.core.measures import MEASURES
from l2study.core.wording import form_of, interval, percent
from l2study.report.inputs import Study

FEW_SEEDS = 5
"""Below this many pairs of runs the answer says that it is a first look."""

NAMES = {
    "gap_generalisation": "the generalisation gap (training minus test accuracy)",
    "weight_norm": "the norm of the regularised weights",
    "test_accuracy": "test accuracy",
}
"""How the answer calls the measures that it is about."""


class Estimate(NamedTuple):
    """A mean, or a mean difference, of a measure with its interval."""

    measure: str
    n: int
    value: float
    low: float
    high: float


def answer(study: Study) -> list[str]:
    """Return the answer as one to three paragraphs of a few sentences.

    First what lambda did to gap, weights and test accuracy. Then, where a reported gap is negative,
    what it is made of. Then which lambda validation chooses.
    """
    runs, level = study.tables["runs"], f"{percent(study.config['confidence'])} interval "
    lambdas = sorted(set(runs["l2"]))
    left = sorted(set(runs.loc[runs["status"] == "completed", "l2"]))
    if not left:
        return ["All runs diverged, so this study cannot say what regularisation does."]
    means = study.tables["means"].set_index(["measure", "l2"]).sort_index()
    none_left = "".join(
        f" All runs at lambda {l2_label(l2)} diverged." for l2 in lambdas if l2 not in left
    )
    negative = _negative_gap(means, level)
    if len(left) == 1:
        return [_single(means, left[0], level) + none_left, *negative]
    comparisons = study.tables["answer"].set_index("comparison")
    strongest = comparisons.loc[["strongest"]]
    first = _comparison(strongest, level)
    reference, base = float(study.config["reference_lambda"]), strongest["reference_l2"].iloc[0]
    if reference not in lambdas:
        first += f" The reference, lambda {l2_label(reference)}, is not in the study."
    chosen = comparisons[comparisons.index == "chosen"].set_index("measure")
    diverged = (runs["status"] == "diverged").any()
    choice = _choice(study.tables["choice"].set_index("rule"), chosen, base, diverged, level)
    return [first + none_left, *negative, choice]


def _mean(means: pd.DataFrame, measure: str, l2: float) -> Estimate:
    return Estimate(measure, *means.loc[(measure, l2), ["n", "mean", "low", "high"]])


def _single(means: pd.DataFrame, l2: float, level: str) -> str:
    """Return what the only lambda with completed runs has, compared with nothing."""
    gap, norm, accuracy = (_mean(means, measure, l2) for measure in NAMES)
    return (
        f"Only lambda {l2_label(l2)} has completed runs ({gap.n:.0f}), so there is nothing to"
        f" compare it with: its generalisation gap (training minus test accuracy) is"
        f" {_value(gap, level)}, the norm of its regularised weights"
        f" {_value(norm)} and its test accuracy {_value(accuracy, unit=' %')}."
    )


def _comparison(strongest: pd.DataFrame, level: str) -> str:
    """Return what is different at a lambda from the one it is compared with."""
    changes = [_difference(row) for row in strongest.to_dict("records")]
    n, (l2, base) = changes[0].n, strongest[["l2", "reference_l2"]].iloc[0]
    at = f"At lambda {l2_label(l2)}, compared with lambda {l2_label(base)},"
    if n == 0:
        return f"{at} nothing can be said: no seed completed at both."
    gap, norm, accuracy = (
        f"{NAMES[change.measure]} {_change(change, said)}"
        for change, said in zip(changes, (level, "", ""), strict=True)
    )
    seeds = "a single seed" if n == 1 else f"{n} seeds"
    few = f"This rests on {seeds} and is a first look, no more."
    enough = f"This rests on {seeds}, each trained at both lambdas."
    return f"{at} {gap}, {norm}, and {accuracy}. {few if n < FEW_SEEDS else enough}"


def _negative_gap(means: pd.DataFrame, level: str) -> list[str]:
    """Return what the most negative reported gap is made of; empty if none is resolved."""
    reported = means.loc["gap_reported"]
    negative = reported[reported["high"] < 0]
    if negative.empty:
        return []
    l2 = negative["mean"].idxmin()
    parts = {
        kind: _mean(means, f"gap_{kind}", l2)
        for kind in ("reported", "lag", "split", "generalisation")
    }
    averaging = _sign(
        parts["lag"],
        "from averaging training accuracy while the model improves",
        "from averaging training accuracy over models better than the last",
        "from averaging training accuracy while the model changes, not resolved from zero",
    )
    hardness = _sign(
        parts["split"],
        "from validation images that are easier than the test images",
        "from validation images that are harder than the test images",
        "from a difference between validation and test images that is not resolved from zero",
    )
    conclusion = _sign(
        parts["generalisation"],
        "so the model does do better on the test images than on those it learned from",
        "so the model does worse on the test images than on those it learned from",
        "which is not resolved from zero",
    )
    reported, lag, split, generalisation = (
        _value(part, level if kind == "reported" else "") for kind, part in parts.items()
    )
    return [
        f"The gap that Keras reports at lambda {l2_label(l2)} is negative, {reported}, but it adds"
        f" three things: {lag} {averaging}, {split} {hardness}, and {generalisation} of"
        f" generalisation gap, {conclusion}."
    ]


def _choice(
    choice: pd.DataFrame, chosen: pd.DataFrame, base: float, diverged: bool, level: str
) -> str:
    """Return which lambda validation chooses, and what that did on the test images."""
    best, simplest = (choice.loc[rule, "l2"] for rule in ("best", "one_standard_error"))
    if pd.isna(best):
        return "Validation chooses no lambda: at each of them a run diverged."
    among, one = "", "lambda"
    if diverged:
        among, one = " among the lambdas without a diverged run", "one of these"
    text = f"Validation cross-entropy is lowest{among} at lambda {l2_label(best)}"
    if len(chosen):
        accuracy, ce = (
            _difference({"measure": measure, **chosen.loc[measure]})
            for measure in ("test_accuracy", "test_ce")
        )
        text += (
            f", where test accuracy {_change(accuracy, level)} and test"
            f" cross-entropy {_change(ce)} compared with lambda {l2_label(base)}"
        )
    within = "within one standard error over seeds of it"
    if simplest == best:
        return f"{text}; no larger {one} is {within}."
    return f"{text}; the largest {one} {within} is {l2_label(simplest)}."


def _difference(row: dict) -> Estimate:
    return Estimate(*(row[key] for key in ("measure", "n", "mean_difference", "low", "high")))


def _sign(estimate: Estimate, below: str, above: str, unresolved: str) -> str:
    if estimate.high < 0:
        return below
    return above if estimate.low > 0 else unresolved


def _change(change: Estimate, level: str = "") -> str:
    """Return a difference as the predicate of a sentence, such as "is 1.2 points lower (...)"."""
    if change.n == 0:
        return "cannot be compared (no seed completed at both)"
    if change.low <= 0 <= change.high:
        return f"has no resolved change, {_value(change, level)}"
    side = "lower" if change.value < 0 else "higher"
    ends = sorted((abs(change.low), abs(change.high)))
    return f"is {_value(Estimate(change.measure, change.n, abs(change.value), *ends), level, side)}"


def _value(estimate: Estimate, level: str = "", side: str = "", unit: str | None = None) -> str:
    """Return an estimate with its unit and interval, `side` between them."""
    shown = MEASURES[estimate.measure]
    unit = f" {shown.unit}".rstrip() if unit is None else unit
    span = interval(estimate.low, estimate.high, form_of(shown))
    said = "one seed, no interval" if math.isnan(estimate.low) else f"{level}{span}"
    return f"{form_of(shown)(estimate.value)}{unit}{side and ' '}{side} ({said})"
