"""What the report says of the verdict on a claim: facts for the texts claim_*.txt.j2.

The table of claims has numbers and keys; the words of a claim are in its ledger.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from string import Formatter

import pandas as pd

from l2study.core.files import read_yaml
from l2study.core.labels import l2_label
from l2study.core.paths import LEDGERS
from l2study.core.wording import MISSING, bounds, form_of, interval, p_value, unit_of
from l2study.report.study import Study
from l2study.report.templates import REPORTS, paragraphs


def ledger_of(study: Study) -> Mapping[str, dict]:
    """Return the claims of the ledger that judges a study, by their ids."""
    # the base's ledger judges every set-up
    name = (study.setups[0] if study.setups else study.design).ledger
    return _claims(REPORTS / "claims" / f"{name}.yaml" if name in LEDGERS else Path(name))


@cache
def _claims(path: Path) -> dict[str, dict]:
    return {claim["id"]: claim for claim in read_yaml(path)["claims"]}


def found(rows: pd.DataFrame, claim: Mapping, study: Study) -> str:
    """Return why a claim has its verdict: the decisive estimate and what the claim needs it to be.

    `rows` are those of the claim in the table of claims, and `claim` is its entry in the ledger.
    """
    whole = rows[rows["estimand"] == "overall"].iloc[0]
    deciding = rows[rows["decides"] == "yes"]
    decisive = [*rows[rows["decisive"] == "yes"].itertuples()]
    decisive += rows[rows["explains"] == "yes"].itertuples()
    noted = decisive
    if whole["verdict"] == "not judged":
        noted = deciding[deciding["verdict"] == "not judged"].itertuples()
    others = rows[rows["estimand"].str.startswith("the same rules after")]
    return " ".join(
        paragraphs(
            "claim_found",
            verdict=whole["verdict"],
            by_seeds=whole["verdict_seeds"],
            rows=[_measured(row) for row in decisive],
            deciding=len(deciding),
            notes=list(dict.fromkeys(filter(None, (note(row, claim, study) for row in noted)))),
            said=_said(rows, claim, study),
            after={
                estimand.rpartition(" ")[2]: verdict
                for estimand, verdict in zip(others["estimand"], others["verdict"], strict=True)
            },
            level=study.config["confidence"],
        )
    )


def _measured(row: tuple) -> dict:
    """Return a row's estimate, written out, and what the claim needs it to be."""
    unit = unit_of(row.measure, row.statistic)
    form = form_of(unit)
    return {
        "estimand": row.estimand,
        "value": None if pd.isna(row.estimate) else form(row.estimate),
        "unit": unit.unit,
        "p": "" if pd.isna(row.p) else p_value(row.p),
        "interval": "" if pd.isna(row.low) else interval(row.low, row.high, form),
        "needed": bounds(row.above, row.below, unit),
        "too_small": row.low > 0 and row.above > 0,
    }


def _said(rows: pd.DataFrame, claim: Mapping, study: Study) -> str:
    """Return the note of the ledger on a claim; empty unless all that it names is there.

    In it {name} stands for the estimate of the row with that name, or for those at the lambdas that
    decide, and {chosen} for the lambda that validation chooses.
    """
    choice = study.tables["choice"]
    chosen = choice.loc[choice["rule"] == "best", "l2"].iloc[0]
    named = {"chosen": [MISSING if pd.isna(chosen) else l2_label(chosen)]}
    for row in rows[rows["name"].notna()].itertuples():
        form = form_of(unit_of(row.measure, row.statistic))
        named.setdefault(row.name, []).append(form(row.estimate))
    text = claim.get("note", "")
    spoken_of = {name for _, name, _, _ in Formatter().parse(text) if name}
    if any(MISSING in named.get(name, [MISSING]) for name in spoken_of):
        return ""
    return text.format(**{name: " and ".join(values) for name, values in named.items()})


def note(row: tuple, claim: Mapping, study: Study) -> str:
    """Return why a row of a claim is not judged or not resolved; empty without a note."""
    if pd.isna(row.note):
        return ""
    lambdas = "" if pd.isna(row.note_lambdas) else str(row.note_lambdas)
    otherwise = [one["needs"]["otherwise"] for one in claim.get("rows", []) if _is(one, row)]
    return " ".join(
        paragraphs(
            "claim_note",
            key=row.note,
            lambdas=lambdas.split(),
            epoch=0 if pd.isna(row.note_epoch) else int(row.note_epoch),
            otherwise="".join(otherwise[:1]),
            seldom=row.note == "lowest_at_end" and evaluated_too_seldom(study, float(lambdas)),
        )
    )


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


def _is(entry: Mapping, row: tuple) -> bool:
    """Return whether a row of the table is of this entry of the ledger, which needs something."""
    same = all(entry[key] == getattr(row, key) for key in ("statistic", "measure"))
    return same and "needs" in entry


def sure(rows: pd.DataFrame) -> str:
    """Return how clear the verdict on a claim is, and how many seeds would make it so."""
    whole = rows[rows["estimand"] == "overall"].iloc[0]
    there = rows.loc[rows["decides"] == "yes", "n"].max()
    seeds = whole["seeds_needed"]
    return " ".join(
        paragraphs(
            "claim_sure",
            clarity=whole["clarity"],
            images_leave_open=whole["note"] == "images_leave_open",
            seeds=0 if pd.isna(seeds) else int(seeds),
            there=0 if pd.isna(there) else there,
        )
    )
