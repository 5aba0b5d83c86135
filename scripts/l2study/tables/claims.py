"""The table of claims: every row of the ledger with its estimate and verdict, and every claim's."""

import math
from collections.abc import Iterable, Sequence

import pandas as pd

from l2study.core.labels import l2_label
from l2study.core.scope_rows import SEEDS_AND_IMAGES
from l2study.tables.build import by_lambda
from l2study.tables.choice import chosen_lambda
from l2study.tables.crossed import Crossing
from l2study.tables.derived import measured_at
from l2study.tables.image_intervals import NO_IMAGES, Images
from l2study.tables.judge import (
    NOT_JUDGED,
    OPEN,
    WITHIN,
    AllRuns,
    Judged,
    Note,
    Sample,
    adjusted_confidence,
    after,
    cause,
    changes,
    clearance,
    decisive,
    judge_claim,
    outcome,
    scope_of,
    to_bound,
)
from l2study.tables.laws import Sized
from l2study.tables.ledger import BESIDE, CONCLUSION
from l2study.tables.power import seeds_needed

OVERALL = "overall"
ALSO = "the same rules after"
"""How the estimand of a verdict after another epoch begins."""


def claims_table(
    ledger: dict,
    histories: pd.DataFrame,
    runs: pd.DataFrame,
    choice: pd.DataFrame,
    epochs: Sequence[int],
    confidence: float,
    images: Images = NO_IMAGES,
    crossed: tuple[Crossing, pd.DataFrame, pd.DataFrame] | None = None,
    sizes: Sequence[Sized] = (),
) -> pd.DataFrame:
    """Return every row of every claim with estimate, bounds and verdict.

    The last row of a claim, `overall`, has what is said of the whole. Before it is the same by the
    same rules after other epochs, where the ledger asks for them.

    Args:
        ledger: from `read_ledger`.
        histories, runs: the tables of all runs, with the derived measures.
        choice: from `choice.choice_table`.
        epochs: those that are evaluated in a completed run.
        confidence: of the intervals.
        images: what the runs predict.
        crossed: of a crossed design, how all runs are crossed, and the tables of their histories
            and of them; `histories` and `runs` have those that share no level of a source.
        sizes: see `Sample`.
    """
    named = {row["epoch"] for claim in ledger["claims"] for row in claim["rows"] if "epoch" in row}
    named.update(epoch for claim in ledger["claims"] for epoch in claim.get("also_after", []))
    named.intersection_update(epochs)
    diverged = runs[runs["status"] == "diverged"]
    chosen = chosen_lambda(choice)

    def at_named(histories: pd.DataFrame, runs: pd.DataFrame) -> dict[int, dict]:
        return {epoch: by_lambda(measured_at(epoch, histories, runs)) for epoch in named}

    all_runs = None
    if crossed:
        crossing, *every = crossed
        all_runs = AllRuns(crossing, by_lambda(every[1]), at_named(*every))
    sample = Sample(
        cells=by_lambda(runs),
        lost={l2: seeds.tolist() for l2, seeds in diverged.groupby("l2")["seed"]},
        confidence=confidence,
        evaluated=frozenset(epochs),
        at_epoch=at_named(histories, runs),
        chosen=None if math.isnan(chosen) else chosen,
        images=images,
        all_runs=all_runs,
        sizes=tuple(sizes),
    )
    rows = []
    for claim in ledger["claims"]:
        common = {"id": claim["id"], "claim": claim["claim"]}
        decided_at = claim.get("decided_at", ledger.get("decided_at", "every"))
        lambdas = [] if decided_at == "every" else [float(l2) for l2 in decided_at]
        rows += [common | row for row in _claim(claim, sample, lambdas)]
    numbers = ["l2", "against", "estimate", "low", "high", "low_adjusted", "high_adjusted"]
    numbers += ["above", "below", "half_widths", "p", "given"]
    whole = dict.fromkeys(["epoch", "n", "seeds_needed", "note_epoch"], "Int64")
    return pd.DataFrame(rows).astype(dict.fromkeys(numbers, float) | whole)


def _claim(claim: dict, sample: Sample, decided_at: list[float]) -> list[dict]:
    judged = judge_claim(claim, sample, decided_at)
    found, scope = outcome(judged), scope_of(judged)
    without = sample._replace(images=NO_IMAGES)
    by_seeds = found
    if scope == SEEDS_AND_IMAGES:
        by_seeds = outcome(judge_claim(claim, without, decided_at))
    makes_it, explains = decisive(judged, found.conclusion), cause(judged, found)
    rows = []
    for item in judged:
        row = _row(item) | {"decisive": "yes" if item is makes_it else "no"}
        if item.at_deciding:
            row["name"] = item.row.get("name")
        if item is explains:
            row["explains"] = "yes"
        rows.append(row)
    compared, unknown = [], found.conclusion == NOT_JUDGED
    in_scope = sample if scope == SEEDS_AND_IMAGES or unknown else without
    for epoch in (epoch for epoch in claim.get("also_after", []) if epoch in sample.evaluated):
        then = judge_claim(after(claim, epoch), in_scope, decided_at)
        found_then = outcome(then)
        first = decisive(then, found_then.conclusion)
        # without predictions after that epoch, both are compared for other seeds alone
        compared.append((found if scope_of(then) == scope else by_seeds, found_then))
        row = _row(first) | {
            "estimand": f"{ALSO} epoch {epoch}",
            "detail": f"what decides is the {first.estimand}",
            "verdict": None,
            "decides": BESIDE,
            "decisive": "no",
        }
        rows.append(row | found_then._asdict())
    needed = claim_seeds(judged, sample.confidence) if found.conclusion == OPEN else math.nan
    whole = {
        "estimand": OVERALL,
        **found._asdict(),
        "changes_with_epoch": changes(compared),
        "scope": scope,
        "figure_found_seeds": by_seeds.figure_found,
        "conclusion_seeds": by_seeds.conclusion,
        "seeds_needed": needed if math.isfinite(needed) else math.nan,
        **_noted(Note("images_leave_open") if math.isinf(needed) else None),
        **claim["rows"][0]["evidence"],
    }
    return [*rows, whole]


def _row(item: Judged) -> dict:
    row, estimate, at = item.row, item.estimate, item.row.get("at")
    half_widths, _ = clearance(item)
    return {
        "estimand": item.estimand,
        "name": None,
        "detail": item.detail,
        "statistic": row["statistic"],
        "measure": row["measure"],
        "at": at if isinstance(at, str) else None,
        "l2": math.nan if item.l2 is None else item.l2,
        "against": row.get("against"),
        "epoch": row.get("epoch"),
        "estimate": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "low_adjusted": item.adjusted.low,
        "high_adjusted": item.adjusted.high,
        "above": row["expect"].get("above"),
        "below": row["expect"].get("below"),
        "half_widths": half_widths if math.isfinite(half_widths) else math.nan,
        "p": item.p,
        "n": estimate.n,
        "given": row.get("given"),
        "verdict": item.verdict,
        "decides": item.decides,
        "explains": None,
        "diverged_runs": item.diverged_runs,
        "scope": item.scope,
        **_noted(item.note),
        **row["evidence"],
    }


def _noted(note: Note | None) -> dict:
    if note is None:
        return {"note": None, "note_lambdas": None, "note_epoch": None}
    lambdas = " ".join(map(l2_label, note.lambdas))
    return {"note": note.key, "note_lambdas": lambdas, "note_epoch": note.epoch}


def row_seeds(item: Judged, confidence: float, strict_confidence: float) -> float:
    """Return how many seeds resolve a row of the ledger, see `power.seeds_needed`.

    The row is resolved once its interval is on one side of the bound that is nearest to the
    estimate; outside all bounds, the wider interval of `strict_confidence` counts. The estimate and
    its spread are taken for the truth, so this is a plan and no promise. NaN for a row that is
    resolved, or is kept from it by something else than the width of an interval of a mean.
    """
    if item.verdict != OPEN or item.note or not item.error > 0:
        return math.nan
    distance, within = to_bound(item)
    if not distance > 0:
        return math.inf
    of_seeds = max(item.error**2 - item.floor, 0.0) * item.estimate.n
    wanted = confidence if within else strict_confidence
    return seeds_needed(math.sqrt(of_seeds), distance, wanted, floor=item.floor)


def claim_seeds(judged: Iterable[Judged], confidence: float) -> float:
    """Return how many seeds resolve a conclusion that is open; NaN if that is not known.

    It fails by one row on the wrong side of its bound. Without such a row all have to be within,
    and the one that takes most seeds counts.
    """
    judged = list(judged)
    strict = adjusted_confidence(confidence, sum(item.decides != BESIDE for item in judged))
    left = [item for item in judged if item.decides == CONCLUSION and item.verdict != WITHIN]
    needed = [row_seeds(item, confidence, strict) for item in left]
    outside = [
        seeds
        for item, seeds in zip(left, needed, strict=True)
        if not math.isnan(seeds) and not to_bound(item)[1]
    ]
    if outside:
        return min(outside)
    return math.nan if not needed or any(map(math.isnan, needed)) else max(needed)
