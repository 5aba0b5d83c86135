"""Which lambdas are as good as the best, and whether the curves over lambda hold."""

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from l2study.core.measures import MEASURES
from l2study.report.study import Study
from l2study.report.templates import paragraphs


def text(study: Study) -> list[str]:
    """Return the range of lambdas as good as the best, by each metric of validation, and which
    curves do not hold; nothing for a study of too few lambdas.
    """
    table = study.tables["equivalence"]
    if table.empty:
        return []
    ranges = as_good(study).values()
    measures = table.loc[table["holds"] == "no", "measure"]
    failed = [MEASURES[measure].label.lower() for measure in measures]
    return paragraphs("equivalence", ranges=ranges, failed=failed, level=study.design.confidence)


def as_good(study: Study) -> dict[str, dict]:
    """Return the lambdas that are as good as the best, by each metric of which that is known."""
    table, found = study.tables["equivalence"], {}
    if table.empty:
        return found
    for row in table[table["best_l2"].notna()].itertuples():
        measure = MEASURES[row.measure]
        found[row.measure] = {
            "label": measure.label.lower(),
            "best": row.best_l2,
            "low": inward(row.low_l2, ROUND_CEILING),
            "high": inward(row.high_l2, ROUND_FLOOR),
            "margin": f"{measure.scale * row.margin:g} {measure.unit}",
        }
    return found


def inward(l2: float, rounding: str) -> float:
    """Return a lambda with two significant digits, rounded so that it stays inside a range."""
    exact = Decimal(repr(float(l2)))
    step = Decimal(1).scaleb(exact.adjusted() - 1)
    return float(exact.quantize(step, rounding)) if l2 else 0.0
