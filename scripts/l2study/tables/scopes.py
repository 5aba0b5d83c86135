"""Means over seeds and images: intervals for other seeds and for other images, at once.

Every seed predicts the same images, so seeds and images are crossed. What is estimated is the mean
over seeds of

    y_s = a_s + sum over parts k of c_k * (mean over the images i of x_ksi),

where a part is an independent sample of images (the test images, the validation images), and a_s
holds all that is not a mean over such images. The generalisation gap has the training accuracy as
a_s, and the test images with c = -1. The images that were trained on stay fixed: other training
images would be another training. A difference between two lambdas is formed image by image first.

Values that are not a number are left out, with the predictions of that seed. What the data do not
have is NaN, as in `statistics`.
"""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from l2study.tables import decisions, statistics
from l2study.tables.statistics import Estimate


class Part(NamedTuple):
    """What a sample of images adds to the value of a run."""

    coefficient: float
    table: np.ndarray
    """Of every seed and image, shape (seeds, images); the same images in the same order."""


class Mean(NamedTuple):
    """A mean over seeds, its standard error, and the degrees of freedom of that.

    `of_seeds` is the standard error for other seeds alone, which has `n` - 1 degrees of freedom.
    With very few seeds, these are so few that the interval for seeds alone would be the wider one.
    Then it is taken for both: what holds for more cannot be surer.
    """

    value: float = math.nan
    error: float = math.nan
    df: float = math.nan
    n: int = 0
    of_seeds: float = 0.0

    @property
    def _errors(self) -> list[tuple[float, float]]:
        """Both standard errors, each with its degrees of freedom."""
        return [(self.error, self.df), (self.of_seeds, max(self.n - 1, 1))]

    def interval(self, confidence: float) -> Estimate:
        """Return the two-sided interval value -+ t(df) * error; NaN for a single seed."""
        half = max(_half(error, df, confidence) for error, df in self._errors)
        return Estimate(self.value, self.value - half, self.value + half, self.n)

    def p_value(self) -> float:
        """Return the two-sided p-value that the mean is 0.

        NaN for a single seed. Without any spread it takes the limit: 1 if the mean is 0, else 0.
        """
        if self.error == 0:
            return float(self.value == 0)
        return max(2 * _tail(abs(self.value), error, df) for error, df in self._errors)

    def equivalence(self, margin: float) -> float:
        """Return the p-value that the mean is not within -margin to margin.

        The larger one of two one-sided tests (Schuirmann 1987). NaN for a single seed and without
        a margin. Without any spread it takes the limit: 0 if the mean is within, else 1.
        """
        if self.error == 0:
            return math.nan if math.isnan(margin) else float(abs(self.value) >= margin)
        return max(_tail(margin - abs(self.value), error, df) for error, df in self._errors)


def _half(error: float, df: float, confidence: float) -> float:
    return 0.0 if error == 0 else error * statistics.student(confidence, df)


def _tail(distance: float, error: float, df: float) -> float:
    """Return the chance that t is above a distance in standard errors; 0 without an error."""
    return 0.0 if error == 0 else float(stats.t.sf(distance / error, df))


class Spread(NamedTuple):
    """How a table of seeds and images is spread; NaN where it has too few of them.

    `image` and `rest` are the mean squares of the two-way table, `within` is the mean over seeds of
    the variance over images.
    """

    images: int
    image: float
    rest: float
    within: float


def crossed_mean(
    values: Sequence[float], parts: Sequence[Part] = (), correction: float = 0.0
) -> Mean:
    """Return the mean over seeds with its standard error for other seeds and other images.

    With S seeds, and N images in a part, the variance of the mean is

        s_y^2 / S + sum over parts of c^2 * max(0, MS_image - MS_rest) / (S N),

    with the variance s_y^2 of `values` (ddof 1) and the mean squares of the two-way table of seeds
    and images. Since s_y^2 already holds the share of the rest, that is s2_seed / S + s2_image / N
    + s2_rest / (S N) with the components by the analysis of variance (Searle, Casella and McCulloch
    1992, section 4.3). Degrees of freedom are by Satterthwaite (1946) over the mean squares used,
    but never fewer than one of these has: a difference of mean squares that are nearly alike would
    give next to none, and an interval without end (Gaylor and Hopper 1969, Technometrics 11,
    691-706). Without parts, this is Student's t as in `statistics.mean_interval`.

    Simulated coverage of a 95 % interval for right and wrong answers of 5,000 images, with the
    proportions of the components that the default study has without L2; in brackets that of
    Student's interval over seeds; the tests repeat this with fewer studies than the 2,000 here:

        an accuracy            5 seeds .945 (.61)    10 seeds .952 (.45)    30 seeds .935 (.26)
        a paired difference    5 seeds .949 (.94)    10 seeds .952 (.90)    30 seeds .945 (.78)

    For normal values it is .942 to .952 with 5 seeds and .943 to .959 with 3, whatever the share of
    the images; with 3 it would be .91 if the interval for seeds alone did not count. Few wrong
    answers lower it, as with any interval of a proportion that is symmetric: with 20 of 1,000
    images it is .93.

    Args:
        values: y_s of every seed, shape (seeds,).
        parts: what is a mean over images. A part of a single image leaves the error unknown.
        correction: validation images over training images where the split varies with the seed,
            else 0. The training sets of two splits overlap, so their results go together, and
            s_y^2 / S is too small. It is multiplied by 1 + S * correction (Nadeau and Bengio 2003).
            Validation images then differ between seeds: they are no part, s_y^2 has their share.
    """
    values, parts = _finite(values, parts)
    return mean_of_spreads(values, [(c, spread_of(table)) for c, table in parts], correction)


def mean_of_spreads(
    values: np.ndarray, parts: Sequence[tuple[float, Spread]], correction: float = 0.0
) -> Mean:
    """Return what `crossed_mean` does, from finite values and coefficient and spread of parts."""
    n = values.size
    if n == 0:
        return Mean()
    value = float(values[0]) if np.ptp(values) == 0 else float(values.mean())
    if n == 1:
        return Mean(value, n=1)
    of_seeds = statistics.standard_error(values) ** 2 * (1 + n * correction)
    variance, spread, least = of_seeds, of_seeds**2 / (n - 1), n - 1
    for coefficient, squares in parts:
        images = squares.images
        if images < 2:
            return Mean(value, n=n)
        share = coefficient**2 / (n * images)
        if squares.image > squares.rest:
            variance += share * (squares.image - squares.rest)
            spread += (share * squares.image) ** 2 / (images - 1)
            spread += (share * squares.rest) ** 2 / ((n - 1) * (images - 1))
            least = min(least, images - 1)
    df = max(variance**2 / spread, least) if spread else math.nan
    return Mean(value, math.sqrt(variance), df, n, math.sqrt(of_seeds))


def wide_interval(
    values: Sequence[float], parts: Sequence[Part], confidence: float, correction: float = 0.0
) -> Estimate:
    """Return the mean with its interval for other seeds and other images, see `crossed_mean`."""
    return crossed_mean(values, parts, correction).interval(confidence)


def variance_of_images(parts: Sequence[tuple[float, Spread]]) -> float:
    """Return the variance that a run's value would have if only its images were drawn again.

    The sum over parts of c^2 * (mean over seeds of the variance over images) / N. The seeds of a
    study share their images, so that their variance may well be below this. NaN without parts, and
    if one has no seed or fewer than two images.

    Args:
        parts: the coefficient c and the spread of every part.
    """
    if not parts or any(part.images < 2 for _, part in parts):
        return math.nan
    return sum(coefficient**2 * part.within / part.images for coefficient, part in parts)


def resampled_choice(
    l2: Sequence[float], tables: Iterable[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the lambdas picked in bootstrap samples of the seeds and of the images.

    As `decisions.resampled_choice`, but the images are drawn again as well, independently of the
    seeds: the pigeonhole bootstrap (Owen 2007, Annals of Applied Statistics 1, 386-411). Seeds and
    images of a sample are the same for every lambda.

    Args:
        l2: the lambdas, shape (lambdas,).
        tables: what is to be small, of every lambda, shape (seeds, images), finite, at least two
            seeds; one at a time is looked at.

    Returns:
        The best lambda of every sample and the one-standard-error lambda, of shape (RESAMPLES,).
    """
    # another stream than that of the seeds, which have to be drawn independently of the images
    draw, counts, means, errors = np.random.default_rng(1), None, [], []
    for table in tables:
        seeds, images = table.shape
        if counts is None:
            drawn = (draw.integers(0, images, size=images) for _ in range(decisions.RESAMPLES))
            counts = [np.bincount(one, minlength=images) for one in drawn]
            counts = np.stack(counts, dtype=float)
            again = decisions.resamples(seeds)
        runs = counts @ np.asarray(table, float).T / images
        mean = (again * runs).sum(axis=1) / seeds
        squares = (again * (runs - mean[:, None]) ** 2).sum(axis=1)
        means.append(mean)
        errors.append(np.sqrt(squares / (seeds - 1) / seeds))
    best, simplest = decisions.one_standard_error(l2, np.transpose(means), np.transpose(errors))
    return np.asarray(l2, float)[best], np.asarray(l2, float)[simplest]


def _finite(values: Sequence[float], parts: Sequence[Part]) -> tuple[np.ndarray, list[Part]]:
    """Return values and parts without the seeds whose value is not finite.

    Raises:
        ValueError: a part has not as many seeds as there are values.
    """
    values = np.asarray(values, float)
    kept = np.isfinite(values)
    tables = [np.asarray(part.table, float) for part in parts]
    for table in tables:
        if len(table) != values.size:
            raise ValueError(f"{values.size} values, but predictions of {len(table)} seeds")
    if not kept.all():
        tables = [table[kept] for table in tables]
    return values[kept], [
        Part(part.coefficient, table) for part, table in zip(parts, tables, strict=True)
    ]


def spread_of(table: np.ndarray) -> Spread:
    """Return how a table of seeds and images is spread, shape (seeds, images)."""
    table = np.asarray(table, float)
    seeds, images = table.shape
    if seeds < 1 or images < 2:
        return Spread(images, math.nan, math.nan, math.nan)
    within = float(table.var(axis=1, ddof=1).mean())
    if seeds < 2:
        return Spread(images, math.nan, math.nan, within)
    of_images = table.mean(axis=0)
    rest = table - of_images
    rest -= rest.mean(axis=1, keepdims=True)
    image = seeds * float(of_images.var(ddof=1))
    left = float(np.vdot(rest, rest)) / ((seeds - 1) * (images - 1))
    return Spread(images, image, left, within)
