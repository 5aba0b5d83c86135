"""The registry of measures against the places where they are computed."""

import pytest

from l2study.core import measures
from l2study.core.columns import ALL_COLUMNS, HISTORY_COLUMNS, TRAINING_MODE_COLUMN
from l2study.core.measures import GAPS, MEASURES


def test_every_column_of_a_history_that_is_a_measure_is_registered():
    assert measures.names("history") == [*HISTORY_COLUMNS[3:-1], TRAINING_MODE_COLUMN]


def test_every_gap_is_the_difference_of_two_history_columns():
    assert all(len(pair) == 2 and set(pair) < set(ALL_COLUMNS) for pair in GAPS.values())


@pytest.mark.parametrize("name", MEASURES)
def test_an_entry_is_whole(name):
    measure = MEASURES[name]
    assert measure.label and measure.description
    assert measure.computed in ("history", "curve", "gap", "weights", "derived")
    assert measure.better in (None, "lower", "higher")
    assert bool(measure.difference) == (measure.computed == "gap")
    assert measure.column
    assert not ("accuracy" in name and measure.better == "lower")
