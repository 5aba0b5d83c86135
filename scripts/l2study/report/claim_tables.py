"""The tables and sentences about claims that the page shows."""

import re
from itertools import groupby

import pandas as pd

from l2study.core.design import Setup
from l2study.core.labels import l2_label
from l2study.core.scope_rows import SEEDS_AND_IMAGES
from l2study.core.wording import as_given, bounds, form_of, interval, p_value, unit_of
from l2study.report import claim_drawings, claim_text
from l2study.report.study import Study
from l2study.report.table_cells import Drawn, Lines, Number, Rows, Verdict, Words
from l2study.report.templates import paragraphs


def verdict_table(study: Study) -> Rows:
    """Return a row per claim: whether its figure is found and the conclusion holds, and a drawing
    of the estimate that decides.
    """
    ledger, claims = claim_text.ledger_of(study), study.tables["claims"]
    has_figures = claims["figure_found"].notna().any()
    rows = []
    for name, own in claims.groupby("id", sort=False):
        whole, claim = own[own["estimand"] == "overall"].iloc[0], ledger.get(name, {})
        # with a true minus sign
        given = re.sub(r"(?<!\w)-(?=\d)", "−", claim.get("given", ""))
        figure = f"Its number: {given}" if given else ""
        row = {"Claim": Words(claim.get("short", whole["claim"]), figure, f"#claim-{name}")}
        if has_figures:
            row["Number found"] = verdict(whole["figure_found"])
        changes = "changes with the epoch" if whole["changes_with_epoch"] == "yes" else ""
        row["Conclusion"] = Verdict(whole["conclusion"], changes)
        row["What decides"] = drawn(own, claim, study)
        rows.append(row)
    return rows


def verdict(text: str) -> Verdict | str:
    """Return the cell of a verdict; empty where there is none, as of a claim without a figure."""
    return "" if pd.isna(text) else Verdict(text)


def drawn(rows: pd.DataFrame, claim: dict, study: Study) -> Drawn | str:
    """Return the estimate that decides a claim as a drawing; why there is none where it is not
    judged.
    """
    row = next(rows[rows["decisive"] == "yes"].itertuples())
    drawing = claim_drawings.estimate(row)
    if drawing is None:
        return claim_text.note(row, claim, study)
    unit = unit_of(row.measure, row.statistic)
    form, (low, high, _) = form_of(unit), claim_text.ends(row)
    value = str(Number(row.estimate, form, low, high, unit.unit))
    if pd.notna(row.p):
        value += f" (p {p_value(row.p)})"
    return Drawn(row.estimand, value, drawing)


def claims_text(study: Study) -> str:
    """Return where the claims come from, in what set-up they are judged, and after which epoch."""
    whole = study.tables["claims"].query("estimand == 'overall'")
    wide = whole.loc[whole["scope"] == SEEDS_AND_IMAGES, "id"].tolist()
    return " ".join(
        paragraphs(
            "claims",
            exercise=Setup.of(study.config).ledger == "exercise",
            epochs=study.config["training"]["epochs"],
            wide=wide,
            all_wide=len(wide) == len(whole),
        )
    )


def details(study: Study) -> list[dict]:
    """Return what is unfolded of every claim: its `id` and words (`claim`), what is `said` of it,
    the `course` of the estimate that decides, which is `estimand`, the estimates that are
    `deciding` and the `others`, and the `figures` with the evidence.
    """
    claims, ledger, found = study.tables["claims"], claim_text.ledger_of(study), []
    for name, own in claims.groupby("id", sort=False):
        row, claim = next(own[own["decisive"] == "yes"].itertuples()), ledger.get(name, {})
        found.append(
            {
                "id": name,
                "claim": row.claim,
                "said": claim_text.found(own, claim, study),
                "course": claim_drawings.course(study, row),
                "estimand": row.estimand,
                "deciding": claim_table(study, name, deciding=True),
                "others": claim_table(study, name, deciding=False),
                "figures": own["figure"].unique().tolist(),
            }
        )
    return found


def claim_table(study: Study, claim: str, deciding: bool) -> Rows:
    """Return the estimates that decide a claim, or the others; one that is made at every lambda has
    one row. What the same rules say after other epochs is not among them.

    Those that decide have intervals, details and verdicts; an estimate outside its bounds has the
    interval by which it is held against them.
    """
    claims, ledger = study.tables["claims"], claim_text.ledger_of(study).get(claim, {})
    own = claims[(claims["id"] == claim) & claims["verdict"].notna()]
    decides = own["decides"] != "no"
    rows = own[decides] if deciding else own[~decides & own["estimate"].notna()]
    table = []
    for estimand, group in groupby(rows.itertuples(), _at_each):
        if not deciding:
            table.append({"Estimand": estimand, "Estimate": _range(list(group))})
            continue
        row = _estimates(estimand, list(group), ledger, study)
        if own["given"].isna().all():
            del row["The exercise"]
        table.append(row)
    return table


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
    beneath = paragraphs(
        "claim_row",
        detail="" if pd.isna(first.detail) else first.detail,
        p="" if pd.isna(first.p) else p_value(first.p),
        diverged="; ".join(lost),
        note=" ".join(filter(None, notes)),
    )
    at = [f"{l2_label(row.l2)}: " if len(rows) > 1 else "" for row in rows]
    verdicts = [row.verdict for row in rows]
    same = len(set(verdicts)) == 1
    estimates = [f"{where}{_estimate(row)}" for where, row in zip(at, rows, strict=True)]
    return {
        "Estimand": Words(estimand, " ".join(beneath)),
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


def _estimate(row: tuple) -> str:
    """Return an estimate with its unit and interval."""
    unit = unit_of(row.measure, row.statistic)
    low, high, adjusted = claim_text.ends(row)
    text = str(Number(row.estimate, form_of(unit), low, high, unit.unit))
    return text.replace(")", ", adjusted)") if adjusted else text
