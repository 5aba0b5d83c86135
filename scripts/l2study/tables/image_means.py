"""Measures that are means over images: what the predictions of the runs say of each image.

Predictions are kept of the final weights, so all this is of the last epoch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from l2study.core.measures import MEASURES
from l2study.core.predictions import PARTS, Predicted
from l2study.core.variation import differing
from l2study.tables import scopes
from l2study.tables.scopes import Mean, Spread


@dataclass(frozen=True, eq=False)
class Images:
    """The predictions of completed runs, by lambda and seed, and then by the part of the images."""

    predictions: Mapping[tuple[float, int], Mapping[str, Predicted]]
    crossed: Sequence[str] = PARTS
    """The parts whose images are the same for every seed."""
    correction: float = 0.0
    """Validation images over training images, where the split varies with the seed."""
    _spreads: dict[tuple, Spread] = field(default_factory=dict)
    """What many measures and claims ask for again, and what takes long to compute."""

    def table(
        self, part: str, quantity: str, lambdas: Sequence[float], seeds: Sequence[int]
    ) -> np.ndarray:
        """Return a quantity of every seed and image, at the first lambda less at the second."""
        first, *second = (
            getattr(self._stacked(part, l2, seeds), quantity).astype(float, copy=False)
            for l2 in lambdas
        )
        return first - second[0] if second else first

    def _stacked(self, part: str, l2: float, seeds: Sequence[int]) -> Predicted:
        runs = (self.predictions[l2, seed][part] for seed in seeds)
        return Predicted(*map(np.stack, zip(*runs, strict=True)))

    def parts(
        self, measure: str, l2: float, seeds: Sequence[int], against: float | None = None
    ) -> list[tuple[float, Spread]] | None:
        """Return what images add to a measure at `l2`, or to its difference from `against`.

        Of every part its coefficient, and how what is averaged over its images is spread. A
        difference is formed image by image. None if the measure is no mean over images, or a
        prediction of one of `seeds` is not there.
        """
        lambdas = (l2,) if against is None else (l2, against)
        if not MEASURES[measure].images or not len(seeds) or not self.known(lambdas, seeds):
            return None
        return [
            (coefficient, self._spread(part, quantity, lambdas, tuple(seeds)))
            for quantity, coefficients in MEASURES[measure].images.items()
            for part, coefficient in coefficients.items()
            if part in self.crossed
        ]

    def known(self, lambdas: Sequence[float], seeds: Sequence[int]) -> bool:
        """Return whether there is a prediction of every one of these runs."""
        return all((l2, seed) in self.predictions for l2 in lambdas for seed in seeds)

    def _spread(self, *key) -> Spread:
        if key not in self._spreads:
            self._spreads[key] = scopes.spread_of(self.table(*key))
        return self._spreads[key]

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
        return (
            None
            if parts is None
            else scopes.mean_of_spreads(values.to_numpy(float), parts, self.correction)
        )

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
