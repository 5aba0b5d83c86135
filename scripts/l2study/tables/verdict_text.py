"""What the report says of the verdict on a claim, in a few sentences."""

import math
from collections.abc import Iterable
from string import Formatter

from l2study.core.labels import l2_label
from l2study.core.wording import (
    MISSING,
    bounds,
    form_of,
    interval,
    p_value,
    percent,
    unit_of,
)
from l2study.tables.judge import (
    ARTEFACT,
    NOT_JUDGED,
    NOT_RESOLVED,
    SUPPORTED,
    Judged,
    Sample,
    clearance,
    decisive,
)

CLEAR, CLEAR_P = 3, 0.001
"""A verdict is clear from so many half widths of the interval on, or below this p-value."""


def reason(judged: Iterable[Judged], verdict: str, sample: Sample, note: str = "") -> str:
    """Return why a claim has its verdict: the decisive estimate and what the claim needs it to be.

    Args:
        judged: the rows of the claim.
        verdict: from `judge.overall`.
        sample: what it was judged by.
        note: of the ledger, where {name} stands for the estimate of the row with that name, or for
            those at the lambdas that decide, and {chosen} for the lambda that validation chooses.
            It is left out unless all of these are there.
    """
    judged, confidence = list(judged), sample.confidence
    rows = decisive(judged, verdict)
    if verdict == NOT_JUDGED:
        return " ".join(dict.fromkeys(row.note for row in rows))
    if verdict == ARTEFACT:
        reported, elsewhere = (_measured(row, confidence) for row in rows)
        text = f"{reported}, as the exercise reports. But something else explains it. {elsewhere}."
    else:
        (row,) = rows
        holds, unit = row.row["holds"], unit_of(row.row["measure"], row.row["statistic"])
        needed = bounds(holds.get("above", math.nan), holds.get("below", math.nan), unit)
        text = f"{_measured(row, confidence)}. The claim needs a value {needed}."
        text += _outcome(row, verdict, sum(item.decides for item in judged))
    named = {}
    for item in judged:
        if "name" in item.row and item.at_deciding:
            form = form_of(unit_of(item.row["measure"], item.row["statistic"]))
            named.setdefault(item.row["name"], []).append(form(item.estimate.value))
    named["chosen"] = [MISSING if sample.chosen is None else l2_label(sample.chosen)]
    spoken_of = {name for _, name, _, _ in Formatter().parse(note) if name}
    if not note or any(MISSING in named.get(name, [MISSING]) for name in spoken_of):
        return text
    return f"{text} {note.format(**{name: ' and '.join(said) for name, said in named.items()})}"


def two_scopes(seeds: str, images: str) -> str:
    """Return what a claim is for other seeds alone, and what for other images too."""
    return (
        f"For other seeds on these images it is {_is(seeds)}; for other images too, it is"
        f" {_is(images)}."
    )


def _is(verdict: str) -> str:
    return f"{'an ' if verdict == ARTEFACT else ''}{verdict}"


def how_sure(judged: Iterable[Judged], verdict: str) -> str:
    """Return how clearly the decisive estimates lie on their side of the bound, in a sentence."""
    judged = list(judged)
    if verdict == NOT_JUDGED:
        return "There is nothing to judge by."
    rows = decisive(judged, verdict)
    if verdict == NOT_RESOLVED:
        return "Open. With more seeds or another set-up it may come out either way."
    if all(_is_clear(row) for row in rows):
        return "Clear. What decides is far from the bound, compared with its interval."
    return "Narrow. What decides is close to the bound, so another set-up may change the verdict."


def _is_clear(row: Judged) -> bool:
    # a trend that is contradicted has a p-value near 1
    if not math.isnan(row.p):
        return min(row.p, 1 - row.p) < CLEAR_P
    return abs(clearance(row)[0]) >= CLEAR


def _outcome(row: Judged, verdict: str, deciding: int) -> str:
    """Return how the decisive estimate compares with what the claim needs."""
    if verdict == SUPPORTED:
        others = {1: "", 2: " The other estimate that decides agrees at least as clearly."}
        more = f" The other {deciding - 1} estimates that decide agree at least as clearly."
        return others.get(deciding, more)
    if verdict == NOT_RESOLVED:
        return f" {row.note or 'This study cannot tell.'}"
    small = row.estimate.low > 0 and row.row["holds"].get("above", 0) > 0
    return " It is above 0, but too small." if small else " That is ruled out."


def _measured(row: Judged, confidence: float) -> str:
    """Return a row's estimate with its interval as the beginning of a sentence."""
    unit = unit_of(row.row["measure"], row.row["statistic"])
    value, low, high = row.estimate[:3]
    text = f"{row.estimand[0].upper()}{row.estimand[1:]}"
    if math.isnan(value):
        return f"{text} has no estimate here"
    form = form_of(unit)
    text += f" is {form(value)}{unit.unit and ' '}{unit.unit}"
    if not math.isnan(row.p):
        text += f" (one-sided p-value of Page's test: {p_value(row.p)})"
    elif not math.isnan(low):
        text += f" ({percent(confidence)} interval {interval(low, high, form)})"
    return text
