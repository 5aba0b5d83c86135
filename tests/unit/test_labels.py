import math
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2study.core.labels import as_number, l2_label

COEFFICIENTS = st.floats(min_value=0, allow_nan=False, allow_infinity=False)


@pytest.mark.parametrize(
    ("label", "spellings"),
    [
        ("0", [0, 0.0, -0.0, "0", "0.0", "-0", "0e5", ".0", "0."]),
        (
            "0.0001",
            [0.0001, 1e-4, "1e-4", "1.0e-4", "0.0001", "1E-4", "+1e-04", ".0001", "00.0001"],
        ),
        ("1e-5", [1e-5, "1e-5", "0.00001", "10e-6"]),
        ("1.5e-7", [1.5e-7, "15e-8"]),
        ("0.003", [0.003, "3e-3", np.float64(0.003)]),
        ("1", [1, 1.0, "1", "1.", np.int64(1), np.float64(1)]),
        ("10000000", [10**7, 1e7, "1e7", "1e+7"]),
        ("1e16", [10**16, 1e16, "1e+16"]),
        ("5e-324", [5e-324]),
    ],
)
def test_every_spelling_of_a_number_has_one_label(label, spellings):
    assert {l2_label(spelling) for spelling in spellings} == {label}


@pytest.mark.parametrize(
    "value",
    [
        *(True, False, np.True_, None, [], {}, b"1", 1j, Decimal("0.1"), object()),
        *("", " ", " 1", "1 ", "1\n", "1_0", "0x1", "1e", "e5", ".", "1,5", "--1", "１", "abc"),
        *("nan", "inf", "infinity", "NaN", "true", "1e400", "-1", "-1e-9"),
        *(math.nan, math.inf, -math.inf, -1, -1e-300, 10**400, -(10**5000)),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, int) else repr(value)[:20],
)
def test_what_is_not_a_coefficient_is_refused(value):
    with pytest.raises(ValueError, match=r"not a number|not a finite number|is negative"):
        l2_label(value)


@given(COEFFICIENTS)
def test_the_label_reads_back_as_the_same_number(number):
    assert float(l2_label(number)) == number
    for spelling in (l2_label(number), f"{number:.17e}", f"+{number!r}"):
        assert l2_label(spelling) == l2_label(number)


@given(COEFFICIENTS)
def test_the_label_is_plain_and_safe_in_a_path(number):
    mantissa, _, exponent = l2_label(number).partition("e")
    assert set(mantissa) <= set("0123456789.")
    assert not mantissa.endswith(".0")
    assert set(exponent) <= set("-0123456789")
    assert not exponent.lstrip("-").startswith("0")


# a few characters: to know all of Unicode takes Hypothesis seconds
@given(
    st.text("0123456789.,eE+-_ nxif１") | st.floats() | st.integers() | st.booleans() | st.binary()
)
def test_a_value_has_a_label_or_is_refused(value):
    try:
        label = l2_label(value)
    except ValueError:
        return
    assert float(label) == float(value) >= 0


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_may_be_negative_where_they_are_not_coefficients(number):
    assert as_number(number) == as_number(repr(number)) == number
