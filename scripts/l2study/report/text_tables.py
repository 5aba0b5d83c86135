"""The tables that page and summary show, and the sentences beneath them.

They are pure functions from a study to typed cells, see `table_cells`. Every number comes from a
table of the study.
"""

import math
from collections.abc import Container, Mapping

import pandas as pd

from l2study.core.measures import MEASURES, names
from l2study.core.wording import (
    Form,
    fixed,
    form_of,
    interval,
    lambda_text,
    p_value,
    possible,
    rounded,
)
from l2study.report.study import Study
from l2study.report.table_cells import Number, Rows
from l2study.report.templates import line, paragraphs

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


WITH_INTERVALS = ("gap_reported", "gap_generalisation")
"""The measures whose intervals a table with a row per lambda shows, beside others that it has."""


def means_table(
    study: Study, columns: Mapping[str, tuple[str, Form]], intervals: Container[str] = MEASURES
) -> Rows:
    """Return a row per lambda, and for every head the mean of (measure, form) over completed runs.

    The interval is shown of the measures in `intervals`. One that the study lacks has no column.
    """
    means, rows = study.shown["means"], {}
    for head, (measure, form) in columns.items():
        for row in means[means["measure"] == measure].itertuples():
            ends = (row.low, row.high) if measure in intervals else ()
            cells = rows.setdefault(row.l2, {"λ": Number(row.l2, lambda_text)})
            cells[head] = Number(row.mean, form, *ends)
    return list(rows.values())


def completed(study: Study) -> pd.Series:
    """Return by lambda how many runs completed."""
    runs = study.tables["runs"]
    return (runs["status"] == "completed").groupby(runs["l2"]).sum()


def lambda_table(study: Study) -> Rows:
    """Return a row per lambda: accuracies in %, gaps in points with intervals, norm, runs."""
    columns = {
        "Training %": ("train_accuracy", POINTS),
        "Validation %": ("val_accuracy", POINTS),
        "Test %": ("test_accuracy", POINTS),
        "Reported gap": ("gap_reported", POINTS),
        "Generalisation gap": ("gap_generalisation", POINTS),
        "Norm, weights under L2": ("weight_norm", rounded()),
    }
    # of a crossed design with a run lost, those that share no level
    counts = study.shown["means"].groupby("l2")["n"].max().astype(int)
    lost = study.tables["runs"].groupby("l2").size() - completed(study)
    rows = []
    for row in means_table(study, columns, WITH_INTERVALS):
        l2 = row["λ"].value
        said = f"{counts[l2]}, {lost[l2]} diverged" if lost[l2] else f"{counts[l2]}"
        rows.append({"λ": row["λ"], "Runs": Number(counts[l2], lambda _, said=said: said)} | row)
    return rows


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
    return means_table(study, columns)


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
    bins = study.tables["weight_histogram"]
    ends = bins[["low", "high"]].abs().max(axis=1).round(6)  # edges are not rounded in the table
    counts = bins.assign(near=bins["count"].where(ends <= NEAR_ZERO, 0)).groupby("l2")
    near, head = counts["near"].sum() / counts["count"].sum(), f"Within ±{NEAR_ZERO} (%)"
    return [
        row | {head: Number(near.get(row["λ"].value, math.nan), POINTS)}
        for row in means_table(study, columns)
    ]


def spread_table(study: Study) -> Rows:
    """Return the standard deviation over seeds of two gaps, by lambda and pooled over them.

    That of one lambda stands without its interval, which few seeds make too wide to tell anything.
    """
    gap, complete, rows = study.over_seeds["gap"], completed(study), []
    last = gap[(gap["epoch"] == study.config["training"]["epochs"]) & gap["gap"].isin(SPREADS)]
    for l2, own in last.set_index("gap").groupby("l2"):
        row = {"λ": Number(l2, lambda_text), "Runs": Number(complete[l2], fixed(0))}
        rows.append(row | {SPREADS[kind]: Number(sd, SPREAD) for kind, sd in own["sd"].items()})
    spread = study.tables["spread"].query("gap in @SPREADS")
    runs = spread["lambdas"].max() * spread["n"].max()
    row = {"λ": Number(math.nan, lambda _: "all, pooled"), "Runs": Number(runs, fixed(0))}
    return [*rows, row | {SPREADS[kind]: number for kind, number in _pooled(study).items()}]


def _pooled(study: Study) -> dict[str, Number]:
    spread = study.tables["spread"].query("gap in @SPREADS")
    return {
        row.gap: Number(row.sd, SPREAD, row.sd_low, row.sd_high, "points")
        for row in spread.itertuples()
    }


def variance_sentences(study: Study) -> list[str]:
    """Return how much gaps vary over seeds, and whether a test could tell two lambdas apart."""
    contrasts = study.over_seeds["contrasts"]
    shown = contrasts[contrasts["measure"] == "gap_reported"]
    # the test is of runs that share no level, also where the means are of all
    alone = len(study.design.independent_seeds)
    pairs, tests = (min(int(shown["n"].max()), alone), len(shown)) if len(shown) else (0, 0)
    needed = seeds_of_exchange_test(tests, 1 - study.design.confidence)
    known = [(kind, number) for kind, number in _pooled(study).items() if number.interval]
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
    return line("missing", missing=missing)


def mode_sentences(study: Study) -> str:
    """Return what it means that the model has a mode of training; empty if it has none."""
    has_mode = "gap_lag_mode" in set(study.tables["means"]["measure"])
    layers = [layer["class"] for layer in study.model.get("layers", [])]
    normalises = not layers or any("BatchNorm" in name for name in layers)
    return line("mode", has_mode=has_mode, normalises=normalises)


def gain(row: Mapping, measure: str, form: Form) -> Number:
    """Return by how much the best lambda differs from the reference, from a row of `best`."""
    low, high = row[f"{measure}_low"], row[f"{measure}_high"]
    return Number(row[f"{measure}_difference"], form, low, high)


def choice_table(study: Study) -> Rows:
    """Return a row per metric and rule of choice: the lambda, its metric, its test accuracy."""
    rows = []
    for row in study.shown["choice"].itertuples():
        form = fixed(4) if row.metric == "val_ce" else fixed(3, 100)
        unit = MEASURES[row.metric].unit
        rows.append(
            {
                "Chosen by": MEASURES[row.metric].label,
                "Rule": RULES[row.rule],
                "λ": Number(row.l2, lambda_text),
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
    """Return the paired differences of `measure`, with intervals and p values, by lambda."""
    contrasts, form = study.shown["contrasts"], rounded(3, MEASURES[measure].scale)
    own, rows = contrasts[contrasts["measure"] == measure], []
    for row in own.itertuples():
        cells = {
            "λ": Number(row.l2, lambda_text),
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
    """Return a row per lambda and gap of `SPREADS`: the seeds needed to resolve each difference."""
    power, points = study.shown["power"], fixed(1, 100)
    return [
        {
            "λ": Number(l2, lambda_text),
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


def rounds_text(study: Study) -> list[str]:
    """Return how many seeds a study in rounds has, and whether they are enough; else nothing."""
    until, table = study.design.until, study.tables["rounds"]
    if not until or table.empty:
        return []
    last = table[table["round"] == table["round"].max()]
    narrow = bool((last["half_width"] <= last["wanted"]).all())
    return paragraphs("rounds", narrow=narrow, over=until["now"] >= until["max_seeds"])


def rounds_table(study: Study) -> Rows:
    """Return the rounds of a study in which a measure says how many seeds there are, by lambda."""
    table = []
    for row in study.tables["rounds"].itertuples():
        measure = MEASURES[row.measure]
        width = rounded(3, measure.scale)
        table.append(
            {
                "Round": Number(row.round, fixed(0)),
                "Seeds": Number(row.seeds, fixed(0)),
                "λ": lambda_text(row.l2),
                measure.label: Number(row.mean, form_of(measure), row.low, row.high, measure.unit),
                "Half width": Number(row.half_width, width),
                "Wanted": Number(row.wanted, width),
            }
        )
    return table
