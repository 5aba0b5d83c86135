"""How numbers are written in figures, page, summary and verdicts."""

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from itertools import groupby

from l2study.core.labels import l2_label
from l2study.core.measures import MEASURES, Measure

MISSING = "–"
"""Placeholder for a missing value, such as the interval of a single run."""

Form = Callable[[float | None], str]
"""How a number is written."""


def fixed(digits: int, scale: float = 1.0) -> Form:
    """Return the form with a fixed number of decimals, see `number`."""
    return partial(number, digits=digits, scale=scale)


def rounded(digits: int = 3, scale: float = 1.0) -> Form:
    """Return the form with a fixed number of significant digits, see `significant`."""
    return partial(significant, digits=digits, scale=scale)


def as_given(scale: float = 1.0) -> Form:
    """Return the form with as many digits as a figure was given with."""
    return lambda value: MISSING if math.isnan(value) else minus(f"{scale * value:g}")


MOST_DECIMALS = 4
"""A number has no more decimals than this, however narrow its interval is; in percent or points,
half as many."""


def form_of(measure: Measure, half_width: float = math.nan) -> Form:
    """Return how a measure is written: with the decimals that its interval justifies.

    The half width of the interval, in the measure's own unit, keeps two significant digits. Where
    there is none, points have two decimals and all else has three digits.
    """
    shown = measure.scale * half_width
    if math.isfinite(shown) and shown > 0:
        most = MOST_DECIMALS // 2 if measure.scale == 100 else MOST_DECIMALS
        decimals = 1 - math.floor(math.log10(shown))
        return fixed(min(max(decimals, 0), most), measure.scale)
    return fixed(2, 100) if measure.scale == 100 else rounded(3, measure.scale)


def minus(text: str) -> str:
    """Return a number as Python writes it with true minus signs and a short exponent."""
    return text.replace("e-0", "e-").replace("-", "−")


def unit_of(measure: str, statistic: str) -> Measure:
    """Return the measure whose unit and scale an estimate has, one without a unit for a ratio;
    `statistic` is a word of the claims ledger."""
    return MEASURES[measure] if statistic in ("mean", "difference", "largest") else Measure("")


def bounds(above: float, below: float, measure: Measure) -> str:
    """Return where a value must lie, such as `above 0 and below 1 point`; NaN is no bound."""
    parts = []
    for side, bound in (("above", above), ("below", below)):
        if math.isfinite(bound):
            text = minus(f"{measure.scale * bound:g}")
            unit = measure.unit.removesuffix("s") if text == "1" else measure.unit
            parts.append(f"{side} {text}" + (f" {unit}" if unit and bound else ""))
    return " and ".join(parts)


def p_value(p: float) -> str:
    """Return a p-value with two significant digits, or that it is very small."""
    return "<0.0001" if p < 1e-4 else significant(p, 2)


def optimum(metric: str) -> str:
    """Return what the best of a metric is, such as `lowest validation cross-entropy`."""
    measure = MEASURES[metric]
    side = "lowest" if measure.better == "lower" else "highest"
    return f"{side} {measure.label[0].lower()}{measure.label[1:]}"


def labelled(measure: Measure) -> str:
    """Return what a measure is called, with its unit."""
    return f"{measure.label} ({measure.unit})" if measure.unit else measure.label


def number(value: float | None, digits: int = 2, scale: float = 1.0) -> str:
    """Return `scale * value` with `digits` decimals and a true minus sign, or a dash if missing."""
    if value is None or not math.isfinite(value):
        return MISSING
    text = f"{scale * value:.{digits}f}"
    if float(text) == 0:
        text = text.removeprefix("-")
    return text.replace("-", "−")


def significant(value: float | None, digits: int = 3, scale: float = 1.0) -> str:
    """Return `scale * value` with `digits` significant digits, or a dash if missing."""
    if value is None or not math.isfinite(value):
        return MISSING
    scaled = scale * value
    if 10**digits - 0.5 <= abs(scaled) < 1e6:
        text = f"{scaled:.0f}"
    else:
        text = f"{scaled:#.{digits}g}".rstrip(".") if scaled else "0"
    text = re.sub(r"\.?e([+-])0*(\d)", lambda m: f"e{m[1].strip('+')}{m[2]}", text)
    return text.replace("-", "−")


def lambda_text(l2: float) -> str:
    """Return a lambda, or `MISSING` where there is none."""
    return MISSING if math.isnan(l2) else l2_label(l2)


def interval(low: float | None, high: float | None, form: Form) -> str:
    """Return an interval such as `−1.45 to −1.20`, or a dash if it is missing."""
    ends = form(low), form(high)
    return MISSING if MISSING in ends else " to ".join(ends)


def possible(measure: str, low: float, high: float) -> tuple[float, float]:
    """Return an interval without what the measure cannot be, such as an accuracy above 1."""
    limits = MEASURES[measure].column
    return max(low, limits.get("minimum", -math.inf)), min(high, limits.get("maximum", math.inf))


def with_arguments(value: float | str | Mapping) -> str:
    """Return a number or a name; of a name with arguments, `sgd (nesterov true)`."""
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, str):
        return value
    given = [f"{key} {json.dumps(own)}" for key, own in value.items() if key != "name"]
    return f"{value['name']} ({', '.join(given)})" if given else value["name"]


def percent(share: float) -> str:
    """Return a share as a percentage in its plainest form: 0.95 is `95 %`, 0.999 is `99.9 %`."""
    return f"{100 * share:.10g} %"


def seed_list(seeds: Iterable[int]) -> str:
    """Return `seed 3`, `seeds 3, 7` or `seeds 0 to 9, 12`, in ascending order."""
    seeds = sorted(int(seed) for seed in seeds)
    texts = []
    for _, group in groupby(enumerate(seeds), lambda place: place[1] - place[0]):
        row = [seed for _, seed in group]
        texts += [f"{row[0]} to {row[-1]}"] if len(row) > 3 else map(str, row)
    return f"seed{'s' if len(seeds) != 1 else ''} {', '.join(texts)}"
