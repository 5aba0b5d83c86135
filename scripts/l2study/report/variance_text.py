"""What page and summary say of where the variance comes from, read from the table `variance`.

They are pure functions of the study, as in `text_tables`.
"""

import math

import pandas as pd

from l2study.core.labels import l2_label
from l2study.core.measures import MEASURES
from l2study.core.variation import REST, TOTAL, WORDS, crossed_sources
from l2study.core.wording import MISSING, fixed, interval, percent, rounded
from l2study.report.study import Study
from l2study.report.table_cells import Number, Rows
from l2study.report.variance_figures import SHOWN

_SHARE = fixed(0, 100)


def is_crossed(study: Study) -> bool:
    """Return whether the study can tell the sources of variation from one another."""
    return bool(crossed_sources(study.config))


def sentences(study: Study) -> list[str]:
    """Return what was crossed, and for every measure shown which source makes most of its variance.

    The last sentence says how often an estimate was below zero.
    """
    levels = study.config["seeds"]
    crossed = [f"{WORDS[s]} ({len(levels[s])} levels)" for s in crossed_sources(study.config)]
    texts = [
        f"Each of these has seeds of its own: {', '.join(crossed)}. Every combination was trained,"
        " so the variance over runs can be told apart by source. Ranges in brackets are"
        f" {percent(study.config['confidence'])} intervals. They are wide, because a source has few"
        " levels."
    ]
    table = study.tables["variance"]
    for measure in SHOWN:
        cells = table[table["measure"] == measure].groupby("l2")
        parts = [f"at lambda {l2_label(l2)}, {_largest(rows)}" for l2, rows in cells]
        label = MEASURES[measure].label.lower()
        texts.append(f"Of the variance of the {label}: {'; '.join(parts)}.")
    shown = table[table["measure"].isin(SHOWN) & (table["source"] != TOTAL)]
    negative, count = int((shown["negative"] == "yes").sum()), int(shown["variance"].notna().sum())
    if negative:
        texts.append(
            f"{negative} of these {count} estimates were below zero and are set to zero, which"
            " happens where a source changes little."
        )
    return texts


def _largest(rows: pd.DataFrame) -> str:
    """Return which source makes most of the variance of a measure at a lambda, and how much."""
    rows = rows.set_index("source")
    total = rows.loc[TOTAL, "variance"]
    shares = rows["share"].drop(TOTAL)
    if math.isnan(total):
        return "too few runs completed to tell"
    if shares.isna().all():
        return "there is none, as the runs are all alike"
    row = rows.loc[shares.idxmax()]
    ends = interval(row["share_low"], row["share_high"], _SHARE)
    return f"{source_name(row.name)} makes {_SHARE(row['share'])} % ({ends} %)"


def source_name(source: str) -> str:
    """Return a source of the table as it is called in a sentence."""
    if source == REST:
        return "the rest, which no source explains,"
    parts = [WORDS[part] for part in source.split(" x ")]
    return parts[0] if len(parts) == 1 else f"the interaction of {' and '.join(parts)}"


def source_table(study: Study, measure: str) -> Rows:
    """Return a row per lambda and source: the standard deviation it makes, and its share.

    A standard deviation is the square root of a component, in the unit in which the measure is
    shown. That of `total` is that of one run when everything varies.
    """
    table, shown = study.tables["variance"], MEASURES[measure]
    root = rounded(2, shown.scale)
    return [
        {
            "λ": Number(row.l2, l2_label),
            "Source": row.source.replace(" x ", " × "),
            f"Standard deviation ({shown.unit})": Number(
                *(math.sqrt(row.variance), root, math.sqrt(row.low), math.sqrt(row.high))
            ),
            "Share (%)": Number(row.share, _SHARE, row.share_low, row.share_high),
            "Below 0, set to 0": MISSING if pd.isna(row.negative) else row.negative,
            "Runs": Number(row.n, fixed(0)),
        }
        for row in table[table["measure"] == measure].itertuples()
    ]
