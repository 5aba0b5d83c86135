"""Measures that are means over images: what the predictions of the runs say of each image.

Predictions are kept of the final weights, so all this is of the last epoch.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from l2study.core.measures import MEASURES
from l2study.core.predictions import PARTS, Predicted
from l2study.core.variation import differing
from l2study.tables import scopes
from l2study.tables.scopes import Mean, Part


class Images(NamedTuple):
    """The predictions of completed runs, by lambda and seed, and then by the part of the images."""

    predictions: Mapping[tuple[float, int], Mapping[str, Predicted]]
    crossed: Sequence[str] = PARTS
    """The parts whose images are the same for every seed."""
    correction: float = 0.0
    """Validation images over training images, where the split varies with the seed."""

    def parts(
        self, measure: str, l2: float, seeds: Sequence[int], against: float | None = None
    ) -> list[Part] | None:
        """Return what images add to a measure at `l2`, or to its difference from `against`.

        A difference is formed image by image. None if the measure is no mean over images, or a
        prediction of one of `seeds` is not there.
        """
        lambdas = [l2] if against is None else [l2, against]
        there = all((place, seed) in self.predictions for place in lambdas for seed in seeds)
        if not MEASURES[measure].images or not len(seeds) or not there:
            return None
        return [
            Part(coefficient, self._values(part, quantity, lambdas, seeds))
            for quantity, coefficients in MEASURES[measure].images.items()
            for part, coefficient in coefficients.items()
            if part in self.crossed
        ]

    def _values(
        self, part: str, quantity: str, lambdas: Sequence[float], seeds: Sequence[int]
    ) -> np.ndarray:
        """Return a quantity of every seed and image, at the first lambda less at the second."""
        first, *second = (
            np.stack([getattr(self.predictions[l2, seed][part], quantity) for seed in seeds])
            for l2 in lambdas
        )
        return first - second[0] if second else first

    def mean(
        self, measure: str, values: pd.Series, l2: float, against: float | None = None
    ) -> Mean | None:
        """Return the mean of a measure over seeds, for other seeds and other images.

        Args:
            measure: its name.
            values: the measure of every run, or its difference from `against`, indexed by seed.
            l2: the lambda of the runs.
            against: the lambda that is compared with.

        Returns:
            None if only other seeds can be spoken of, see `parts`.
        """
        values = values[np.isfinite(values.to_numpy(float))]
        parts = self.parts(measure, l2, values.index.tolist(), against)
        return None if parts is None else scopes.crossed_mean(values, parts, self.correction)

    def variance(self, measure: str, l2: float, seeds: Sequence[int]) -> float:
        """Return the variance of a run's measure if only its images were drawn again.

        NaN if that is not known, see `parts` and `scopes.variance_of_images`.
        """
        return scopes.variance_of_images(self.parts(measure, l2, seeds) or [])


NO_IMAGES = Images({})
"""Where no predictions are known: nothing can be said of other images."""


def images_of(
    config: dict, predictions: Mapping[tuple[float, int], Mapping[str, Predicted]]
) -> Images:
    """Return the predictions of a study, with what is shared between its seeds.

    Where the split varies with the seed, only the test images are the same for every seed, and
    training sets overlap: see `correction` of `scopes.crossed_mean`. In a crossed design with one
    level of the split, all runs share it.

    Args:
        config: canonical.
        predictions: of every completed run, by lambda and seed.
    """
    if not predictions or "split" not in differing(config):
        return Images(predictions)
    # A smaller `train_size` shares fewer images between splits: what holds without it is enough.
    share = config["validation"]["fraction"]
    return Images(predictions, ("test",), share / (1 - share))
