"""Whether a grid of lambdas is wide enough, and what to add."""

import math

import pytest

from l2study.core.labels import l2_label
from l2study.core.lambda_grid import AT_END, BEYOND, INSIDE, even_grid, next_lambda, position

USUAL = [0, 1e-5, 1e-4, 1e-3, 3e-3, 1e-2, 3e-2]


@pytest.mark.parametrize(
    ("tried", "best", "picks", "expected", "added"),
    [
        (USUAL, 1e-3, [1e-3] * 40, INSIDE, math.nan),
        (USUAL, 0, [0] * 40, INSIDE, math.nan),  # nothing is below 0
        (USUAL, 3e-2, [], AT_END, 0.1),
        (USUAL, 1e-2, [1e-2] * 39 + [3e-2], INSIDE, math.nan),  # 2.5 % is not more than that
        (USUAL, 1e-2, [1e-2] * 38 + [3e-2] * 2, BEYOND, 0.1),
        (USUAL[1:], 1e-5, [], AT_END, 1e-6),
        (USUAL[1:], 1e-4, [1e-4] * 9 + [1e-5], BEYOND, 1e-6),
        ([0], 0, [], AT_END, math.nan),
        ([0, 0.01], 0.01, [], AT_END, 0.1),
    ],
)
def test_position_and_what_to_add(tried, best, picks, expected, added):
    assert position(tried, best, picks) == expected
    assert next_lambda(tried, best, picks) == pytest.approx(added, nan_ok=True)


@pytest.mark.parametrize(
    ("tried", "added"),
    [
        ([1e-3, 3e-3], 0.01),
        ([3e-3, 1e-2], 0.03),
        ([0.01, 0.02, 0.05], 0.1),
        ([0.005, 0.01], 0.02),
        ([0.001, 0.00316, 0.01], 0.03),
        ([0.01, 0.012], 0.014),  # the nearest usual number is further than a step
        ([0.01, 0.01001], 0.01002),
    ],
)
def test_labels_are_those_that_people_use(tried, added):
    assert next_lambda(tried, max(tried), []) == added


@pytest.mark.parametrize(
    ("first", "last", "per_decade", "labels"),
    [
        (1e-6, 1e-3, 1, "1e-6 1e-5 0.0001 0.001"),
        (3e-6, 1e-3, 2, "3e-6 1e-5 3e-5 0.0001 0.0003 0.001"),
        (0.05, 2, 3, "0.05 0.1 0.2 0.5 1 2"),
        (0.1, 1, 4, "0.1 0.18 0.32 0.56 1"),
        (3e-6 / 100, 3e-6 / 10, 2, "3e-8 1e-7 3e-7"),  # ends that are off by rounding
        (7.2e-5 * 10, 7.2e-5 * 100, 7, "0.00072 0.001 0.0014 0.0019 0.0027 0.0037 0.0052 0.0072"),
    ],
)
def test_an_even_grid_has_the_numbers_that_people_write(first, last, per_decade, labels):
    assert list(map(l2_label, even_grid(first, last, per_decade))) == labels.split()
