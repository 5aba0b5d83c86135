"""The one spelling of a lambda, used in paths, wildcards and tables."""

import math
import re
from numbers import Real

_DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


def as_number(value: object) -> float:
    """Return `value` as a float, where it is a finite number or the plain decimal text of one.

    Text is accepted because YAML reads `1e-4` as a string. Everything else that `float` would take
    is a ValueError: `True`, `" 1"`, `"1_000"`, `"nan"`, bytes.
    """
    plain = isinstance(value, Real) and not isinstance(value, bool)
    if not plain and not (isinstance(value, str) and _DECIMAL.fullmatch(value)):
        raise ValueError(f"{value!r} is not a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"{number!r} is not a finite number")
    return number


def l2_label(value: object) -> str:
    """Return the canonical label of a regularisation coefficient.

    The label is `repr(float(value))` in its plainest form: no `.0`, no `+` and no leading zeros in
    the exponent. Every spelling of a number has one label, and `float(label)` is the number again:
    `1e-4`, `"1.0e-4"` and `0.0001` are all `0.0001`; `0`, `0.0` and `-0.0` are all `0`. ValueError
    for what is no finite, non-negative number.
    """
    number = as_number(value)
    if number < 0:
        raise ValueError(f"{value!r} is negative")
    mantissa, _, exponent = repr(abs(number)).partition("e")
    mantissa = mantissa.removesuffix(".0")
    return f"{mantissa}e{int(exponent)}" if exponent else mantissa
