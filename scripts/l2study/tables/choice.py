"""Which lambda to choose, and how stable that choice is.

Conventions are those of `statistics`.
"""

import math
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from l2study.core.scope_rows import SEEDS, SEEDS_AND_IMAGES
from l2study.tables import statistics
from l2study.tables.build import by_lambda, diverged_seeds
from l2study.tables.image_intervals import NO_IMAGES, Images

RESAMPLES = 999
"""Bootstrap samples of seeds."""


def one_standard_error(
    l2: Sequence[float], mean: np.ndarray, error: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the places of the best lambda and of the one-standard-error lambda.

    The best has the smallest mean (the larger lambda of a tie); the other is the largest lambda
    whose mean is within the best's standard error of it (Hastie et al. 2009, section 7.10).

    Args:
        l2: the lambdas, shape (lambdas,).
        mean: what is to be small, shape (..., lambdas).
        error: the standard error of each mean.

    Returns:
        Two arrays of shape (...).

    Raises:
        ValueError: no mean of a choice is finite.
    """
    falling = np.argsort(np.asarray(l2, float))[::-1]  # the first of several is then the larger one
    mean, error = (np.asarray(values, float)[..., falling] for values in (mean, error))
    if not np.isfinite(mean).any(axis=-1).all():
        raise ValueError("no lambda has a finite mean")
    best = np.nanargmin(mean, axis=-1)
    own = best[..., None]
    within = np.take_along_axis(mean, own, -1) + np.nan_to_num(np.take_along_axis(error, own, -1))
    return falling[best], falling[(mean <= within).argmax(axis=-1)]


def resampled_choice(
    l2: Sequence[float], runs: Iterable[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the lambdas that `one_standard_error` picks in bootstrap samples of the seeds.

    The samples are the same seeds for every lambda, and the same at every call (Efron 1979). Where
    `runs` come in samples of the images, these are drawn again as well: the pigeonhole bootstrap
    (Owen 2007, Annals of Applied Statistics 1, 386-411).

    Args:
        l2: the lambdas, shape (lambdas,).
        runs: what is to be small, of every lambda: shape (seeds,), or (RESAMPLES, seeds) in samples
            of the images. Finite, at least two seeds.

    Returns:
        The best lambda of every sample and the one-standard-error lambda, of shape (RESAMPLES,).
    """
    draw, means, errors = np.random.default_rng(0), [], []
    for of_lambda in runs:
        n = of_lambda.shape[-1]
        if not means:
            counts = draw.multinomial(n, np.full(n, 1 / n), size=RESAMPLES)
        mean = np.sum(counts * of_lambda, axis=1, keepdims=True) / n
        variance = np.sum(counts * (of_lambda - mean) ** 2, axis=1) / (n - 1)
        means.append(mean[:, 0])
        errors.append(np.sqrt(variance / n))
    places = one_standard_error(l2, np.transpose(means), np.transpose(errors))
    best, simplest = (np.asarray(l2, float)[place] for place in places)
    return best, simplest


def chosen_lambda(choice: pd.DataFrame) -> float:
    """Return the lambda that validation chooses, from `choice_table`; NaN if it chooses none."""
    return float(choice.loc[choice["rule"] == "best", "l2"].iloc[0])


def choice_table(
    runs: pd.DataFrame, reference: float, confidence: float, images: Images = NO_IMAGES
) -> pd.DataFrame:
    """Return the choice of lambda by validation cross-entropy.

    Rows `best`, `one_standard_error` and `reference`; the interval is that of the mean test
    accuracy, which decides nothing. A lambda at which a run diverged is not chosen: its mean
    over all seeds is not finite, and the survivors' mean would flatter it. Without a lambda to
    choose, or without the reference, the row has no values.

    `share` is the share of bootstrap samples of the seeds in which the rule picks this lambda, and
    `l2_low` to `l2_high` is the percentile interval of the picked lambda. The reference is not
    picked and has none, nor have fewer than two seeds.

    With `images`, a rule that has a lambda has a second row. It picks the same lambda, but interval
    and samples are for other images too. Where the validation images differ between seeds, they are
    drawn again with the seeds.
    """
    rows, wider = {}, {}
    for l2, cell in by_lambda(runs).items():
        accuracy = statistics.mean_interval(cell["test_accuracy"], confidence)
        ce = statistics.mean_of(cell["val_ce"])
        rows[l2] = {"l2": l2, "val_ce_mean": ce.value, "val_ce_se": ce.error, "n": accuracy.n}
        rows[l2] |= {
            "test_accuracy_mean": accuracy.value,
            "diverged_seeds": diverged_seeds(runs, l2),
        }
        rows[l2] |= {"low": accuracy.low, "high": accuracy.high}
        if wide := images.mean("test_accuracy", cell["test_accuracy"], l2):
            ends = wide.interval(confidence)
            wider[l2] = {"low": ends.low, "high": ends.high}
    nothing = {"l2": math.nan, "n": 0, "diverged_seeds": ""}
    eligible = [row for row in rows.values() if not row["diverged_seeds"]]
    best = simplest = nothing
    if eligible:
        places = one_standard_error(
            *([row[name] for row in eligible] for name in ("l2", "val_ce_mean", "val_ce_se"))
        )
        best, simplest = (eligible[place] for place in places)
    lambdas = [row["l2"] for row in eligible]
    again = {SEEDS: _chosen_again(runs, lambdas)}
    if wider:
        again[SEEDS_AND_IMAGES] = _chosen_again(runs, lambdas, images)
    found, table = (best, simplest, rows.get(reference, nothing)), []
    for place, rule in enumerate(("best", "one_standard_error", "reference")):
        row = found[place]
        for scope, ends in ((SEEDS, {}), (SEEDS_AND_IMAGES, wider.get(row["l2"]))):
            if ends is not None:
                picked = np.empty(0) if rule == "reference" else again[scope][place]
                stability = _stability(row["l2"], picked, confidence)
                table.append({"rule": rule, "scope": scope} | row | ends | stability)
    return pd.DataFrame(table)


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
    lambdas = table.columns.to_numpy(float)
    of_images = images.resampled(lambdas, table.index.tolist(), RESAMPLES)
    return resampled_choice(lambdas, table.to_numpy(float).T if of_images is None else of_images)


def _stability(l2: float, again: np.ndarray, confidence: float) -> dict[str, float]:
    if not again.size:
        return {"share": math.nan, "l2_low": math.nan, "l2_high": math.nan}
    ends = [(1 - confidence) / 2, (1 + confidence) / 2]
    # an end of the interval is a lambda of the study, nothing between two of them
    low, high = np.quantile(again, ends, method="inverted_cdf").tolist()
    return {"share": float(np.mean(again == l2)), "l2_low": low, "l2_high": high}
