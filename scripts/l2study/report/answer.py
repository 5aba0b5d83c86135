"""The answer that leads page and summary: which lambda to use, and what L2 did here.

The facts come from the tables, and the texts headline, answer, choice, state and coverage in
reports/page choose their sentences by them. So they stay true whatever the numbers are.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from l2study.core.choose_by import on_test, other_metric
from l2study.core.labels import l2_label
from l2study.core.measures import MEASURES
from l2study.core.scope_rows import SEEDS_AND_IMAGES
from l2study.core.wording import form_of, interval, lambda_text, possible
from l2study.report import data_text, provenance
from l2study.report.dose_text import as_good
from l2study.report.inputs import groups_of
from l2study.report.study import Study
from l2study.report.table_cells import Number
from l2study.report.templates import line, paragraphs

BEHIND = 0.05
"""Training accuracy in training mode minus that in evaluation, a fraction, above which the answer
warns of it."""

FEW_SEEDS = 5
"""Below this many runs of a lambda the answer says that it is a first look."""

MOST_LEFT = math.exp(-1)
"""Share of a weight that decay leaves by itself, above which the answer warns of it. Decay then has
a time scale longer than the run, and does not forget the first steps (Wang and Aitchison 2025,
"How to set AdamW's weight decay as you scale model and dataset size", ICML)."""

WORTH = ("test_accuracy", "test_ce")
"""What the lambda that validation chooses is compared in with the reference."""

EFFECTS = ("test_accuracy", "gap_generalisation")
"""What the strongest regularisation is compared in."""

PARTS = ("reported", "lag", "split", "generalisation")
"""A gap that is reported, and what it is the sum of."""

LAG = ("lag_averaging", "lag_mode")
"""What the lag is the sum of, for a model with a mode of training."""


@dataclass(frozen=True)
class Answer:
    """What page and summary say first.

    `headline` is one sentence and `sentences` are what else there is to know; `choice` says how
    sure the choice of lambda is; both are empty where the data allow no answer. `state` says of
    data, runs, model and grid what they are, and whether something is wrong with them; `coverage`
    what brackets and units mean. `facts` has the numbers.
    """

    headline: str
    sentences: list[str]
    choice: list[str]
    state: list[tuple[str, bool]]
    coverage: list[str]
    facts: dict


def of(study: Study) -> Answer:
    """Return the answer of a study."""
    found, of_data = facts(study), data_text.text(study)
    sentences = choice = []
    if data_text.withholds(study):
        found |= {"choice": None, "chosen": None, "at_choice": None}
        headline, *of_data = of_data
    else:
        texts = (paragraphs(name, **found) for name in ("headline", "answer", "choice"))
        (headline,), sentences, choice = texts
    states = [(text, True) for text in of_data] + state(study, found)
    return Answer(headline, sentences, choice, states, paragraphs("coverage", **found), found)


def state(study: Study, found: Mapping) -> list[tuple[str, bool]]:
    """Return what there is to say of runs, fine data, decay and grid, and whether it is wrong."""
    wrong = {
        "runs": found["diverged"] or bool(provenance.missing(study)),
        "data": False,
        "decay": True,
        "grid": (found["choice"] or {}).get("grid") != "inside",
    }
    texts = {part: line("state", part=part, **found) for part in wrong}
    return [(text, wrong[part]) for part, text in texts.items() if text]


def facts(study: Study) -> dict:
    """Return what the texts of the answer choose their sentences by.

    `completed` are the lambdas with a completed run. Of one alone, `only` has means; of more,
    `choice` is which lambda validation chooses, `chosen` and `strongest` compare that and the
    strongest regularisation with the reference, and `at_choice` has means at the chosen lambda.
    """
    runs, design = study.tables["runs"], study.design
    completed = sorted(set(runs.loc[runs["status"] == "completed", "l2"]))
    found = {
        "completed": completed,
        "lost": sorted(set(runs["l2"]) - set(completed)),
        "diverged": "diverged" in set(runs["status"]),
        "negative": None, "averages_behind": None, "decay_left": decay_left(study), "only": None,
        "choice": None, "chosen": None, "strongest": None, "at_choice": None,
        "absent_reference": None if design.reference in set(runs["l2"]) else design.reference,
        "runs": provenance.runs_sentence(study),
        "few": few(study),
        "data_are_fine": len(study.tables.get("data_check", ())) > 0 and not data_text.text(study),
        "level": design.confidence,
        "coverage": coverage(study),
    }  # fmt: skip
    if not completed:
        return found
    found |= {"negative": negative_gap(study), "averages_behind": averages_behind(study)}
    shown = ("test_accuracy", "gap_reported", "gap_generalisation")
    if len(completed) == 1:
        return found | {"only": {name: mean(study, name, completed[0]) for name in shown}}
    base, extreme = compared(study)
    best = choice(study)
    l2 = best["l2"]
    effects = [m for m in EFFECTS if l2 != extreme or m not in WORTH]
    return found | {
        "choice": best,
        "chosen": None if l2 in (None, base) else chosen(study),
        "strongest": comparison(study, extreme, effects),
        "at_choice": None if l2 is None else {name: mean(study, name, l2) for name in shown},
    }


def few(study: Study) -> int | None:
    """Return how many independent runs the lambda with the fewest has, where these are few."""
    runs = study.tables["runs"].query("status == 'completed'")
    own = runs[runs["seed"].isin(study.design.independent_seeds)].groupby("l2").size()
    return int(own.min()) if len(own) and own.min() < FEW_SEEDS else None


def own_best(study: Study) -> pd.Series:
    """Return what the table `best` says of this set-up, by the metric that is chosen by."""
    return study.best.set_index("setup").loc[study.setup]


def choice(study: Study) -> dict:
    """Return which lambda validation chooses as `l2`, None if none, and how good that choice is.

    `share` of the samples of the seeds choose the same one, of seeds and validation images if
    `images_too`, and most choose one of `picks`; None where that is not known. `simplest` is a
    larger lambda that is nearly as good, or None. `grid` says whether the best is inside the grid,
    at its `end`, which is "largest" or "smallest", or may lie beyond it, and `next_l2` is the
    lambda to add, which a next round does if `in_rounds`. `as_good` is the range of lambdas that
    are as good, where the curve over lambda holds. `other` is what the other metric chooses.
    `regret` is by how much such a choice falls short of the best, and by how much that of one seed
    does.
    """
    wide = study.shown["choice"].query("configured == 'yes'").set_index("rule")
    best, row = wide.loc["best"], own_best(study)
    simplest = wide.loc["one_standard_error", "l2"]
    picks = interval(best["l2_low"], best["l2_high"], lambda_text)
    further = None if pd.isna(best["next_l2"]) else best["next_l2"]
    return {
        "l2": None if pd.isna(best["l2"]) else best["l2"],
        "metric": best["metric"],
        "share": None if pd.isna(best["share"]) else round(best["share"], 2),
        "images_too": best["scope"] == SEEDS_AND_IMAGES,
        "picks": None if best["l2_low"] == best["l2_high"] or pd.isna(best["l2_low"]) else picks,
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
    """Return what the other metric chooses, from a row of `best`, and by what `difference` in test
    accuracy if that is clear; None if it chooses the same lambda.
    """
    if pd.isna(row["other_l2"]) or row["other_l2"] == row["best_l2"]:
        return None
    ends = row[["other_difference", "other_low", "other_high"]]
    clear = row["metrics_differ"] == "yes"
    return {
        "l2": row["other_l2"],
        "metric": other_metric(row["metric"]),
        "difference": difference("test_accuracy", *ends) if clear else None,
    }


def regret(row: pd.Series) -> tuple[Number, Number] | None:
    """Return the expected regret in test accuracy, with all seeds and with one; None if it is
    unknown, or too small to be seen.
    """
    names = ["test_accuracy_regret", "test_accuracy_regret_one_seed"]
    values = row[names].astype(float).clip(lower=0)
    form = form_of(MEASURES["test_accuracy"])
    seen = any(float(form(value)) for value in values.dropna())
    return tuple(Number(value, form, unit="points") for value in values) if seen else None


def chosen(study: Study) -> dict:
    """Return how the chosen lambda compares with the reference, with intervals that count that it
    was chosen. The measure that is chosen by comes first. `left_out` is the difference in test
    accuracy with each seed left out of the choice in turn, or None.
    """
    row, counted = own_best(study), {}
    first = on_test(row["metric"])
    for measure in sorted(WORTH, key=lambda measure: measure != first):
        value, low, high = row[[f"{measure}_{name}" for name in ("difference", "low", "high")]]
        within = MEASURES[measure].margin or 0
        equivalent = -within < low and high < within
        counted[measure] = difference(measure, value, low, high, equivalent)
    value, form = row["test_accuracy_left_out"], counted["test_accuracy"]["signed"].form
    left_out = None if pd.isna(value) else Number(value, form, unit="points")
    found = comparison(study, row["best_l2"], WORTH)
    return found | {"differences": [*counted.values()], "left_out": left_out}


def compared(study: Study) -> tuple[float, float]:
    """Return the lambda that others are compared with, and the strongest regularisation: the
    largest lambda with completed runs, or the smallest if the largest is the former.
    """
    runs, base = study.tables["runs"], study.tables["contrasts"]["reference_l2"].iloc[0]
    completed = set(runs.loc[runs["status"] == "completed", "l2"])
    strongest = max(completed - {base})
    return base, strongest if strongest > base else min(completed - {base})


def comparison(study: Study, l2: float, measures: Sequence[str]) -> dict:
    """Return how a lambda compares in these measures with the `reference`, or what stands for it,
    by `n` pairs of runs.
    """
    rows, level = study.shown["contrasts"], 1 - study.design.confidence
    rows = rows[rows["l2"] == l2].set_index("measure").loc[list(measures)]
    shown = [
        difference(row.Index, row.mean_difference, row.low, row.high, row.p_equivalent < level)
        for row in rows.itertuples()
    ]
    base, n = rows["reference_l2"].iloc[0], int(rows["n"].iloc[0])
    return {"l2": l2, "reference": base, "n": n, "differences": shown}


def difference(name: str, value: float, low: float, high: float, equivalent: bool = False) -> dict:
    """Return what a difference in a measure shows, by its interval.

    `kind` is "lower" or "higher", "equivalent" for one that is shown to be less than `margin`, or
    "unclear". `change` is the size of what is lower or higher, and `signed` has the sign.
    """
    measure = MEASURES[name]
    form, margin = form_of(measure, (high - low) / 2), ""
    signed = change = Number(value, form, low, high, measure.unit)
    if equivalent:
        kind, margin = "equivalent", f"{measure.scale * measure.margin:g} {measure.unit}"
    elif low <= 0 <= high:
        kind = "unclear"
    else:
        kind = "lower" if value < 0 else "higher"
        ends = sorted((abs(low), abs(high)))
        change = Number(abs(value), form, *ends, measure.unit)
    found = {"measure": name, "kind": kind, "margin": margin}
    return found | {"change": change, "signed": signed}


def mean(study: Study, measure: str, l2: float) -> Number:
    """Return the mean of a measure at a lambda, in its unit."""
    rows = study.shown["means"]
    (row,) = rows[(rows["measure"] == measure) & (rows["l2"] == l2)].to_dict("records")
    form = form_of(MEASURES[measure], (row["high"] - row["low"]) / 2)
    unit = "%" if measure == "test_accuracy" else MEASURES[measure].unit
    return Number(row["mean"], form, *possible(measure, row["low"], row["high"]), unit)


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
    where there are two; `signs` says whether each is shown to be below 0 (-1), above 0 (1), or
    neither (0). None if there is no such gap.
    """
    means = study.shown["means"]
    negative = means[(means["measure"] == "gap_reported") & (means["high"] < 0)].set_index("l2")
    if negative.empty:
        return None
    l2 = negative["mean"].idxmin()
    lag = LAG if "gap_lag_mode" in set(means["measure"]) else ()
    parts = {kind: mean(study, f"gap_{kind}", l2) for kind in (*PARTS, *lag)}
    return {"l2": l2, "parts": parts, "signs": {kind: sign(part) for kind, part in parts.items()}}


def sign(number: Number) -> int:
    """Return -1 or 1 for a number whose interval is on one side of 0, else 0."""
    return -1 if number.high < 0 else 1 if number.low > 0 else 0


def coverage(study: Study) -> dict:
    """Return what the intervals cover; `images_too` says that some are for other images."""
    design = study.design
    return {
        "groups": groups_of(study.data),
        "images_too": bool((study.shown["means"]["scope"] == SEEDS_AND_IMAGES).any()),
        "sources": design.differing,
        "runs": design.seed_count if design.is_crossed else None,
        "independent": len(design.independent_seeds),
    }
