"""The answer that leads page and summary: what regularisation did here.

The facts come from the tables, and the text answer.txt.j2 chooses its sentences by them. So it
stays true whatever the numbers are.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from l2study.core.choose_by import on_test, other_metric
from l2study.core.design import Setup
from l2study.core.labels import l2_label
from l2study.core.measures import MEASURES
from l2study.core.scope_rows import SEEDS, SEEDS_AND_IMAGES
from l2study.core.wording import fixed, form_of, possible
from l2study.report.dose_text import as_good
from l2study.report.inputs import groups_of
from l2study.report.study import Study
from l2study.report.table_cells import Number
from l2study.report.templates import paragraphs

BEHIND = 0.05
"""Training accuracy in training mode minus that in evaluation, a fraction, above which the answer
warns of it."""

FEW_SEEDS = 5
"""Below this many pairs of runs the answer says that it is a first look."""

MOST_LEFT = math.exp(-1)
"""Share of a weight that decay leaves by itself, above which the answer warns of it. Decay then has
a time scale longer than the run, and does not forget the first steps (Wang and Aitchison 2025,
"How to set AdamW's weight decay as you scale model and dataset size", ICML)."""

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

    `norms` are the mean norms of the weights at both, where they are means of these pairs. Of a
    lambda that was chosen, intervals count that by `picked` lambdas, and `left_out` is the
    difference in test accuracy with each seed left out of the choice in turn.
    """

    l2: float
    reference: float
    n: int
    differences: list[Difference]
    norms: list[str]
    picked: int = 1
    left_out: Number | None = None


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
        "decay_left": decay_left(study),
        "level": study.design.confidence,
        "coverage": coverage(study.design, images_too, study.data),
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
    best, reference = choice(study), study.design.reference
    is_extreme = best["l2"] == extreme
    effects = [m for m in EFFECTS if not (is_extreme and m in WORTH)]
    strongest = comparison(study, extreme, effects)
    return paragraphs(
        "answer",
        **facts,
        choice=best,
        diverged=(runs["status"] == "diverged").any(),
        chosen=None if best["l2"] in (None, base) else chosen(study),
        strongest=strongest,
        few=min(strongest.n, len(study.design.independent_seeds)) < FEW_SEEDS,
        absent_reference=None if reference in set(runs["l2"]) else reference,
    )


def own_best(study: Study) -> pd.Series:
    """Return what the table `best` says of this set-up, by the metric that is chosen by."""
    return study.best.set_index("setup").loc[study.setup]


def choice(study: Study) -> dict:
    """Return which lambda validation chooses as `l2`, None if none, and how good that choice is.

    `share` of the samples of the seeds choose the same one, and `share_images` if the validation
    images are drawn again too; None where that is not known. `simplest` is a larger lambda that is
    nearly as good, or None. `grid` says whether the best is inside the grid, at its `end`, which is
    "largest" or "smallest", or may lie beyond it, and `next_l2` is the lambda to add, which a next
    round does if `in_rounds`. `as_good` is the range of lambdas that are as good, where the curve
    over lambda holds. `other` is what the other metric chooses, where that is clearly another test
    accuracy. `regret` is by how much such a choice falls short of the best, and by how much that of
    one seed does.
    """
    chosen = study.over_seeds["choice"].query("configured == 'yes'").set_index("rule")
    wide = study.shown["choice"].query("configured == 'yes'").set_index("rule")
    best, row = wide.loc["best"], own_best(study)
    simplest = wide.loc["one_standard_error", "l2"]
    share, with_images = chosen.loc["best", "share"], best["scope"] == SEEDS_AND_IMAGES
    further = None if pd.isna(best["next_l2"]) else best["next_l2"]
    return {
        "l2": None if pd.isna(best["l2"]) else best["l2"],
        "metric": best["metric"],
        "share": None if pd.isna(share) else round(share, 2),
        "share_images": round(best["share"], 2) if with_images else None,
        "simplest": None if pd.isna(simplest) or simplest == best["l2"] else simplest,
        "grid": None if pd.isna(best["grid"]) else best["grid"],
        "end": "largest" if best["next_l2"] > best["l2"] else "smallest",
        "next_l2": further,
        "in_rounds": further is not None and l2_label(further) in study.design.reach,
        "as_good": as_good(study).get(best["metric"]),
        "other": other_choice(row),
        "regret": regret(row),
    }


def other_choice(row: pd.Series) -> dict | None:
    """Return what the other metric chooses, from a row of `best`; None unless they differ clearly.

    `side` says that its test accuracy is "higher" or "lower", by `change`.
    """
    if row["metrics_differ"] != "yes":
        return None
    value, low, high = (row[f"other_{name}"] for name in ("difference", "low", "high"))
    side = "higher" if value > 0 else "lower"
    ends = (low, high) if value > 0 else (-high, -low)
    change = Number(abs(value), form_of(MEASURES["test_accuracy"]), *ends, "points")
    return {"l2": row["other_l2"], "metric": other_metric(row["metric"]), "side": side,
            "change": change}  # fmt: skip


def regret(row: pd.Series) -> list[tuple[str, Number, Number]]:
    """Return the expected regret in each measure: its name, with all seeds, and with one seed.

    In the measure that is chosen by, and in test accuracy. Nothing where it is not known, or 0.
    """
    if pd.isna(row["test_accuracy_regret"]):
        return []
    found = []
    for measure in dict.fromkeys([on_test(row["metric"]), "test_accuracy"]):
        about = MEASURES[measure]
        values = (max(row[f"{measure}_{name}"], 0.0) for name in ("regret", "regret_one_seed"))
        form = fixed(2, 100) if about.scale == 100 else fixed(4)
        found.append((measure, *(Number(value, form, unit=about.unit) for value in values)))
    lost = any(
        one.text != Number(0, one.form, unit=one.unit).text for _, *both in found for one in both
    )
    return found if lost else []


def chosen(study: Study) -> Comparison:
    """Return how the chosen lambda compares with the reference, with intervals that count that it
    was chosen. The measure that is chosen by comes first.
    """
    row = own_best(study)
    first = on_test(row["metric"])
    found = comparison(study, row["best_l2"], WORTH)
    counted = []
    for measure in sorted(WORTH, key=lambda measure: measure != first):
        one = next(one for one in found.differences if one.measure == measure)
        ends = {end: row[f"{measure}_{end}"] for end in ("low", "high")}
        ends |= {"scope": SEEDS if one.seeds_alone else SEEDS_AND_IMAGES}
        ends |= {"mean_difference": row[f"{measure}_difference"], "measure": measure}
        own = pd.Series(ends)
        within = MEASURES[measure].margin or 0
        counted.append(shown_difference(own, -within < own["low"] and own["high"] < within))
    form, value = form_of(MEASURES["test_accuracy"]), row["test_accuracy_left_out"]
    left_out = None if pd.isna(value) else Number(value, form, unit="points")
    return replace(
        found, differences=counted, picked=int(row["picked"]), left_out=left_out, norms=[]
    )


def compared(study: Study) -> tuple[float, float]:
    """Return the lambda that others are compared with, and the strongest regularisation.

    That is the largest lambda with completed runs, or the smallest if the largest is the former.
    """
    runs, base = study.tables["runs"], study.tables["contrasts"]["reference_l2"].iloc[0]
    completed = set(runs.loc[runs["status"] == "completed", "l2"])
    strongest = max(completed - {base})
    return base, strongest if strongest > base else min(completed - {base})


def comparison(study: Study, l2: float, measures: Sequence[str]) -> Comparison:
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
    return shown_difference(row, row["p_equivalent"] < level)


def shown_difference(row: pd.Series, equivalent: bool) -> Difference:
    """Return what a difference with its interval shows.

    Args:
        row: has measure, mean_difference, low, high and scope.
        equivalent: whether it is shown to be within the margin of the measure.
    """
    measure = MEASURES[row["measure"]]
    value, low, high = row["mean_difference"], row["low"], row["high"]
    margin = ""
    if equivalent:
        kind, margin = "equivalent", f"{measure.scale * measure.margin:g} {measure.unit}"
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


def decay_left(study: Study) -> float | None:
    """Return the share of a weight that decoupled decay alone leaves at the largest lambda.

    That is (1 - 2 rate lambda)^steps. None if it is at most `MOST_LEFT`, if a penalty takes the
    place of decay, or if learning rate or steps are not known.
    """
    setup, rows = study.design, study.data.get("counts", {}).get("train")
    if setup.config["model"].get("regularizer") != "decoupled":
        return None
    of_step = 1 - 2 * setup.rate * max(map(float, setup.lambdas))
    left = of_step ** setup.steps(rows)
    return left if left > MOST_LEFT else None


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


def coverage(design: Setup, images_too: bool, data: Mapping) -> dict:
    """Return what the intervals cover; `images_too` says that some are for other images.

    `data` is the manifest of the prepared data.
    """
    return {
        "groups": groups_of(data),
        "images_too": images_too,
        "sources": design.differing,
        "runs": design.seed_count if design.is_crossed else None,
        "independent": len(design.independent_seeds),
    }
