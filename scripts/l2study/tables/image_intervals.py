"""Means over images: intervals for other seeds and for other images, at once.

Every seed predicts the same images, so seeds and images are crossed. What is estimated is the mean
over seeds of

    y_s = a_s + sum over parts k of c_k * (mean over the images i of x_ksi),

where a part is an independent sample of images (the test images, the validation images), and a_s
holds all that is not a mean over such images. The generalisation gap has the training accuracy as
a_s, and the test images with c = -1. The images that were trained on stay fixed: other training
images would be another training. A difference between two lambdas is formed image by image first.

Images may come in groups, such as those of a writer or of a patient. Then groups are what is drawn,
and all that is said of other images is for images of other groups. Images without groups are taken
as independent: each is a group of its own.

Predictions are kept of the final weights and of some earlier epochs, see `Images.at`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pandas as pd

from l2study.core.design import Setup
from l2study.core.measures import MEASURES
from l2study.core.predictions import PARTS, Predicted, part_at
from l2study.tables import statistics
from l2study.tables.statistics import Mean


class Spread(NamedTuple):
    """How a table of seeds and images is spread; NaN where it has too few of them."""

    images: int
    groups: float
    """The effective number of groups: that of images where each is a group of its own."""
    image: float
    rest: float
    """The mean squares of the two-way table."""
    within: float
    """The mean over seeds of the variance over images."""


def spread_of(table: np.ndarray, groups: np.ndarray | None = None) -> Spread:
    """Return how a table, shape (seeds, images), is spread.

    Sums over the deviations of a group from the mean of its seed take the place of the deviations
    of images (Liang and Zeger 1986, Biometrika 73, 13-22): the variance of a mean over N images is
    K / (K - 1) times the sum of their squares, over N^2. With groups of one size K is their number,
    and with groups of one image this is the usual variance. A few large groups leave less known
    than their number says, so K = N^2 / (sum over groups of the squared number of images), which is
    how many groups of one size would weigh as much (Kish 1965, Survey Sampling, section 8.2).

    `groups` is the number of each image's group, counted from 0; None if all are independent.
    """
    table = np.asarray(table, float)
    seeds, images = table.shape
    sizes = _sizes(images, groups)
    effective = images**2 / float(sizes @ sizes) if images else 0.0
    if seeds < 1 or len(sizes) < 2:
        return Spread(images, effective, math.nan, math.nan, math.nan)
    apart = _by_group(table - table.mean(axis=1, keepdims=True), groups)
    factor = effective / (effective - 1) / images
    within = factor * float(np.vdot(apart, apart)) / seeds
    if seeds < 2:
        return Spread(images, effective, math.nan, math.nan, within)
    mean = apart.mean(axis=0)
    apart -= mean
    image = seeds * factor * float(mean @ mean)
    rest = factor * float(np.vdot(apart, apart)) / (seeds - 1)
    return Spread(images, effective, image, rest, within)


def _sizes(images: int, groups: np.ndarray | None) -> np.ndarray:
    """Return how many images each group has; 1 for each image without groups."""
    return np.ones(images) if groups is None else np.bincount(groups).astype(float)


def _by_group(table: np.ndarray, groups: np.ndarray | None) -> np.ndarray:
    """Return the sums over the images of each group, shape (seeds, groups)."""
    return table if groups is None else np.stack([np.bincount(groups, row) for row in table])


@lru_cache(maxsize=1)
def _drawn_again(groups: int, samples: int) -> np.ndarray:
    """Return how often each group is in bootstrap samples of all, shape (samples, groups)."""
    draw = np.random.default_rng(1)
    drawn = (draw.integers(0, groups, size=groups) for _ in range(samples))
    return np.stack([np.bincount(one, minlength=groups) for one in drawn], dtype=float)


def wide_mean(
    values: np.ndarray,
    parts: Sequence[tuple[float, Spread]],
    correction: float = 0.0,
    narrow: Mean | None = None,
    splits: int | None = None,
) -> Mean:
    """Return the mean over seeds with its standard error for other seeds and other images.

    With S seeds, and N images in a part, the variance of the mean is

        s_y^2 / S + sum over parts of c^2 * max(0, MS_image - MS_rest) / (S N),

    with the variance s_y^2 of `values` (n - 1) and the mean squares of the two-way table of seeds
    and images. Since s_y^2 already holds the share of the rest, that is s2_seed / S + s2_image / N
    + s2_rest / (S N) with the components by the analysis of variance (Searle, Casella and McCulloch
    1992, section 4.3). Degrees of freedom are by Satterthwaite (1946) over the mean squares used,
    but never fewer than one of these has: a difference of mean squares that are nearly alike would
    give next to none, and an interval without end (Gaylor and Hopper 1969, Technometrics 11,
    691-706). The mean squares of images have as many as there are groups less one. With very few
    seeds the interval for seeds alone may be the wider one. Then it is taken for both: what holds
    for more cannot be surer. benchmarks/coverage.py has coverages.

    Args:
        values: y_s of every seed, finite, shape (seeds,).
        parts: coefficient and spread of what is a mean over images. A part of a single image or
            group leaves the error unknown.
        correction: validation images over training images where the split varies with the seed,
            else 0. The training sets of two splits overlap, so their results go together, and
            s_y^2 / S is too small. It is multiplied by 1 + S * correction (Nadeau and Bengio 2003).
            Validation images then differ between seeds: they are no part, s_y^2 has their share.
        narrow: the mean for other seeds alone, where runs are not independent: its error and
            degrees of freedom take the place of s_y / sqrt(S) and S - 1.
        splits: how many splits there are; S if left out.
    """
    narrow = statistics.mean_of(values) if narrow is None else narrow
    n, unknown = narrow.n, narrow._replace(error=math.nan, df=math.nan)
    if n < 2 or any(squares.groups <= 1 for _, squares in parts):
        return unknown
    of_seeds = narrow.error**2 * (1 + (splits or n) * correction)
    variance, spread, least = of_seeds, of_seeds**2 / narrow.df, narrow.df
    for coefficient, squares in parts:
        share, of_images = coefficient**2 / (n * squares.images), squares.groups - 1
        if squares.image > squares.rest:
            variance += share * (squares.image - squares.rest)
            spread += (share * squares.image) ** 2 / of_images
            spread += (share * squares.rest) ** 2 / ((n - 1) * of_images)
            least = min(least, of_images)
    df = max(variance**2 / spread, least) if spread else math.nan
    seeds_alone = ((math.sqrt(of_seeds), narrow.df),) if of_seeds else ()
    return Mean(narrow.value, n, math.sqrt(variance), df, seeds_alone)


@dataclass(frozen=True, eq=False)
class Images:
    """The predictions of completed runs after one epoch."""

    predictions: Mapping[tuple[float, int], Mapping[str, Predicted]]
    """By lambda and seed, and then by the names of `predictions.part_at`."""
    crossed: Sequence[str] = PARTS
    """The parts whose images are the same for every seed."""
    correction: float = 0.0
    """Validation images over training images, where the split varies with the seed."""
    epoch: int | str | None = None
    """After which all this is: a number, `predictions.BEST`, or None for the last one."""
    groups: Mapping[str, np.ndarray] = field(default_factory=dict)
    """The number of each image's group, by the parts that have groups."""
    _spreads: dict[tuple, Spread] = field(default_factory=dict)
    """What many measures and claims ask for again, and what takes long to compute."""

    def at(self, epoch: int | str | None) -> "Images":
        """Return the predictions after another epoch, of which none may be kept."""
        return replace(self, epoch=epoch)

    def table(
        self, part: str, quantity: str, lambdas: Sequence[float], seeds: Sequence[int]
    ) -> np.ndarray:
        """Return a quantity of every seed and image, at the first lambda less at the second."""
        first, *second = (self._stacked(part, quantity, l2, seeds) for l2 in lambdas)
        return first - second[0] if second else first

    def _stacked(self, part: str, quantity: str, l2: float, seeds: Sequence[int]) -> np.ndarray:
        name = part_at(part, self.epoch)
        runs = (self.predictions[l2, seed][name] for seed in seeds)
        predicted = Predicted(*map(np.stack, zip(*runs, strict=True)))
        return getattr(predicted, quantity).astype(float, copy=False)

    def _parts(
        self, measure: str, lambdas: Sequence[float], seeds: Sequence[int]
    ) -> list[tuple[float, Spread]] | None:
        """Return coefficient and spread of every part; None if the measure is no mean over images,
        or a prediction is not there."""
        images = self.at(MEASURES[measure].epoch or self.epoch)
        if not MEASURES[measure].images or not len(seeds) or not images.known(lambdas, seeds):
            return None
        found = []
        for quantity, coefficients in MEASURES[measure].images.items():
            for part in (part for part in coefficients if part in self.crossed):
                table = part, quantity, tuple(lambdas), tuple(seeds)
                key = images.epoch, *table
                if key not in self._spreads:
                    self._spreads[key] = spread_of(images.table(*table), self.groups.get(part))
                found.append((coefficients[part], self._spreads[key]))
        return found

    def count(self, measure: str) -> float:
        """Return how many images a measure is a mean over, of its smallest part; NaN if of none."""
        of_run = next(iter(self.predictions.values()), {})
        named = {part for found in MEASURES[measure].images.values() for part in found}
        counts = [len(of_run[part].label) for part in named if part in of_run]
        return min(counts, default=math.nan)

    def known(self, lambdas: Sequence[float], seeds: Sequence[int]) -> bool:
        """Return whether there is a prediction of every one of these runs."""
        needed = {part_at(part, self.epoch) for part in PARTS}
        runs = (self.predictions.get((l2, seed), {}) for l2 in lambdas for seed in seeds)
        return all(needed <= run.keys() for run in runs)

    def mean(
        self,
        measure: str,
        values: pd.Series,
        l2: float,
        against: float | None = None,
        narrow: Mean | None = None,
        splits: int | None = None,
    ) -> Mean | None:
        """Return the mean of a measure for other seeds and other images; None if there is none.

        `values` has the measure of every run at `l2`, or its difference from `against`, by seed.
        `narrow` and `splits` are those of `wide_mean`.
        """
        values = values[np.isfinite(values.to_numpy(float))]
        lambdas = (l2,) if against is None else (l2, against)
        parts = self._parts(measure, lambdas, values.index.tolist())
        if parts is None:
            return None
        return wide_mean(values.to_numpy(float), parts, self.correction, narrow, splits)

    def variance(self, measure: str, l2: float, seeds: Sequence[int]) -> float:
        """Return the variance of a run's measure if only its images, or groups, were drawn again:
        the sum over parts of c^2 * (mean over seeds of the variance over images) / N."""
        parts = self._parts(measure, (l2,), seeds)
        if not parts or any(part.groups <= 1 for _, part in parts):
            return math.nan
        return sum(coefficient**2 * part.within / part.images for coefficient, part in parts)

    def resampled(
        self,
        part: str,
        quantity: str,
        lambdas: Sequence[float],
        seeds: Sequence[int],
        samples: int,
    ) -> np.ndarray | None:
        """Return the mean of a quantity over the images of a part, in bootstrap samples of these or
        of their groups: shape (lambdas, samples, seeds). None if the seeds do not share the images.

        The samples are the same for every lambda, and others than those of the seeds.
        """
        if part not in self.crossed or not self.known(lambdas, seeds):
            return None
        groups, means = self.groups.get(part), []
        for l2 in lambdas:
            table = self.table(part, quantity, [l2], seeds)
            sizes = _sizes(table.shape[1], groups)
            counts = _drawn_again(len(sizes), samples)
            means.append(counts @ _by_group(table, groups).T / (counts @ sizes)[:, None])
        return np.stack(means)


NO_IMAGES = Images({})
"""Where no predictions are known: nothing can be said of other images."""


def images_of(
    setup: Setup,
    predictions: Mapping[tuple[float, int], Mapping[str, Predicted]],
    groups: Mapping[str, np.ndarray] | None = None,
) -> Images:
    """Return the predictions of a study, with what is shared between its seeds.

    Where the split varies with the seed, only the test images are the same for every seed, and
    training sets overlap: see `correction` of `wide_mean`.
    """
    if not predictions or "split" not in setup.differing:
        return Images(predictions, groups=groups or {})
    # A smaller `train_size` shares fewer images between splits: what holds without it is enough.
    share = setup.config["validation"]["fraction"]
    return Images(predictions, ("test",), share / (1 - share), groups=groups or {})
