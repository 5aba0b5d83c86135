"""How many seeds would resolve a claim that is not resolved."""

import math

import pytest

from l2study.tables.claims import claim_seeds, row_seeds
from l2study.tables.judge import OPEN, OUTSIDE, WITHIN, Judged, Note
from l2study.tables.power import seeds_needed
from l2study.tables.statistics import Estimate


def row(value, error, expect, *, n=10, verdict=OPEN, statistic="mean", **more):
    estimate = Estimate(value, value - 2.26 * error, value + 2.26 * error, n)
    given = {"expect": expect, "statistic": statistic, "measure": "val_ce"}
    return Judged(given, 0.01, estimate, estimate, verdict, error=error, **more)


@pytest.mark.parametrize(
    ("item", "difference", "confidence"),
    [
        (row(1.0, 0.5, {"above": 0}), 1.0, 0.95),
        # of two bounds the nearer one counts
        (row(1.0, 0.5, {"above": 0, "below": 1.5}), 0.5, 0.95),
        # outside the bounds, the stricter interval that contradicts
        (row(-0.4, 0.5, {"above": 0, "below": 3}), 0.4, 0.99),
        (row(1.2, 0.5, {"below": 1.05}, statistic="ratio"), math.log(1.2 / 1.05), 0.99),
    ],
)
def test_a_row_needs_what_a_paired_t_test_needs_for_its_distance_to_the_bound(
    item, difference, confidence
):
    expected = seeds_needed(0.5 * math.sqrt(10), difference, confidence)
    assert row_seeds(item, 0.95, 0.99) == expected > 10


def test_the_part_of_the_images_stays():
    item = row(1.0, 0.5, {"above": 0}, floor=0.1)
    of_seeds = math.sqrt(10 * (0.25 - 0.1))
    assert row_seeds(item, 0.95, 0.95) == seeds_needed(of_seeds, 1.0, 0.95, floor=0.1)
    assert row_seeds(row(1.0, 0.5, {"above": 0}, floor=0.2), 0.95, 0.95) == math.inf


@pytest.mark.parametrize(
    "item",
    [
        row(1.0, 0.1, {"above": 0}, verdict=WITHIN),
        row(-1, 0.1, {"above": 0}, verdict=OUTSIDE),
        row(1.0, 0.5, {"above": 0}, note=Note("lowest_at_end", (0.0,))),
        row(1.0, math.nan, {"above": 0}),
    ],
)
def test_not_known(item):
    assert math.isnan(row_seeds(item, 0.95, 0.95))


def test_all_rows_within_have_to_be_within():
    rows = [row(1.0, 0.5, {"above": 0}), row(1.0, 0.8, {"above": 0})]
    known = row(1.0, 0.1, {"above": 0}, verdict=WITHIN)
    beside = row(1.0, 9.0, {"above": 0}, decides="no")
    assert claim_seeds([*rows, known, beside], 0.95) == row_seeds(rows[1], 0.95, 0.95)


def test_one_row_outside_is_enough():
    outside, within = row(-1.0, 0.5, {"above": 0}), row(1.0, 5.0, {"above": 0})
    strict = 1 - 0.05 / 2
    assert claim_seeds([outside, within], 0.95) == row_seeds(outside, 0.95, strict)


def test_a_row_that_waits_for_something_else_leaves_a_claim_open():
    waits = row(1.0, 0.5, {"above": 0}, note=Note("lowest_at_end", (0.0,)))
    assert math.isnan(claim_seeds([waits, row(1.0, 0.5, {"above": 0})], 0.95))
    assert math.isnan(claim_seeds([row(1.0, 0.1, {"above": 0}, verdict=WITHIN)], 0.95))
