"""Which lambdas are as good as the best, and whether the curves over lambda hold."""

import pandas as pd

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
    failed = [MEASURES[row.measure].label.lower() for row in _failed(table).itertuples()]
    return paragraphs(
        "equivalence",
        ranges=ranges,
        failed=failed,
        cells=int(table["cells"].max()),
        level=study.design.confidence,
    )


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
            "low": row.low_l2,
            "high": row.high_l2,
            "margin": f"{measure.scale * row.margin:g} {measure.unit}",
        }
    return found


def _failed(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["holds"] == "no"]
