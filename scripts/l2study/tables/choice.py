"""Which lambda to choose, how stable that choice is, and how many seeds a question needs.

Conventions are those of `statistics`.
"""

import itertools
import math
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from scipy import stats

from l2study.core.scope_rows import SEEDS, SEEDS_AND_IMAGES
from l2study.tables import statistics
from l2study.tables.build import by_lambda, diverged_seeds, paired_differences
from l2study.tables.image_intervals import NO_IMAGES, Images

RESAMPLES = 999
"""Bootstrap samples of seeds."""

POWER_GAPS = ("reported", "generalisation", "endpoint")
POWER_DIFFERENCES = (0.001, 0.002, 0.005)
POWER = 0.8

_MANY = 10**6
"""As many degrees of freedom are as good as infinitely many."""


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


def t_power(effect: float, df: float, confidence: float) -> float:
    """Return the chance that a t-test finds a true difference above 0, for normal values.

    Two-sided at 1 - confidence: the upper tail of the noncentral t distribution. The lower one, a
    significant difference of the wrong sign, is left out: it adds next to nothing, and scipy has no
    value for it where the effect is large.

    Args:
        effect: the difference in standard errors of its estimate.
        df: the degrees of freedom of that standard error.
        confidence: of the interval that belongs to the test.
    """
    # differences that are equal but for rounding have an effect for which scipy has no value
    return float(stats.nct.sf(statistics.student(confidence, df), df, min(effect, 1e8)))


def seeds_needed(
    sd: float, difference: float, confidence: float, power: float = POWER, floor: float = 0.0
) -> float:
    """Return the smallest number of pairs at which a paired t-test resolves `difference`.

    Two-sided at 1 - confidence, with at least `power`. The variance of a mean of n pairs is
    sd^2 / n + floor, with degrees of freedom by Satterthwaite, as those of `floor` are many.

    Args:
        sd: standard deviation of the differences of pairs.
        difference: the true difference, above 0.
        confidence: of the interval that belongs to the test.
        power: the chance to find the difference.
        floor: the part of the variance that more pairs do not make smaller, that of the images.

    Returns:
        At least 2; infinite if no number is enough; NaN if `sd` is not a number.

    Raises:
        ValueError: `difference` is not positive.
    """
    if not difference > 0:
        raise ValueError(f"difference {difference!r} is not above 0")
    if not math.isfinite(sd) or not math.isfinite(floor):
        return math.nan

    def enough(n: float) -> bool:
        own = sd**2 / n
        variance = own + floor
        if variance == 0:
            return True
        df = (n - 1) * (variance / own) ** 2 if own else math.inf
        return t_power(difference / math.sqrt(variance), min(df, _MANY), confidence) >= power

    if not enough(math.inf):
        return math.inf
    high = 2
    while not enough(high):
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return float(high)


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


def power_table(runs: pd.DataFrame, reference: float, confidence: float) -> pd.DataFrame:
    """Return how many seeds a paired t-test needs to resolve a difference in a gap.

    One row per lambda, kind of `POWER_GAPS` and difference of `POWER_DIFFERENCES` (fractions), at
    power `POWER`, two-sided at 1 - confidence, from the observed spread `sd_difference` of the `n`
    paired differences to the reference. `seeds_low` and `seeds_high` are the seeds needed at the
    ends of Bonett's interval of that spread: a bootstrap over seeds would be too narrow. No rows if
    the study does not have the reference.
    """
    cells = by_lambda(runs)
    lambdas = [l2 for l2 in cells if l2 != reference] if reference in cells else []
    rows = []
    for l2, kind in itertools.product(lambdas, POWER_GAPS):
        values = paired_differences(cells, f"gap_{kind}", l2, reference)
        spread = np.sqrt(statistics.variance_interval(values, confidence)[:3])
        known = {"l2": l2, "gap": kind, "sd_difference": spread[0], "n": len(values)}
        known["diverged_seeds"] = diverged_seeds(runs, l2, reference)
        for difference in POWER_DIFFERENCES:
            needed = (seeds_needed(sd, difference, confidence) for sd in spread)
            seeds = dict(zip(("seeds", "seeds_low", "seeds_high"), needed, strict=True))
            rows.append(known | {"difference": difference} | seeds)
    return pd.DataFrame(rows)
