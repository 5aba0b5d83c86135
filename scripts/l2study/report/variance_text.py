"""Where the variance comes from: facts for the text variance.txt.j2, and tables.

Everything is read from the table `variance` of a study whose sources of variation are crossed.
"""

import math

import pandas as pd

from l2study.core.labels import l2_label
from l2study.core.measures import MEASURES
from l2study.core.seeds import TOTAL, WORDS
from l2study.core.wording import MISSING, fixed, rounded
from l2study.report.study import Study
from l2study.report.table_cells import Number, Rows
from l2study.report.templates import paragraphs
from l2study.report.variance_figures import SHOWN

_SHARE = fixed(0, 100)


def text(study: Study) -> list[str]:
    """Return what was crossed, which source makes most of the variance of every measure shown, and
    how often an estimate was below zero.
    """
    table, design = study.tables["variance"], study.design
    shown = table[table["measure"].isin(SHOWN) & (table["source"] != TOTAL)]
    return paragraphs(
        "variance",
        levels={source: len(design.config["seeds"][source]) for source in design.crossed},
        level=design.confidence,
        largest={measure: largest_sources(study, measure) for measure in SHOWN},
        negative=int((shown["negative"] == "yes").sum()),
        estimates=int(shown["variance"].notna().sum()),
        called=WORDS,
    )


def largest_sources(study: Study, measure: str) -> list[dict]:
    """Return for every lambda (`l2`) which `source` makes most of the variance, and its `share`.

    `source` is None where that cannot be said, and `alike` whether that is for want of variance.
    """
    table, found = study.tables["variance"], []
    for l2, rows in table[table["measure"] == measure].groupby("l2"):
        rows = rows.set_index("source")
        known = not math.isnan(rows.loc[TOTAL, "variance"])
        shares = rows.drop(TOTAL)
        one = {"l2": l2, "source": None, "share": None, "alike": known}
        if known and shares["share"].notna().any():
            row = shares.loc[shares["share"].idxmax()]
            share = Number(row["share"], _SHARE, row["share_low"], row["share_high"])
            one |= {"source": row.name, "share": share}
        found.append(one)
    return found


def source_table(study: Study, measure: str) -> Rows:
    """Return a row per lambda and source: the standard deviation it makes, which is the square root
    of a component, and its share. That of `total` is of one run when everything varies.
    """
    table, shown = study.tables["variance"], MEASURES[measure]
    root = rounded(2, shown.scale)
    return [
        {
            "λ": Number(row.l2, l2_label),
            "Source": row.source.replace(" x ", " × "),
            f"Standard deviation ({shown.unit})": Number(
                math.sqrt(row.variance), root, math.sqrt(row.low), math.sqrt(row.high)
            ),
            "Share (%)": Number(row.share, _SHARE, row.share_low, row.share_high),
            "Below 0, set to 0": MISSING if pd.isna(row.negative) else row.negative,
            "Runs": Number(row.n, fixed(0)),
        }
        for row in table[table["measure"] == measure].itertuples()
    ]
