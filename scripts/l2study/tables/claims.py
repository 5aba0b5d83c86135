"""The table of claims: every row of the ledger with its estimate and verdict, and every claim's."""

import math
from collections.abc import Iterable, Sequence

import pandas as pd

from l2study.core.labels import l2_label
from l2study.tables.build import by_lambda
from l2study.tables.choice import chosen_lambda
from l2study.tables.derived import measured_at
from l2study.tables.image_intervals import NO_IMAGES, Images
from l2study.tables.judge import (
    ARTEFACT,
    NOT_JUDGED,
    NOT_RESOLVED,
    SUPPORTED,
    Judged,
    Note,
    Sample,
    after,
    clearance,
    decisive,
    judge_claim,
    overall,
)
from l2study.tables.power import seeds_needed

OVERALL = "overall"
ALSO = "the same rules after"
"""How the estimand of a verdict after another epoch begins."""

CLEAR, CLEAR_P = 3, 0.001
"""A verdict is clear from so many half widths of the interval on, or below this p-value."""


def claims_table(
    ledger: dict,
    histories: pd.DataFrame,
    runs: pd.DataFrame,
    choice: pd.DataFrame,
    epochs: Sequence[int],
    confidence: float,
    images: Images = NO_IMAGES,
) -> pd.DataFrame:
    """Return every row of every claim with estimate, bounds and verdict.

    The last row of a claim has the verdict on the whole; its `estimand` is `overall`. Before it are
    the verdicts by the same rules after other epochs, where the ledger asks for them. `decisive` is
    yes for the row that makes the verdict, the first of `judge.decisive`: one in every claim. The
    second, of an artefact, is yes in `explains`. `scope` says what the interval of a row is for,
    and `verdict_seeds`, of the whole, what the verdict is if all intervals are for other seeds on
    the same images. `seeds_needed` is how many seeds would resolve what is not resolved.

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
    chosen = chosen_lambda(choice)
    sample = Sample(
        cells=by_lambda(runs),
        lost={l2: seeds.tolist() for l2, seeds in diverged.groupby("l2")["seed"]},
        confidence=confidence,
        evaluated=frozenset(epochs),
        at_epoch={epoch: by_lambda(measured_at(epoch, histories, runs)) for epoch in named},
        chosen=None if math.isnan(chosen) else chosen,
        images=images,
    )
    rows = []
    for claim in ledger["claims"]:
        common = {"id": claim["id"], "claim": claim["claim"]}
        decided_at = claim.get("decided_at", ledger.get("decided_at", "every"))
        lambdas = [] if decided_at == "every" else [float(l2) for l2 in decided_at]
        rows += [common | row for row in _claim(claim, sample, lambdas)]
    numbers = ["l2", "against", "estimate", "low", "high", "above", "below", "p", "given"]
    whole = dict.fromkeys(["epoch", "n", "seeds_needed", "note_epoch"], "Int64")
    return pd.DataFrame(rows).astype(dict.fromkeys(numbers, float) | whole)


def _claim(claim: dict, sample: Sample, decided_at: list[float]) -> list[dict]:
    judged = judge_claim(claim, sample, decided_at)
    verdict = overall(judged, claim.get("artefact_if", []))
    makes_it, *explains = decisive(judged, verdict)
    rows = []
    for item in judged:
        row = _row(item) | {"decisive": "yes" if item is makes_it else "no"}
        if item.at_deciding:
            row["name"] = item.row.get("name")
        if verdict == ARTEFACT and any(item is other for other in explains):
            row["explains"] = "yes"
        rows.append(row)
    for epoch in (epoch for epoch in claim.get("also_after", []) if epoch in sample.evaluated):
        judged_then = judge_claim(after(claim, epoch), sample, decided_at)
        verdict_then = overall(judged_then, claim.get("artefact_if", []))
        first = decisive(judged_then, verdict_then)[0]
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
    needed = claim_seeds(judged, sample.confidence) if verdict == NOT_RESOLVED else math.nan
    whole = {
        "estimand": OVERALL,
        "verdict": verdict,
        "clarity": clarity(judged, verdict),
        "verdict_seeds": verdict_seeds,
        "seeds_needed": needed if math.isfinite(needed) else math.nan,
        **_noted(Note("images_leave_open") if math.isinf(needed) else None),
        **claim["rows"][0]["evidence"],
    }
    return [*rows, whole]


def _row(item: Judged) -> dict:
    row, estimate = item.row, item.estimate
    return {
        "estimand": item.estimand,
        "name": None,
        "detail": item.detail,
        "statistic": row["statistic"],
        "measure": row["measure"],
        "l2": math.nan if item.l2 is None else item.l2,
        "against": row.get("against"),
        "epoch": row.get("epoch"),
        "estimate": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "above": row["expect"].get("above"),
        "below": row["expect"].get("below"),
        "p": item.p,
        "n": estimate.n,
        "given": row.get("given"),
        "verdict": item.verdict,
        "decides": "yes" if item.decides else "no",
        "explains": None,
        "diverged_runs": item.diverged_runs,
        "scope": item.scope,
        **_noted(item.note),
        **row["evidence"],
    }


def _noted(note: Note | None) -> dict:
    """Return the columns of a note."""
    if note is None:
        return {"note": None, "note_lambdas": None, "note_epoch": None}
    lambdas = " ".join(map(l2_label, note.lambdas))
    return {"note": note.key, "note_lambdas": lambdas, "note_epoch": note.epoch}


def clarity(judged: Iterable[Judged], verdict: str) -> str:
    """Return how clearly the decisive estimates lie on their side of the bound.

    `clear` or `narrow`, `open` for a claim not resolved, `nothing` for one that is not judged.
    """
    if verdict in (NOT_JUDGED, NOT_RESOLVED):
        return "nothing" if verdict == NOT_JUDGED else "open"
    return "clear" if all(map(_is_clear, decisive(judged, verdict))) else "narrow"


def _is_clear(row: Judged) -> bool:
    # a trend that is contradicted has a p-value near 1
    if not math.isnan(row.p):
        return min(row.p, 1 - row.p) < CLEAR_P
    return abs(clearance(row)[0]) >= CLEAR


def row_seeds(item: Judged, confidence: float, strict_confidence: float) -> float:
    """Return how many seeds resolve a row of the ledger, see `power.seeds_needed`.

    The row is resolved once its interval is on one side of the bound that is nearest to the
    estimate. The estimate and its spread are taken for the truth, so this is a plan and no promise.

    Args:
        item: the row.
        confidence: of the interval that supports a row.
        strict_confidence: of the wider interval that contradicts a claim.

    Returns:
        Infinite if no number of seeds does. NaN for a row that is resolved, or is kept from it by
        something else than the width of an interval of a mean.
    """
    if item.verdict != NOT_RESOLVED or item.note or not item.error > 0:
        return math.nan
    distance, within = _to_bound(item)
    if not distance > 0:
        return math.inf
    of_seeds = max(item.error**2 - item.floor, 0.0) * item.estimate.n
    wanted = confidence if within else strict_confidence
    return seeds_needed(math.sqrt(of_seeds), distance, wanted, floor=item.floor)


def claim_seeds(judged: Iterable[Judged], confidence: float) -> float:
    """Return how many seeds resolve a claim that is not resolved; NaN if that is not known.

    One row on the wrong side of its bound is enough to contradict a claim. Without such a row all
    have to be supported, and the one that takes most seeds counts.
    """
    deciding = [item for item in judged if item.decides]
    strict = 1 - (1 - confidence) / max(1, len(deciding))
    left = [item for item in deciding if item.verdict != SUPPORTED]
    needed = [row_seeds(item, confidence, strict) for item in left]
    outside = [
        seeds
        for item, seeds in zip(left, needed, strict=True)
        if not math.isnan(seeds) and not _to_bound(item)[1]
    ]
    if outside:
        return min(outside)
    return math.nan if not needed or any(map(math.isnan, needed)) else max(needed)


def _to_bound(item: Judged) -> tuple[float, bool]:
    """Return how far the estimate is from its nearest bound, and whether it is within all bounds.

    On the scale on which its interval is symmetric: logarithms for a ratio.
    """
    value = item.estimate.value
    above, below = (item.row["expect"].get(key, math.nan) for key in ("above", "below"))
    if item.row["statistic"] == "ratio":
        value, above, below = (math.log(number) for number in (value, above, below))
    distances = [d for d in (value - above, below - value) if not math.isnan(d)]
    if min(distances) > 0:
        return min(distances), True
    return max(-d for d in distances if d <= 0), False
