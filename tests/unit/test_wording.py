import math

import pytest

from l2study.core import wording
from l2study.core.measures import MEASURES


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.000123456, "0.000123"),
        (0.00001234, "1.23e−5"),
        (999.6, "1000"),
        (1e7, "1.00e7"),
        (-2.345678, "−2.35"),
        (math.nan, "–"),
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


def test_an_interval_leaves_out_what_cannot_be():
    assert wording.possible("test_accuracy", 0.98, 1.0039) == (0.98, 1)
    assert wording.possible("gap_reported", -1.2, -0.4) == (-1, -0.4)
    assert all(map(math.isnan, wording.possible("test_accuracy", math.nan, math.nan)))


def test_interval_needs_both_ends():
    assert wording.interval(-0.0145, 0.02, wording.fixed(2, 100)) == "−1.45 to 2.00"
    assert wording.interval(math.nan, 1.0, wording.rounded()) == "–"
    assert wording.interval(None, None, wording.rounded()) == "–"


def test_percent_and_p_values():
    assert (wording.percent(0.95), wording.percent(0.999)) == ("95 %", "99.9 %")
    assert [wording.p_value(p) for p in (3e-5, 0.0416, math.nan)] == ["<0.0001", "0.042", "–"]


def test_seed_list():
    assert wording.seed_list([7]) == "seed 7"
    assert wording.seed_list([7, 3]) == "seeds 3, 7"
    assert wording.seed_list([9, 0, 3, 1, 2, 7, 8]) == "seeds 0 to 3, 7, 8, 9"
    assert wording.seed_list(range(100, 600)) == "seeds 100 to 599"


@pytest.mark.parametrize(
    ("above", "below", "measure", "text"),
    [
        (0, math.nan, "gap_reported", "above 0"),
        (math.nan, -0.001, "gap_reported", "below −0.1 points"),
        (0, 0.01, "gap_reported", "above 0 and below 1 point"),
        (math.nan, 1e-5, "penalty_error", "below 1e−5"),
        (math.nan, math.nan, "val_ce", ""),
    ],
)
def test_bounds_have_their_unit(above, below, measure, text):
    assert wording.bounds(above, below, MEASURES[measure]) == text


def test_only_values_and_their_differences_have_the_unit_of_the_measure():
    assert wording.unit_of("gap_reported", "difference").unit == "points"
    assert wording.unit_of("gap_reported", "trend").unit == ""


def test_a_name_is_written_with_its_arguments():
    assert wording.with_arguments(0.001) == "0.001" and wording.with_arguments("adam") == "adam"
    given = {"name": "sgd", "nesterov": True, "weight_decay": 0.01}
    assert wording.with_arguments(given) == "sgd (nesterov true, weight_decay 0.01)"


@pytest.mark.parametrize(
    ("measure", "value", "half_width", "text"),
    [
        ("test_accuracy", 0.97871, 0.0025, "97.87"),
        ("test_accuracy", 0.97871, 0.025, "97.9"),
        ("test_accuracy", 0.97871, 1e-6, "97.87"),  # no more decimals than two in percent
        ("test_ce", 0.0267, 0.011, "0.027"),
        ("test_ce", 0.0267, 1e-9, "0.0267"),
        ("weight_norm", 53.81, 12.0, "54"),
        ("weight_norm", 53.81, math.nan, "53.8"),
        ("weight_norm", 53.81, 0.0, "53.8"),
    ],
)
def test_a_number_has_the_decimals_that_its_interval_justifies(measure, value, half_width, text):
    assert wording.form_of(MEASURES[measure], half_width)(value) == text
