"""The tables about decisions: which lambda to use, what that does, and how many seeds it takes."""

import itertools
import math

import numpy as np
import pandas as pd

from l2study.core.scope_rows import SEEDS, SEEDS_AND_IMAGES
from l2study.tables import decisions, scopes, statistics
from l2study.tables.build import (
    CONTRAST_COLUMNS,
    by_lambda,
    diverged_seeds,
    equivalence,
    paired_differences,
    paired_values,
)
from l2study.tables.image_means import NO_IMAGES, Images

CHOICE_COLUMNS = [
    "rule",
    "l2",
    "val_ce_mean",
    "val_ce_se",
    "test_accuracy_mean",
    "low",
    "high",
    "n",
    "diverged_seeds",
    "share",
    "l2_low",
    "l2_high",
    "scope",
]
POWER_COLUMNS = [
    "l2",
    "gap",
    "sd_difference",
    "difference",
    "seeds",
    "n",
    "diverged_seeds",
    "seeds_low",
    "seeds_high",
]
ANSWER_COLUMNS = ["comparison", *CONTRAST_COLUMNS[:7], "margin", "p_equivalent", "scope"]
ANSWER_MEASURES = ("test_accuracy", "test_ce", "gap_generalisation", "weight_norm")
"""What the answer of the report compares."""
POWER_GAPS = ["reported", "generalisation", "endpoint"]
POWER_DIFFERENCES = [0.001, 0.002, 0.005]
POWER = 0.8


def answer_table(
    runs: pd.DataFrame,
    choice: pd.DataFrame,
    reference: float,
    confidence: float,
    images: Images = NO_IMAGES,
) -> pd.DataFrame:
    """Return the comparisons that the answer of the report makes, by `ANSWER_COLUMNS`.

    `chosen` compares the lambda that validation chooses, `strongest` the largest lambda with
    completed runs (the smallest, if the largest is the reference). Both are compared in
    `ANSWER_MEASURES` with the reference or, where that has no completed run, with the smallest
    lambda that has one, paired by seed. There is no row for a lambda compared with itself. A
    measure that is a mean over `images` has a second row, for other images too.

    Args:
        runs: the table of all runs.
        choice: from `choice_table`.
        reference: the study's reference lambda.
        confidence: of the intervals.
        images: what the runs predict.
    """
    cells = by_lambda(runs[runs["status"] == "completed"])
    rows = []
    if cells:
        base = reference if reference in cells else min(cells)
        strongest = max(cells) if base != max(cells) else min(cells)
        chosen = choice.drop_duplicates("rule").set_index("rule").loc["best", "l2"]
        for comparison, l2 in (("chosen", chosen), ("strongest", strongest)):
            if l2 == base or l2 not in cells:
                continue
            for measure in ANSWER_MEASURES:
                difference = paired_differences(cells, measure, l2, base)
                mean = statistics.mean_interval(difference, confidence)
                row = [comparison, l2, base, measure, mean.n, mean.value]
                shown = equivalence(measure, difference).values()
                rows.append([*row, mean.low, mean.high, *shown, SEEDS])
                if wide := images.mean(measure, difference, l2, base):
                    ends, shown = wide.interval(confidence), equivalence(measure, wide).values()
                    rows.append([*row, ends.low, ends.high, *shown, SEEDS_AND_IMAGES])
    return pd.DataFrame(rows, columns=ANSWER_COLUMNS)


def choice_table(
    runs: pd.DataFrame, reference: float, confidence: float, images: Images = NO_IMAGES
) -> pd.DataFrame:
    """Return the choice of lambda by validation cross-entropy, by `CHOICE_COLUMNS`.

    Rows `best`, `one_standard_error` and `reference`; the interval is that of the mean test
    accuracy, which decides nothing. A lambda at which a run diverged is not chosen: its mean
    over all seeds is not finite, and the survivors' mean would flatter it. Without a lambda to
    choose, or without the reference, the row has no values.

    `share` is the share of bootstrap samples of the seeds in which the rule picks this lambda, the
    same seeds for every lambda, and `l2_low` to `l2_high` is the percentile interval of the picked
    lambda. The reference is not picked and has none, nor have fewer than two seeds.

    With `images`, a rule that has a lambda has a second row. It picks the same lambda, but interval
    and samples are for other images too, see `scopes.resampled_choice`. Where the validation images
    differ between seeds, they are drawn again with the seeds.
    """
    columns = ["val_ce_mean", "val_ce_se", "test_accuracy_mean", "low", "high", "n"]
    rows, wider = {}, {}
    for l2, cell in runs.groupby("l2"):
        accuracy = statistics.mean_interval(cell["test_accuracy"], confidence)
        ce = statistics.mean_interval(cell["val_ce"], confidence).value
        error = statistics.standard_error(cell["val_ce"])
        rows[l2] = dict(zip(columns, (ce, error, *accuracy), strict=True))
        rows[l2] |= {"l2": l2, "diverged_seeds": diverged_seeds(runs, l2)}
        if wide := images.mean("test_accuracy", cell.set_index("seed")["test_accuracy"], l2):
            ends = wide.interval(confidence)
            wider[l2] = {"low": ends.low, "high": ends.high, "scope": SEEDS_AND_IMAGES}
    nothing = {"n": 0, "diverged_seeds": ""}
    eligible = [row for row in rows.values() if not row["diverged_seeds"]]
    best = simplest = nothing
    if eligible:
        places = decisions.one_standard_error(
            *([row[name] for row in eligible] for name in ("l2", "val_ce_mean", "val_ce_se"))
        )
        best, simplest = (eligible[place] for place in places)
    found = [best, simplest, rows.get(reference, nothing)]
    lambdas = [row["l2"] for row in eligible]
    again = {SEEDS: _chosen_again(runs, lambdas)}
    if any(row.get("l2") in wider for row in found):
        again[SEEDS_AND_IMAGES] = _chosen_again(runs, lambdas, images)
    rules, chosen = ("best", "one_standard_error", "reference"), []
    for rule, row, place in zip(rules, found, (0, 1, None), strict=True):
        own = {"rule": rule, "scope": SEEDS} | row
        for scope, wide in ((SEEDS, {}), (SEEDS_AND_IMAGES, wider.get(row.get("l2")))):
            if wide is not None:
                picked = np.empty(0) if place is None else again[scope][place]
                chosen.append(own | wide | _stability(row, picked, confidence))
    return pd.DataFrame(chosen, columns=CHOICE_COLUMNS)


def _chosen_again(
    runs: pd.DataFrame, lambdas: list[float], images: Images = NO_IMAGES
) -> tuple[np.ndarray, np.ndarray]:
    """Return the best and the one-standard-error lambda in bootstrap samples of the seeds.

    Of the seeds that every one of `lambdas` has; nothing for fewer than two. With `images`, those
    are drawn again too.
    """
    table = runs[runs["l2"].isin(lambdas)].pivot(index="seed", columns="l2", values="val_ce")
    table = table.dropna()
    if len(table) < 2:
        return np.empty(0), np.empty(0)
    seeds = table.index.tolist()
    lambdas = table.columns.to_numpy()
    if "val" in images.crossed and images.known(lambdas, seeds):
        of_images = (images.table("val", "cross_entropy", [l2], seeds) for l2 in lambdas)
        return scopes.resampled_choice(lambdas, of_images)
    return decisions.resampled_choice(lambdas, table.to_numpy())


def _stability(chosen: dict, again: np.ndarray, confidence: float) -> dict[str, float]:
    if not again.size:
        return {}
    ends = [(1 - confidence) / 2, (1 + confidence) / 2]
    # an end of the interval is a lambda of the study, nothing between two of them
    low, high = np.quantile(again, ends, method="inverted_cdf").tolist()
    return {"share": float(np.mean(again == chosen["l2"])), "l2_low": low, "l2_high": high}


def power_table(runs: pd.DataFrame, reference: float, confidence: float) -> pd.DataFrame:
    """Return how many seeds a paired t-test needs to resolve a difference in a gap.

    By `POWER_COLUMNS`: one row per lambda, kind of `POWER_GAPS` and difference of
    `POWER_DIFFERENCES` (fractions), at power `POWER`, two-sided at 1 - confidence, from the
    observed spread `sd_difference` of the `n` paired differences to the reference. `seeds_low` and
    `seeds_high` are the seeds needed at the ends of an interval of that spread. No rows if
    the study does not have the reference.
    """
    cells = by_lambda(runs)
    lambdas = [l2 for l2 in cells if l2 != reference] if reference in cells else []
    rows = []
    for l2, kind in itertools.product(lambdas, POWER_GAPS):
        values = statistics.differences(*paired_values(cells, f"gap_{kind}", l2, reference))
        sd = math.sqrt(statistics.variance_interval(values, confidence).value)
        lost = diverged_seeds(runs, l2, reference)
        for difference in POWER_DIFFERENCES:
            seeds = decisions.seeds_needed(sd, difference, confidence, POWER)
            ends = decisions.seeds_needed_interval(values, difference, confidence, POWER)
            rows.append((l2, kind, sd, difference, seeds, values.size, lost, *ends))
    table = pd.DataFrame(rows, columns=POWER_COLUMNS)
    return table.astype(dict.fromkeys(["seeds", "seeds_low", "seeds_high"], "Int64"))
