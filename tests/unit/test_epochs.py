import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2study.core.epochs import evaluated_epochs


@pytest.mark.parametrize(
    ("last", "chosen", "epochs"),
    [
        (4, None, [0, 1, 2, 3, 4]),
        (1, None, [0, 1]),
        (20, [3, 8], [0, 3, 8, 20]),
        (20, [1, 20], [0, 1, 20]),
        (1, {"points": 2}, [0, 1]),
        (60, {"points": 2}, [0, 1, 60]),
        (100, {"points": 3}, [0, 1, 10, 100]),
        (1000, {"points": 4}, [0, 1, 10, 100, 1000]),
        (64, {"points": 7}, [0, 1, 2, 4, 8, 16, 32, 64]),
        # the first ones follow each other, the factor of the rest is 1.25 to 1.33
        (60, {"points": 15}, [0, 1, 2, 3, 4, 5, 6, 8, 10, 13, 17, 22, 28, 36, 46, 60]),
        (5, {"points": 5}, [0, 1, 2, 3, 4, 5]),
        (5, {"points": 6}, [0, 1, 2, 3, 4, 5]),
    ],
)
def test_the_evaluated_epochs(last, chosen, epochs):
    training = {"epochs": last} | ({} if chosen is None else {"evaluate_at": chosen})
    assert evaluated_epochs(training) == epochs


@given(st.integers(1, 10**6), st.integers(2, 300))
def test_points_are_as_many_as_asked_for_and_evenly_spaced(last, points):
    epochs = evaluated_epochs({"epochs": last, "evaluate_at": {"points": points}})
    assert len(epochs) == min(points, last) + 1
    assert epochs[:2] == [0, 1] and epochs[-1] == last
    assert all(type(epoch) is int for epoch in epochs)
    pairs = list(itertools.pairwise(epochs[1:]))
    assert all(before < after for before, after in pairs)
    # a step of more than one is the same factor every time, but for rounding to whole epochs
    grown = [(before, after) for before, after in pairs if after > before + 1]
    lowest = [(b - 1) / (a + 1) for a, b in grown]
    highest = [(b + 1) / (a - 1) if a > 1 else float("inf") for a, b in grown]
    assert not grown or max(lowest) <= min(highest)


@given(st.integers(1, 10**4), st.data())
def test_a_list_has_the_first_and_the_last_epoch_added(last, data):
    chosen = data.draw(st.lists(st.integers(1, last), min_size=1, max_size=30, unique=True))
    epochs = evaluated_epochs({"epochs": last, "evaluate_at": sorted(chosen)})
    assert epochs == sorted({0, *chosen, last})
