"""The answer that leads page and summary: what regularisation did here.

The facts come from the tables, and the text answer.txt.j2 chooses its sentences by them. So it
stays true whatever the numbers are.
"""

from dataclasses import dataclass

import pandas as pd

from l2study.core.design import Setup
from l2study.core.measures import MEASURES
from l2study.core.scope_rows import SEEDS, SEEDS_AND_IMAGES
from l2study.core.wording import form_of, possible
from l2study.report.study import Study
from l2study.report.table_cells import Number
from l2study.report.templates import paragraphs

BEHIND = 0.05
"""Training accuracy in training mode minus that in evaluation, a fraction, above which the answer
warns of it."""

FEW_SEEDS = 5
"""Below this many pairs of runs the answer says that it is a first look."""

WORTH = ("test_accuracy", "test_ce")
"""What the lambda that validation chooses is compared in with the reference."""

EFFECTS = ("test_accuracy", "gap_generalisation", "weight_norm")
"""What the strongest regularisation is compared in."""

PARTS = ("reported", "lag", "split", "generalisation")
"""A gap that is reported, and what it is the sum of."""

LAG = ("lag_averaging", "lag_mode")
"""What the lag is the sum of, for a model with a mode of training."""


@dataclass(frozen=True)
class Difference:
    """By how much a measure differs between two lambdas.

    `kind` says what is shown of it: that it is "lower" or "higher", that it is less than `margin`
    ("equivalent"), or neither ("unclear"). Where it is lower or higher, `change` is its size.
    `seeds_alone` says that the interval is on the images of the study.
    """

    measure: str
    kind: str
    change: Number
    margin: str
    seeds_alone: bool


@dataclass(frozen=True)
class Comparison:
    """A lambda compared with the reference, or what stands for it, by `n` pairs of runs.

    `norms` are the mean norms of the weights at both, where they are means of these pairs.
    """

    l2: float
    reference: float
    n: int
    differences: list[Difference]
    norms: list[str]


def text(study: Study) -> list[str]:
    """Return the answer as a few paragraphs of a few sentences.

    First which lambda to use, because of what. Then how sure that is, and what the strongest
    regularisation did. Then, where a reported gap is negative, what it is made of. Last, the units,
    and what the intervals cover.
    """
    runs = study.tables["runs"]
    completed = sorted(set(runs.loc[runs["status"] == "completed", "l2"]))
    if not completed:
        return paragraphs("answer", completed=[])
    images_too = bool((study.shown["means"]["scope"] == SEEDS_AND_IMAGES).any())
    facts = {
        "completed": completed,
        "lost": sorted(set(runs["l2"]) - set(completed)),
        "negative": negative_gap(study),
        "averages_behind": averages_behind(study),
        "level": study.design.confidence,
        "coverage": coverage(study.design, images_too),
    }
    if len(completed) == 1:
        measures = ("gap_generalisation", "weight_norm", "test_accuracy")
        own = runs[runs["seed"].isin(study.design.independent_seeds)]
        return paragraphs(
            "answer",
            **facts,
            only={name: mean(study, name, completed[0]) for name in measures},
            only_n=(own["status"] == "completed").sum(),
        )
    base, extreme = compared(study)
    strongest, best = comparison(study, extreme, EFFECTS), choice(study)
    reference = study.design.reference
    return paragraphs(
        "answer",
        **facts,
        choice=best,
        diverged=(runs["status"] == "diverged").any(),
        chosen=None
        if best["l2"] in (None, base, extreme)
        else comparison(study, best["l2"], WORTH),
        strongest=strongest,
        few=strongest.n < FEW_SEEDS,
        absent_reference=None if reference in set(runs["l2"]) else reference,
    )


def choice(study: Study) -> dict:
    """Return which lambda validation chooses as `l2`, None if none, and how sure that is.

    `share` of the samples of the seeds choose the same one, and `share_images` if the validation
    images are drawn again too; None where that is not known. `simplest` is a larger lambda that is
    nearly as good, or None.
    """
    rules = study.over_seeds["choice"].set_index("rule")
    best, wide = rules.loc["best"], study.shown["choice"].set_index("rule").loc["best"]
    simplest = rules.loc["one_standard_error", "l2"]
    with_images = wide["scope"] == SEEDS_AND_IMAGES
    return {
        "l2": None if pd.isna(best["l2"]) else best["l2"],
        "share": None if pd.isna(best["share"]) else round(best["share"], 2),
        "share_images": round(wide["share"], 2) if with_images else None,
        "simplest": None if pd.isna(simplest) or simplest == best["l2"] else simplest,
    }


def compared(study: Study) -> tuple[float, float]:
    """Return the lambda that others are compared with, and the strongest regularisation.

    That is the largest lambda with completed runs, or the smallest if the largest is the former.
    """
    runs, base = study.tables["runs"], study.tables["contrasts"]["reference_l2"].iloc[0]
    completed = set(runs.loc[runs["status"] == "completed", "l2"])
    strongest = max(completed - {base})
    return base, strongest if strongest > base else min(completed - {base})


def comparison(study: Study, l2: float, measures: tuple[str, ...]) -> Comparison:
    """Return how a lambda compares in these measures with the one that is compared with."""
    rows = study.shown["contrasts"]
    rows = rows[(rows["l2"] == l2) & rows["measure"].isin(measures)].set_index(
        "measure", drop=False
    )
    base, n = rows[["reference_l2", "n"]].iloc[0]
    norms = study.shown["means"].query("measure == 'weight_norm'").set_index("l2").loc[[l2, base]]
    # Where a run diverged, the means are not those of the pairs.
    of_pairs = "weight_norm" in measures and (norms["n"] == n).all()
    return Comparison(
        l2,
        base,
        int(n),
        [difference(rows.loc[name], 1 - study.design.confidence) for name in measures],
        list(map(form_of(MEASURES["weight_norm"]), norms["mean"])) if of_pairs else [],
    )


def difference(row: pd.Series, level: float) -> Difference:
    """Return what a row of contrasts shows; `level` is that of the test of equivalence."""
    measure = MEASURES[row["measure"]]
    value, low, high = row["mean_difference"], row["low"], row["high"]
    margin = ""
    if row["p_equivalent"] < level:
        kind, margin = "equivalent", f"{measure.scale * row['margin']:g} {measure.unit}"
    elif low <= 0 <= high:
        kind = "unclear"
    else:
        kind = "lower" if value < 0 else "higher"
        value, (low, high) = abs(value), sorted((abs(low), abs(high)))
    change = Number(value, form_of(measure), low, high, measure.unit)
    return Difference(row["measure"], kind, change, margin, row["scope"] == SEEDS)


def mean(study: Study, measure: str, l2: float) -> Number:
    """Return the mean of a measure at a lambda, in its unit."""
    rows = study.shown["means"]
    (row,) = rows[(rows["measure"] == measure) & (rows["l2"] == l2)].to_dict("records")
    ends = possible(measure, row["low"], row["high"])
    unit = "%" if measure == "test_accuracy" else MEASURES[measure].unit
    return Number(row["mean"], form_of(MEASURES[measure]), *ends, unit)


def averages_behind(study: Study) -> Number | None:
    """Return by how much training accuracy is higher in training mode than in evaluation, at the
    lambda where that is most; None if it is at most `BEHIND` everywhere.

    Random layers make it lower. So it is high where the averages that a normalisation keeps for
    evaluation have not caught up with the weights.
    """
    means = study.shown["means"].query("measure == 'gap_lag_mode'").set_index("l2")["mean"]
    if means.empty or means.max() <= BEHIND:
        return None
    return mean(study, "gap_lag_mode", means.idxmax())


def negative_gap(study: Study) -> dict | None:
    """Return the most negative reported gap whose interval is below 0, and its parts.

    `l2` is where it is, and `parts` has a `Number` by the names of `PARTS`, and by those of `LAG`
    where there are two; `signs` says whether
    each is shown to be below 0 (-1), above 0 (1), or neither (0). None if there is no such gap.
    """
    means = study.shown["means"]
    negative = means[(means["measure"] == "gap_reported") & (means["high"] < 0)].set_index("l2")
    if negative.empty:
        return None
    l2 = negative["mean"].idxmin()
    lag = LAG if "gap_lag_mode" in set(means["measure"]) else ()
    parts = {kind: mean(study, f"gap_{kind}", l2) for kind in (*PARTS, *lag)}
    scope = means.set_index(["measure", "l2"])["scope"]["gap_generalisation", l2]
    return {
        "l2": l2,
        "parts": parts,
        "signs": {kind: sign(part) for kind, part in parts.items()},
        "seeds_alone": scope == SEEDS,
    }


def sign(number: Number) -> int:
    """Return -1 or 1 for a number whose interval is on one side of 0, else 0."""
    return -1 if number.high < 0 else 1 if number.low > 0 else 0


def coverage(design: Setup, images_too: bool) -> dict:
    """Return what the intervals cover; `images_too` says that some are for other images."""
    return {
        "images_too": images_too,
        "sources": design.differing,
        "runs": design.seed_count if design.is_crossed else None,
        "independent": len(design.independent_seeds),
    }
