"""From the files of the runs to the tables of the study; `statistics` computes, this arranges.

Losses (`train_loss`, `val_loss`, `train_loss_running`) contain the penalty, which grows with lambda
by definition, and `penalty` is nothing else: none of them is compared between lambdas. The tables
of comparisons have cross-entropies, accuracies, gaps, norms and the end-of-run measures instead.

Every mean, interval and comparison is of completed runs, and the table names the seeds left out.
schemas/tables.yaml says what the columns are.
"""

import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd

from l2study.core.columns import ALL_COLUMNS, EMPTY_AT_START, HISTORY_COLUMNS
from l2study.core.design import Setup
from l2study.core.measures import GAPS, MEASURES, OPTIONAL, RUN_MEASURES, names
from l2study.core.runs import Run
from l2study.core.scope_rows import SEEDS, SEEDS_AND_IMAGES
from l2study.core.seeds import SOURCES
from l2study.tables import statistics
from l2study.tables.image_intervals import NO_IMAGES, Images
from l2study.tables.statistics import Mean

COMPARED = [name for name, measure in MEASURES.items() if measure.compared]
"""The measures by which lambdas are compared."""

_EPOCH = HISTORY_COLUMNS.index("epoch")
_OF_HISTORY, _OF_WEIGHTS = names("history"), names("weights")


def without_value(setup: Setup) -> set[str]:
    """Return the measures that the configuration of a set-up leaves without a value.

    The exchangeable gap has one only if chance alone says which images of the training file are
    validation. The last images of a file may be easier or harder than the others; and if only the
    training labels are noisy, training accuracy is lower, whatever was learned. With an L1 in the
    loss, how far that is from cross-entropy plus the penalty of L2 is no error.
    """
    by_chance = setup.config["validation"]["split"] == "stratified"
    noisy = "label_noise" in setup.config["dataset"]
    absent = {
        "gap_exchangeable": noisy or not by_chance,
        "penalty_error": "l1" in setup.config["model"],
    }
    return {measure for measure, is_absent in absent.items() if is_absent}


def absent_measures(setup: Setup, runs: pd.DataFrame) -> set[str]:
    """Return the measures that no run of a set-up has, which its tables have no rows of.

    Those are the ones of `without_value`, and those that its model cannot have. What only the
    choice of epochs leaves without a value has rows, as for any other model.
    """
    own = "build" in setup.config["model"]
    of_weights = [
        name
        for name in names("weights", "derived")
        if name in _OF_WEIGHTS or name.startswith(("accuracy_lost_", "penalty_start_ratio"))
    ]
    perhaps = [*OPTIONAL, *(of_weights if own else ())]
    there = completed(runs).reindex(columns=perhaps)
    return without_value(setup) | set(there.columns[there.isna().all()])


def histories_table(runs: list[Run]) -> pd.DataFrame:
    """Return all rows of all runs; NaN in the columns that a run does not have."""
    width = len(ALL_COLUMNS)
    padded = [
        np.pad(run.history, ((0, 0), (0, width - run.history.shape[1])), constant_values=math.nan)
        for run in runs
    ]
    table = pd.DataFrame(np.concatenate(padded), columns=ALL_COLUMNS)
    return table.astype({"seed": int, "epoch": int})


def runs_table(runs: list[Run]) -> pd.DataFrame:
    """Return one row per run: what it cost, and measures at its last epoch unless it diverged."""
    rows = []
    for run in runs:
        row = {"l2": float(run.l2), "seed": run.seed, "status": run.record["status"]}
        row |= {f"seed_{source}": seed for source, seed in run.record["sources"].items()}
        row |= {"epochs": int(run.history[-1, _EPOCH]) if len(run.history) else None}
        row |= run.record["cost"] | {"seconds_measures": run.measured.get("seconds", 0.0)}
        if run.record["status"] == "completed":
            row |= _measures(run)
        rows.append(row)
    sources = [f"seed_{source}" for source in SOURCES]
    first = ["l2", "seed", *sources, "status", "epochs", *RUN_MEASURES]
    table = pd.DataFrame(rows)
    table = table.reindex(columns=[*first, *table.columns.difference(first, sort=False)])
    types = dict.fromkeys(["epochs", *sources], "Int64") | dict.fromkeys(RUN_MEASURES, float)
    return table.astype(types)


def _measures(run: Run) -> dict[str, float]:
    last = dict.fromkeys(ALL_COLUMNS, math.nan)
    last |= zip(ALL_COLUMNS, run.history[-1].tolist(), strict=False)
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


def independent(table: pd.DataFrame, setup: Setup) -> pd.DataFrame:
    """Return the rows of runs that share no level of a source: all, but in a crossed design."""
    return table[table["seed"].isin(setup.independent_seeds)].reset_index(drop=True)


def diverged_seeds(runs: pd.DataFrame, *lambdas: float) -> str:
    """Return the seeds whose run diverged at any of `lambdas`, as "3 7"; empty if none did."""
    lost = runs.loc[runs["status"] == "diverged", ["l2", "seed"]]
    seeds = {seed for l2, seed in zip(lost["l2"], lost["seed"], strict=True) if l2 in lambdas}
    return " ".join(map(str, sorted(seeds)))


def arranged(
    runs: pd.DataFrame, measures: Sequence[str], lambdas: Sequence[float], seeds: Sequence[int]
) -> np.ndarray:
    """Return measures as an array, shape (measures, lambdas, seeds); NaN for a run not there."""
    index = pd.MultiIndex.from_product([lambdas, seeds], names=["l2", "seed"])
    table = runs.set_index(["l2", "seed"])[list(measures)].reindex(index)
    return table.to_numpy(float).T.reshape(len(measures), len(lambdas), len(seeds))


def levels(runs: pd.DataFrame) -> tuple[list[float], list[int]]:
    """Return the lambdas and the seeds of runs, ascending."""
    return sorted(set(runs["l2"])), sorted(set(runs["seed"]))


def completed(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of completed runs."""
    return runs[runs["status"] == "completed"]


def of_completed(histories: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the histories of completed runs."""
    return histories.merge(completed(runs)[["l2", "seed"]], on=["l2", "seed"])


def _rows(**levels: Sequence) -> pd.DataFrame:
    """Return a table with a row for every combination of levels, the first changing slowest."""
    return pd.MultiIndex.from_product(levels.values(), names=levels).to_frame(index=False)


def _in_order(tables: Iterable[pd.DataFrame], keys: Sequence[str], of: Sequence) -> pd.DataFrame:
    """Return tables as one, sorted by `keys`; what `of` lists is in the order of `of`."""
    rank = {name: number for number, name in enumerate(of)}
    return pd.concat(tables).sort_values(
        list(keys), kind="stable", ignore_index=True, key=lambda c: c.map(lambda v: rank.get(v, v))
    )


def measure_of(row: dict) -> str:
    """Return the measure that a row of the tables gap, means or contrasts is about."""
    return row["measure"] if "measure" in row else f"gap_{row['gap']}"


def _for_images(
    rows: pd.DataFrame, values: np.ndarray, seeds: Sequence[int], images: Images
) -> Iterator[tuple[dict, Mean]]:
    """Yield the rows that are means over images, each with its mean for other images too.

    `values` has the shape (..., seeds), and as many of these as there are rows.
    """
    values = values.reshape(len(rows), len(seeds))
    for row, of_seeds in zip(rows.to_dict("records"), values, strict=True):
        places = row["l2"], row.get("reference_l2")
        if mean := images.mean(measure_of(row), pd.Series(of_seeds, seeds), *places):
            yield row | {"scope": SEEDS_AND_IMAGES}, mean


def gap_table(
    histories: pd.DataFrame,
    runs: pd.DataFrame,
    epochs: Sequence[int],
    confidence: float,
    absent: Collection[str] = (),
    images: Images = NO_IMAGES,
) -> pd.DataFrame:
    """Return mean and variance of every gap over the completed runs, after each of `epochs`.

    These are all that are evaluated, ascending. The runs are the same at every epoch, so a curve
    has no survivors' bias. A lambda whose runs have all diverged has its rows, with n = 0. The
    measures in `absent` have none.
    """
    kinds = [kind for kind in GAPS if f"gap_{kind}" not in absent]
    kept = of_completed(histories, runs).groupby("l2")
    kept = {l2: cell.sort_values(["epoch", "seed"]) for l2, cell in kept}
    tables = []
    for l2 in levels(runs)[0]:
        cell = kept.get(l2, histories[:0])
        seeds = sorted(set(cell["seed"]))
        gaps = [cell[first] - cell[second] for first, second in map(GAPS.get, kinds)]
        values = np.reshape(gaps, (len(kinds), len(epochs), len(seeds))).swapaxes(0, 1)
        mean = statistics.mean_interval(values, confidence)
        variance = statistics.variance_interval(values, confidence)
        table = _rows(l2=[l2], epoch=epochs, gap=kinds).assign(
            n=len(seeds),
            mean=mean.value.ravel(),
            variance=variance.value.ravel(),
            sd=np.sqrt(variance.value).ravel(),
            mean_low=mean.low.ravel(),
            mean_high=mean.high.ravel(),
            variance_low=variance.low.ravel(),
            variance_high=variance.high.ravel(),
            diverged_seeds=diverged_seeds(runs, l2),
            scope=SEEDS,
            variance_images=math.nan,
        )
        at_end = table.index[-len(kinds) :]
        table.loc[at_end, "variance_images"] = [
            images.variance(f"gap_{kind}", l2, seeds) for kind in kinds
        ]
        shared = table.loc[at_end, ["l2", "epoch", "gap", "n", "mean", "diverged_seeds"]]
        wide = []
        for row, mean in _for_images(shared, values[-1], seeds, images):
            ends = mean.interval(confidence)
            wide.append(row | {"mean_low": ends.low, "mean_high": ends.high})
        empty = [kind for kind in kinds if GAPS[kind][0] in EMPTY_AT_START]
        tables.append(table[(table["epoch"] > 0) | ~table["gap"].isin(empty)])
        tables.append(pd.DataFrame(wide, columns=table.columns).astype(table.dtypes))
    return _in_order(tables, ["l2", "epoch", "gap", "scope"], kinds)


def means_table(
    runs: pd.DataFrame,
    measures: Iterable[str],
    confidence: float,
    images: Images = NO_IMAGES,
) -> pd.DataFrame:
    """Return mean and interval of `measures` over the completed runs.

    A lambda whose runs have all diverged has its rows, with n = 0.
    """
    measures, (lambdas, seeds) = list(measures), levels(runs)
    values = arranged(completed(runs), measures, lambdas, seeds)
    mean = statistics.mean_interval(values, confidence)
    table = _rows(measure=measures, l2=lambdas).assign(
        n=mean.n.ravel(), mean=mean.value.ravel(), low=mean.low.ravel(), high=mean.high.ravel()
    )
    table["diverged_seeds"] = table["l2"].map({l2: diverged_seeds(runs, l2) for l2 in lambdas})
    wide = []
    for row, mean in _for_images(table, values, seeds, images):
        ends = mean.interval(confidence)
        wide.append(row | {"low": ends.low, "high": ends.high})
    tables = [table.assign(scope=SEEDS), pd.DataFrame(wide)]
    return _in_order(tables, ["l2", "measure", "scope"], measures)


def contrasts_table(
    runs: pd.DataFrame,
    reference: float,
    confidence: float,
    absent: Collection[str] = (),
    images: Images = NO_IMAGES,
) -> pd.DataFrame:
    """Return every lambda against the reference, paired by seed, in the measures of `COMPARED`.

    Where the reference has no completed run, the smallest lambda that has one takes its place. The
    measures in `absent` have no rows.
    """
    lambdas, seeds = levels(runs)
    left = sorted(set(completed(runs)["l2"])) or [reference]
    reference = reference if reference in left else left[0]
    others = [l2 for l2 in lambdas if l2 != reference]
    measures = [measure for measure in COMPARED if measure not in absent]
    if reference not in lambdas or not others:
        return pd.DataFrame(columns=["l2", "reference_l2", "measure", "scope"])
    values = arranged(runs, measures, others, seeds)
    base = np.broadcast_to(arranged(runs, measures, [reference], seeds), values.shape)
    difference = statistics.differences(values, base)
    mean = statistics.mean_of(difference)
    ends = mean.interval(confidence)
    table = _rows(measure=measures, l2=others).assign(reference_l2=reference)
    known = [MEASURES[measure] for measure in measures]
    margin = np.array([one.margin for one in known], float)[:, None]
    up = np.array([-one.sign if one.better else math.nan for one in known])[:, None, None]
    found = {
        "n": mean.n,
        "mean_difference": mean.value,
        "low": ends.low,
        "high": ends.high,
        "p_t": mean.p_value(),
        "p_sign_flip": statistics.sign_flip(difference),
        "d_z": statistics.cohen_d_z(difference),
        "probability_improvement": statistics.probability_improvement(up * difference),
        "p_variance": statistics.equal_variances(values, base),
        "correlation": statistics.correlation(values, base),
        "margin": np.broadcast_to(margin, mean.n.shape),
        "p_equivalent": mean.equivalence(margin),
    }
    table = table.assign(**{name: numbers.ravel() for name, numbers in found.items()})
    lost = {l2: diverged_seeds(runs, l2, reference) for l2 in others}
    table = table.assign(diverged_seeds=table["l2"].map(lost), scope=SEEDS)
    wide = []
    shared = ["measure", "l2", "reference_l2", "n", "mean_difference", "margin", "diverged_seeds"]
    for row, mean in _for_images(table[shared], difference, seeds, images):
        ends = mean.interval(confidence)
        tests = {"p_t": mean.p_value(), "p_equivalent": mean.equivalence(row["margin"])}
        wide.append(row | {"low": ends.low, "high": ends.high} | tests)
    table = _in_order([table, pd.DataFrame(wide)], ["measure", "scope", "l2"], measures)
    families = table.groupby(["measure", "scope"])
    for p, adjusted in (("p_t", "p_holm"), ("p_variance", "p_variance_holm")):
        table[adjusted] = families[p].transform(statistics.holm)
    return table


def by_lambda(runs: pd.DataFrame) -> dict[float, pd.DataFrame]:
    """Return the runs of every lambda, indexed by seed."""
    return {l2: cell.set_index("seed") for l2, cell in runs.groupby("l2")}


def paired_differences(
    cells: dict[float, pd.DataFrame], measure: str, l2: float, reference: float
) -> pd.Series:
    """Return `measure` at `l2` minus at `reference`, by the seeds that have both."""
    first, second = cells[l2][measure].align(cells[reference][measure])
    difference = statistics.differences(first.to_numpy(float), second.to_numpy(float))
    return pd.Series(difference, first.index).dropna()


def histogram_table(runs: list[Run]) -> pd.DataFrame:
    """Return the histogram of the final weights of every completed run."""
    rows = []
    for run in runs:
        histogram = run.measured.get("weight_histogram", {"edges": [], "counts": []})
        bins = pairwise(histogram["edges"])
        rows += [
            (float(run.l2), run.seed, low, high, count)
            for (low, high), count in zip(bins, histogram["counts"], strict=True)
        ]
    return pd.DataFrame(rows, columns=["l2", "seed", "low", "high", "count"])


def regularised_kernels(runs: list[Run]) -> list[tuple[int, int]] | None:
    """Return the shapes of the kernels that carry the regulariser; None if no run says, and for a
    model of the user's own, whose weights begin as its layers say."""
    for run in runs:
        if "build" in run.record["config"]["model"]:
            return None
        if kernels := run.record.get("regularised_kernels"):
            return [tuple(shape) for shape in kernels]
    return None
