"""The answer that leads page and summary: what regularisation did here, in a few sentences.

The sentences are written from the tables, so they stay true whatever the numbers are.
"""

import math
from collections.abc import Mapping

import pandas as pd

from l2study import statistics
from l2study.aggregate import by_lambda, paired_values
from l2study.labels import l2_label
from l2study.statistics import Estimate
from l2study.wording import number, percent, significant

FEW_SEEDS = 5
"""Below this many pairs of runs the answer says that it is a first look."""


MEASURES = {
    "gap_generalisation": ("the generalisation gap (training minus test accuracy)", 100, " points"),
    "weight_norm": ("the norm of the regularised weights", 1, ""),
    "test_accuracy": ("test accuracy", 100, " points"),
}
"""What the answer is about: column of runs.csv, name, scale and unit of a difference."""


def answer(tables: Mapping[str, pd.DataFrame], config: Mapping) -> list[str]:
    """Return the answer as one to three paragraphs of a few sentences.

    First what lambda did to gap, weights and test accuracy: the largest lambda against the
    reference (or the smallest, where the reference has no completed run), paired by seed. Then,
    where a reported gap is negative, what it is made of. Then which lambda validation chooses.

    Args:
        tables: `runs`, `gap` and `choice`, as aggregate.py writes them.
        config: a canonical config.
    """
    level = f"{percent(config['confidence'])} interval "
    runs = tables["runs"]
    cells = by_lambda(runs[runs["status"] == "completed"])
    if not cells:
        return ["All runs diverged, so this study cannot say what regularisation does."]
    none_left = sorted(set(runs["l2"]) - set(cells))
    negative = _negative_gap(tables["gap"], level)
    if len(cells) == 1:
        return [_single(cells, config["confidence"], level) + _all_diverged(none_left), *negative]
    reference = float(config["reference_lambda"])
    base = reference if reference in cells else min(cells)
    l2 = max(cells) if base != max(cells) else min(cells)
    first = _comparison(cells, l2, base, config["confidence"], level)
    if base != reference and reference not in none_left:
        first += f" The reference, lambda {l2_label(reference)}, is not in the study."
    choice = _choice(tables["choice"], runs, cells, base, config["confidence"], level)
    return [first + _all_diverged(none_left), *negative, choice]


def _all_diverged(lambdas: list[float]) -> str:
    return "".join(f" All runs at lambda {l2_label(l2)} diverged." for l2 in lambdas)


def _single(cells: dict[float, pd.DataFrame], confidence: float, level: str) -> str:
    """Return what the only lambda with completed runs has, compared with nothing."""
    ((l2, cell),) = cells.items()
    gap, norm, accuracy = (
        statistics.mean_interval(cell[measure], confidence) for measure in MEASURES
    )
    return (
        f"Only lambda {l2_label(l2)} has completed runs ({len(cell)}), so there is nothing to"
        f" compare it with: its generalisation gap (training minus test accuracy) is"
        f" {_value(gap, 100, ' points', level)}, the norm of its regularised weights"
        f" {_value(norm, 1, '')} and its test accuracy {_value(accuracy, 100, ' %')}."
    )


def _comparison(
    cells: dict[float, pd.DataFrame], l2: float, base: float, confidence: float, level: str
) -> str:
    """Return what is different at `l2` from `base`."""
    at = f"At lambda {l2_label(l2)}, compared with lambda {l2_label(base)},"
    changes = [_difference(cells, measure, l2, base, confidence) for measure in MEASURES]
    n = changes[0].n
    if n == 0:
        return f"{at} nothing can be said: no seed completed at both."
    gap, norm, accuracy = (
        f"{name} {_change(change, scale, unit, said)}"
        for change, (name, scale, unit), said in zip(
            changes, MEASURES.values(), (level, "", ""), strict=True
        )
    )
    seeds = "a single seed" if n == 1 else f"{n} seeds"
    few = f"This rests on {seeds} and is a first look, no more."
    enough = f"This rests on {seeds}, each trained at both lambdas."
    return f"{at} {gap}, {norm}, and {accuracy}. {few if n < FEW_SEEDS else enough}"


def _negative_gap(gap: pd.DataFrame, level: str) -> list[str]:
    """Return what the most negative reported gap is made of; empty if none is resolved."""
    table = gap[gap["epoch"] == gap["epoch"].max()].set_index(["gap", "l2"]).sort_index()
    reported = table.loc["reported"]
    negative = reported[reported["mean_high"] < 0]
    if negative.empty:
        return []
    l2 = negative["mean"].idxmin()
    parts = {
        kind: Estimate(*table.loc[(kind, l2), ["mean", "mean_low", "mean_high"]])
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
        _value(part, 100, " points", level if kind == "reported" else "")
        for kind, part in parts.items()
    )
    return [
        f"The gap that Keras reports at lambda {l2_label(l2)} is negative, {reported}, but it adds"
        f" three things: {lag} {averaging}, {split} {hardness}, and {generalisation} of"
        f" generalisation gap, {conclusion}."
    ]


def _choice(
    choice: pd.DataFrame,
    runs: pd.DataFrame,
    cells: dict[float, pd.DataFrame],
    base: float,
    confidence: float,
    level: str,
) -> str:
    """Return which lambda validation chooses, and what that did on the test images."""
    rows = choice.set_index("rule")
    best, simplest = (rows.loc[rule, "l2"] for rule in ("best", "one_standard_error"))
    if pd.isna(best):
        return "Validation chooses no lambda: at each of them a run diverged."
    among, one = "", "lambda"
    if (runs["status"] == "diverged").any():
        among, one = " among the lambdas without a diverged run", "one of these"
    text = f"Validation cross-entropy is lowest{among} at lambda {l2_label(best)}"
    if best != base:
        accuracy, ce = (
            _difference(cells, measure, best, base, confidence)
            for measure in ("test_accuracy", "test_ce")
        )
        text += (
            f", where test accuracy {_change(accuracy, 100, ' points', level)} and test"
            f" cross-entropy {_change(ce, 1, ' nats', '')} compared with lambda {l2_label(base)}"
        )
    within = "within one standard error over seeds of it"
    if simplest == best:
        return f"{text}; no larger {one} is {within}."
    return f"{text}; the largest {one} {within} is {l2_label(simplest)}."


def _difference(
    cells: dict[float, pd.DataFrame], measure: str, l2: float, base: float, confidence: float
) -> Estimate:
    pairs = paired_values(cells, measure, l2, base)
    return statistics.mean_interval(statistics.differences(*pairs), confidence)


def _sign(estimate: Estimate, below: str, above: str, unresolved: str) -> str:
    if estimate.high < 0:
        return below
    return above if estimate.low > 0 else unresolved


def _change(change: Estimate, scale: float, unit: str, level: str) -> str:
    """Return a difference as the predicate of a sentence, such as "is 1.2 points lower (...)"."""
    if change.n == 0:
        return "cannot be compared (no seed completed at both)"
    size = f"{_number(abs(change.value), scale)}{unit}"
    side = "lower" if change.value < 0 else "higher"
    if math.isnan(change.low):
        return f"is {size} {side} (one seed, no interval)"
    if change.low <= 0 <= change.high:
        return f"has no resolved change, {_value(change, scale, unit, level)}"
    ends = sorted((abs(change.low), abs(change.high)))
    return f"is {size} {side} ({level}{_span(*ends, scale)})"


def _value(estimate: Estimate, scale: float, unit: str, level: str = "") -> str:
    value = f"{_number(estimate.value, scale)}{unit}"
    if math.isnan(estimate.low):
        return f"{value} (one seed, no interval)"
    return f"{value} ({level}{_span(estimate.low, estimate.high, scale)})"


def _span(low: float, high: float, scale: float) -> str:
    return f"{_number(low, scale)} to {_number(high, scale)}"


def _number(value: float, scale: float) -> str:
    """Return points and percentages with two decimals, as in the tables, else three digits."""
    return number(value, 2, scale) if scale == 100 else significant(value, 3, scale)
