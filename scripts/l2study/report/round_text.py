"""What the page says of a study whose seeds come in rounds, read from the table `rounds`."""

from l2study.core.labels import l2_label
from l2study.core.measures import MEASURES
from l2study.core.wording import fixed, form_of, rounded
from l2study.report.study import Study
from l2study.report.table_cells import Number, Rows
from l2study.report.templates import paragraphs


def text(study: Study) -> list[str]:
    """Return how many seeds a study in rounds has, and whether they are enough; else nothing."""
    until, table = study.design.until, study.tables["rounds"]
    if not until or table.empty:
        return []
    last = table[table["round"] == table["round"].max()]
    narrow = bool((last["half_width"] <= last["wanted"]).all())
    return paragraphs("rounds", narrow=narrow, over=until["now"] >= until["max_seeds"])


def rounds_table(study: Study) -> Rows:
    """Return the rounds of a study in which a measure says how many seeds there are, by lambda."""
    table = []
    for row in study.tables["rounds"].itertuples():
        measure = MEASURES[row.measure]
        width = rounded(3, measure.scale)
        table.append(
            {
                "Round": Number(row.round, fixed(0)),
                "Seeds": Number(row.seeds, fixed(0)),
                "λ": l2_label(row.l2),
                measure.label: Number(row.mean, form_of(measure), row.low, row.high, measure.unit),
                "Half width": Number(row.half_width, width),
                "Wanted": Number(row.wanted, width),
            }
        )
    return table
