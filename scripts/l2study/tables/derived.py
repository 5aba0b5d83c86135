"""Measures that follow from the histories and the other measures of a run: no training needed.

They are the last columns of runs.csv. schemas/measures.yaml says what each is.
"""

import math
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from l2study.core.columns import ALL_COLUMNS
from l2study.core.measures import GAPS, names
from l2study.tables import statistics
from l2study.tables.build import of_completed

DERIVED_MEASURES = names("derived")
EPOCH_MEASURES = [*names("history", "gap"), "gap_lag_split"]
"""What `measured_at` an epoch knows."""
EPOCH_OF = {"first_running_loss": 1}
"""The epoch of a measure that is always of the same one. Epoch 0, which every run has, aside."""


def expected_square_norm(kernels: Iterable[tuple[int, int]]) -> float:
    """Return the expected sum of squares of Glorot-uniform kernels of these shapes.

    A weight of an (m, n) kernel is uniform within sqrt(6 / (m + n)), so its square is 2 / (m + n)
    on average (Glorot and Bengio 2010). A kernel of (784, 128) has 220.07.
    """
    return sum(2 * m * n / (m + n) for m, n in kernels)


def with_derived(
    histories: pd.DataFrame, runs: pd.DataFrame, kernels: Sequence[tuple[int, int]] | None
) -> pd.DataFrame:
    """Return `runs` with `DERIVED_MEASURES` as further columns.

    A diverged run has none of them but `penalty_error`, which needs no last epoch. Without the
    shapes of the regularised `kernels`, `penalty_start_ratio` is NaN.
    """
    table, by_run = runs.set_index(["l2", "seed"]), histories.set_index(["l2", "seed"])
    squares = by_run.index.get_level_values("l2") * by_run["weight_norm"] ** 2
    errors = pd.concat(
        [
            (by_run[loss] - by_run[ce] - squares).abs() / by_run[loss].clip(lower=1)
            for loss, ce in (("train_loss", "train_ce"), ("val_loss", "val_ce"))
        ],
        axis=1,
    ).max(axis=1)
    start, first = (by_run[by_run["epoch"] == epoch] for epoch in (0, 1))
    expected = expected_square_norm(kernels) if kernels else math.nan
    l2 = table.index.get_level_values("l2").to_numpy()
    table["penalty_error"] = errors.groupby(level=["l2", "seed"]).max()
    table["start_loss"] = start["train_loss"]
    table["start_penalty"] = start["penalty"]
    table["first_running_loss"] = first["train_loss_running"]
    with np.errstate(divide="ignore", invalid="ignore"):
        table["penalty_start_ratio"] = table["start_penalty"] / (l2 * expected)
    trained = of_completed(histories[histories["epoch"] > 0], runs)
    for column in ("val_ce", "val_loss"):
        table[f"{column}_rise"] = _rise(trained, column)
    table["creep_hidden"] = table["val_ce_rise"] - table["val_loss_rise"]
    for name in DERIVED_MEASURES:
        if name.startswith("accuracy_lost_"):
            noisy = name.replace("accuracy_lost", "test_accuracy_noise")
            table[name] = table["test_accuracy"] - table[noisy]
    best = by_run.set_index("epoch", append=True)
    places = pd.MultiIndex.from_frame(
        table.reset_index()[["l2", "seed", "val_ce_min_epoch"]].fillna(-1), names=best.index.names
    )
    for name in ("test_accuracy", "test_ce"):
        table[f"{name}_best"] = best[name].reindex(places).to_numpy()
    table["gap_lag_split"] = table["gap_lag"] + table["gap_split"]
    others = [name for name in DERIVED_MEASURES if name != "penalty_error"]
    table.loc[table["status"] != "completed", others] = math.nan
    return table.reset_index()


def _rise(histories: pd.DataFrame, column: str) -> pd.Series:
    """Return the rise of `column` after its minimum, by (l2, seed)."""
    rises = [pd.Series(dtype=float)]
    for l2, cell in histories.groupby("l2"):
        curves = cell.pivot(index="seed", columns="epoch", values=column)
        rise = statistics.rise_after_minimum(curves.to_numpy())
        rises.append(pd.Series(rise, pd.MultiIndex.from_product([[l2], curves.index])))
    return pd.concat(rises)


def measured_at(epoch: int, histories: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Return a row per run with `EPOCH_MEASURES` after `epoch`; NaN for a diverged run.

    A gap that has no value in `runs`, which has that of the last epoch, has none here either.
    """
    kept = of_completed(histories[histories["epoch"] == epoch], runs)
    kept = kept.reindex(columns=kept.columns.union(ALL_COLUMNS, sort=False))
    kept = kept.assign(**{f"gap_{kind}": kept[a] - kept[b] for kind, (a, b) in GAPS.items()})
    kept = kept.assign(gap_lag_split=kept["gap_lag"] + kept["gap_split"])
    table = runs[["l2", "seed"]].merge(kept, on=["l2", "seed"], how="left")
    gaps = [f"gap_{kind}" for kind in GAPS]
    table[gaps] = table[gaps].where(runs[gaps].notna().to_numpy())
    return table
