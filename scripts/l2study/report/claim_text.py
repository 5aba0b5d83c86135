"""What the report says of the verdict on a claim: facts for the texts claim_*.txt.j2.

The table of claims has numbers and keys; the words of a claim are in its ledger.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from string import Formatter

import pandas as pd

from l2study.core.files import read_yaml
from l2study.core.labels import l2_label
from l2study.core.paths import LEDGERS
from l2study.core.wording import MISSING, form_of, p_value, unit_of
from l2study.report import data_text
from l2study.report.study import Study
from l2study.report.table_cells import Number
from l2study.report.templates import REPORTS, line


def claims(study: Study) -> Iterator[tuple[pd.DataFrame, pd.Series, Mapping]]:
    """Yield for every claim its rows of the table of claims, the one of the whole claim, and its
    entry in the ledger that judges the study.
    """
    name = ledger_of(study)
    ledger = _ledger(REPORTS / "claims" / f"{name}.yaml" if name in LEDGERS else Path(name))
    for claim, rows in study.tables["claims"].groupby("id", sort=False):
        yield rows, rows[rows["estimand"] == "overall"].iloc[0], ledger.get(claim, {})


def ledger_of(study: Study) -> str:
    """Return the name or path of the ledger that judges a set-up, which is that of the base."""
    return (study.setups[0] if study.setups else study.design).ledger


@cache
def _ledger(path: Path) -> dict[str, dict]:
    return {claim["id"]: claim for claim in read_yaml(path)["claims"]}


def decisive(rows: pd.DataFrame) -> tuple:
    """Return the row of a claim with the estimate that decides it."""
    return next(rows[rows["decisive"] == "yes"].itertuples())


def found(rows: pd.DataFrame, claim: Mapping, study: Study) -> str:
    """Return what a study says of a claim, by its rows in the table of claims and its entry in the
    ledger, beside the drawing of the estimate that decides.
    """
    whole, row = rows[rows["estimand"] == "overall"].iloc[0], decisive(rows)
    explains = [*rows[rows["explains"] == "yes"].itertuples()]
    everywhere = study.tables["verdicts"]
    elsewhere = everywhere.loc[everywhere["id"] == whole["id"], "conclusion"]
    low, _, _ = ends(row)
    verdicts = ["figure_found", "figure_found_seeds", "conclusion", "conclusion_seeds"]
    return line(
        "claim_found",
        **whole[verdicts],
        too_small=low > 0 and row.estimate <= row.above,
        figure=_figure(rows, whole["figure_found"]),
        cause=_measured(explains[0]) if explains else None,
        notes=notes(rows, claim, study),
        said=_said(rows, claim, study),
        unscaled=data_text.unscaled(study) and data_text.is_of_scale(rows["measure"]),
        images_leave_open=whole["note"] == "images_leave_open",
        seeds=0 if pd.isna(whole["seeds_needed"]) else int(whole["seeds_needed"]),
        there=rows.loc[rows["decides"] == "conclusion", "n"].max(),
        set_ups=len(elsewhere),
        alike=(elsewhere == whole["conclusion"]).sum(),
    )


def _figure(rows: pd.DataFrame, figure_found: str) -> dict | None:
    """Return the estimate by which the figure of a claim is found or not; None without one."""
    sought = {"yes": ["within"], "no": ["outside"], "open": ["open", "outside"]}
    own = rows[(rows["decides"] == "figure") & rows["verdict"].isin(sought.get(figure_found, []))]
    return _measured(next(own.itertuples())) if len(own) else None


def _measured(row: tuple) -> dict:
    value = None if pd.isna(row.estimate) else estimate(row)
    return {"estimand": row.estimand, "value": value}


def ends(row: tuple) -> tuple[float, float, bool]:
    """Return the interval by which a row is judged, and whether it is adjusted.

    An estimate outside its bounds is held against the interval that is adjusted for the number of
    estimates that decide the claim.
    """
    beyond = row.estimate <= row.above or row.estimate >= row.below
    if not beyond or pd.isna(row.low_adjusted):
        return row.low, row.high, False
    return row.low_adjusted, row.high_adjusted, row.low_adjusted != row.low


def estimate(row: tuple) -> str:
    """Return the estimate of a row with its unit and the interval by which it is judged."""
    unit, (low, high, adjusted) = unit_of(row.measure, row.statistic), ends(row)
    text = str(Number(row.estimate, form_of(unit, (high - low) / 2), low, high, unit.unit))
    return f"{text.removesuffix(')')}, adjusted)" if adjusted else text


def deciding(row: tuple) -> str:
    """Return the estimate that decides a claim, with the p-value of one that is judged by it."""
    return estimate(row) if pd.isna(row.p) else f"{estimate(row)} (p {p_value(row.p)})"


def _said(rows: pd.DataFrame, claim: Mapping, study: Study) -> str:
    """Return the note of the ledger on a claim; empty unless all that it names is there.

    In it {name} stands for the estimate of the row with that name, or for those at the lambdas that
    decide, {chosen} for the lambda that validation chooses, and {largest} for the largest one.
    """
    choice = study.tables["choice"].query("rule == 'best' and configured == 'yes'")
    chosen = choice["l2"].iloc[0]
    named = {"chosen": [MISSING if pd.isna(chosen) else l2_label(chosen)]}
    named["largest"] = [l2_label(l2) for l2 in rows.loc[rows["at"] == "largest", "l2"].dropna()]
    for row in rows[rows["name"].notna()].itertuples():
        form = form_of(unit_of(row.measure, row.statistic))
        named.setdefault(row.name, []).append(form(row.estimate))
    text = claim.get("note", "")
    spoken_of = {name for _, name, _, _ in Formatter().parse(text) if name}
    if any(MISSING in (named.get(name) or [MISSING]) for name in spoken_of):
        return ""
    return text.format(**{name: " and ".join(values) for name, values in named.items()})


def notes(rows: pd.DataFrame, claim: Mapping, study: Study) -> list[str]:
    """Return why a claim is not judged, or what there is to note of the estimate that decides."""
    noted = rows["decisive"] == "yes"
    if "not judged" in set(rows["conclusion"]):
        noted = (rows["decides"] == "conclusion") & (rows["verdict"] == "not judged")
    said = (note(row, claim, study) for row in rows[noted].itertuples())
    return list(dict.fromkeys(filter(None, said)))


def note(row: tuple, claim: Mapping, study: Study) -> str:
    """Return why a row of a claim is not judged or open; empty without a note."""
    if pd.isna(row.note):
        return ""
    lambdas = "" if pd.isna(row.note_lambdas) else str(row.note_lambdas)
    otherwise = [one["needs"]["otherwise"] for one in claim.get("rows", []) if _is(one, row)]
    return line(
        "claim_note",
        key=row.note,
        lambdas=lambdas.split(),
        epoch=0 if pd.isna(row.note_epoch) else int(row.note_epoch),
        otherwise="".join(otherwise[:1]),
        seldom=row.note == "lowest_at_end" and evaluated_too_seldom(study, float(lambdas)),
    )


def _is(entry: Mapping, row: tuple) -> bool:
    """Return whether a row of the table is of this entry of the ledger, which needs something."""
    same = all(entry[key] == getattr(row, key) for key in ("statistic", "measure"))
    return same and "needs" in entry


def evaluated_too_seldom(study: Study, l2: float) -> bool:
    """Return whether more evaluations, and not more epochs, would show a rise of validation.

    A rise is one of means over three evaluated epochs. That hides it where the last three are far
    apart and an earlier epoch is below the last, or where there are no three.
    """
    histories = study.tables.get("histories")
    if histories is None:
        return False
    runs = study.tables["runs"].query("status == 'completed' and l2 == @l2")[["l2", "seed"]]
    rows = histories[histories["epoch"] > 0].merge(runs, on=["l2", "seed"])
    curve = rows.groupby("epoch")["val_ce"].mean().sort_index()
    if curve.empty or len(curve) == curve.index[-1]:
        return False
    last = curve.index[-3:]
    return len(curve) < 3 or (last[-1] - last[0] > 2 and curve.iloc[-1] > curve.min())
