"""Statistics over the seeds of a study: pure functions of arrays; scipy computes.

Conventions. Arrays have shape (..., seeds), and every function reduces the last axis. Values that
are not finite are left out (in pairs: the pair is). A quantity that the data do not have is NaN,
never an error: an interval of one value, a p-value of no pair. Intervals are two-sided at
`confidence`, and p-values are two-sided unless said otherwise.
"""

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import special, stats

EXACT_UP_TO = 16
"""Largest number of pairs whose sign flips are all enumerated."""
RANDOM_FLIPS = 19_999
_FLIPS_AT_A_TIME = 2**20
SMOOTHING = 3
"""Neighbouring epochs in a mean by which a rise is judged."""
ROUNDING = 1e-12
"""Differences below this, relative to the values (or to 1), are rounding and count as 0."""


class Estimate(NamedTuple):
    """A value with its interval, and the number of runs or pairs it rests on."""

    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    n: int = 0


class Mean(NamedTuple):
    """Means of `n` values, with the standard error and its degrees of freedom.

    A mean may have further errors, each with its degrees of freedom: intervals and p-values are
    then the largest that any of them gives.
    """

    value: ArrayLike
    n: ArrayLike
    error: ArrayLike
    df: ArrayLike
    further: tuple[tuple[float, float], ...] = ()

    def interval(self, confidence: float) -> Estimate:
        """Return the mean with Student's t interval, mean -+ t(df) * error."""
        errors = [(self.error, self.df), *self.further]
        halves = [np.where(e == 0, 0.0, student(confidence, df) * e) for e, df in errors]
        half = np.max(halves, axis=0)
        return Estimate(self.value, self.value - half, self.value + half, self.n)

    def p_value(self) -> ArrayLike:
        """Return the p-value that the mean is 0; without spread 1 if it is, else 0."""
        return np.minimum(2 * self._tail(np.abs(self.value)), 1.0)

    def equivalence(self, margin: ArrayLike) -> ArrayLike:
        """Return the p-value that the mean is not within -margin to margin.

        The larger one of two one-sided t-tests (Schuirmann 1987). NaN without a margin. Without
        spread it is 0 if the mean is within, else 1.
        """
        return self._tail(margin - np.abs(self.value))

    def _tail(self, distance: ArrayLike) -> ArrayLike:
        """Return the chance that t is above a distance; without an error 0 if that is above 0."""
        tails = []
        for error, df in ((self.error, self.df), *self.further):
            with np.errstate(divide="ignore", invalid="ignore"):
                tail = special.stdtr(df, -np.divide(distance, error))
            tails.append(np.where((error == 0) & np.isfinite(distance), distance <= 0, tail))
        return np.max(tails, axis=0)


def finite(values: ArrayLike) -> np.ndarray:
    """Return the finite ones of `values` as a flat float array."""
    values = np.asarray(values, float)
    return values[np.isfinite(values)]


def differences(first: ArrayLike, second: ArrayLike) -> np.ndarray:
    """Return first - second, with mere rounding set to 0; NaN where a pair is not complete."""
    with np.errstate(invalid="ignore"):
        difference = np.asarray(first, float) - np.asarray(second, float)
    scale = np.maximum(1.0, np.maximum(np.abs(first), np.abs(second)))
    difference = np.where(np.abs(difference) <= ROUNDING * scale, 0.0, difference)
    return np.where(np.isfinite(difference), difference, math.nan)


def mean_of(values: ArrayLike) -> Mean:
    """Return the mean with its standard error sd / sqrt(n), which has n - 1 degrees of freedom."""
    n, mean, variance = _moments(values)
    with np.errstate(divide="ignore", invalid="ignore"):
        return Mean(mean, n, np.sqrt(variance) / np.sqrt(n), n - 1)


def mean_interval(values: ArrayLike, confidence: float) -> Estimate:
    """Return the mean with Student's t interval; of no width if all values are alike."""
    return mean_of(values).interval(confidence)


def cohen_d_z(difference: ArrayLike) -> ArrayLike:
    """Return the mean of paired differences over their standard deviation; NaN without spread."""
    _, mean, variance = _moments(difference)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(variance > 0, mean / np.sqrt(variance), math.nan)[()]


def _moments(values: ArrayLike) -> tuple[ArrayLike, ArrayLike, ArrayLike]:
    """Return count, mean and variance (n - 1), exact for values that are all alike."""
    values = np.asarray(values, float)
    there = np.isfinite(values)
    n = there.sum(axis=-1)
    low, high = (
        function(values, axis=-1, where=there, initial=initial)
        for function, initial in ((np.min, math.inf), (np.max, -math.inf))
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.where(low == high, low, np.sum(values, axis=-1, where=there) / n)
        squares = np.sum((values - mean[..., None]) ** 2, axis=-1, where=there)
        variance = np.where(n > 1, squares / (n - 1), math.nan)
    return n, mean[()], variance[()]


def student(confidence: float, df: ArrayLike) -> ArrayLike:
    """Return how many standard errors a t interval has on either side."""
    return special.stdtrit(df, (1 + confidence) / 2)


def variance_interval(values: ArrayLike, confidence: float) -> Estimate:
    """Return the variance (n - 1) with Bonett's interval, which does not suppose normal values.

    exp(ln(c s^2) -+ z c se) with c = n / (n - z), se^2 = (g4 - (n-3)/n) / (n-1) and the kurtosis
    g4 = n sum((x - m)^4) / sum((x - mean)^2)^2 about the mean m that is trimmed at each end by the
    share 1 / (2 sqrt(n - 4)) (Bonett 2006, Computational Statistics and Data Analysis 50, 775-782).
    Up to four values there is no share to trim: there, and where n is not above 2 z, it is the
    chi-square interval (n-1) s^2 / chi2((1 +- c)/2), which supposes normal values.
    benchmarks/coverage.py compares it with others. Here `values` are to be finite.
    """
    values = np.asarray(values, float)
    n = values.shape[-1]
    if n < 2:
        none = np.full(values.shape[:-1], math.nan)[()]
        return Estimate(none, none, none, n)
    variance = _moments(values)[2]
    z = float(special.ndtri((1 + confidence) / 2))
    if n <= max(4, 2 * z):
        upper, lower = stats.chi2.ppf([(1 + confidence) / 2, (1 - confidence) / 2], n - 1)
        return Estimate(variance, (n - 1) * variance / upper, (n - 1) * variance / lower, n)
    centre = stats.trim_mean(values, 1 / (2 * math.sqrt(n - 4)), axis=-1)
    fourths = np.sum((values - np.expand_dims(centre, -1)) ** 4, axis=-1)
    with np.errstate(invalid="ignore"):
        kurtosis = n * fourths / ((n - 1) * variance) ** 2
        c = n / (n - z)
        half = z * c * np.sqrt((kurtosis - (n - 3) / n) / (n - 1))
    ends = (np.where(variance > 0, c * variance * np.exp(s * half), 0.0)[()] for s in (-1, 1))
    return Estimate(variance, *ends, n)


def share_interval(count: int, n: int, confidence: float) -> Estimate:
    """Return the share `count` of `n` with Wilson's interval (Wilson 1927, JASA 22, 209-212), which
    is never empty, also where the share is 0 or 1."""
    if n == 0:
        return Estimate()
    ends = stats.binomtest(count, n).proportion_ci(confidence, method="wilson")
    return Estimate(count / n, float(ends.low), float(ends.high), n)


def sign_flip(difference: ArrayLike) -> ArrayLike:
    """Return the two-sided p-value of the sign-flip (paired permutation) test of mean 0.

    The share of sign assignments whose mean is at least as far from 0 as the observed one: of all
    2^n up to `EXACT_UP_TO` differences, so at least 2 / 2^n, and beyond that of `RANDOM_FLIPS`
    drawn with a fixed seed, as (b + 1) / (m + 1) (Phipson and Smyth 2010). NaN for no difference.
    """
    # not scipy's permutation_test, which draws other signs for every case and keeps all in memory
    difference = np.asarray(difference, float)
    rows = difference.reshape(math.prod(difference.shape[:-1]), difference.shape[-1])
    counts, found = np.isfinite(rows).sum(axis=1), np.full(len(rows), math.nan)
    for n in set(counts.tolist()) - {0}:
        table = finite(rows[counts == n]).reshape(-1, n)
        # sums that differ by rounding alone are as far
        least = np.abs(table.sum(axis=1)) - 1e-10 * np.abs(table).sum(axis=1)
        as_far = sum((np.abs(signs @ table.T) >= least).sum(axis=0) for signs in _signs(n))
        exact = n <= EXACT_UP_TO
        found[counts == n] = as_far / 2 ** (n - 1) if exact else (as_far + 1) / (RANDOM_FLIPS + 1)
    return found.reshape(difference.shape[:-1])[()]


def _signs(n: int) -> Iterator[np.ndarray]:
    """Yield the sign assignments of `n` differences in parts, shape (assignments, n)."""
    if n <= EXACT_UP_TO:
        yield _all_signs(n)
        return
    draw, rows = np.random.default_rng(0), max(_FLIPS_AT_A_TIME // n, 1)
    for start in range(0, RANDOM_FLIPS, rows):
        flips = draw.integers(0, 2, size=(min(rows, RANDOM_FLIPS - start), n))
        yield 2.0 * flips - 1.0


@lru_cache(maxsize=4)
def _all_signs(n: int) -> np.ndarray:
    # flipping every sign gives the same distance from 0: half the assignments are enough
    return 2.0 * ((np.arange(2 ** (n - 1))[:, None] >> np.arange(n)) & 1) - 1.0


def equal_variances(first: ArrayLike, second: ArrayLike) -> ArrayLike:
    """Return the two-sided p-value of an exchange test that paired values have equal variances.

    With both sides centred, the sum over pairs of (a + b)(a - b) is the difference of their sums
    of squares: the covariance of sums and differences, by which Pitman (1939) and Morgan (1939)
    compare variances. To swap the two members of a pair changes the sign of its product, so the
    p-value is that of `sign_flip`. It supposes that the members of a pair can be exchanged, and not
    that they are normal. NaN below three pairs, and where sums or differences have no spread.
    """
    difference = differences(first, second)
    total = np.where(np.isfinite(difference), np.add(first, second), math.nan)
    products = 1.0
    for side in (total, difference):
        n, mean, _ = _moments(side)
        spread = np.where((n > 2) & (_range(side) > ROUNDING), 1.0, math.nan)
        products = products * (side - mean[..., None]) * spread[..., None]
    return sign_flip(products)


def correlation(first: ArrayLike, second: ArrayLike) -> ArrayLike:
    """Return Pearson's correlation of pairs; NaN below three, and where one side has no spread."""
    there = np.isfinite(differences(first, second))
    scores = []
    for side in (first, second):
        side = np.where(there, side, math.nan)
        n, mean, variance = _moments(side)
        sd = np.sqrt(np.where((n > 2) & (_range(side) > ROUNDING), variance, math.nan))
        scores.append((side - mean[..., None]) / sd[..., None])
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.sum(scores[0] * scores[1], axis=-1, where=there) / (n - 1)
    return np.where(n > 2, np.clip(found, -1, 1), math.nan)[()]


def _range(values: np.ndarray) -> np.ndarray:
    """Return the largest less the smallest of the finite values; -inf without any."""
    there = np.isfinite(values)
    return np.max(values, axis=-1, where=there, initial=-math.inf) - np.min(
        values, axis=-1, where=there, initial=math.inf
    )


def probability_improvement(improvement: ArrayLike) -> ArrayLike:
    """Return the share of pairs whose improvement is above 0; one of 0 counts half."""
    return (1 + _moments(np.sign(improvement))[1]) / 2


def holm(p_values: ArrayLike) -> np.ndarray:
    """Return Holm's adjusted p-values (Holm 1979); missing ones do not count as tests."""
    p_values = np.asarray(p_values, float)
    adjusted = np.full(p_values.shape, math.nan)
    order = np.argsort(p_values)[: np.isfinite(p_values).sum()]
    factors = np.arange(order.size, 0, -1)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(factors * p_values[order]))
    return adjusted


def rise_after_minimum(curves: np.ndarray, width: int = SMOOTHING) -> np.ndarray:
    """Return for every seed how far its curve ends above where it was lowest, shape (seeds,).

    The curves are smoothed by means of `width` neighbours. The place of the minimum is taken from
    the mean curve of other seeds, because a noisy curve has a minimum even where nothing rises: of
    every second seed for the ones between, and the other way round. Halves and not all other seeds:
    then the values within a half are independent given the place, as Student's interval supposes.
    Of equal minima it is the latest.

    `curves` are of one lambda, finite, shape (seeds, epochs). NaN for fewer than two seeds, and for
    curves that are shorter than `width`.
    """
    curves = np.asarray(curves, float)
    seeds, epochs = curves.shape
    if seeds < 2 or epochs < width:
        return np.full(seeds, math.nan)
    means = np.lib.stride_tricks.sliding_window_view(curves, width, axis=1).mean(axis=2)
    rise = np.empty(seeds)
    side = np.arange(seeds) % 2
    for half in (0, 1):
        curve = means[side != half].mean(axis=0)
        lowest = curve.min()
        place = np.flatnonzero(curve <= lowest + ROUNDING * max(1.0, abs(lowest)))[-1]
        rise[side == half] = means[side == half, -1] - means[side == half, place]
    return rise
