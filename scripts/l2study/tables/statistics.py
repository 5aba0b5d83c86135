"""Statistics over the seeds of a study: pure functions of arrays; scipy computes.

Conventions. Values that are not a number are left out (in pairs: the pair is). A quantity that the
data at hand do not have is NaN, never an error: an interval of one value, a p-value of no pair.
Intervals are two-sided at `confidence`, and p-values are two-sided unless said otherwise.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
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


class MeanTests(NamedTuple):
    """Of every column of a table the mean, its interval, and the p-value that it is 0."""

    n: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    p: np.ndarray


def finite(values: Sequence[float]) -> np.ndarray:
    """Return the finite ones of `values` as a float array."""
    values = np.asarray(values, float)
    return values[np.isfinite(values)]


def paired(first: Sequence[float], second: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Return both arrays at the places where both are finite.

    Raises:
        ValueError: they are not of one length.
    """
    first, second = np.asarray(first, float), np.asarray(second, float)
    if first.shape != second.shape:
        raise ValueError(f"pairs need two arrays of one length, not {first.size} and {second.size}")
    both = np.isfinite(first) & np.isfinite(second)
    return first[both], second[both]


def differences(first: Sequence[float], second: Sequence[float]) -> np.ndarray:
    """Return first - second over the complete pairs, with mere rounding set to 0."""
    first, second = paired(first, second)
    difference = first - second
    scale = np.maximum(1.0, np.maximum(np.abs(first), np.abs(second)))
    return np.where(np.abs(difference) <= ROUNDING * scale, 0.0, difference)


def mean_interval(values: Sequence[float], confidence: float) -> Estimate:
    """Return the mean with Student's t interval, mean -+ t(n-1) * sd / sqrt(n).

    One value has no interval. Values that are all alike have one of no width.
    """
    values = finite(values)
    n = values.size
    if n == 0:
        return Estimate()
    # the mean of equal numbers is not always that number in floating point
    mean = float(values[0]) if np.ptp(values) == 0 else float(values.mean())
    if n == 1:
        return Estimate(mean, n=1)
    half = student(confidence, n - 1) * standard_error(values)
    return Estimate(mean, mean - half, mean + half, n)


@lru_cache(maxsize=1024)
def student(confidence: float, df: float) -> float:
    """Return how many standard errors an interval of Student's t with `df` degrees of freedom has
    on either side.
    """
    return float(stats.t.ppf((1 + confidence) / 2, df))


def standard_error(values: Sequence[float]) -> float:
    """Return the standard error of the mean, sd / sqrt(n) with ddof 1; NaN below two values."""
    values = finite(values)
    if values.size < 2:
        return math.nan
    return 0.0 if np.ptp(values) == 0 else float(values.std(ddof=1)) / math.sqrt(values.size)


def variance_interval(values: Sequence[float], confidence: float) -> Estimate:
    """Return the variance (ddof 1) with Bonett's interval, which does not suppose normal values.

    exp(ln(c s^2) -+ z c se) with c = n / (n - z), se^2 = (g4 - (n-3)/n) / (n-1) and the kurtosis
    g4 = n sum((x - m)^4) / sum((x - mean)^2)^2 about the mean m that is trimmed at each end by the
    share 1 / (2 sqrt(n - 4)) (Bonett 2006, Computational Statistics and Data Analysis 50, 775-782).

    Simulated coverage at 95 % for normal, t(5), Laplace and gamma(4) values, and for normal counts
    with a standard deviation of 10, as right answers to 10,000 images are. The jackknife is that of
    the logarithm with Student's t (Miller 1968), the bootstrap-t that of the logarithm with 999
    samples. The tests repeat some of it:

        n   Bonett               chi-square           jackknife            bootstrap-t
        5   .99 .98 .98 .99 .99  .94 .90 .88 .91 .95  .96 .95 .93 .94 .96  .94 .95 .94 .93 .95
        7   .97 .96 .95 .97 .97  .94 .90 .86 .92 .95  .95 .92 .92 .94 .95  .93 .93 .93 .94 .94
        10  .96 .94 .92 .95 .96  .96 .88 .84 .90 .96  .95 .92 .90 .93 .95  .94 .92 .91 .93 .94
        30  .94 .92 .91 .93 .94  .95 .83 .82 .88 .95  .94 .91 .92 .92 .95  .94 .92 .93 .92 .94

    Bonett's is kept: with 7 and 10 values it has the largest coverage where values are not normal,
    and with 30 all but chi-square do alike. With 5 it is too wide, by a quarter more than the
    jackknife's from end to end. The bootstrap-t is wider still, and has to draw. For uniform values
    Bonett's covers 1.00, .97 and .95 with 5, 10 and 30.

    Up to four values there is no share to trim, and Bonett's interval is useless (with three, one
    end of the standard deviation is 1000 times the other). There, and where n is not above 2 z, it
    is the chi-square interval (n-1) s^2 / chi2((1 +- c)/2), which supposes normal values (coverage
    with three .95 .93 .91 .98 .93, with four .95 .92 .89 .99 .93). Below two values there is
    neither; values that are all alike have variance 0, from 0 to 0.
    """
    values = finite(values)
    n = values.size
    if n < 2:
        return Estimate(n=n)
    if np.ptp(values) == 0:
        return Estimate(0.0, 0.0, 0.0, n)
    variance = float(values.var(ddof=1))
    z = float(special.ndtri((1 + confidence) / 2))
    if n <= max(4, 2 * z):
        upper, lower = stats.chi2.ppf([(1 + confidence) / 2, (1 - confidence) / 2], n - 1)
        return Estimate(variance, (n - 1) * variance / upper, (n - 1) * variance / lower, n)
    # not scipy's trim_mean: it makes the whole interval take ten times as long
    cut = int(n / (2 * math.sqrt(n - 4)))
    centre = np.sort(values)[cut : n - cut].mean()
    kurtosis = n * np.sum((values - centre) ** 4) / np.sum((values - values.mean()) ** 2) ** 2
    c = n / (n - z)
    half = z * c * math.sqrt((kurtosis - (n - 3) / n) / (n - 1))
    return Estimate(variance, c * variance * math.exp(-half), c * variance * math.exp(half), n)


def share_interval(count: int, n: int, confidence: float) -> Estimate:
    """Return the share `count` of `n` with Wilson's interval (Wilson 1927, JASA 22, 209-212).

    It is never empty, also where the share is 0 or 1. NaN for none of none.
    """
    if n == 0:
        return Estimate()
    ends = stats.binomtest(count, n).proportion_ci(confidence, method="wilson")
    return Estimate(count / n, float(ends.low), float(ends.high), n)


def paired_t(difference: Sequence[float]) -> float:
    """Return the two-sided p-value of the t-test that paired differences have mean 0.

    NaN below two differences. Without spread it takes the limit: 1 if all are 0, else 0.
    """
    difference = finite(difference)
    if difference.size < 2:
        return math.nan
    if np.ptp(difference) == 0:
        return 1.0 if difference[0] == 0 else 0.0
    return float(stats.ttest_1samp(difference, 0.0).pvalue)


def mean_tests(values: np.ndarray, confidence: float) -> MeanTests:
    """Return what `mean_interval` and `paired_t` say of every column of `values`, at once.

    Args:
        values: shape (seeds, columns); paired differences, or NaN where there is none.
        confidence: of the intervals.
    """
    values = np.where(np.isfinite(values), values, math.nan)
    there = np.isfinite(values)
    n = there.sum(axis=0)
    least = np.min(values, axis=0, where=there, initial=math.inf)
    alike = (least == np.max(values, axis=0, where=there, initial=-math.inf)) & (n > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.where(alike, least, np.sum(values, axis=0, where=there) / n)
        squares = np.sum((values - mean) ** 2, axis=0, where=there)
        error = np.where(n > 1, np.sqrt(squares / (n - 1) / n), math.nan)
        half = stats.t.ppf((1 + confidence) / 2, n - 1) * error
        # without spread this is 0 / 0 or a number / 0, for which the limits are 1 and 0
        p = np.where(alike & (mean == 0), 1.0, 2 * stats.t.sf(np.abs(mean / error), n - 1))
    return MeanTests(n, mean, mean - half, mean + half, np.where(n > 1, p, math.nan))


def equivalence(difference: Sequence[float], margin: float) -> float:
    """Return the p-value that the mean of paired differences is not within -margin to margin.

    Two one-sided t-tests, of a mean above -margin and of one below margin; the larger p-value
    (Schuirmann 1987). NaN below two differences and without a margin. Without spread it takes the
    limit: 0 if the mean is within, else 1.
    """
    difference = finite(difference)
    if difference.size < 2 or math.isnan(margin):
        return math.nan
    if np.ptp(difference) == 0:
        return 0.0 if abs(difference[0]) < margin else 1.0
    above = stats.ttest_1samp(difference, -margin, alternative="greater").pvalue
    below = stats.ttest_1samp(difference, margin, alternative="less").pvalue
    return float(max(above, below))


def sign_flip(difference: Sequence[float]) -> float:
    """Return the two-sided p-value of the sign-flip (paired permutation) test of mean 0.

    The share of sign assignments whose mean is at least as far from 0 as the observed one: of all
    2^n up to `EXACT_UP_TO` differences, so at least 2 / 2^n, and beyond that of `RANDOM_FLIPS`
    drawn with a fixed seed, as (b + 1) / (m + 1) (Phipson and Smyth 2010). NaN for no difference.
    """
    return sign_flips([difference])[0]


def sign_flips(differences: Iterable[Sequence[float]]) -> list[float]:
    """Return `sign_flip` of each of `differences`; drawing signs once for all is faster."""
    differences = [finite(difference) for difference in differences]
    found = [math.nan] * len(differences)
    for n in {difference.size for difference in differences} - {0}:
        places = [place for place, values in enumerate(differences) if values.size == n]
        columns = [differences[place] for place in places]
        least = [abs(values.sum()) - 1e-10 * np.abs(values).sum() for values in columns]
        table = np.stack(columns, axis=1)
        as_far = sum((np.abs(signs @ table) >= least).sum(axis=0) for signs in _signs(n))
        exact = n <= EXACT_UP_TO
        for place, count in zip(places, as_far.tolist(), strict=True):
            found[place] = count / 2 ** (n - 1) if exact else (count + 1) / (RANDOM_FLIPS + 1)
    return found


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


def holm(p_values: Sequence[float]) -> np.ndarray:
    """Return Holm's adjusted p-values; missing ones stay missing and do not count as tests.

    The i-th smallest of m is multiplied by m - i + 1, at least as large as the one before, at most
    1 (Holm 1979).
    """
    # not statsmodels' multipletests: it collects all garbage at every call, 0.1 s per measure
    p_values = np.asarray(p_values, float)
    adjusted = np.full(p_values.shape, math.nan)
    order = np.argsort(p_values)[: np.isfinite(p_values).sum()]
    factors = np.arange(order.size, 0, -1)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(factors * p_values[order]))
    return adjusted


def cohen_d_z(difference: Sequence[float]) -> float:
    """Return the mean of paired differences over their standard deviation (ddof 1).

    NaN below two differences and where they have no spread.
    """
    difference = finite(difference)
    if difference.size < 2 or np.ptp(difference) == 0:
        return math.nan
    return float(difference.mean() / difference.std(ddof=1))


def correlation(first: Sequence[float], second: Sequence[float]) -> float:
    """Return Pearson's correlation of pairs; NaN below three, and where one side has no spread."""
    first, second = paired(first, second)
    if first.size < 3 or min(np.ptp(first), np.ptp(second)) <= ROUNDING:
        return math.nan
    return float(np.corrcoef(first, second)[0, 1])


def probability_improvement(difference: Sequence[float], *, higher_is_better: bool) -> float:
    """Return the share of paired differences that are improvements; a difference of 0 counts half.

    An improvement is above 0 if higher is better, else below. NaN without a difference.
    """
    difference = finite(difference)
    if difference.size == 0:
        return math.nan
    better = difference > 0 if higher_is_better else difference < 0
    return float((better.sum() + 0.5 * (difference == 0).sum()) / difference.size)


def equal_variances(first: Sequence[float], second: Sequence[float]) -> float:
    """Return the two-sided p-value of an exchange test that paired values have equal variances.

    With both sides centred, the sum over pairs of (a + b)(a - b) is the difference of their sums
    of squares: the covariance of sums and differences, by which Pitman (1939) and Morgan (1939)
    compare variances. To swap the two members of a pair changes the sign of its product, so the
    p-value is that of `sign_flip`, of all swaps or of random ones. It supposes that the members of
    a pair can be exchanged, and not that they are normal. Simulated level at 5 % with 10 pairs
    that share a part: normal .060, t(5) .060, Laplace .057, where the p-value by Pitman and
    Morgan's t distribution has .049, .087 and .096; a test repeats this. NaN below three pairs, and
    where sums or differences have no spread.
    """
    return sign_flip(products(first, second))


def products(first: Sequence[float], second: Sequence[float]) -> np.ndarray:
    """Return the products of pairs whose `sign_flip` is `equal_variances`; none where it is NaN."""
    first, second = paired(first, second)
    total, difference = first + second, differences(first, second)
    if first.size < 3 or min(np.ptp(total), np.ptp(difference)) <= ROUNDING:
        return np.empty(0)
    return (total - total.mean()) * (difference - difference.mean())


def rise_after_minimum(curves: np.ndarray, width: int = SMOOTHING) -> np.ndarray:
    """Return for every seed how far its curve ends above where it was lowest, shape (seeds,).

    The curves are smoothed by means of `width` neighbours. The place of the minimum is taken from
    the mean curve of other seeds: of every second seed for the ones between, and the other way
    round. Of equal minima it is the latest.

    The minimum of a noisy curve lies below its last value even where nothing rises. The noise of
    other seeds is independent, so here the expectation is at most 0 for a curve that never rises.
    Halves and not all other seeds: then the values within a half are independent given the place,
    as Student's interval supposes. Simulated share of studies of 10 seeds whose 95 % interval of
    the mean is above 0 though the curve is flat: .04 with halves after 20 epochs and .03 after 50,
    .06 and .08 with all others.

    Args:
        curves: shape (seeds, epochs), of one lambda, finite.
        width: epochs in a mean.

    Returns:
        NaN for fewer than two seeds, and for curves that are shorter than `width`.
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
