"""Seeds in rounds: how many are asked for, and whether the intervals still hold."""

import math

import numpy as np
import pytest
from scipy import stats

from l2study.core.seeds import FIRST_ROUND as FIRST
from l2study.tables import rounds


def normal(size, seed=0):
    return np.random.default_rng(seed).standard_normal(size)


def stein(values, half_width=0.5):
    """Return how many seeds the second round has."""
    t = stats.t.ppf(0.975, len(values) - 1)
    return math.ceil((t * values.std(ddof=1) / half_width) ** 2)


@pytest.mark.parametrize(
    ("cells", "half_width", "most", "wanted", "rounds_before"),
    [
        # the first round does not look
        ({"a": [], "b": []}, 0.1, 60, FIRST, 0),
        ({"a": normal(9), "b": normal(10)}, 0.1, 60, FIRST, 0),
        ({"a": []}, 0.1, 6, 6, 0),
        ({"a": normal(FIRST)}, 0.3, 60, stein(normal(FIRST), 0.3), 1),
        # the cell that varies most decides
        ({"a": 0.1 * normal(FIRST), "b": normal(FIRST)}, 0.5, 60, stein(normal(FIRST)), 1),
        # narrow intervals end it, or the largest number of seeds
        ({"a": 0.1 * normal(FIRST)}, 0.5, 60, FIRST, 1),
        ({"a": normal(FIRST)}, 0.01, 30, 30, 1),
        ({"a": normal(30)}, 0.01, 30, 30, 2),
        # diverged runs are made up for
        ({"a": np.r_[normal(8), np.nan, np.nan]}, 0.5, 60, stein(normal(8)) + 2, 1),
        ({"a": np.full(FIRST, np.nan)}, 0.5, 60, 2 * FIRST, 1),
    ],
)
def test_how_many_seeds_are_asked_for(cells, half_width, most, wanted, rounds_before):
    found, over = rounds.rounds(cells, half_width, most, 0.95)
    assert (found, len(over)) == (wanted, rounds_before)


def test_values_that_are_there_already_give_the_same_rounds():
    """A study that was finished gives the rounds that it had while it grew.

    Its interval has the largest standard deviation that the end of a round has seen.
    """
    values, n, seen = normal(60), FIRST, []
    while n not in seen:
        seen.append(n)
        n, over = rounds.rounds({"a": values[:n]}, 0.4, 60, 0.95)
    assert [each.seeds for each in over] == seen == [10, 20, 21]
    assert rounds.rounds({"a": values}, 0.4, 60, 0.95) == (n, over)
    last, sd = over[-1].cells["a"], values[:20].std(ddof=1)
    assert sd > values[:21].std(ddof=1)
    half_width = stats.t.ppf(0.975, 20) * sd / math.sqrt(21)
    assert last == pytest.approx((21, values[:21].mean(), sd, half_width))
