import math

import pytest

from l2study.core.measures import MEASURES
from l2study.core.wording import (
    bounds,
    fixed,
    form_of,
    interval,
    number,
    p_value,
    percent,
    possible,
    rounded,
    seed_list,
    significant,
    unit_of,
    with_arguments,
)

GAP, ACCURACY, CE, NORM = (
    MEASURES[name] for name in ("gap_reported", "test_accuracy", "test_ce", "weight_norm")
)
SGD = {"name": "sgd", "nesterov": True, "weight_decay": 0.01}


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (significant(0), "0"),
        (significant(0.000123456), "0.000123"),
        (significant(0.00001234), "1.23e−5"),
        (significant(999.6), "1000"),
        (significant(1e7), "1.00e7"),
        (significant(-2.345678), "−2.35"),
        (significant(math.nan), "–"),
        (significant(None), "–"),
        (number(-0.013612, 2, 100), "−1.36"),
        (number(-0.00001, 2, 100), "0.00"),
        (number(0.978, 2, 100), "97.80"),
        (number(math.nan, 2, 100), "–"),
        (interval(-0.0145, 0.02, fixed(2, 100)), "−1.45 to 2.00"),
        (interval(math.nan, 1.0, rounded()), "–"),
        (interval(None, None, rounded()), "–"),
        (percent(0.95), "95 %"),
        (percent(0.999), "99.9 %"),
        (p_value(3e-5), "<0.0001"),
        (p_value(0.0416), "0.042"),
        (p_value(math.nan), "–"),
        (seed_list([7]), "seed 7"),
        (seed_list([7, 3]), "seeds 3, 7"),
        (seed_list([9, 0, 3, 1, 2, 7, 8]), "seeds 0 to 3, 7, 8, 9"),
        (seed_list(range(100, 600)), "seeds 100 to 599"),
        (bounds(0, math.nan, GAP), "above 0"),
        (bounds(math.nan, -0.001, GAP), "below −0.1 points"),
        (bounds(0, 0.01, GAP), "above 0 and below 1 point"),
        (bounds(math.nan, 1e-5, MEASURES["penalty_error"]), "below 1e−5"),
        (bounds(math.nan, math.nan, CE), ""),
        # only values and their differences have the unit of the measure
        (unit_of("gap_reported", "difference").unit, "points"),
        (unit_of("gap_reported", "trend").unit, ""),
        (with_arguments(0.001), "0.001"),
        (with_arguments("adam"), "adam"),
        (with_arguments(SGD), "sgd (nesterov true, weight_decay 0.01)"),
        # a number has the decimals that the half width of its interval justifies
        (form_of(ACCURACY, 0.0025)(0.97871), "97.87"),
        (form_of(ACCURACY, 0.025)(0.97871), "97.9"),
        (form_of(ACCURACY, 1e-6)(0.97871), "97.87"),  # no more than two decimals in percent
        (form_of(CE, 0.011)(0.0267), "0.027"),
        (form_of(CE, 1e-9)(0.0267), "0.0267"),
        (form_of(NORM, 12.0)(53.81), "54"),
        (form_of(NORM, math.nan)(53.81), "53.8"),
        (form_of(NORM, 0.0)(53.81), "53.8"),
    ],
)
def test_words(found, text):
    assert found == text


def test_an_interval_leaves_out_what_cannot_be():
    assert possible("test_accuracy", 0.98, 1.0039) == (0.98, 1)
    assert possible("gap_reported", -1.2, -0.4) == (-1, -0.4)
    assert all(map(math.isnan, possible("test_accuracy", math.nan, math.nan)))
