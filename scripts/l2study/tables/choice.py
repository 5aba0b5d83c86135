"""Which lambda to choose by a metric of validation, and how stable that choice is.

Conventions are those of `statistics`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pandas as pd

from l2study.core import lambda_grid
from l2study.core.choose_by import CHOOSE_BY
from l2study.core.measures import MEASURES
from l2study.core.scope_rows import SEEDS, SEEDS_AND_IMAGES
from l2study.tables import statistics
from l2study.tables.build import by_lambda, diverged_seeds, paired_differences
from l2study.tables.image_intervals import NO_IMAGES, Images
from l2study.tables.statistics import Mean

RESAMPLES = 999
"""Bootstrap samples of seeds."""

COLUMNS = (
    "metric", "configured", "rule", "scope", "l2", "mean", "difference", "difference_se",
    "test_accuracy_mean", "low", "high", "n", "diverged_seeds", "share", "l2_low", "l2_high",
    "grid", "next_l2",
)  # fmt: skip
"""Those of the table `choice`, also where no lambda can be chosen."""

RULES = ("best", "one_standard_error", "reference")


def lowest(l2: Sequence[float], loss: np.ndarray) -> np.ndarray:
    """Return the place of the lambda with the smallest loss, the larger lambda of a tie.

    `l2` has the shape (lambdas,), `loss` (..., lambdas) and what is returned (...). Losses that
    differ by rounding are a tie. If no loss of a choice is finite, that is a ValueError.
    """
    loss = np.where(np.isfinite(loss), loss, math.inf)
    least = loss.min(axis=-1, keepdims=True)
    if not np.isfinite(least).all():
        raise ValueError("no lambda has a finite mean")
    tied = loss <= least + statistics.ROUNDING * np.maximum(1.0, np.abs(least))
    return _largest(l2, tied)


def one_standard_error(
    l2: Sequence[float], loss: np.ndarray, errors: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the places of the best lambda and of the one-standard-error lambda.

    The best is that of `lowest`. The other is the largest lambda whose loss exceeds the best's by
    at most the standard error of that difference. The rule of Hastie et al. (2009, section 7.10)
    has the standard error of the best's mean in its place. But lambdas share seeds and images, so
    that what all of them have in common says nothing of which is better.

    `errors` are those of the difference of every two, shape (lambdas, lambdas); NaN counts as 0.
    """
    best = lowest(l2, loss)
    own = np.take_along_axis(np.asarray(loss, float), best[..., None], -1)
    errors = np.nan_to_num(errors)[best]
    return best, _largest(l2, np.nan_to_num(loss, nan=math.inf) <= own + errors)


def _largest(l2: Sequence[float], among: np.ndarray) -> np.ndarray:
    """Return the place of the largest of the lambdas that are `among`, shape (..., lambdas)."""
    falling = np.argsort(np.asarray(l2, float))[::-1]
    return falling[among[..., falling].argmax(axis=-1)]


class Picks(NamedTuple):
    """The best lambdas in bootstrap samples of the seeds, and perhaps of the images."""

    best: np.ndarray
    """Shape (samples,)."""
    means: np.ndarray
    """What they are chosen by, small ones being good, shape (samples, lambdas)."""
    counts: np.ndarray
    """How often each seed is in a sample, shape (samples, seeds)."""
    alone: np.ndarray
    """What each seed picks by itself, shape (samples of the images, seeds): one sample where the
    images are not drawn again."""


NO_PICKS = Picks(np.empty(0), *(np.empty((0, 0)) for _ in range(3)))
"""Where there are fewer than two seeds."""


def resampled_means(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the `means` and `counts` of `Picks`, in samples that are always the same (Efron 1979).

    `values` have the shape (lambdas, 1, seeds), or (lambdas, RESAMPLES, seeds) in samples of the
    images. With these, it is the pigeonhole bootstrap (Owen 2007, Annals of Applied Statistics 1,
    386-411).
    """
    n = values.shape[-1]
    counts = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=RESAMPLES)
    return np.stack([(counts * one).sum(axis=1) / n for one in values], axis=-1), counts


@dataclass(frozen=True, eq=False)
class Choice:
    """The choice of lambda by a metric of validation, from the runs of a set-up.

    A lambda at which a run diverged is not chosen: its mean over all seeds is not finite, and the
    survivors' mean would flatter it.
    """

    runs: pd.DataFrame
    metric: str
    images: Images = NO_IMAGES
    _picks: dict[str, Picks] = field(default_factory=dict, init=False)

    @cached_property
    def cells(self) -> dict[float, pd.DataFrame]:
        """The runs of every lambda that was tried."""
        return by_lambda(self.runs)

    @property
    def sign(self) -> int:
        """1 if the metric is to be small, -1 if large."""
        return MEASURES[self.metric].sign

    @cached_property
    def eligible(self) -> list[float]:
        """The lambdas without a diverged run, ascending."""
        diverged = set(self.runs.loc[self.runs["status"] == "diverged", "l2"])
        return [l2 for l2 in self.cells if l2 not in diverged]

    @cached_property
    def best(self) -> float:
        """The lambda with the best mean over its seeds; NaN if there is none to choose."""
        if not self.eligible:
            return math.nan
        loss = [self.sign * np.mean(self.cells[l2][self.metric]) for l2 in self.eligible]
        return self.eligible[lowest(self.eligible, np.array(loss))]

    def difference(self, measure: str, l2: float, against: float, scope: str) -> Mean:
        """Return the mean of a measure at a lambda less that at another, paired by seed; for other
        images too where `scope` says so and predictions are kept."""
        pairs = paired_differences(self.cells, measure, l2, against)
        wide = None
        if scope == SEEDS_AND_IMAGES and l2 != against:
            wide = self.images.mean(measure, pairs, l2, against)
        return wide or statistics.mean_of(pairs)

    def simplest(self, scope: str) -> float:
        """Return the one-standard-error lambda, see `one_standard_error`; NaN if there is none."""
        within = [self.best]
        for l2 in self.eligible:
            more = self.difference(self.metric, l2, self.best, scope)
            if self.sign * more.value <= np.nan_to_num(more.error):
                within.append(l2)
        return max(within)

    @cached_property
    def by_seed(self) -> pd.DataFrame:
        """The metric of the seeds that every eligible lambda has, with a column for each lambda."""
        own = self.runs[self.runs["l2"].isin(self.eligible)]
        return own.pivot(index="seed", columns="l2", values=self.metric).dropna()

    def picks(self, scope: str) -> Picks:
        """Return what is picked in bootstrap samples of `by_seed`, and of images where `scope` says
        so. Where validation images differ between seeds, they are drawn again with these."""
        if scope not in self._picks:
            self._picks[scope] = self._resampled(scope)
        return self._picks[scope]

    def _resampled(self, scope: str) -> Picks:
        lambdas, seeds = self.eligible, self.by_seed.index.tolist()
        if len(seeds) < 2:
            return NO_PICKS
        values = self.by_seed.to_numpy(float).T[:, None, :]
        if scope == SEEDS_AND_IMAGES:
            (quantity,) = MEASURES[self.metric].images
            again = self.images.resampled("val", quantity, lambdas, seeds, RESAMPLES)
            values = values if again is None else again
        means, counts = resampled_means(self.sign * values)
        alone = lowest(lambdas, np.moveaxis(self.sign * values, 0, -1))
        best = lowest(lambdas, means)
        return Picks(np.take(lambdas, best), means, counts, np.take(lambdas, alone))

    def simplest_picks(self, scope: str) -> np.ndarray:
        """Return the one-standard-error lambda of every sample of `picks`.

        By the standard errors of the study: those of each sample would take long for other images.
        """
        picks, lambdas = self.picks(scope), self.eligible
        if not picks.best.size:
            return picks.best
        errors = np.zeros((len(lambdas), len(lambdas)))
        for best in np.unique(picks.best):
            errors[lambdas.index(best)] = [
                self.difference(self.metric, l2, best, scope).error for l2 in lambdas
            ]
        return np.take(lambdas, one_standard_error(lambdas, picks.means, errors)[1])

    @property
    def widest(self) -> str:
        """The widest scope of which something is known."""
        known = pd.notna(self.best) and self.images.mean(
            "test_accuracy", self.cells[self.best]["test_accuracy"], self.best
        )
        return SEEDS_AND_IMAGES if known else SEEDS


def choices_of(runs: pd.DataFrame, choose_by: str, images: Images = NO_IMAGES) -> list[Choice]:
    """Return the choice by every metric of `CHOOSE_BY`, the one that the study chooses by first."""
    metrics = sorted(CHOOSE_BY, key=lambda metric: metric != choose_by)
    return [Choice(runs, metric, images) for metric in metrics]


def chosen_lambda(choice: pd.DataFrame) -> float:
    """Return the lambda that the study chooses, from `choice_table`; NaN if it chooses none."""
    own = choice[(choice["rule"] == "best") & (choice["configured"] == "yes")]
    return float(own["l2"].iloc[0])


def choice_table(choices: Sequence[Choice], reference: float, confidence: float) -> pd.DataFrame:
    """Return the choice of lambda by every metric, from `choices_of`, and by every rule.

    Without a lambda to choose, or without the reference, the row has no values. For other images
    too, the one-standard-error lambda may be another.
    """
    table = []
    for own in choices:
        scopes = [SEEDS] if own.widest == SEEDS else [SEEDS, SEEDS_AND_IMAGES]
        for rule in RULES:
            for scope in scopes:
                l2 = {"best": own.best, "reference": reference}.get(rule)
                if l2 is None:
                    l2 = own.simplest(scope)
                row = _row_of(own, l2, scope, confidence)
                if row is None:
                    continue
                row |= _stability(own, rule, l2, scope, confidence)
                row |= {"configured": "yes" if own is choices[0] else "no"}
                table.append({"metric": own.metric, "rule": rule, "scope": scope} | row)
    return pd.DataFrame(table).reindex(columns=COLUMNS)


def _row_of(own: Choice, l2: float, scope: str, confidence: float) -> dict | None:
    """Return what is known of a lambda; None if nothing is that the row for seeds has not."""
    if l2 not in own.cells:
        return {"l2": math.nan, "n": 0, "diverged_seeds": ""} if scope == SEEDS else None
    cell = own.cells[l2]
    accuracy = statistics.mean_of(cell["test_accuracy"])
    if scope == SEEDS_AND_IMAGES:
        accuracy = own.images.mean("test_accuracy", cell["test_accuracy"], l2)
        if accuracy is None:
            return None
    ends = accuracy.interval(confidence)
    row = {"l2": l2, "mean": statistics.mean_of(cell[own.metric]).value, "n": accuracy.n}
    row |= {"test_accuracy_mean": accuracy.value, "low": ends.low, "high": ends.high}
    if pd.notna(own.best):
        more = own.difference(own.metric, l2, own.best, scope)
        row |= {"difference": more.value, "difference_se": more.error}
    return row | {"diverged_seeds": diverged_seeds(own.runs, l2)}


def _stability(own: Choice, rule: str, l2: float, scope: str, confidence: float) -> dict:
    if rule == "reference" or l2 not in own.cells:
        return {}
    picked, found = own.picks(scope).best if rule == "best" else own.simplest_picks(scope), {}
    if picked.size:
        ends = [(1 - confidence) / 2, (1 + confidence) / 2]
        # an end of the interval is a lambda of the study, nothing between two of them
        low, high = np.quantile(picked, ends, method="inverted_cdf").tolist()
        found = {"share": float(np.mean(picked == l2)), "l2_low": low, "l2_high": high}
    if rule == "best":
        grid = list(own.cells), l2, picked.tolist()
        found |= {"grid": lambda_grid.position(*grid), "next_l2": lambda_grid.next_lambda(*grid)}
    return found
