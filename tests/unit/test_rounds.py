"""Seeds in rounds: how many are asked for, and whether the intervals still hold."""

import math

import numpy as np
import pytest
from scipy import stats

from l2study.core.seeds import FIRST_ROUND as FIRST
from l2study.tables import rounds


def normal(size, seed=0):
    return np.random.default_rng(seed).standard_normal(size)


def test_the_first_round_does_not_look():
    assert rounds.rounds({"a": [], "b": []}, 0.1, 60, 0.95) == (FIRST, [])
    assert rounds.rounds({"a": normal(9), "b": normal(10)}, 0.1, 60, 0.95) == (FIRST, [])
    assert rounds.rounds({"a": []}, 0.1, 6, 0.95) == (6, [])


def test_the_second_round_is_steins():
    values = normal(FIRST)
    wanted, over = rounds.rounds({"a": values}, 0.5, 60, 0.95)
    assert wanted == math.ceil((stats.t.ppf(0.975, FIRST - 1) * values.std(ddof=1) / 0.5) ** 2)
    assert len(over) == 1


def test_the_cell_that_varies_most_decides():
    few, many = 0.1 * normal(FIRST), normal(FIRST)
    alone = rounds.rounds({"many": many}, 0.5, 60, 0.95)[0]
    assert rounds.rounds({"few": few, "many": many}, 0.5, 60, 0.95)[0] == alone > FIRST


def test_narrow_intervals_end_it():
    assert rounds.rounds({"a": 0.1 * normal(FIRST)}, 0.5, 60, 0.95)[0] == FIRST


def test_the_end_is_at_most():
    values = normal(30)
    assert rounds.rounds({"a": values[:FIRST]}, 0.01, 30, 0.95)[0] == 30
    wanted, over = rounds.rounds({"a": values}, 0.01, 30, 0.95)
    assert wanted == 30 and [each.seeds for each in over] == [FIRST, 30]


def test_diverged_runs_are_made_up_for():
    values = normal(FIRST)
    with_two = np.r_[values[:8], np.nan, np.nan]
    wanted = rounds.rounds({"a": with_two}, 0.5, 60, 0.95)[0]
    spread = values[:8].std(ddof=1)
    assert wanted == math.ceil((stats.t.ppf(0.975, 7) * spread / 0.5) ** 2) + 2
    assert rounds.rounds({"a": np.full(FIRST, np.nan)}, 0.5, 60, 0.95)[0] == 2 * FIRST


def test_values_that_are_there_already_give_the_same_rounds():
    """A study that was finished gives the rounds that it had while it grew."""
    values = normal(60, seed=3)
    n, seen = FIRST, []
    while True:
        wanted, over = rounds.rounds({"a": values[:n]}, 0.4, 60, 0.95)
        seen.append(n)
        if wanted == n:
            break
        n = wanted
    assert [each.seeds for each in over] == seen
    assert rounds.rounds({"a": values}, 0.4, 60, 0.95) == (wanted, over)


@pytest.mark.slow
@pytest.mark.parametrize("needed", [12, 20, 40])
def test_coverage_in_spite_of_looking(needed):
    half_width, studies, held = 1.96 / math.sqrt(needed), 2000, 0
    for values in normal((studies, 200)):
        _, over = rounds.rounds({"a": values}, half_width, 200, 0.95)
        last = over[-1].cells["a"]
        held += abs(last.mean) <= last.half_width
    assert held / studies >= 0.94
