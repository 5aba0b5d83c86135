"""From the files of the runs to the tables of the study; `statistics` computes, this arranges.

Losses (`train_loss`, `val_loss`, `train_loss_running`) contain the penalty, which grows with lambda
by definition, and `penalty` is nothing else: none of them is compared between lambdas. The tables
of comparisons have cross-entropies, accuracies, gaps, norms and the end-of-run measures instead.

A diverged run is in histories.csv with the epochs it kept and in runs.csv with its status and cost.
Every mean, interval and comparison is of completed runs, and the table names the seeds left out.
"""

import math
from collections.abc import Collection, Iterable, Sequence
from itertools import pairwise, product, starmap

import numpy as np
import pandas as pd

from l2study.core.columns import EMPTY_AT_START, HISTORY_COLUMNS
from l2study.core.measures import GAPS, MEASURES, RUN_MEASURES, names
from l2study.core.runs import Run
from l2study.core.scope_rows import SEEDS, SEEDS_AND_IMAGES
from l2study.core.variation import SOURCES, independent_seeds
from l2study.tables import statistics
from l2study.tables.image_means import NO_IMAGES, Images
from l2study.tables.scopes import Mean

COSTS = [
    "seconds_setup",
    "seconds_train",
    "seconds_evaluate",
    "seconds_measures",
    "seconds_total",
    "cpu_seconds",
    "peak_memory_mb",
]
"""What a run cost: `seconds_measures` is from measuring, the rest from training."""

_SEEDS = [f"seed_{source}" for source in SOURCES]
RUN_COLUMNS = ["l2", "seed", *_SEEDS, "status", "epochs", *RUN_MEASURES, *COSTS]

CONTRAST_MEASURES = [name for name, measure in MEASURES.items() if measure.compared]

GAP_COLUMNS = [
    "l2",
    "epoch",
    "gap",
    "n",
    "mean",
    "variance",
    "sd",
    "mean_low",
    "mean_high",
    "variance_low",
    "variance_high",
    "diverged_seeds",
    "scope",
    "variance_images",
]
CONTRAST_COLUMNS = [
    "l2",
    "reference_l2",
    "measure",
    "n",
    "mean_difference",
    "low",
    "high",
    "p_t",
    "p_sign_flip",
    "p_holm",
    "d_z",
    "probability_improvement",
    "p_variance",
    "diverged_seeds",
    "correlation",
    "p_variance_holm",
    "margin",
    "p_equivalent",
    "scope",
]
MEAN_COLUMNS = ["l2", "measure", "n", "mean", "low", "high", "diverged_seeds", "scope"]
HISTOGRAM_COLUMNS = ["l2", "seed", "low", "high", "count"]


_EPOCH = HISTORY_COLUMNS.index("epoch")
_OF_HISTORY, _OF_WEIGHTS = names("history"), names("weights")


def without_value(config: dict) -> set[str]:
    """Return the measures that have no value in a set-up, by its canonical configuration.

    That is the exchangeable gap, unless chance alone says which images of the training file are
    validation. The last images of a file may be easier or harder than the others; and if only the
    training labels are noisy, training accuracy is lower, whatever was learned.
    """
    by_chance = config["validation"]["split"] == "stratified"
    return set() if by_chance and "label_noise" not in config["dataset"] else {"gap_exchangeable"}


def histories_table(runs: list[Run]) -> pd.DataFrame:
    """Return all rows of all runs by `HISTORY_COLUMNS`, in the order of the runs."""
    rows = np.concatenate([run.history for run in runs])
    table = pd.DataFrame(rows, columns=HISTORY_COLUMNS)
    return table.astype({"seed": int, "epoch": int})


def runs_table(runs: list[Run], absent: Collection[str] = ()) -> pd.DataFrame:
    """Return one row per run by `RUN_COLUMNS`: measures at its last epoch, and what it cost.

    The seed of every source that varies is in a column of its own. The measures in `absent` are
    NaN, see `without_value`. `epochs` is the last epoch kept. `val_ce_creep` is the last validation
    cross-entropy minus the smallest of all evaluated epochs, `generalisation_loss` the same in
    percent of the smallest (Prechelt 1998). All measures of a diverged run are NaN.
    """
    rows = []
    for run in runs:
        row = {"l2": float(run.l2), "seed": run.seed, "status": run.record["status"]}
        row |= {f"seed_{source}": seed for source, seed in run.record["sources"].items()}
        row |= {"epochs": int(run.history[-1, _EPOCH]) if len(run.history) else None}
        row |= run.record["cost"] | {"seconds_measures": run.measured.get("seconds", 0.0)}
        if run.record["status"] == "completed":
            row |= _measures(run) | dict.fromkeys(absent, math.nan)
        rows.append(row)
    types = dict.fromkeys(["epochs", *_SEEDS], "Int64")
    types |= dict.fromkeys([*RUN_MEASURES, *COSTS], float)
    return pd.DataFrame(rows, columns=RUN_COLUMNS).astype(types)


def _measures(run: Run) -> dict[str, float]:
    last = dict(zip(HISTORY_COLUMNS, run.history[-1].tolist(), strict=True))
    val_ce = run.history[:, HISTORY_COLUMNS.index("val_ce")]
    lowest = int(val_ce.argmin())
    val_ce_min = float(val_ce[lowest])
    creep = last["val_ce"] - val_ce_min
    return {
        **{name: last[name] for name in _OF_HISTORY},
        "val_ce_min": val_ce_min,
        "val_ce_min_epoch": int(run.history[lowest, _EPOCH]),
        "val_ce_creep": creep,
        "generalisation_loss": 100 * creep / val_ce_min if val_ce_min > 0 else math.nan,
        **{f"gap_{kind}": last[a] - last[b] for kind, (a, b) in GAPS.items()},
        **{name: run.measured["measures"][name] for name in _OF_WEIGHTS},
    }


def independent(table: pd.DataFrame, config: dict) -> pd.DataFrame:
    """Return the rows of runs that share no level of a source, by a canonical configuration."""
    return table[table["seed"].isin(independent_seeds(config))].reset_index(drop=True)


def diverged_seeds(runs: pd.DataFrame, *lambdas: float) -> str:
    """Return the seeds whose run diverged at any of `lambdas`, as "3 7"; empty if none did."""
    lost = runs.loc[runs["l2"].isin(lambdas) & (runs["status"] == "diverged"), "seed"]
    return " ".join(str(seed) for seed in sorted(set(lost)))


def gap_table(
    histories: pd.DataFrame,
    runs: pd.DataFrame,
    epochs: Sequence[int],
    confidence: float,
    absent: Collection[str] = (),
    images: Images = NO_IMAGES,
) -> pd.DataFrame:
    """Return mean and variance of every gap over the completed runs, by `GAP_COLUMNS`.

    One row per lambda, epoch of `epochs` and kind of gap, without those of the measures in
    `absent`; at epoch 0 none for the kinds that need a running mean. `epochs` are those evaluated,
    ascending. The runs are the same at every epoch, so a curve has no survivors' bias. A lambda
    whose runs have all diverged has its rows, with n = 0.

    At the last epoch, a gap that is a mean over `images` has a second row, whose interval of the
    mean is for other images too; what is said of the variance over seeds stands in the first alone.
    Beside it, `variance_images` is what drawing the images of one run again would give.
    """
    completed = runs.loc[runs["status"] == "completed", ["l2", "seed"]]
    kept = histories.merge(completed, on=["l2", "seed"])
    cells = dict(tuple(kept.groupby("l2")))
    rows = []
    for l2 in sorted(set(runs["l2"])):
        seeds = completed.loc[completed["l2"] == l2, "seed"].tolist()
        n, lost = len(seeds), diverged_seeds(runs, l2)
        for kind, (first, second) in GAPS.items():
            if f"gap_{kind}" in absent:
                continue
            shape = (n, len(epochs))
            gaps = (cells[l2][first] - cells[l2][second]).to_numpy() if n else np.empty(0)
            for epoch, values in zip(epochs, gaps.reshape(shape).T, strict=True):
                if epoch == 0 and first in EMPTY_AT_START:
                    continue
                mean = statistics.mean_interval(values, confidence)
                variance = statistics.variance_interval(values, confidence)
                row = {"l2": l2, "epoch": epoch, "gap": kind, "n": n, "mean": mean.value}
                row |= {"diverged_seeds": lost}
                of_seeds = {
                    "variance": variance.value,
                    "sd": math.sqrt(variance.value),
                    "mean_low": mean.low,
                    "mean_high": mean.high,
                    "variance_low": variance.low,
                    "variance_high": variance.high,
                    "scope": SEEDS,
                }
                rows.append(row | of_seeds)
                if epoch != epochs[-1]:
                    continue
                rows[-1]["variance_images"] = images.variance(f"gap_{kind}", l2, seeds)
                if wide := images.mean(f"gap_{kind}", pd.Series(values, seeds), l2):
                    ends = wide.interval(confidence)
                    wide_row = {"mean_low": ends.low, "mean_high": ends.high}
                    rows.append(row | wide_row | {"scope": SEEDS_AND_IMAGES})
    table = pd.DataFrame(rows, columns=GAP_COLUMNS)
    return table.sort_values(["l2", "epoch"], kind="stable", ignore_index=True)


def means_table(
    runs: pd.DataFrame,
    measures: Iterable[str],
    confidence: float,
    images: Images = NO_IMAGES,
) -> pd.DataFrame:
    """Return mean and interval of `measures` over the completed runs, by `MEAN_COLUMNS`.

    One row per lambda and measure, and a second one for other images where the measure is a mean
    over `images`. A lambda whose runs have all diverged has its rows, with n = 0.
    """
    measures = list(measures)
    rows = []
    for l2, cell in runs.groupby("l2"):
        completed, lost = cell[cell["status"] == "completed"], diverged_seeds(runs, l2)
        completed = completed.set_index("seed")
        for measure in measures:
            mean = statistics.mean_interval(completed[measure], confidence)
            rows.append((l2, measure, mean.n, mean.value, mean.low, mean.high, lost, SEEDS))
            if wide := images.mean(measure, completed[measure], l2):
                ends = (mean.value, *wide.interval(confidence)[1:3])
                rows.append((l2, measure, mean.n, *ends, lost, SEEDS_AND_IMAGES))
    return pd.DataFrame(rows, columns=MEAN_COLUMNS)


def by_lambda(runs: pd.DataFrame) -> dict[float, pd.DataFrame]:
    """Return the runs of every lambda, indexed by seed."""
    return {l2: cell.set_index("seed") for l2, cell in runs.groupby("l2")}


def paired_values(
    cells: dict[float, pd.DataFrame], measure: str, l2: float, reference: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return `measure` at `l2` and at `reference` seed by seed, from `by_lambda`."""
    first, second = cells[l2][measure].align(cells[reference][measure])
    return first.to_numpy(float), second.to_numpy(float)


def paired_differences(
    cells: dict[float, pd.DataFrame], measure: str, l2: float, reference: float
) -> pd.Series:
    """Return `measure` at `l2` minus at `reference`, by the seeds that have both."""
    first, second = cells[l2][measure].align(cells[reference][measure])
    both = np.isfinite(first.to_numpy(float)) & np.isfinite(second.to_numpy(float))
    return pd.Series(statistics.differences(first, second), first.index[both])


def contrasts_table(
    runs: pd.DataFrame,
    reference: float,
    confidence: float,
    absent: Collection[str] = (),
    images: Images = NO_IMAGES,
) -> pd.DataFrame:
    """Return every lambda against the reference, paired by seed, by `CONTRAST_COLUMNS`.

    One row per lambda and measure of `CONTRAST_MEASURES` but those in `absent`; the difference is
    the value at the lambda minus that at the reference. No rows if the study does not have the
    reference. A measure that is a mean over `images` has a second row per lambda, for other images
    too. It has the mean, the interval and the p-values of t-tests; the other columns are of seeds
    alone.

    `p_holm` is `p_t` adjusted over the lambdas of a measure in a scope, `p_variance_holm` is
    `p_variance`. `probability_improvement` is the share of seeds that are better at the lambda,
    ties one half; NaN for a measure without a better side, see `LOWER_IS_BETTER`. `correlation` is
    that of the pairs: pairing makes the interval narrower where it is above 0. `p_equivalent` is
    that of two one-sided tests that the difference is within `margin` (NaN for a measure without
    one). `low`, `high` and `p_equivalent` are not adjusted.
    """
    cells = by_lambda(runs)
    if reference not in cells:
        return pd.DataFrame(columns=CONTRAST_COLUMNS)
    lambdas = [l2 for l2 in cells if l2 != reference]
    lost = {l2: diverged_seeds(runs, l2, reference) for l2 in lambdas}
    measures = [measure for measure in CONTRAST_MEASURES if measure not in absent]
    pairs = {case: paired_values(cells, *case, reference) for case in product(measures, lambdas)}
    flips, swaps = (
        dict(zip(pairs, statistics.sign_flips(starmap(of_pair, pairs.values())), strict=True))
        for of_pair in (statistics.differences, statistics.products)
    )
    rows = []
    for measure in measures:
        families = {SEEDS: [], SEEDS_AND_IMAGES: []}
        for l2 in lambdas:
            by_seed = paired_differences(cells, measure, l2, reference)
            difference = by_seed.to_numpy()
            mean = statistics.mean_interval(difference, confidence)
            row = {
                "l2": l2,
                "reference_l2": reference,
                "measure": measure,
                "n": mean.n,
                "mean_difference": mean.value,
                "diverged_seeds": lost[l2],
            }
            families[SEEDS].append(
                row
                | {
                    "low": mean.low,
                    "high": mean.high,
                    "p_t": statistics.paired_t(difference),
                    "p_sign_flip": flips[measure, l2],
                    "d_z": statistics.cohen_d_z(difference),
                    "probability_improvement": _improvement(measure, difference),
                    "p_variance": swaps[measure, l2],
                    "correlation": statistics.correlation(*pairs[measure, l2]),
                    **equivalence(measure, difference),
                }
            )
            if wide := images.mean(measure, by_seed, l2, reference):
                ends = wide.interval(confidence)
                families[SEEDS_AND_IMAGES].append(
                    row
                    | {"low": ends.low, "high": ends.high, "p_t": wide.p_value()}
                    | equivalence(measure, wide)
                )
        for scope, family in families.items():
            for p, adjusted in (("p_t", "p_holm"), ("p_variance", "p_variance_holm")):
                values = statistics.holm([row.get(p, math.nan) for row in family])
                for row, value in zip(family, values, strict=True):
                    row |= {adjusted: value, "scope": scope}
            rows += family
    return pd.DataFrame(rows, columns=CONTRAST_COLUMNS)


def _improvement(measure: str, difference: np.ndarray) -> float:
    better = MEASURES[measure].better
    if better is None:
        return math.nan
    return statistics.probability_improvement(difference, higher_is_better=better == "higher")


def equivalence(measure: str, difference: np.ndarray | Mean) -> dict[str, float]:
    """Return the margin of a measure, and the p-value that a difference is not within it.

    The difference is given seed by seed or, for other images too, as a mean with its error.
    """
    margin = MEASURES[measure].margin
    margin = math.nan if margin is None else margin
    if isinstance(difference, Mean):
        return {"margin": margin, "p_equivalent": difference.equivalence(margin)}
    return {"margin": margin, "p_equivalent": statistics.equivalence(difference, margin)}


def histogram_table(runs: list[Run]) -> pd.DataFrame:
    """Return the histogram of the final weights of every completed run, by `HISTOGRAM_COLUMNS`."""
    rows = []
    for run in runs:
        histogram = run.measured.get("weight_histogram", {"edges": [], "counts": []})
        bins = pairwise(histogram["edges"])
        rows += [
            (float(run.l2), run.seed, low, high, count)
            for (low, high), count in zip(bins, histogram["counts"], strict=True)
        ]
    return pd.DataFrame(rows, columns=HISTOGRAM_COLUMNS)


def regularised_kernels(runs: list[Run]) -> list[tuple[int, int]] | None:
    """Return the shapes of the kernels that carry the regulariser, or None if no run says."""
    for run in runs:
        if kernels := run.record.get("regularised_kernels"):
            return [tuple(shape) for shape in kernels]
    return None
