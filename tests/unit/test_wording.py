import math

import pytest

from l2study import wording
from l2study.aggregate import RUN_MEASURES


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (9.999, "10.0"),
        (0.000123456, "0.000123"),
        (0.00001234, "1.23e−5"),
        (123456, "123456"),
        (999.6, "1000"),
        (1e7, "1.00e7"),
        (-2.345678, "−2.35"),
        (math.nan, "–"),
        (math.inf, "–"),
        (None, "–"),
    ],
)
def test_significant_digits(value, text):
    assert wording.significant(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(-0.013612, "−1.36"), (-0.00001, "0.00"), (0.978, "97.80"), (math.nan, "–")],
)
def test_fixed_decimals(value, text):
    assert wording.number(value, 2, 100) == text


def test_interval_needs_both_ends():
    assert wording.interval(-0.0145, 0.02, 2, 100) == "−1.45 to 2.00"
    assert wording.interval(math.nan, 1.0) == "–"
    assert wording.interval(None, None) == "–"


@pytest.mark.parametrize(("share", "text"), [(0.95, "95 %"), (0.999, "99.9 %"), (0.1, "10 %")])
def test_percent(share, text):
    assert wording.percent(share) == text


def test_seed_list():
    assert wording.seed_list([7]) == "seed 7"
    assert wording.seed_list([7, 3]) == "seeds 3, 7"


def test_every_measure_of_a_run_has_a_label():
    assert set(RUN_MEASURES) <= set(wording.MEASURES)
