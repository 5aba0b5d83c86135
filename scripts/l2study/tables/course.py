"""The course of a claim over the epochs: what the estimate that it rests on is after each."""

import math
from collections.abc import Iterator

import pandas as pd

from l2study.core.measures import MEASURES
from l2study.core.scope_rows import SEEDS, SEEDS_AND_IMAGES
from l2study.tables import statistics
from l2study.tables.build import of_completed
from l2study.tables.crossed import Crossing, widest_mean
from l2study.tables.image_intervals import NO_IMAGES, Images
from l2study.tables.judge import adjusted_confidence
from l2study.tables.ledger import CONCLUSION, FIGURE

COLUMNS = ["id", "epoch", "estimate", "low", "high", "n", "scope"]


def course_table(
    claims: pd.DataFrame,
    histories: pd.DataFrame,
    runs: pd.DataFrame,
    confidence: float,
    images: Images = NO_IMAGES,
    crossed: tuple[Crossing, pd.DataFrame, pd.DataFrame] | None = None,
) -> pd.DataFrame:
    """Return the estimate that every claim rests on, after each evaluated epoch but 0.

    A claim has a course if that estimate is a mean, or a difference of two lambdas, of a measure
    which the histories have. `claims` is the table of `claims.claims_table`, with whose arguments
    the others are given.
    """
    few, crossing = sorted(set(runs["seed"])), None
    if crossed:
        crossing, histories, runs = crossed
    kept, rows = of_completed(histories[histories["epoch"] > 0], runs), []
    for claim in claims[claims["decisive"] == "yes"].itertuples():
        needed = MEASURES[claim.measure].difference or (claim.measure,)
        has = claim.statistic in ("mean", "difference") and {*needed} <= {*kept.columns}
        if has and not math.isnan(claim.estimate):
            decides = claims.loc[claims["id"] == claim.id, "decides"]
            strict = adjusted_confidence(confidence, decides.isin([FIGURE, CONCLUSION]).sum())
            values = _by_epoch(claim, needed, kept)
            rows += _course(claim, values, (confidence, strict), images, few, crossing)
    return pd.DataFrame(rows, columns=COLUMNS)


def _by_epoch(claim: tuple, needed: tuple[str, ...], histories: pd.DataFrame) -> pd.DataFrame:
    """Return what a claim is about, a row per epoch and a column per seed."""
    first, *second = (histories[name] for name in needed)
    values = histories.assign(value=first - second[0] if second else first)
    places = [claim.l2] if math.isnan(claim.against) else [claim.l2, claim.against]
    here, *there = (
        values[values["l2"] == l2].pivot(index="epoch", columns="seed", values="value")
        for l2 in places
    )
    if not there:
        return here
    here, other = here.align(there[0])
    return pd.DataFrame(statistics.differences(here, other), here.index, here.columns)


def _course(
    claim: tuple,
    values: pd.DataFrame,
    levels: tuple[float, float],
    images: Images,
    few: list[int],
    crossing: Crossing | None,
) -> Iterator[tuple]:
    """Yield the rows of a claim, whose intervals have one of two confidence levels."""
    against = None if math.isnan(claim.against) else claim.against
    for epoch, of_seeds in values.iterrows():
        known = images if epoch == values.index[-1] else images.at(epoch)
        own, narrow, splits = widest_mean(of_seeds.reindex(few), of_seeds, crossing)
        wide = known.mean(claim.measure, own, claim.l2, against, narrow, splits)
        for scope, mean in ((SEEDS, narrow), (SEEDS_AND_IMAGES, wide)):
            if mean is not None:
                beyond = mean.value <= claim.above or mean.value >= claim.below
                value, low, high, n = mean.interval(levels[int(beyond)])
                yield claim.id, epoch, value, float(low), float(high), int(n), scope
