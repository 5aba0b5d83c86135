"""Validation and test results as curves over lambda, and which lambdas are as good as the best.

Through the means of a study goes a shape-preserving curve (PCHIP, Fritsch and Butland 1984) over
log lambda, with 0 a decade to the left of the smallest other lambda. It is the right one only if it
is right where nothing was trained. So each lambda but the outermost two is left out, and predicted
from the others. The curve of a measure is shown only if these errors are at most `MOST_ERRORS`
standard errors (root mean square), and at least `LEAST_COVERED` of the predictions have the mean
that was left out in their band. Of reference/when-it-helps, cross-entropies and accuracies pass,
and the generalisation gap does not: no gap has a curve.

The band has two parts, added as squares: what seeds and images add, by resampling both, and the
error of the interpolation. That of a straight line between a and b is at most
(x - a)(b - x) max|f''| / 2. Here f'' is taken from second divided differences of the means at a and
b, and the bound is multiplied by `CURVATURE`: a bound that follows from the bend of the data alone
does not hold for any function.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.interpolate import PchipInterpolator

from l2study.core.measures import MEASURES
from l2study.tables import statistics
from l2study.tables.build import completed
from l2study.tables.choice import lowest
from l2study.tables.image_intervals import NO_IMAGES, Images

DOSE_MEASURES = ("val_ce", "val_accuracy", "test_accuracy")
"""What has a curve. The first two choose lambda."""

MARGINS = {"val_ce": 0.01, "val_accuracy": 0.005}
"""How far from the best counts as equally good. Half a point of accuracy is about what validation
images of a usual number tell apart. With 0.01 nats more, the right class has 1 % less probability,
as a geometric mean."""

MOST_ERRORS, LEAST_COVERED = 3.0, 0.93
CURVATURE = 1.5
"""The smallest multiple of 1/4 with which the bands of every measure have 95 % of the means left
out, in every second set-up of reference/when-it-helps. In the other set-ups they have 97 %.
Elsewhere it may be less, 72 % for the CNNs of reference/lenet, so that each curve is checked by
itself. benchmarks/coverage.py has the numbers."""

BETWEEN = 12
"""Points of a curve from a lambda to the next."""
RESAMPLES = 499
LEAST_LAMBDAS = 4
"""With fewer, nothing is left to take a curvature from where one is left out."""


class Points(NamedTuple):
    """The means of a measure, and what they are in bootstrap samples of seeds and images."""

    place: np.ndarray
    """The logarithm of every lambda, ascending, shape (lambdas,); so are the next two."""
    mean: np.ndarray
    error: np.ndarray
    """The standard error over seeds."""
    drawn: np.ndarray
    """The means in the samples, shape (samples, lambdas)."""
    factor: float
    """How many standard deviations of these are the half of an interval."""

    def without(self, one: int) -> "Points":
        """Return the same without a lambda."""
        return Points(*(np.delete(values, one, -1) for values in self[:4]), self.factor)


def places(lambdas: Sequence[float]) -> np.ndarray:
    """Return log10 of ascending lambdas; 0 is a decade to the left of the next one."""
    values = np.array(lambdas, float)
    if len(values) > 1 and values[0] == 0:
        values[0] = values[1] / 10
    return np.log10(values)


def points(
    measure: str, table: pd.DataFrame, confidence: float, images: Images = NO_IMAGES
) -> Points:
    """Return the means of a measure with their bootstrap samples.

    The samples are of the seeds, the same for every lambda, and of the images, or of their groups,
    as well where predictions are known (the pigeonhole bootstrap, Owen 2007, Annals of Applied
    Statistics 1, 386-411). With n seeds the spread of such samples is too small by (n - 1) / n,
    which `factor` makes good. `table` has the values, all finite, with a row for each of at least
    two seeds and a column per lambda.
    """
    values, seeds = table.to_numpy(float), len(table)
    counts = np.random.default_rng(0).multinomial(seeds, [1 / seeds] * seeds, size=RESAMPLES)
    of_images = _of_images(measure, table, images)
    drawn = [
        np.sum(counts * (of_lambda if of_images is None else of_lambda + of_images[rank]), axis=1)
        for rank, of_lambda in enumerate(values.T)
    ]
    factor = statistics.student(confidence, seeds - 1) * math.sqrt(seeds / (seeds - 1))
    error = values.std(axis=0, ddof=1) / math.sqrt(seeds)
    drawn = np.transpose(drawn) / seeds
    return Points(places(table.columns), values.mean(axis=0), error, drawn, float(factor))


def _of_images(measure: str, table: pd.DataFrame, images: Images) -> np.ndarray | None:
    """Return by how much other images change every run, shape (lambdas, samples, seeds)."""
    ((quantity, coefficients),) = MEASURES[measure].images.items()
    ((part, _),) = coefficients.items()
    lambdas, seeds = table.columns.tolist(), table.index.tolist()
    again = images.resampled(part, quantity, lambdas, seeds, RESAMPLES)
    if again is None:
        return None
    own = [images.table(part, quantity, [l2], seeds).mean(axis=1) for l2 in lambdas]
    return again - np.array(own)[:, None]


def interpolated(known: Points, at: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the curve at places, in the bootstrap samples too, and a bound of its own error.

    Shapes (places,), (samples, places) and (places,).
    """
    value = PchipInterpolator(known.place, known.mean)(at)
    drawn = PchipInterpolator(known.place, known.drawn.T)(at).T
    return value, drawn, CURVATURE * _bend(known.place, known.mean, at)


def _bend(place: np.ndarray, mean: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return (x - a)(b - x) max|f''| / 2 at places x between two known ones, a and b."""
    slopes = np.diff(mean) / np.diff(place)
    second = np.abs(2 * np.diff(slopes) / (place[2:] - place[:-2]))
    second = np.concatenate([second[:1], second, second[-1:]])  # an end is as bent as its neighbour
    left = np.clip(np.searchsorted(place, at, side="right") - 1, 0, len(place) - 2)
    worst = np.maximum(second[left], second[left + 1])
    return (at - place[left]) * (place[left + 1] - at) * worst / 2


class Cell(NamedTuple):
    """A lambda that was left out: how far off its prediction is, and by how much it may be."""

    off: float
    half: float
    error: float
    """The standard error over seeds of the mean that was left out."""


def left_out(known: Points) -> list[Cell]:
    """Return what the other lambdas predict for each one but the outermost."""
    cells = []
    for one in range(1, len(known.place) - 1):
        value, drawn, bound = interpolated(known.without(one), known.place[one : one + 1])
        spread = np.std(drawn[:, 0] - known.drawn[:, one])
        half = math.hypot(known.factor * spread, bound[0])
        cells.append(Cell(float(value[0] - known.mean[one]), half, float(known.error[one])))
    return cells


class Check(NamedTuple):
    """How good predictions of lambdas left out are: their number, the root mean square of their
    errors in standard errors, and the share of bands that have what was left out."""

    cells: int
    errors: float
    covered: float

    @property
    def holds(self) -> bool:
        """Whether the curve may be shown."""
        return self.cells > 0 and self.errors <= MOST_ERRORS and self.covered >= LEAST_COVERED


def checked(cells: Sequence[Cell]) -> Check:
    """Return how good predictions are."""
    off, half, error = np.reshape(cells, (-1, 3)).T
    if not len(off):
        return Check(0, math.nan, math.nan)
    squares, noise = float(np.sum(off**2)), float(np.sum(error**2))
    errors = math.sqrt(squares / noise) if noise else math.inf if squares else 0.0
    return Check(len(off), errors, float(np.mean(np.abs(off) <= half)))


def equivalent(known: Points, best: int, sign: int, margin: float) -> tuple[float, float]:
    """Return between which places every lambda is less than `margin` worse than a given one.

    From the given one outward, as far as the upper end of the interval of the difference stays
    below the margin. To stop at the first that does not keeps the chance of one wrong lambda on
    either side within half of what the confidence leaves: of both, the range as a whole holds with
    the confidence of the intervals. The given lambda, of the rank `best`, was chosen on the same
    data, which makes it look better than it is, and the range too narrow.
    """
    at = grid(known.place)
    value, drawn, bound = interpolated(known, at)
    worse = sign * (value - known.mean[best])
    spread = np.std(drawn - known.drawn[:, best : best + 1], axis=0)
    within = worse + np.hypot(known.factor * spread, bound) < margin
    start = int(np.searchsorted(at, known.place[best]))
    low = start - int(np.argmin([*within[:start][::-1], False]))
    high = start + int(np.argmin([*within[start + 1 :], False]))
    return float(at[low]), float(at[high])


def grid(place: np.ndarray) -> np.ndarray:
    """Return the places of a curve: those known, and `BETWEEN` between each two of them."""
    parts = [np.linspace(a, b, BETWEEN + 1, endpoint=False) for a, b in pairwise(place)]
    return np.concatenate([*parts, place[-1:]])


def dose_tables(
    runs: pd.DataFrame, confidence: float, images: Images = NO_IMAGES
) -> dict[str, pd.DataFrame]:
    """Return the tables `dose_response` and `equivalence` of a set-up.

    Both are without lambdas at which a run diverged.
    """
    curves, ranges = [], []
    lost = set(runs.loc[runs["status"] != "completed", "l2"])
    there = completed(runs)[lambda table: ~table["l2"].isin(lost)]
    for measure in DOSE_MEASURES:
        table = there.pivot(index="seed", columns="l2", values=measure).dropna()
        if table.shape[1] < LEAST_LAMBDAS or len(table) < 2:
            continue
        known = points(measure, table, confidence, images)
        check = checked(left_out(known))
        lambdas = table.columns.to_numpy(float)
        row = {"measure": measure, "n": len(table), **check._asdict(), "best_l2": math.nan}
        row |= {"holds": "yes" if check.holds else "no"}
        row["errors"] = check.errors if math.isfinite(check.errors) else math.nan
        if check.holds:
            curves.append(_curve(measure, known, lambdas))
            row |= _range(measure, known, lambdas)
        ranges.append(row)
    return {
        "dose_response": pd.concat(curves) if curves else pd.DataFrame(),
        "equivalence": pd.DataFrame(ranges),
    }


def _curve(measure: str, known: Points, lambdas: np.ndarray) -> pd.DataFrame:
    at = grid(known.place)
    value, drawn, bound = interpolated(known, at)
    half = np.hypot(known.factor * np.std(drawn, axis=0), bound)
    ends = {"value": value, "low": value - half, "high": value + half}
    return pd.DataFrame({"measure": measure, "l2": _lambdas(at, known, lambdas), **ends})


def _range(measure: str, known: Points, lambdas: np.ndarray) -> dict:
    """Return the best lambda and the range of those as good; nothing for what chooses no lambda."""
    if measure not in MARGINS:
        return {}
    sign = MEASURES[measure].sign
    best = int(lowest(lambdas, sign * known.mean))
    ends = equivalent(known, best, sign, MARGINS[measure])
    low, high = _lambdas(np.array(ends), known, lambdas)
    return {"best_l2": lambdas[best], "margin": MARGINS[measure], "low_l2": low, "high_l2": high}


def _lambdas(at: np.ndarray, known: Points, lambdas: np.ndarray) -> list[float]:
    """Return the lambdas at places of a curve, those between two trained with three digits."""
    trained = dict(zip(known.place.tolist(), lambdas.tolist(), strict=True))
    return [trained.get(x, float(f"{10**x:.3g}")) for x in at.tolist()]
