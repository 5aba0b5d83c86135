"""The table of claims: every row of the ledger with its estimate and verdict, and every claim's."""

import math
from collections.abc import Sequence

import pandas as pd

from l2study.tables import more_seeds
from l2study.tables.build import by_lambda
from l2study.tables.derived import measured_at
from l2study.tables.image_intervals import NO_IMAGES, Images
from l2study.tables.judge import (
    NOT_RESOLVED,
    Judged,
    Sample,
    after,
    decisive,
    judge_claim,
    overall,
)
from l2study.tables.verdict_text import how_sure, reason, two_scopes

OVERALL = "overall"
ALSO = "the same rules after"
"""How the estimand of a verdict after another epoch begins."""

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
    "how_sure",
    "given_words",
    "decisive",
    "scope",
    "verdict_seeds",
    "seeds_needed",
]


def claims_table(
    ledger: dict,
    histories: pd.DataFrame,
    runs: pd.DataFrame,
    choice: pd.DataFrame,
    epochs: Sequence[int],
    confidence: float,
    images: Images = NO_IMAGES,
) -> pd.DataFrame:
    """Return every row of every claim with estimate, bounds and verdict, by `CLAIM_COLUMNS`.

    The last row of a claim has the verdict on the whole; its `estimand` is `overall`. Before it are
    the verdicts by the same rules after other epochs, where the ledger asks for them. `decisive` is
    yes for the row that makes the verdict, the first of `judge.decisive`: one in every claim.
    `scope` says what the interval of a row is for, and `verdict_seeds`, of the whole, what the
    verdict is if all intervals are for other seeds on the same images. `seeds_needed` is how many
    seeds would resolve what is not resolved, see `more_seeds`; NaN where no number would.

    Args:
        ledger: from `read_ledger`.
        histories: the table of all histories.
        runs: the table of all runs, with the derived measures.
        choice: from `choice.choice_table`.
        epochs: those that are evaluated in a completed run.
        confidence: of the intervals.
        images: what the runs predict; a mean over images at the last epoch is judged for other
            images too.
    """
    named = {row["epoch"] for claim in ledger["claims"] for row in claim["rows"] if "epoch" in row}
    named.update(epoch for claim in ledger["claims"] for epoch in claim.get("also_after", []))
    named.intersection_update(epochs)
    diverged = runs[runs["status"] == "diverged"]
    chosen = choice.drop_duplicates("rule").set_index("rule").loc["best", "l2"]
    sample = Sample(
        cells=by_lambda(runs),
        lost={l2: seeds.tolist() for l2, seeds in diverged.groupby("l2")["seed"]},
        confidence=confidence,
        evaluated=frozenset(epochs),
        at_epoch={epoch: by_lambda(measured_at(epoch, histories, runs)) for epoch in named},
        chosen=None if pd.isna(chosen) else float(chosen),
        images=images,
    )
    rows = []
    for claim in ledger["claims"]:
        common = {"id": claim["id"], "claim": claim["claim"]}
        decided_at = claim.get("decided_at", ledger.get("decided_at", "every"))
        lambdas = [] if decided_at == "every" else [float(l2) for l2 in decided_at]
        rows += [common | row for row in _claim(claim, sample, lambdas)]
    numbers = ["l2", "against", "estimate", "low", "high", "above", "below", "p", "given"]
    table = pd.DataFrame(rows, columns=CLAIM_COLUMNS)
    whole = dict.fromkeys(["epoch", "n", "seeds_needed"], "Int64")
    return table.astype(dict.fromkeys(numbers, float) | whole)


def _claim(claim: dict, sample: Sample, decided_at: list[float]) -> list[dict]:
    judged = judge_claim(claim, sample, decided_at)
    verdict = overall(judged, claim.get("artefact_if", []))
    makes_it = decisive(judged, verdict)[0]
    rows = [_row(item) | {"decisive": "yes" if item is makes_it else "no"} for item in judged]
    others = []
    for epoch in (epoch for epoch in claim.get("also_after", []) if epoch in sample.evaluated):
        judged_then = judge_claim(after(claim, epoch), sample, decided_at)
        verdict_then = overall(judged_then, claim.get("artefact_if", []))
        first = decisive(judged_then, verdict_then)[0]
        others.append(f"{verdict_then} after epoch {epoch}")
        rows.append(
            _row(first)
            | {
                "estimand": f"{ALSO} epoch {epoch}",
                "detail": f"what decides is the {first.estimand}",
                "verdict": verdict_then,
                "decides": "no",
                "decisive": "no",
            }
        )
    verdict_seeds = verdict
    if sample.images is not NO_IMAGES:
        seeds_alone = judge_claim(claim, sample._replace(images=NO_IMAGES), decided_at)
        verdict_seeds = overall(seeds_alone, claim.get("artefact_if", []))
    needed = math.nan
    if verdict == NOT_RESOLVED:
        needed = more_seeds.claim_seeds(judged, sample.confidence)
    words = [reason(judged, verdict, sample, claim.get("note", ""))]
    if verdict_seeds != verdict:
        words.append(two_scopes(verdict_seeds, verdict))
    if others:
        words.append(f"By the same rules it is {', '.join(others)}.")
    whole = {
        "estimand": OVERALL,
        "verdict": verdict,
        "decided_by": " ".join(words),
        "how_sure": " ".join(
            filter(None, [how_sure(judged, verdict), more_seeds.words(needed, judged)])
        ),
        "given_words": claim.get("given"),
        "verdict_seeds": verdict_seeds,
        "seeds_needed": needed if math.isfinite(needed) else math.nan,
        **claim["rows"][0]["evidence"],
    }
    return [*rows, whole]


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
        "scope": item.scope,
        **row["evidence"],
    }
