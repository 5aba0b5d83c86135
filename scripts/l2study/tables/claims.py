"""The table of claims: every row of the ledger with its estimate and verdict, and every claim's."""

import math

import pandas as pd

from l2study.tables.build import by_lambda
from l2study.tables.derived import measured_at
from l2study.tables.judge import Judged, Sample, judge_claim, overall
from l2study.tables.verdict_text import reason

OVERALL = "overall"

CLAIM_COLUMNS = [
    "id",
    "claim",
    "estimand",
    "detail",
    "statistic",
    "measure",
    "l2",
    "against",
    "epoch",
    "estimate",
    "low",
    "high",
    "above",
    "below",
    "p",
    "n",
    "given",
    "verdict",
    "decides",
    "diverged_runs",
    "note",
    "table",
    "figure",
    "decided_by",
    "given_words",
]


def claims_table(
    ledger: dict, histories: pd.DataFrame, runs: pd.DataFrame, epochs: int, confidence: float
) -> pd.DataFrame:
    """Return every row of every claim with estimate, bounds and verdict, by `CLAIM_COLUMNS`.

    The last row of a claim has the verdict on the whole; its `estimand` is `overall`.

    Args:
        ledger: from `read_ledger`.
        histories: the table of all histories.
        runs: the table of all runs, with the derived measures.
        epochs: of a completed run.
        confidence: of the intervals.
    """
    named = {row["epoch"] for claim in ledger["claims"] for row in claim["rows"] if "epoch" in row}
    diverged = runs[runs["status"] == "diverged"]
    sample = Sample(
        cells=by_lambda(runs),
        lost={l2: seeds.tolist() for l2, seeds in diverged.groupby("l2")["seed"]},
        confidence=confidence,
        epochs=epochs,
        at_epoch={epoch: by_lambda(measured_at(epoch, histories, runs)) for epoch in named},
    )
    decided_at = [float(l2) for l2 in ledger["decided_at"]]
    rows = []
    for claim in ledger["claims"]:
        judged = judge_claim(claim, sample, decided_at)
        verdict = overall(judged, claim.get("artefact_if", []))
        common = {"id": claim["id"], "claim": claim["claim"]}
        whole = {
            "estimand": OVERALL,
            "verdict": verdict,
            "decided_by": reason(judged, verdict, confidence, claim.get("note", "")),
            "given_words": claim.get("given"),
            **claim["rows"][0]["evidence"],
        }
        rows += [common | row for row in (*map(_row, judged), whole)]
    numbers = ["l2", "against", "estimate", "low", "high", "above", "below", "p", "given"]
    table = pd.DataFrame(rows, columns=CLAIM_COLUMNS)
    return table.astype(dict.fromkeys(numbers, float) | {"epoch": "Int64", "n": "Int64"})


def _row(item: Judged) -> dict:
    row, estimate = item.row, item.estimate
    return {
        "estimand": item.estimand,
        "detail": item.detail,
        "statistic": row["statistic"],
        "measure": row["measure"],
        "l2": math.nan if item.l2 is None else item.l2,
        "against": row.get("against"),
        "epoch": row.get("epoch"),
        "estimate": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        **row["holds"],
        "p": item.p,
        "n": estimate.n,
        "given": row.get("given"),
        "verdict": item.verdict,
        "decides": "yes" if item.decides else "no",
        "diverged_runs": item.diverged_runs,
        "note": item.note,
        **row["evidence"],
    }
