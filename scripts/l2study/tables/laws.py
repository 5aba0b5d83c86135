"""Published laws of L2 and of seeds, as numbers: what they are where a law holds, each says.

The ledger reports/claims/laws.yaml judges them.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from l2study.core.design import Setup
from l2study.core.measures import MEASURES
from l2study.tables import statistics
from l2study.tables.image_intervals import Images, spread_of, wide_mean
from l2study.tables.statistics import Estimate

ADAPTIVE = ("adadelta", "adam", "adamax", "nadam", "rmsprop")
"""Optimisers that divide a gradient by its own size. A penalty alone then moves a weight by about
the learning rate in each step, however small lambda is."""

LEAST_EVALUATED = 10
"""With fewer evaluated epochs after the first step, those are too far apart to tell when the best
was."""

LEAST_BALANCE = 0.05
"""Where less than this should be left of the balance, the biases decide what is left: nothing
shrinks them."""


def with_laws(
    histories: pd.DataFrame, runs: pd.DataFrame, setup: Setup, training_rows: int | None
) -> pd.DataFrame:
    """Return `runs` with the measures of laws as further columns.

    All are NaN where optimiser, regulariser or model are not those that the law is about. Those of
    weights compare a run with that of the same seed at lambda 0, and are NaN there.

    `never_lit_decay`: only the penalty acts on the weights of inputs that are 0 in all training
    images. SGD with L2, whose penalty is lambda |w|^2, and decoupled decay with any optimiser
    multiply them by 1 - 2 rate lambda in each step.

    `never_lit_left`: an adaptive optimiser with L2 pulls them to zero instead, at every lambda.

    `balance_decay`: gradient flow keeps the squared norm of what goes into ReLU units less that of
    what goes out of them (Du, Hu and Lee 2018, NeurIPS). With L2 on both it falls as
    exp(-4 rate lambda steps) under SGD (Kobayashi, Akram and von Oswald 2024, NeurIPS). It is known
    only where at least `LEAST_BALANCE` should be left.

    `training_rows` is how many rows a run is trained on, None if that is not known.
    """
    table = runs.set_index(["l2", "seed"])
    l2 = table.index.get_level_values("l2").to_numpy(float)
    seeds = table.index.get_level_values("seed")
    model, rate, steps = setup.config["model"], setup.rate, setup.steps(training_rows)
    decoupled = model.get("regularizer") == "decoupled"

    def left(values: pd.Series) -> np.ndarray:
        """Return the share of the value at lambda 0 that is left; NaN at lambda 0."""
        at_0 = values[l2 == 0].droplevel("l2").reindex(seeds).to_numpy(float)
        return np.where(l2 > 0, values.to_numpy(float) / at_0, math.nan)

    with np.errstate(divide="ignore", invalid="ignore"):
        never_lit = left(table["weight_norm_never_lit"])
        decay = np.log(never_lit) / (steps * np.log1p(-2 * rate * l2))
        out = table["output_kernel_norm"]
        share = left((table["norm_product"] / out) ** 2 - out**2)
        expected = -4 * rate * l2 * steps
        balance = np.where(expected > math.log(LEAST_BALANCE), np.log(share) / expected, math.nan)
    plain_sgd = _optimizer(setup) == "sgd"
    highest = histories.sort_values(["val_accuracy", "epoch"], ascending=[False, True])
    highest = highest.drop_duplicates(["l2", "seed"]).set_index(["l2", "seed"])["epoch"]
    highest = highest.reindex(table.index).where(table["status"] == "completed")
    timed = histories["epoch"].nunique() > LEAST_EVALUATED and not math.isnan(rate)
    holds_for = {
        "val_accuracy_max_epoch": (highest.to_numpy(float), plain_sgd and timed),
        "never_lit_decay": (decay, plain_sgd or decoupled),
        "never_lit_left": (never_lit, _optimizer(setup) in ADAPTIVE and not decoupled),
        "balance_decay": (balance, plain_sgd and not decoupled and _is_balanced(model)),
    }
    for name, (values, applies) in holds_for.items():
        table[name] = np.where(np.isfinite(values), values, math.nan) if applies else math.nan
    return table.reset_index()


def _optimizer(setup: Setup) -> str | None:
    """Return the optimiser of a set-up; None if it has a momentum, or arguments of its own."""
    training = setup.config["training"]
    optimizer = training["optimizer"]
    return optimizer if isinstance(optimizer, str) and not training.get("momentum") else None


def _is_balanced(model: dict) -> bool:
    """Return whether a model is one hidden ReLU layer with L2 before and behind it."""
    hidden = model.get("hidden_units", ())
    return len(hidden) == 1 and model["activation"] == "relu" and model["regularize_output"]


def independent_errors(right: np.ndarray, confidence: float) -> Estimate:
    """Return the variance of accuracy over seeds, over what independent errors would give.

    If every run erred on each image by a chance of the image's own, whatever it does on the others,
    the variance over runs would be the mean over images of p (1 - p), over their number: Jordan
    2024, "On the variance of neural network training with respect to test sets and distributions",
    ICLR. Here p (1 - p) is the unbiased variance over seeds, so the ratio is 1 in the mean under
    the law. Both are means over the lambdas. The interval is Student's of the jackknife over seeds,
    of the logarithm (Miller 1974, Biometrika 61, 1-15); the many images take next to no part in it.

    `right` is 1.0 where a run is right about an image, else 0.0, shape (lambdas, seeds, images).
    """
    n, images = right.shape[1:]
    expected = right.var(axis=1, ddof=1).mean() / images if n > 1 else math.nan
    accuracy = right.mean(axis=2)
    if not expected > 0 or not np.ptp(accuracy, axis=1).any():
        return Estimate(n=n)

    def log_ratio(accuracy: np.ndarray) -> float:
        return math.log(accuracy.var(axis=1, ddof=1).mean() / expected)

    whole = log_ratio(accuracy)
    if n < 3:
        return Estimate(math.exp(whole), n=n)
    without = np.array([log_ratio(np.delete(accuracy, seed, axis=1)) for seed in range(n)])
    found = statistics.mean_interval(n * whole - (n - 1) * without, confidence)
    return Estimate(*(math.exp(end) for end in (whole, found.low, found.high)), n)


def disagreement(
    predicted: np.ndarray, label: np.ndarray, confidence: float, groups: np.ndarray | None = None
) -> Estimate:
    """Return how often two seeds disagree, over how often one errs; both as means over lambdas.

    The two are equal in the mean if the runs together are calibrated (Jiang, Nagarajan, Baek and
    Kolter 2022, "Assessing generalization of SGD via disagreement", ICLR). The interval is that of
    `wide_mean`, for other seeds and images, of the logarithm: of its pseudo-values by the jackknife
    over seeds (Miller 1974, Biometrika 61, 1-15), and linearised over images.

    `predicted` are classes, shape (lambdas, seeds, images), `label` the right ones, shape
    (images,), and `groups` those of `spread_of`.
    """
    n = predicted.shape[1]
    wrong = (predicted != label).mean(axis=0)
    if n < 2 or not wrong.any():
        return Estimate(n=n)
    # of each seed with all others, which leaves out nothing: a seed agrees with itself
    apart = np.stack([(predicted != predicted[:, [s]]).mean(axis=0).sum(axis=0) for s in range(n)])
    value = float(apart.mean() / (n - 1) / wrong.mean())
    if n < 3 or not value:
        return Estimate(value, n=n)
    of_pairs, errors = apart.mean(axis=1), wrong.mean(axis=1)
    without = np.log(of_pairs.sum() - 2 * of_pairs) - np.log(errors.sum() - errors)
    without -= math.log(n - 2)
    of_seeds = n * math.log(value) - (n - 1) * without
    spread = spread_of(apart / apart.mean() - wrong / wrong.mean(), groups)
    found = wide_mean(of_seeds, [(1.0, spread)])
    half = found.interval(confidence).high - found.value
    return Estimate(value, value * math.exp(-half), value * math.exp(half), n)


OVER_IMAGES = ("independent_errors", "disagreement")
"""The laws on which images the runs are right about."""


def over_images(law: str, l2: float | None, images: Images) -> Callable[[float], Estimate]:
    """Return what gives the estimate of a law of `OVER_IMAGES` at a confidence, of test images: of
    the runs at `l2`, or if that is None at all lambdas with predictions, and the seeds in common.
    """
    known = sorted(images.predictions)
    lambdas = sorted({one for one, _ in known if l2 in (one, None)})
    seeds = sorted({seed for _, seed in known if images.known(lambdas, [seed])})
    if not lambdas or not seeds:
        return lambda confidence: Estimate()
    if law == "independent_errors":
        right = np.stack([images.table("test", "right", [one], seeds) for one in lambdas])
        return lambda confidence: independent_errors(right, confidence)
    predicted = np.stack([images.table("test", "predicted", [one], seeds) for one in lambdas])
    label = images.table("test", "label", lambdas[:1], seeds)[0]
    return lambda confidence: disagreement(predicted, label, confidence, images.groups.get("test"))


def slopes(cells: dict[float, pd.DataFrame], measure: str) -> pd.Series:
    """Return, by seed, the slope of the logarithm of a measure over that of lambda, above 0, by
    least squares: of the seeds that have a value above 0 at all of at least two lambdas."""
    table = pd.concat({l2: cell[measure] for l2, cell in cells.items() if l2 > 0}, axis=1)
    table = table[(table > 0).all(axis=1)]
    if table.shape[1] < 2 or table.empty:
        return pd.Series(dtype=float)
    of_seeds = np.polyfit(np.log(table.columns.to_numpy(float)), np.log(table.to_numpy().T), 1)[0]
    return pd.Series(of_seeds, table.index)


class Sized(NamedTuple):
    """The runs of a set-up by lambda, indexed by seed, and on how many rows each was trained."""

    rows: int
    cells: dict[float, pd.DataFrame]


def transfer(sizes: Sequence[Sized], measure: str) -> pd.Series:
    """Return how far the best lambda is above what other sizes of data predict, in decades.

    With AdamW at one learning rate, the best time scale of weight decay, 1 / (rate lambda steps per
    epoch) in epochs, is about the same for any number of training images (Wang and Aitchison 2025,
    "How to set AdamW's weight decay as you scale model and dataset size", ICML, arXiv 2405.13698).
    So with batches of one size, lambda times images stays the same. From the geometric mean of that
    product over the other `sizes` follows the best lambda of the first one. The best lambda is by
    the mean of `measure` over seeds; a size with that at an end of those tried is left out.

    Returned are pseudo-values of the jackknife over the seeds that all sizes have, whose mean and
    Student interval are those of the estimate (Miller 1974, Biometrika 61, 1-15); none for fewer
    than three seeds, and if a best lambda or two to predict it from are not known.
    """
    return _jackknifed(sizes, measure, lambda places: places[0] - places[1:].mean())


def transfer_spread(sizes: Sequence[Sized], measure: str) -> pd.Series:
    """Return by how many decades the best lambda times images differs at most among other sizes,
    from which `transfer` cannot predict if they are far apart. Otherwise as that."""
    return _jackknifed(sizes, measure, lambda places: np.ptp(places[1:]))


OVER_SETUPS = {"transfer": transfer, "transfer_spread": transfer_spread}
"""The laws on set-ups that differ in the number of training rows alone."""


def _jackknifed(
    sizes: Sequence[Sized], measure: str, of_places: Callable[[np.ndarray], float]
) -> pd.Series:
    """Return, by seed, the pseudo-values of a function of log10 of best lambda times images."""
    tables = [pd.DataFrame({l2: cell[measure] for l2, cell in one.cells.items()}) for one in sizes]
    tables = [table.dropna() for table in tables]
    seeds = sorted(set.intersection(*(set(table.index) for table in tables)))
    sign = MEASURES[measure].sign

    def products(seeds: Sequence[int]) -> np.ndarray:
        places = [best_place(sign * table.loc[seeds].mean()) for table in tables]
        return np.array(places) + np.log10([one.rows for one in sizes])

    whole, n = products(seeds), len(seeds)
    inside = np.isfinite(whole)
    if n < 3 or not inside[0] or inside.sum() < 3:
        return pd.Series(dtype=float)
    without = [of_places(products([s for s in seeds if s != left])[inside]) for left in seeds]
    values = n * of_places(whole[inside]) - (n - 1) * pd.Series(without, seeds)
    return values if values.notna().all() else values[:0]


def best_place(means: pd.Series) -> float:
    """Return log10 of the lambda above 0 where a curve is lowest; NaN if that is at an end.

    It is the vertex of the parabola through the lowest mean and its neighbours on both sides.
    """
    means = means[means.index > 0]
    lowest = int(np.argmin(means.to_numpy()))
    if not 0 < lowest < len(means) - 1:
        return math.nan
    near = means.iloc[lowest - 1 : lowest + 2]
    square, linear, _ = np.polyfit(np.log10(near.index.to_numpy(float)), near.to_numpy(), 2)
    return float(-linear / (2 * square))
