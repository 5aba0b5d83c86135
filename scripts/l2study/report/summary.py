"""The summary of a study in Markdown, which reads well as plain text in a mail."""

import re

import pandas as pd

from l2study.core.measures import MEASURES
from l2study.core.wording import (
    MISSING,
    bounds,
    fixed,
    form_of,
    interval,
    lambda_text,
    unit_of,
)
from l2study.report import answer, claim_tables, claim_text, provenance, setups_text, text_tables
from l2study.report.navigation import tables_folder
from l2study.report.setup_names import words
from l2study.report.study import Study
from l2study.report.table_cells import Number, Rows
from l2study.report.templates import TEMPLATES

COLUMNS = {
    "Train %": "train_accuracy",
    "Val. %": "val_accuracy",
    "Test %": "test_accuracy",
    "Reported gap": "gap_reported",
    "= lag": "gap_lag",
    "= averaging": "gap_lag_averaging",
    "+ mode": "gap_lag_mode",
    "+ generalisation": "gap_generalisation",
    "+ split": "gap_split",
    "Val. CE": "val_ce",
}
"""The columns of the table of lambdas, each with its measure."""

MOST_SET_UPS = 20
"""The table of set-ups has no more rows than this."""


def summary(study: Study) -> str:
    """Return the Markdown summary of a study, which can be read on its own."""
    several, found = setups_text.has_overview(study), answer.of(study)
    deciding = study.tables["claims"].query("decisive == 'yes'")
    text = TEMPLATES.get_template("page/summary.md.j2").render(
        study=study,
        answer=found,
        across=setups_text.answer(study) if several else None,
        lambdas=lambda_table(study, (found.facts["choice"] or {}).get("l2")),
        claims=claim_table(study),
        at_chosen=claim_tables.at_chosen(deciding),
        set_ups=setup_table(study) if several else [],
        most=MOST_SET_UPS,
        setup=provenance.setup(study),
        versions=provenance.versions_line(study),
        folder=tables_folder(study),
    )
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def lambda_table(study: Study, chosen: float | None = None) -> Rows:
    """Return a row per lambda: accuracies, the reported gap and its parts, cross-entropy.

    They are means over completed runs. The numbers of a column have the decimals that its median
    interval justifies, and parts of the gap those of their sum. The `chosen` lambda is bold. How
    many runs there are is said if a lambda has fewer than others.
    """
    means, complete = study.shown["means"], text_tables.completed(study)
    # the lag is that of averaging, or a sum of two parts
    needless = {"gap_lag"}
    if "gap_lag_mode" not in set(means["measure"]):
        needless = {"gap_lag_averaging"}
    widths = (means["high"] - means["low"]).groupby(means["measure"]).median()
    columns = {}
    for head, measure in COLUMNS.items():
        if measure not in needless:
            width = widths["gap_reported" if measure.startswith("gap_") else measure]
            columns[head] = measure, form_of(MEASURES[measure], width / 2)
    rows = text_tables.means_table(study, columns, text_tables.WITH_INTERVALS)
    for row in rows:
        l2 = row["λ"].value
        if l2 == chosen:
            row["λ"] = Number(l2, lambda l2: f"**{lambda_text(l2)}**")
        if complete.min() < complete.max():
            row["Runs"] = Number(complete[l2], fixed(0))
    return rows


def claim_table(study: Study) -> Rows:
    """Return a row per claim: whether its figure is found, its conclusion, and what decides it, or
    why it is not judged. Of several set-ups, also in how many the conclusion is the same.
    """
    everywhere, table = study.tables["verdicts"], []
    has_figures = study.tables["claims"]["figure_found"].notna().any()
    for rows, whole, claim in claim_text.claims(study):
        cells = {"Claim": claim.get("short", whole["claim"])}
        if has_figures:
            found = whole["figure_found"]
            cells["Number found"] = MISSING if pd.isna(found) else found
        changes = ", changes with the epoch" if whole["changes_with_epoch"] == "yes" else ""
        cells["Conclusion"] = whole["conclusion"] + changes
        row, why = claim_text.decisive(rows), claim_text.notes(rows, claim, study)
        needed = bounds(row.above, row.below, unit_of(row.measure, row.statistic))
        decides = f"{row.estimand}: {claim_text.deciding(row)}"
        if whole["conclusion"] == "open":
            decides = why[0] if why else f"{decides}; needs {needed}"
        elif whole["conclusion"] == "not judged":
            decides = why[0] if why else MISSING
        cells["Deciding estimate"] = decides
        elsewhere = everywhere.loc[everywhere["id"] == whole["id"], "conclusion"]
        if len(elsewhere) > 1:
            alike = (elsewhere == whole["conclusion"]).sum()
            cells["Same in set-ups"] = f"{alike} of {len(elsewhere)}"
        table.append(cells)
    return table


def setup_table(study: Study) -> Rows:
    """Return a row per set-up: its best lambda, whether the grid is wide enough, and its effect."""
    best, rows = study.best.set_index("setup"), []
    for name in study.tables["setups"]["setup"]:
        row = {"Set-up": words(name), "Best λ": "no runs"}
        row |= dict.fromkeys(("Others chosen", "Grid", "Effect"), "")
        if name in best.index:
            own = best.loc[name]
            row["Best λ"] = lambda_text(own["best_l2"])
            if own["best_l2_low"] != own["best_l2_high"]:
                ends = own["best_l2_low"], own["best_l2_high"]
                row["Others chosen"] = interval(*ends, lambda_text)
            row["Grid"] = "" if pd.isna(own["grid"]) else own["grid"]
            row["Effect"] = str(text_tables.gain(own, "test_accuracy", fixed(2, 100)))
        rows.append(row)
    return rows
