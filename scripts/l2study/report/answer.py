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
from l2study.core.wording import form_of, interval, percent, possible
from l2study.report.study import Study

FEW_SEEDS = 5
"""Below this many pairs of runs the answer says that it is a first look."""

GAP_AND_NORM = ("gap_generalisation", "weight_norm")
NAMES = {
    "gap_generalisation": "the generalisation gap (training minus test accuracy{here})",
    "weight_norm": "the norm of the regularised weights",
    "test_accuracy": "test accuracy",
    "test_ce": "test cross-entropy",
}
"""How the answer calls the measures that it is about; `here` is for intervals over seeds alone."""

UNITS = {
    "points": "Points are percentage points of accuracy.",
    "nats": "Nats are the unit of the cross-entropy that Keras prints.",
}
"""What the units in the answer are."""

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

    First which lambda to use, because of what. Then how sure that is, and what the strongest
    regularisation did. Then, where a reported gap is negative, what it is made of. Last, the units,
    and what the intervals cover.
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
        return _with_units([_single(means, left[0], level) + none_left, *negative], covered)
    comparisons = widest(study.tables["answer"], ["comparison", "measure"])
    comparisons = comparisons.set_index(["comparison", "measure"], drop=False)
    strongest = comparisons.loc["strongest"]
    extreme = strongest["l2"].iloc[0]
    first, sure, alpha = recommendation(study), _how_sure(study), 1 - study.config["confidence"]
    if "chosen" in comparisons.index and _choice(study).loc["best", "l2"] != extreme:
        sure.append(_comparison(comparisons.loc["chosen"], level, alpha))
    second = _comparison(strongest, level, alpha, ("test_accuracy", *GAP_AND_NORM), means)
    reference = float(study.config["reference_lambda"])
    if reference not in lambdas:
        second += f" The reference, lambda {l2_label(reference)}, is not in the study."
    second += f" {_seeds(int(strongest['n'].iloc[0]))}{none_left}"
    return _with_units([first, *filter(None, [" ".join(sure)]), second, *negative], covered)


def _with_units(texts: list[str], covered: str) -> list[str]:
    """Return the answer with a last paragraph: what its units are, and what the intervals cover."""
    said = [words for unit, words in UNITS.items() if any(f" {unit}" in text for text in texts)]
    return [*texts, " ".join([*said, covered])]


def _mean(means: pd.DataFrame, measure: str, l2: float) -> Estimate:
    row = means.loc[(measure, l2)]
    low, high = possible(measure, row["low"], row["high"])
    return Estimate(measure, row["n"], row["mean"], low, high, row["scope"])


def _single(means: pd.DataFrame, l2: float, level: str) -> str:
    """Return what the only lambda with completed runs has, compared with nothing."""
    gap, norm, accuracy = (
        _mean(means, measure, l2) for measure in (*GAP_AND_NORM, "test_accuracy")
    )
    return (
        f"Only lambda {l2_label(l2)} has completed runs ({gap.n:.0f}), so there is nothing to"
        f" compare it with: its generalisation gap (training minus test accuracy) is"
        f" {_value(gap, level)}, the norm of its regularised weights"
        f" {_value(norm)} and its test accuracy {_value(accuracy, unit=' %')}."
    )


def recommendation(study: Study) -> str:
    """Return in a sentence which lambda to use, because of what."""
    best = _choice(study).loc["best", "l2"]
    if pd.isna(best):
        return "Validation chooses no lambda: at each of them a run diverged."
    without = ", that is, no L2," if best == 0 else ""
    diverged = (study.tables["runs"]["status"] == "diverged").any()
    among = ", among the lambdas without a diverged run" if diverged else ""
    return (
        f"Use lambda {l2_label(best)}{without} because it has the lowest validation cross-entropy,"
        f" as a mean over seeds{among}."
    )


def _choice(study: Study) -> pd.DataFrame:
    return for_seeds(study.tables["choice"]).set_index("rule")


def _how_sure(study: Study) -> list[str]:
    """Return how sure the choice of lambda is, and which larger one is nearly as good."""
    choice = _choice(study)
    wide = widest(study.tables["choice"], ["rule"]).set_index("rule").loc["best"]
    best, simplest = choice.loc["best"], choice.loc["one_standard_error"]
    texts = []
    if pd.notna(best["share"]):
        text = (
            "If the seeds of this study are drawn again at random (bootstrap), the same lambda is"
            f" chosen in {percent(round(best['share'], 2))} of the draws"
        )
        if wide["scope"] == SEEDS_AND_IMAGES:
            share = percent(round(wide["share"], 2))
            text += f", and in {share} if the validation images are drawn again, too"
        texts.append(f"{text}.")
    if pd.notna(simplest["l2"]) and simplest["l2"] != best["l2"]:
        texts.append(
            f"Lambda {l2_label(simplest['l2'])} is nearly as good: it is the largest within one"
            " standard error of the lowest mean."
        )
    return texts


def _comparison(
    rows: pd.DataFrame,
    level: str,
    alpha: float,
    measures: tuple[str, ...] = ("test_accuracy", "test_ce"),
    means: pd.DataFrame | None = None,
) -> str:
    """Return what is different at a lambda from the one it is compared with.

    Args:
        rows: the comparison, a row per measure, by measure.
        level: what an interval is called, such as "95 % interval ".
        alpha: the level of a test of equivalence.
        measures: those to speak of.
        means: by measure and lambda; with it, the norms that differ are said, too.
    """
    l2, base, n = rows[["l2", "reference_l2", "n"]].iloc[0]
    at = f"At lambda {l2_label(l2)}, compared with lambda {l2_label(base)},"
    if n == 0:
        return f"{at} nothing can be said: no seed completed at both."
    said = [
        f"{_named(row)} {_change(row, '' if rank else level, alpha)}"
        for rank, (_, row) in enumerate(rows.loc[list(measures)].iterrows())
    ]
    # Of a norm, a reader knows no scale. Where a run diverged, these are not means of the pairs.
    if (
        means is not None
        and (means.loc[[("weight_norm", l2), ("weight_norm", base)], "n"] == n).all()
    ):
        norms = (form_of(MEASURES["weight_norm"])(means.loc[("weight_norm", at), "mean"])
                 for at in (l2, base))  # fmt: skip
        said[-1] += f", {' instead of '.join(norms)}"
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
        "from averaging training accuracy while the model changes, not clearly different from zero",
    )
    hardness = _sign(
        parts["split"],
        "from validation images that are easier than the test images",
        "from validation images that are harder than the test images",
        "from validation images that are not clearly easier or harder than the test images",
    )
    here = " on these images" if parts["generalisation"].scope == SEEDS else ""
    conclusion = _sign(
        parts["generalisation"],
        f"training minus test accuracy{here}, which is below zero",
        f"training minus test accuracy{here}, which is above zero",
        f"training minus test accuracy{here}, which is not clearly different from zero",
    )
    reported, lag, split, generalisation = (
        _value(part, level if kind == "reported" else "") for kind, part in parts.items()
    )
    return [
        f"At lambda {l2_label(l2)}, the gap that Keras reports, training minus validation accuracy,"
        f" is negative: {reported}. It is the sum of {lag} {averaging}, {split} {hardness}, and"
        f" {generalisation} of {conclusion}."
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
        words = f"differs by less than {margin}, as two one-sided tests show, namely by"
        return f"{words} {_value(change, level)}"
    if change.low <= 0 <= change.high:
        return f"is not clearly different, {_value(change, level)}"
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
