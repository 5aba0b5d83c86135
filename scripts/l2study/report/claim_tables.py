"""The tables and sentences about claims that page and summary show."""

import re

import pandas as pd

from l2study.core.design import Setup
from l2study.core.scope_rows import SEEDS_AND_IMAGES
from l2study.core.wording import as_given, bounds, form_of, p_value, unit_of, with_arguments
from l2study.report import claim_text
from l2study.report.navigation import tables_folder
from l2study.report.study import Study
from l2study.report.table_cells import Evidence, Number, Rows, Verdict, Words
from l2study.report.templates import listed


def verdict_table(study: Study) -> Rows:
    """Return a row per claim: its words and figure, whether that is found and the conclusion
    holds, what was found, and how sure.
    """
    ledger = claim_text.ledger_of(study)
    claims, everywhere = study.tables["claims"], study.tables["verdicts"]
    has_figures = claims["figure_found"].notna().any()
    rows = []
    for name, own in claims.groupby("id", sort=False):
        whole, claim = own[own["estimand"] == "overall"].iloc[0], ledger.get(name, {})
        row = {"Claim": whole["claim"]}
        if any("given" in claim for claim in ledger.values()):
            # with a true minus sign
            row["Its figure"] = re.sub(r"(?<!\w)-(?=\d)", "−", claim.get("given", ""))
        if has_figures:
            row["Figure found"] = verdict(whole["figure_found"])
        row |= {
            "Conclusion": verdict(whole["conclusion"]),
            "What we found": claim_text.found(own, claim, study),
            "How sure": claim_text.sure(own, everywhere[everywhere["id"] == name]),
        }
        rows.append(row)
    return rows


def verdict(text: str) -> Verdict | str:
    """Return the cell of a verdict; empty where there is none, as of a claim without a figure."""
    return "" if pd.isna(text) else Verdict(text)


def claims_text(study: Study) -> str:
    """Return where the claims come from, in what set-up they are judged, and after which epoch."""
    training = study.config["training"]
    optimizer = with_arguments(training["optimizer"])
    source = (
        "The claims are those of a teaching exercise, which does not state its batch size and its"
        " number of epochs. Those of this project were tuned to come close to its figures. The"
        " rules that judge the claims were made with results of the seeds 0 to 9 in sight."
        if Setup.of(study.config).ledger == "exercise"
        else "The claims are general questions, without figures for these data."
    )
    return (
        f"{source} The verdicts are for this set-up: optimiser {optimizer}, batch size"
        f" {training['batch_size']}, {training['epochs']} epochs, and the data, the validation"
        " images and the network below. Another set-up may have other verdicts. Estimates are of"
        f" the last epoch, epoch {training['epochs']}, unless they name another.{_scopes(study)}"
    )


def _scopes(study: Study) -> str:
    """Return what the verdicts are for, if some are for other images too."""
    whole = study.tables["claims"].query("estimand == 'overall'")
    wide = whole.loc[whole["scope"] == SEEDS_AND_IMAGES, "id"]
    if wide.empty:
        return ""
    return (
        f" What is said of {listed(wide)} is for other seeds and other validation and test images;"
        " of the other claims, for other seeds on these images."
    )


def claim_table(study: Study, claim: str) -> Rows:
    """Return the rows of one claim: what is estimated, with interval, verdict and evidence.

    An estimate outside its bounds has the interval by which it is held against them.
    """
    claims, ledger = study.tables["claims"], claim_text.ledger_of(study)
    rows = claims[(claims["id"] == claim) & (claims["estimand"] != "overall")]
    table = []
    for row in rows.itertuples():
        unit = unit_of(row.measure, row.statistic)
        form = form_of(unit)
        beneath = []
        if pd.notna(row.detail):
            beneath.append(f"{row.detail[0].upper()}{row.detail[1:]}.")
        low, high, adjusted = claim_text.ends(row)
        if row.scope == SEEDS_AND_IMAGES:
            beneath.append("The interval is for other seeds and other images.")
        if adjusted:
            beneath.append("The interval is adjusted for the number of estimates that decide.")
        if pd.notna(row.p):
            beneath.append(f"The one-sided p-value of Page's test is {p_value(row.p)}.")
        if pd.notna(row.diverged_runs):
            beneath.append(f"Diverged and left out: {row.diverged_runs}.")
        if note := claim_text.note(row, ledger.get(claim, {}), study):
            beneath.append(note)
        table.append(
            {
                "Estimand": Words(row.estimand, " ".join(beneath)),
                "Estimate": Number(row.estimate, form, low, high, unit.unit),
                "The claim needs": bounds(row.above, row.below, unit),
                "The exercise": Number(row.given, as_given(unit.scale), unit=unit.unit),
                "Verdict": _verdict(row),
                "Decides": row.decides,
                "Evidence": Evidence(row.table, row.figure, tables_folder(study)),
            }
        )
    if rows["given"].isna().all():
        table = [{h: cell for h, cell in row.items() if h != "The exercise"} for row in table]
    return table


def _verdict(row: tuple) -> Verdict | Words:
    """Return where the interval of a row lies, or what is said of the claim after another epoch."""
    if pd.notna(row.verdict):
        return Verdict(row.verdict)
    figure = "" if pd.isna(row.figure_found) else f"Figure found: {row.figure_found}."
    return Words(f"conclusion: {row.conclusion}", figure)
