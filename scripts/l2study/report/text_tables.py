"""The tables that page and summary show, and the sentences beneath them.

They are pure functions from a study to typed cells, see `table_cells`. Every number comes from a
table of the study.
"""

import math

import pandas as pd

from l2study.core.measures import MEASURES, names
from l2study.core.wording import (
    Form,
    fixed,
    interval,
    lambda_text,
    p_value,
    possible,
    rounded,
)
from l2study.report.study import Study
from l2study.report.table_cells import Number, Rows
from l2study.report.templates import paragraphs

RULES = {
    "best": "best mean",
    "one_standard_error": "one standard error",
    "reference": "reference",
}
"""The rules of choice as a reader sees them."""

POINTS, SPREAD = fixed(2, 100), rounded(3, 100)
"""How accuracies and gaps are written, and standard deviations of them."""

SPREADS = {"reported": "Reported gap", "generalisation": "Generalisation gap"}
"""The gaps whose standard deviation is shown, and the heads of their columns."""


def _means(study: Study, measure: str, form: Form) -> dict[float, Number]:
    """Return the mean of a measure with its interval, for every lambda."""
    means = study.shown["means"]
    rows = means[means["measure"] == measure].itertuples()
    return {row.l2: Number(row.mean, form, row.low, row.high) for row in rows}


def _last(study: Study) -> pd.DataFrame:
    """Return the table of gaps over seeds at the last epoch."""
    gap = study.over_seeds["gap"]
    return gap[gap["epoch"] == study.config["training"]["epochs"]]


def lambda_table(study: Study) -> Rows:
    """Return a row per lambda: accuracies, gaps with intervals, norm, runs.

    Accuracies are percentages, means over completed runs with the final weights. Gaps are points.
    """
    columns = {
        "Training %": _without_intervals(_means(study, "train_accuracy", POINTS)),
        "Validation %": _without_intervals(_means(study, "val_accuracy", POINTS)),
        "Test %": _without_intervals(_means(study, "test_accuracy", POINTS)),
        "Reported gap": _means(study, "gap_reported", POINTS),
        "Generalisation gap": _means(study, "gap_generalisation", POINTS),
        "Norm, weights under L2": _without_intervals(_means(study, "weight_norm", rounded())),
    }
    rows, counts = [], study.shown["means"].groupby("l2")["n"].max()
    for l2, group in study.tables["runs"].groupby("l2"):
        complete = int(counts[l2])  # of a crossed design with a run lost, those that share no level
        lost = int((group["status"] != "completed").sum())
        said = f"{complete}, {lost} diverged" if lost else f"{complete}"
        row = {"λ": _lambda(l2), "Runs": Number(complete, lambda _, said=said: said)}
        rows.append(row | {head: numbers[l2] for head, numbers in columns.items()})
    return rows


def _without_intervals(numbers: dict[float, Number]) -> dict[float, Number]:
    return {l2: Number(number.value, number.form) for l2, number in numbers.items()}


def _table_of_means(study: Study, columns: dict[str, tuple[str, Form]]) -> Rows:
    """Return a row per lambda, and for every head the mean of (measure, form) with its interval."""
    found = {head: _means(study, *entry) for head, entry in columns.items()}
    lambdas = next(iter(found.values()))
    return [{"λ": _lambda(l2)} | {head: found[head][l2] for head in columns} for l2 in lambdas]


def gap_table(study: Study) -> Rows:
    """Return a row per lambda with every kind of gap at the last epoch and its interval."""
    columns = {
        "Reported": ("gap_reported", POINTS),
        "= lag": ("gap_lag", POINTS),
        "(averaging)": ("gap_lag_averaging", POINTS),
        "(mode)": ("gap_lag_mode", POINTS),
        "+ generalisation": ("gap_generalisation", POINTS),
        "+ split": ("gap_split", POINTS),
        "Exchangeable": ("gap_exchangeable", POINTS),
        "Cross-entropy gap (nats)": ("gap_ce", fixed(4)),
    }
    return _table_of_means(study, _there(study, columns))


def _there(study: Study, columns: dict[str, tuple[str, Form]]) -> dict[str, tuple[str, Form]]:
    """Return the columns of the measures that the study has."""
    there = set(study.tables["means"]["measure"])
    return {head: entry for head, entry in columns.items() if entry[0] in there}


NEAR_ZERO = 0.1
"""How small a weight is that is counted as one near zero: ten bins of the histogram."""


def weight_table(study: Study) -> Rows:
    """Return a row per lambda with the norms of the kernels at the last epoch and intervals, and
    how many of the regularised weights are near zero.

    The head of the output kernel's norm says whether it carries the regulariser in this study.
    """
    said = {True: " (regularised)", False: " (not regularised)", None: ""}
    regularised = said[study.config["model"].get("regularize_output")]
    columns = {
        "Regularised weights": ("weight_norm", rounded()),
        f"Output kernel{regularised}": ("output_kernel_norm", rounded()),
        "Product over all kernels": ("norm_product", rounded()),
    }
    near, head = _near_zero(study), f"Within ±{NEAR_ZERO} (%)"
    return [
        row | {head: Number(near.get(row["λ"].value, math.nan), POINTS)}
        for row in _table_of_means(study, _there(study, columns))
    ]


def _near_zero(study: Study) -> pd.Series:
    """Return by lambda the share of the regularised weights that are near zero."""
    bins = study.tables["weight_histogram"]
    ends = bins[["low", "high"]].abs().max(axis=1).round(6)  # edges are not rounded in the table
    counts = bins.assign(near=bins["count"].where(ends <= NEAR_ZERO, 0)).groupby("l2")
    return counts["near"].sum() / counts["count"].sum()


def spread_table(study: Study) -> Rows:
    """Return the standard deviation over seeds of two gaps, by lambda and pooled over them.

    That of one lambda stands without its interval, which few seeds make too wide to tell anything.
    """
    last, pooled = _last(study), _pooled(study)
    complete = study.tables["runs"].groupby("l2")["status"].agg(lambda s: (s == "completed").sum())
    rows = [
        {"λ": _lambda(l2), "Runs": Number(complete[l2], fixed(0))}
        | {
            head: Number(of_lambda.loc[kind, "sd"], SPREAD)
            for kind, head in SPREADS.items()
            if kind in of_lambda.index
        }
        for l2, of_lambda in last.set_index("gap").groupby("l2")
    ]
    everything = {"λ": Number(math.nan, lambda _: "all, pooled")}
    everything |= {"Runs": Number(pooled["lambdas"].max() * pooled["n"].max(), fixed(0))}
    return [*rows, everything | {SPREADS[kind]: number for kind, number in _pooled_numbers(study)}]


def _pooled(study: Study) -> pd.DataFrame:
    """Return the table of pooled standard deviations, of the gaps that are shown, by gap."""
    spread = study.tables["spread"].set_index("gap")
    return spread.loc[[kind for kind in SPREADS if kind in spread.index]]


def _pooled_numbers(study: Study) -> list[tuple[str, Number]]:
    return [
        (row.Index, Number(row.sd, SPREAD, row.sd_low, row.sd_high, "points"))
        for row in _pooled(study).itertuples()
    ]


def variance_sentences(study: Study) -> list[str]:
    """Return how much gaps vary over seeds, and whether a test could tell two lambdas apart."""
    contrasts = study.over_seeds["contrasts"]
    shown = contrasts[contrasts["measure"] == "gap_reported"]
    # the test is of runs that share no level, also where the means are of all
    alone = len(study.design.independent_seeds)
    pairs, tests = (min(int(shown["n"].max()), alone), len(shown)) if len(shown) else (0, 0)
    needed = seeds_of_exchange_test(tests, 1 - study.design.confidence)
    known = [(kind, number) for kind, number in _pooled_numbers(study) if number.interval]
    least = min(1.0, 2 * tests / 2**pairs)
    test = {"needed": needed, "there": pairs, "tests": tests, "least": p_value(least)}
    return paragraphs("variances", pooled=known, test=test, level=study.design.confidence)


def seeds_of_exchange_test(tests: int, level: float) -> int:
    """Return how many pairs give an exchange test a p-value below `level`; 0 without tests.

    Of n pairs it has none below 2 / 2^n, and Holm multiplies the smallest by the number of tests.
    """
    return math.floor(math.log2(2 * tests / level)) + 1 if tests else 0


def missing_sentence(study: Study) -> str:
    """Return which measures of its weights the model cannot have, and why; empty if it has all."""
    missing = set(names("weights")) - set(study.tables["means"]["measure"])
    return " ".join(paragraphs("missing", missing=missing))


def mode_sentences(study: Study) -> str:
    """Return what it means that the model has a mode of training; empty if it has none."""
    has_mode = "gap_lag_mode" in set(study.tables["means"]["measure"])
    layers = [layer["class"] for layer in study.model.get("layers", [])]
    normalises = not layers or any("BatchNorm" in name for name in layers)
    return " ".join(paragraphs("mode", has_mode=has_mode, normalises=normalises))


def _lambda(l2: float) -> Number:
    return Number(l2, lambda_text)


def choice_table(study: Study) -> Rows:
    """Return a row per metric and rule of choice: the lambda, its metric, its test accuracy.

    Interval and samples are for other images too, where predictions are kept.
    """
    rows = []
    for row in study.shown["choice"].itertuples():
        form = fixed(4) if row.metric == "val_ce" else fixed(3, 100)
        unit = MEASURES[row.metric].unit
        rows.append(
            {
                "Chosen by": MEASURES[row.metric].label,
                "Rule": RULES[row.rule],
                "λ": _lambda(row.l2),
                "Mean": Number(row.mean, form, unit=unit if unit == "nats" else "%"),
                "Difference to the best": Number(row.difference, form, unit=unit),
                "Test accuracy %": Number(
                    row.test_accuracy_mean, POINTS, *possible("test_accuracy", row.low, row.high)
                ),
                "Picked in % of resamples": Number(row.share, fixed(0, 100)),
                "Picked lambdas": interval(row.l2_low, row.l2_high, lambda_text),
                "Grid": "" if pd.isna(row.grid) else row.grid,
            }
        )
    return rows


def contrast_table(study: Study, measure: str) -> Rows:
    """Return the paired differences of `measure` with their intervals and p values, a row per
    lambda: for other images too, if the measure is a mean over images.
    """
    contrasts, form = study.shown["contrasts"], rounded(3, MEASURES[measure].scale)
    own, rows = contrasts[contrasts["measure"] == measure], []
    for row in own.itertuples():
        cells = {
            "λ": _lambda(row.l2),
            "Pairs": Number(row.n, fixed(0)),
            "Difference": Number(row.mean_difference, form, row.low, row.high),
            "p": Number(row.p_t, p_value),
            "p (Holm)": Number(row.p_holm, p_value),
        }
        if own["p_equivalent"].notna().any():
            cells["p (equivalent)"] = Number(row.p_equivalent, p_value)
        rows.append(cells)
    return rows


def power_table(study: Study) -> Rows:
    """Return a row per lambda and gap of `SPREADS`: the seeds needed to resolve each difference.

    They are for the interval for other images too, where there is one.
    """
    power, points = study.shown["power"], fixed(1, 100)
    return [
        {
            "λ": _lambda(l2),
            "Gap": gap,
            "SD of the difference (points)": Number(
                group["sd_difference"].iloc[0], rounded(2, 100)
            ),
            "Least that seeds can resolve (points)": Number(
                group["least_difference"].iloc[0], rounded(2, 100)
            ),
        }
        | {f"{points(row.difference)} points": _seeds(row) for row in group.itertuples()}
        for (l2, gap), group in power.groupby(["l2", "gap"], sort=False)
        if gap in SPREADS
    ]


def _seeds(row: tuple) -> Number:
    """Return how many seeds a difference needs, or with how many more images some would do."""
    if row.difference > row.least_difference or pd.isna(row.seeds_with_images):
        return Number(row.seeds, fixed(0), row.seeds_low, row.seeds_high)
    instead = f"none; about {row.seeds_with_images:.0f} with {row.images:,.0f} images"
    return Number(math.inf, lambda _: instead)
