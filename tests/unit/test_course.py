"""The course of claims over the epochs: the numbers of the claims, at every epoch."""

import numpy as np
import pytest
from scipy import stats

import synthetic
from l2study.core.scope_rows import SEEDS, SEEDS_AND_IMAGES

NAMES = ("penalty", "small-gap", "negative-gap", "sensitivity")


@pytest.fixture(scope="module")
def tables():
    lambdas, lost = [0, 1e-4, 1e-2], {(1e-4, 2): 3}
    return synthetic.made_tables(
        *NAMES, lambdas=lambdas, epochs=10, seeds=range(4), diverged=lost, predict_at=[8]
    )[1]


def test_a_claim_on_what_every_epoch_has_has_a_course(tables):
    course = tables["course"]
    assert set(course["id"]) == {"small-gap", "negative-gap"}
    for _, own in course.groupby(["id", "scope"]):
        assert own["epoch"].is_unique
    scopes = course.groupby("scope")["epoch"].agg(lambda epochs: sorted(set(epochs)))
    assert scopes.to_dict() == {SEEDS: list(range(1, 11)), SEEDS_AND_IMAGES: [8, 10]}


def test_after_its_own_epoch_the_course_is_what_the_claim_is_judged_by(tables):
    claims = tables["claims"]
    for row in claims[claims["decisive"] == "yes"].itertuples():
        here = tables["course"].query(
            "id == @row.id and epoch == @row.epoch and scope == @row.scope"
        )
        if row.id not in NAMES[1:3]:
            continue
        beyond = row.estimate <= row.above or row.estimate >= row.below
        ends = [row.low_adjusted, row.high_adjusted] if beyond else [row.low, row.high]
        expected = [row.estimate, *ends, row.n]
        assert here[["estimate", "low", "high", "n"]].to_numpy() == pytest.approx(
            np.array([expected], float), rel=1e-12
        )


def test_after_another_epoch_it_is_the_paired_difference(tables):
    histories, claims = tables["histories"], tables["claims"]
    (row,) = claims.query("id == 'negative-gap' and decisive == 'yes'").itertuples()
    assert row.statistic == "difference" and row.against == 1e-4
    at = histories[histories["epoch"] == 5].pivot(index="seed", columns="l2", values=row.measure)
    pairs = (at[row.l2] - at[row.against]).drop(2)  # a run of this seed diverged
    (here,) = tables["course"].query("id == 'negative-gap' and epoch == 5").itertuples()
    mine = claims[claims["id"] == "negative-gap"]["decides"].isin(["figure", "conclusion"]).sum()
    level = 1 - 0.05 / mine if here.estimate <= row.above else 0.95
    ends = stats.t.interval(level, 2, pairs.mean(), stats.sem(pairs))
    assert (here.estimate, here.low, here.high) == pytest.approx((pairs.mean(), *ends))
    assert here.n == 3
