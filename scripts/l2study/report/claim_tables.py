"""The tables and sentences about claims that the page shows."""

import re
from collections.abc import Mapping
from itertools import groupby

import pandas as pd

from l2study.core.labels import l2_label
from l2study.core.scope_rows import SEEDS_AND_IMAGES
from l2study.core.wording import as_given, bounds, form_of, interval, p_value, unit_of
from l2study.report import claim_drawings, claim_text
from l2study.report.study import Study
from l2study.report.table_cells import Drawn, Lines, Number, Rows, Verdict, Words
from l2study.report.templates import line


def verdict_table(study: Study) -> Rows:
    """Return a row per claim: whether its figure is found and the conclusion holds, and a drawing
    of the estimate that decides; or why there is none.
    """
    has_figures = study.tables["claims"]["figure_found"].notna().any()
    table = []
    for rows, whole, claim in claim_text.claims(study):
        # with a true minus sign
        given = re.sub(r"(?<!\w)-(?=\d)", "−", claim.get("given", ""))
        figure = f"Its number: {given}" if given else ""
        cells = {
            "Claim": Words(claim.get("short", whole["claim"]), figure, f"#claim-{whole['id']}")
        }
        if has_figures:
            found = whole["figure_found"]
            cells["Number found"] = "" if pd.isna(found) else Verdict(found)
        changes = "changes with the epoch" if whole["changes_with_epoch"] == "yes" else ""
        cells["Conclusion"] = Verdict(whole["conclusion"], changes)
        row = claim_text.decisive(rows)
        drawing = claim_drawings.estimate(row)
        why = claim_text.note(row, claim, study)
        drawn = Drawn(row.estimand, claim_text.deciding(row), drawing)
        cells["What decides"] = drawn if drawing and not why else why
        table.append(cells)
    return table


def claims_text(study: Study) -> str:
    """Return where the claims come from, in what set-up they are judged, and after which epoch."""
    wide, narrow = [], []
    for _, whole, claim in claim_text.claims(study):
        of = wide if whole["scope"] == SEEDS_AND_IMAGES else narrow
        of.append(claim.get("short", whole["claim"]))
    return line(
        "claims",
        ledger=claim_text.ledger_of(study),
        epochs=study.config["training"]["epochs"],
        wide=wide,
        all_wide=not narrow,
        at_chosen=at_chosen(study.tables["claims"]),
    )


def at_chosen(rows: pd.DataFrame) -> bool:
    """Return whether a row of the table of claims has an interval at the lambda that is chosen."""
    return rows.loc[rows["at"] == "chosen", "low"].notna().any()


def details(study: Study) -> list[dict]:
    """Return what is unfolded of every claim: its `id` and words (`claim`), what is `said` of it,
    the `course` of the estimate that decides, which is `estimand`, the estimates that are
    `deciding` and the `others`, and the `figures` with the evidence.
    """
    found = []
    for rows, whole, claim in claim_text.claims(study):
        row = claim_text.decisive(rows)
        found.append(
            {
                "id": whole["id"],
                "claim": whole["claim"],
                "said": claim_text.found(rows, claim, study),
                "course": claim_drawings.course(study, row),
                "estimand": row.estimand,
                "deciding": deciding_table(rows, claim, study),
                "others": other_table(rows),
                "figures": rows["figure"].unique().tolist(),
            }
        )
    return found


def deciding_table(rows: pd.DataFrame, claim: Mapping, study: Study) -> Rows:
    """Return the estimates that decide a claim, with intervals, details and verdicts; one that is
    made at every lambda has one row.

    An estimate outside its bounds has the interval by which it is held against them. What the same
    rules say after other epochs is not here.
    """
    own = rows[rows["verdict"].notna()]
    deciding = own[own["decides"] != "no"]
    table = [
        _estimates(estimand, list(group), claim, study)
        for estimand, group in groupby(deciding.itertuples(), _at_each)
    ]
    if own["given"].isna().all():
        for cells in table:
            del cells["The exercise"]
    return table


def other_table(rows: pd.DataFrame) -> Rows:
    """Return the estimates for a claim that decide nothing, as `deciding_table` those that do."""
    others = rows[rows["verdict"].notna() & (rows["decides"] == "no") & rows["estimate"].notna()]
    return [
        {"Estimand": estimand, "Estimate": _range(list(group))}
        for estimand, group in groupby(others.itertuples(), _at_each)
    ]


def _at_each(row: tuple) -> str:
    """Return what is estimated; the same for all lambdas of a row that is made at every one."""
    if row.at != "every" or pd.isna(row.l2):
        return row.estimand
    return row.estimand.replace(f" at lambda {l2_label(row.l2)}", "", 1)


def _estimates(estimand: str, rows: list[tuple], claim: dict, study: Study) -> dict:
    """Return the row of a table for estimates that decide, and differ in lambda alone."""
    first, unit = rows[0], unit_of(rows[0].measure, rows[0].statistic)
    lost = dict.fromkeys(row.diverged_runs for row in rows if pd.notna(row.diverged_runs))
    notes = dict.fromkeys(claim_text.note(row, claim, study) for row in rows)
    beneath = line(
        "claim_row",
        detail="" if pd.isna(first.detail) else first.detail,
        p="" if pd.isna(first.p) else p_value(first.p),
        diverged="; ".join(lost),
        note=" ".join(filter(None, notes)),
    )
    at = [f"{l2_label(row.l2)}: " if len(rows) > 1 else "" for row in rows]
    verdicts = [row.verdict for row in rows]
    same = len(set(verdicts)) == 1
    estimates = [f"{where}{claim_text.estimate(row)}" for where, row in zip(at, rows, strict=True)]
    return {
        "Estimand": Words(estimand, beneath),
        "Estimate": Lines(estimates),
        "Needed": bounds(first.above, first.below, unit),
        "The exercise": Number(first.given, as_given(unit.scale), unit=unit.unit),
        "Verdict": Verdict(verdicts[0])
        if same
        else Lines([f"{where}{said}" for where, said in zip(at, verdicts, strict=True)]),
        "Decides": first.decides,
    }


def _range(rows: list[tuple]) -> str:
    """Return an estimate with its unit; of several, the lowest and the highest."""
    values, unit = [row.estimate for row in rows], unit_of(rows[0].measure, rows[0].statistic)
    if len(values) == 1:
        return str(Number(*values, form_of(unit), unit=unit.unit))
    return f"{interval(min(values), max(values), form_of(unit))} {unit.unit}".strip()
