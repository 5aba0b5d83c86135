"""The answer that leads page and summary: what regularisation did here, in a few sentences.

The sentences are chosen by the numbers in the tables, so they stay true whatever the numbers are.
"""

import math
from typing import NamedTuple

import pandas as pd

from l2study.core.labels import l2_label
from l2study.core.measures import MEASURES
from l2study.core.scope_rows import SEEDS, SEEDS_AND_IMAGES, for_seeds, widest
from l2study.core.variation import differing, independent_seeds, is_crossed, number_of_seeds
from l2study.core.wording import form_of, interval, percent
from l2study.report.inputs import Study

FEW_SEEDS = 5
"""Below this many pairs of runs the answer says that it is a first look."""

GAP_AND_NORM = ("gap_generalisation", "weight_norm")
NAMES = {
    "gap_generalisation": "the generalisation gap (training less test accuracy{here})",
    "weight_norm": "the norm of the regularised weights",
    "test_accuracy": "test accuracy",
    "test_ce": "test cross-entropy",
}
"""How the answer calls the measures that it is about; `here` is for intervals over seeds alone."""

_OTHERS = {
    "weights": "initial weights",
    "order": "orders of the batches",
    "split": "validation splits",
    "sample": "samples of the training images",
}


def covers(config: dict, images_too: bool) -> str:
    """Return in words what the intervals cover.

    Args:
        config: canonical; what a seed changes is read.
        images_too: whether predictions are kept, so that there are intervals for other images.
    """
    sources = differing(config)
    others = " and ".join(f"other {_OTHERS[source]}" for source in sources)
    same = {"split": "test", "sample": "validation and test"}
    images = next((same[source] for source in same if source in sources), None)
    if images_too:
        text = (
            "The intervals of accuracies, cross-entropies and gaps are for other seeds, that is"
            f" {others}, and for other validation and test images. Those of norms and of the lag"
            " are for other seeds alone."
        )
        text += " The set-up stays" if images else " The training images and the set-up stay"
        text += " the same."
    else:
        text = (
            f"All intervals are over seeds alone: they are for {others}, with the same"
            f" {images or 'training, validation and test'} images and the same set-up."
        )
    if images_too and "split" in sources:
        text += (
            " The training sets of two splits overlap, and the intervals for other images are wider"
            " for that (Nadeau and Bengio 2003)."
        )
    elif images:
        text += " The runs share most images, so for new data the intervals are too narrow."
    if is_crossed(config):
        text += (
            f" Of the {number_of_seeds(config)} runs of every lambda, they rest on those that share"
            f" no level of a source, which are {len(independent_seeds(config))}."
        )
    return text


class Estimate(NamedTuple):
    """A mean, or a mean difference, of a measure with its interval."""

    measure: str
    n: int
    value: float
    low: float
    high: float
    scope: str = SEEDS


def answer(study: Study) -> list[str]:
    """Return the answer as a few paragraphs of a few sentences.

    First which lambda to use, because of what, and how sure that is. Then what the strongest
    regularisation did. Then, where a reported gap is negative, what it is made of. Last, what the
    intervals cover.
    """
    runs, level = study.tables["runs"], f"{percent(study.config['confidence'])} interval "
    lambdas = sorted(set(runs["l2"]))
    left = sorted(set(runs.loc[runs["status"] == "completed", "l2"]))
    if not left:
        return ["All runs diverged, so this study cannot say what regularisation does."]
    means = widest(study.tables["means"], ["measure", "l2"])
    covered = covers(study.config, bool((means["scope"] == SEEDS_AND_IMAGES).any()))
    means = means.set_index(["measure", "l2"]).sort_index()
    none_left = "".join(
        f" All runs at lambda {l2_label(l2)} diverged." for l2 in lambdas if l2 not in left
    )
    negative = _negative_gap(means, level)
    if len(left) == 1:
        return [_single(means, left[0], level) + none_left, *negative, covered]
    comparisons = widest(study.tables["answer"], ["comparison", "measure"])
    comparisons = comparisons.set_index(["comparison", "measure"], drop=False)
    strongest = comparisons.loc["strongest"]
    extreme = strongest["l2"].iloc[0]
    choice, alpha = for_seeds(study.tables["choice"]), 1 - study.config["confidence"]
    choice, wide = choice.set_index("rule"), widest(study.tables["choice"], ["rule"])
    wide = wide.set_index("rule").loc["best"]
    first = _recommendation(choice, wide, (runs["status"] == "diverged").any())
    if "chosen" in comparisons.index and choice.loc["best", "l2"] != extreme:
        first += " " + _comparison(comparisons.loc["chosen"], level, alpha)
    second = _comparison(strongest, level, alpha, ("test_accuracy", *GAP_AND_NORM))
    reference = float(study.config["reference_lambda"])
    if reference not in lambdas:
        second += f" The reference, lambda {l2_label(reference)}, is not in the study."
    return [first, f"{second} {_seeds(int(strongest['n'].iloc[0]))}{none_left}", *negative, covered]


def _mean(means: pd.DataFrame, measure: str, l2: float) -> Estimate:
    return Estimate(measure, *means.loc[(measure, l2), ["n", "mean", "low", "high", "scope"]])


def _single(means: pd.DataFrame, l2: float, level: str) -> str:
    """Return what the only lambda with completed runs has, compared with nothing."""
    gap, norm, accuracy = (
        _mean(means, measure, l2) for measure in (*GAP_AND_NORM, "test_accuracy")
    )
    return (
        f"Only lambda {l2_label(l2)} has completed runs ({gap.n:.0f}), so there is nothing to"
        f" compare it with: its generalisation gap (training less test accuracy) is"
        f" {_value(gap, level)}, the norm of its regularised weights"
        f" {_value(norm)} and its test accuracy {_value(accuracy, unit=' %')}."
    )


def _recommendation(choice: pd.DataFrame, wide: pd.Series, diverged: bool) -> str:
    """Return which lambda to use, because of what, and how sure that is.

    Args:
        choice: the table of choice for other seeds, by rule.
        wide: its row of the best lambda for other images too, if there is one.
        diverged: whether a run diverged.
    """
    best, simplest = choice.loc["best"], choice.loc["one_standard_error"]
    if pd.isna(best["l2"]):
        return "Validation chooses no lambda: at each of them a run diverged."
    without = ", that is, no L2" if best["l2"] == 0 else ""
    among = " among the lambdas without a diverged run" if diverged else ""
    text = (
        f"Use lambda {l2_label(best['l2'])}{without}: its mean validation cross-entropy is the"
        f" lowest{among}."
    )
    if pd.notna(best["share"]):
        text += f" That is so in {percent(round(best['share'], 2))} of resampled sets of seeds"
        if wide["scope"] == SEEDS_AND_IMAGES:
            share = percent(round(wide["share"], 2))
            text += f", and in {share} if the validation images are resampled too"
        text += "."
    if simplest["l2"] != best["l2"]:
        text += (
            f" Lambda {l2_label(simplest['l2'])} is the largest that is as good, within one"
            " standard error of the mean over seeds."
        )
    return text


def _comparison(
    rows: pd.DataFrame,
    level: str,
    alpha: float,
    measures: tuple[str, ...] = ("test_accuracy", "test_ce"),
) -> str:
    """Return what is different at a lambda from the one it is compared with."""
    l2, base, n = rows[["l2", "reference_l2", "n"]].iloc[0]
    at = f"At lambda {l2_label(l2)}, compared with lambda {l2_label(base)},"
    if n == 0:
        return f"{at} nothing can be said: no seed completed at both."
    said = [
        f"{_named(row)} {_change(row, '' if rank else level, alpha)}"
        for rank, (_, row) in enumerate(rows.loc[list(measures)].iterrows())
    ]
    return f"{at} {', '.join(said[:-1])}, and {said[-1]}."


def _named(row: pd.Series) -> str:
    """Return how the answer calls the measure of a row."""
    return NAMES[row["measure"]].format(here=", on these images" if row["scope"] == SEEDS else "")


def _seeds(n: int) -> str:
    if n == 0:
        return "No seed is left."
    seeds = "a single seed" if n == 1 else f"{n} seeds"
    if n < FEW_SEEDS:
        return f"This rests on {seeds} and is a first look, no more."
    return f"This rests on {seeds}, each trained at both lambdas."


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
    here = " on these images" if parts["generalisation"].scope == SEEDS else ""
    conclusion = _sign(
        parts["generalisation"],
        f"training less test accuracy{here}, which is below zero",
        f"training less test accuracy{here}, which is above zero",
        f"training less test accuracy{here}, which is not resolved from zero",
    )
    reported, lag, split, generalisation = (
        _value(part, level if kind == "reported" else "") for kind, part in parts.items()
    )
    return [
        f"The gap that Keras reports at lambda {l2_label(l2)} is negative, {reported}, but it adds"
        f" three things: {lag} {averaging}, {split} {hardness}, and {generalisation} of"
        f" {conclusion}."
    ]


def _sign(estimate: Estimate, below: str, above: str, unresolved: str) -> str:
    if estimate.high < 0:
        return below
    return above if estimate.low > 0 else unresolved


def _change(row: pd.Series, level: str, alpha: float) -> str:
    """Return a difference as the predicate of a sentence, such as "is 1.2 points lower (...)"."""
    measure = row["measure"]
    change = Estimate(measure, row["n"], row["mean_difference"], row["low"], row["high"])
    if row["p_equivalent"] < alpha:
        shown = MEASURES[measure]
        margin = f"{shown.scale * row['margin']:g} {shown.unit}"
        words = f"is equivalent within {margin} by two one-sided tests, the difference is"
        return f"{words} {_value(change, level)}"
    if change.low <= 0 <= change.high:
        return f"has no resolved change, {_value(change, level)}"
    side = "lower" if change.value < 0 else "higher"
    ends = sorted((abs(change.low), abs(change.high)))
    return f"is {_value(Estimate(measure, change.n, abs(change.value), *ends), level, side)}"


def _value(estimate: Estimate, level: str = "", side: str = "", unit: str | None = None) -> str:
    """Return an estimate with its unit and interval, `side` between them."""
    shown = MEASURES[estimate.measure]
    unit = f" {shown.unit}".rstrip() if unit is None else unit
    span = interval(estimate.low, estimate.high, form_of(shown))
    said = "one seed, no interval" if math.isnan(estimate.low) else f"{level}{span}"
    return f"{form_of(shown)(estimate.value)}{unit}{side and ' '}{side} ({said})"
