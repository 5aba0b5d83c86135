"""The summary of a study in Markdown, which reads well as plain text in a mail."""

import math
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
    p_value,
    unit_of,
)
from l2study.report import answer, claim_text, provenance, setups_text
from l2study.report.navigation import tables_folder
from l2study.report.setup_names import in_order, words
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

WITH_INTERVALS = ("gap_reported", "gap_generalisation")
"""The measures whose intervals the table of lambdas shows."""

MOST_SET_UPS = 20
"""The table of set-ups has no more rows than this."""


def summary(study: Study) -> str:
    """Return the Markdown summary of a study, which can be read on its own."""
    several, found = setups_text.has_overview(study), answer.of(study)
    text = TEMPLATES.get_template("page/summary.md.j2").render(
        study=study,
        answer=found,
        across=setups_text.answer(study) if several else None,
        lambdas=lambda_table(study, (found.facts["choice"] or {}).get("l2")),
        claims=claim_table(study),
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
    means, runs = study.shown["means"], study.tables["runs"]
    there = set(means["measure"])
    whole = {"gap_lag"} if "gap_lag_mode" in there else {"gap_lag_averaging", "gap_lag_mode"}
    widths = (means["high"] - means["low"]).groupby(means["measure"]).median()
    complete = (runs["status"] == "completed").groupby(runs["l2"]).sum()
    rows = {l2: {"λ": Number(l2, lambda_text)} for l2 in complete.index}
    if chosen in rows:
        rows[chosen] = {"λ": Number(chosen, lambda l2: f"**{lambda_text(l2)}**")}
    for head, measure in COLUMNS.items():
        if measure not in there - whole:
            continue
        own = means[means["measure"] == measure].set_index("l2")
        width = widths["gap_reported" if measure.startswith("gap_") else measure]
        form = form_of(MEASURES[measure], width / 2)
        for l2, row in rows.items():
            value, low, high = (
                own.loc[l2, ["mean", "low", "high"]] if l2 in own.index else [math.nan] * 3
            )
            ends = (low, high) if measure in WITH_INTERVALS else ()
            row[head] = Number(value, form, *ends)
    if complete.min() < complete.max():
        for l2, row in rows.items():
            row["Runs"] = Number(complete[l2], fixed(0))
    return list(rows.values())


def claim_table(study: Study) -> Rows:
    """Return a row per claim: whether its figure is found, its conclusion, and what decides it.

    Of several set-ups, also in how many the conclusion is the same.
    """
    claims, everywhere = study.tables["claims"], study.tables["verdicts"]
    ledger, rows = claim_text.ledger_of(study), []
    has_figures = claims["figure_found"].notna().any()
    for name, own in claims.groupby("id", sort=False):
        whole = own[own["estimand"] == "overall"].iloc[0]
        row = {"Claim": ledger.get(name, {}).get("short", whole["claim"])}
        if has_figures:
            found = whole["figure_found"]
            row["Number found"] = MISSING if pd.isna(found) else found
        changes = ", changes with the epoch" if whole["changes_with_epoch"] == "yes" else ""
        row |= {"Conclusion": whole["conclusion"] + changes,
                "Deciding estimate": deciding(own, ledger.get(name, {}), study)}  # fmt: skip
        elsewhere = everywhere.loc[everywhere["id"] == name, "conclusion"]
        if len(elsewhere) > 1:
            alike = (elsewhere == whole["conclusion"]).sum()
            row["Same in set-ups"] = f"{alike} of {len(elsewhere)}"
        rows.append(row)
    return rows


def deciding(rows: pd.DataFrame, claim: dict, study: Study) -> str:
    """Return the estimate that decides a claim and what the claim needs it to be; or why it is not
    judged.
    """
    whole = rows[rows["estimand"] == "overall"].iloc[0]
    if whole["conclusion"] == "not judged":
        unjudged = rows[(rows["decides"] == "conclusion") & (rows["verdict"] == "not judged")]
        notes = (claim_text.note(row, claim, study) for row in unjudged.itertuples())
        return next(filter(None, notes), MISSING)
    row = next(rows[rows["decisive"] == "yes"].itertuples())
    unit = unit_of(row.measure, row.statistic)
    low, high, adjusted = claim_text.ends(row)
    form = form_of(unit, (high - low) / 2)
    text = str(Number(row.estimate, form, low, high, unit.unit))
    if adjusted:
        text = text.removesuffix(")") + ", adjusted)"
    p = "" if pd.isna(row.p) else f" (p {p_value(row.p)})"
    needed = f"; needs {bounds(row.above, row.below, unit)}"
    return f"{row.estimand}: {text}{p}{needed if whole['conclusion'] == 'open' else ''}"


def setup_table(study: Study) -> Rows:
    """Return a row per set-up: its best lambda, whether the grid is wide enough, and its effect."""
    best = study.best.set_index("setup")
    form = fixed(2, 100)
    rows = []
    for name in in_order(study.tables["setups"]):
        row = {"Set-up": words(name)}
        if name not in best.index:
            rows.append(row | {"Best λ": "no runs", "Others chosen": "", "Grid": "", "Effect": ""})
            continue
        own = best.loc[name]
        ends = [own[f"test_accuracy_{end}"] for end in ("low", "high")]
        picks = interval(own["best_l2_low"], own["best_l2_high"], lambda_text)
        rows.append(row | {
            "Best λ": lambda_text(own["best_l2"]),
            "Others chosen": "" if own["best_l2_low"] == own["best_l2_high"] else picks,
            "Grid": "" if pd.isna(own["grid"]) else own["grid"],
            "Effect": str(Number(own["test_accuracy_difference"], form, *ends)),
        })  # fmt: skip
    return rows
