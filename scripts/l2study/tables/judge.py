"""Judge the claims of the ledger by the runs of a study.

The ledgers in reports/claims hold the claims and the rules, and their README.md explains both. This
module applies the rules: it knows no claim and no figure.
"""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from l2study.core.labels import l2_label
from l2study.core.scope_rows import SEEDS, SEEDS_AND_IMAGES
from l2study.core.wording import seed_list
from l2study.tables import ranks, statistics
from l2study.tables.build import paired_differences
from l2study.tables.derived import EPOCH_OF
from l2study.tables.image_intervals import NO_IMAGES, Images
from l2study.tables.statistics import Estimate

SUPPORTED, CONTRADICTED, NOT_RESOLVED = "supported", "contradicted", "not resolved"
ARTEFACT, NOT_JUDGED = "artefact", "not judged"


class Sample(NamedTuple):
    """What the claims are judged by: the runs of a study, and the confidence of the intervals."""

    cells: dict[float, pd.DataFrame]
    """The runs of every lambda, ascending, indexed by seed."""
    lost: dict[float, list[int]]
    """The seeds that diverged, for every lambda."""
    confidence: float
    evaluated: frozenset[int]
    """The epochs that are evaluated in a completed run, its last one among them."""
    at_epoch: dict[int, dict[float, pd.DataFrame]]
    """As `cells`, but measured at the end of an epoch that the ledger names."""
    chosen: float | None = None
    """The lambda that validation chooses, if it chooses one."""
    images: Images = NO_IMAGES
    """What the runs predict, with their final weights."""


class Note(NamedTuple):
    """What keeps a row from being judged or resolved, with the lambdas or the epoch it is about."""

    key: str
    lambdas: tuple[float, ...] = ()
    epoch: int | None = None


class Judged(NamedTuple):
    """A row of the ledger with its verdict, at one lambda unless the row is for all of them."""

    row: dict
    l2: float | None
    estimate: Estimate
    verdict: str = NOT_RESOLVED
    strict_verdict: str = NOT_RESOLVED
    """The verdict with an interval widened for the number of rows that decide the claim."""
    decides: bool = True
    reproduces_figure: bool = False
    alternative_cause: bool = False
    p: float = math.nan
    """Of a trend: the one-sided p-value in the direction that the claim needs."""
    diverged_runs: str = ""
    at_deciding: bool = True
    """Whether the row is at a lambda that decides, or not for every lambda."""
    note: Note | None = None
    """Why the row could not be judged or resolved, where its interval does not say that."""
    scope: str = SEEDS
    """What the interval is for."""
    error: float = math.nan
    """The standard error of a mean, of that of logarithms for a ratio."""
    floor: float = 0.0
    """The part of its square that more seeds make no smaller: that of images and of overlaps."""

    @property
    def estimand(self) -> str:
        """What is estimated, for this lambda and epoch."""
        return self._filled("estimand")

    @property
    def detail(self) -> str:
        """What else there is to say of the estimand; often nothing."""
        return self._filled("detail")

    def _filled(self, key: str) -> str:
        name = "above 0" if self.l2 is None else l2_label(self.l2)
        return self.row.get(key, "").format(l2=name, epoch=self.row.get("epoch"))


def judge_claim(claim: dict, sample: Sample, decided_at: Sequence[float] = ()) -> list[Judged]:
    """Return every row of a claim, judged at every lambda that it is for.

    Args:
        claim: an entry of the ledger.
        sample: the runs.
        decided_at: of the rows for every lambda, those at these lambdas decide. If the study has
            none of these lambdas, or none are given, all rows do.
    """
    deciding_lambdas = {l2 for l2 in sample.cells if l2 in decided_at} or set(sample.cells)
    cases = []
    for row in claim["rows"]:
        beside = row.get("alternative_cause", False) or not row.get("decides", True)
        for l2 in _lambdas(row, sample):
            counts = row.get("at") != "every" or l2 is None or l2 in deciding_lambdas
            cases.append((row, l2, counts and not beside, counts))
    # Bonferroni: one false contradiction among the deciding rows would contradict the claim
    deciding = max(1, sum(decides for _, _, decides, _ in cases))
    strict = sample._replace(confidence=1 - (1 - sample.confidence) / deciding)
    judged = []
    for row, l2, decides, counts in cases:
        found = _judge(row, l2, sample)
        judged.append(
            found._replace(
                strict_verdict=(_judge(row, l2, strict) if decides else found).verdict,
                decides=decides,
                reproduces_figure=counts and row.get("reproduces_figure", False),
                alternative_cause=counts and row.get("alternative_cause", False),
                diverged_runs=_diverged_runs(row, l2, sample),
                at_deciding=counts,
            )
        )
    return judged


def after(claim: dict, epoch: int) -> dict:
    """Return `claim` with `epoch` in place of the epochs that its rows name."""
    rows = [row | {"epoch": epoch} if "epoch" in row else row for row in claim["rows"]]
    return claim | {"rows": rows}


def overall(judged: Iterable[Judged], artefact_if: Iterable[str]) -> str:
    """Return the verdict on a whole claim from its rows, as the ledger explains it."""
    judged = list(judged)
    reported = [row for row in judged if row.reproduces_figure]
    other_cause = [row for row in judged if row.alternative_cause]
    deciding = [row for row in judged if row.decides]
    if reported and other_cause and all(row.verdict == SUPPORTED for row in reported + other_cause):
        fair = _all_of([row for row in deciding if not row.reproduces_figure])
        if fair in artefact_if:
            return ARTEFACT
    return _all_of(deciding)


def _all_of(rows: list[Judged]) -> str:
    if any(row.verdict == NOT_JUDGED for row in rows):
        return NOT_JUDGED
    if any(row.strict_verdict == CONTRADICTED for row in rows):
        return CONTRADICTED
    return SUPPORTED if all(row.verdict == SUPPORTED for row in rows) else NOT_RESOLVED


def decisive(judged: Iterable[Judged], verdict: str) -> list[Judged]:
    """Return the rows that make the verdict on a claim.

    An artefact has two: the figure as reported, and where it comes from. A claim that is not judged
    has all the rows that lack something. Any other verdict has one. Of several candidates, that is
    the one whose estimate is farthest on the wrong side of its bounds, or else nearest to them,
    counted in half widths of its interval.
    """
    judged = list(judged)
    deciding = [item for item in judged if item.decides]
    if verdict == NOT_JUDGED:
        return [item for item in deciding if item.verdict == NOT_JUDGED]
    candidates = {
        ARTEFACT: (
            [r for r in judged if r.reproduces_figure],
            [r for r in judged if r.alternative_cause],
        ),
        CONTRADICTED: ([r for r in deciding if r.strict_verdict == CONTRADICTED],),
        SUPPORTED: (deciding,),
        NOT_RESOLVED: ([r for r in deciding if r.verdict != SUPPORTED],),
    }
    return [min(rows, key=clearance) for rows in candidates[verdict]]


def clearance(item: Judged) -> tuple[float, float]:
    """Return how far an estimate lies within its bounds, in half widths of its interval and as is.

    Without an interval the first is infinite.
    """
    value, expect = item.estimate.value, item.row["expect"]
    within = min(value - expect.get("above", -math.inf), expect.get("below", math.inf) - value)
    half = (item.estimate.high - item.estimate.low) / 2
    if math.isnan(within):
        return -math.inf, -math.inf
    return (within / half if half > 0 else math.copysign(math.inf, within)), within


def _lambdas(row: dict, sample: Sample) -> list[float | None]:
    """Return the lambdas that a row is for; None for a row that is not for single lambdas."""
    present = list(sample.cells)
    if row.get("at") == "chosen":
        return [sample.chosen]
    if row.get("at") != "every":
        return [float(l2) for l2 in row.get("at", [])] or [None]
    if "against" in row and float(row["against"]) not in present:
        return [None]
    return [l2 for l2 in present if l2 > 0] or [None]


def _lacking(row: dict, l2: float | None, sample: Sample) -> Note | None:
    """Return what the study lacks to judge a row; None if nothing."""
    present = list(sample.cells)
    needed = [l2, row.get("against"), row.get("needs_minimum_at"), row.get("needs", {}).get("at")]
    missing = sorted({float(value) for value in needed if value is not None} - set(present))
    epoch = row.get("epoch", EPOCH_OF.get(row["measure"], 0))
    if missing:
        return Note("lambdas_missing", tuple(missing))
    if row.get("at") == "chosen" and l2 is None:
        return Note("no_lambda_chosen")
    if "at" in row and l2 is None:
        return Note("no_lambda_above_0")
    if row["statistic"] == "trend" and len(present) < 2:
        return Note("one_lambda")
    if epoch > max(sample.evaluated):
        return Note("epochs_too_few", epoch=epoch)
    if epoch not in sample.evaluated:
        return Note("epoch_not_evaluated", epoch=epoch)
    # Rows that need a minimum say by themselves what runs are too short for them.
    values = pd.concat(cell[row["measure"]] for cell in sample.cells.values())
    has_completed = len(values) > sum(map(len, sample.lost.values()))
    if has_completed and values.isna().all() and "needs_minimum_at" not in row:
        return Note("no_value")
    return None


def _diverged_runs(row: dict, l2: float | None, sample: Sample) -> str:
    """Return the runs that an estimate leaves out because they diverged."""
    if row["statistic"] == "largest":  # also counts the epochs before a run diverged
        return ""
    places = list(sample.cells) if l2 is None else [l2, float(row.get("against", l2))]
    lost = {l2_label(place): sample.lost[place] for place in places if sample.lost.get(place)}
    return "; ".join(f"lambda {label} {seed_list(seeds)}" for label, seeds in lost.items())


def _too_little(row: dict, sample: Sample) -> Note | None:
    """Return why a row cannot be resolved although its lambdas are there; None if it can."""
    if "needs_minimum_at" in row:
        place = float(row["needs_minimum_at"])
        cell = sample.cells[place]
        rises = cell.loc[cell["status"] == "completed", "val_ce_rise"]
        # it is exactly 0 where the other seeds are lowest at the end, and missing in short runs
        if not rises.empty and not rises.fillna(0).any():
            return Note("lowest_at_end", (place,))
    if needs := row.get("needs"):
        values = sample.cells[float(needs["at"])][needs["measure"]]
        # an interval that is not there is not above anything either
        if not statistics.mean_interval(values, sample.confidence).low > needs["above"]:
            return Note("need_not_met")
    return None


def _judge(row: dict, l2: float | None, sample: Sample) -> Judged:
    """Return what a row comes to, before it is known whether it decides."""
    measure, expect = row["measure"], row["expect"]
    cells, confidence = sample.cells, sample.confidence
    found = Judged(row, l2, Estimate())
    if lacking := _lacking(row, l2, sample):
        return found._replace(verdict=NOT_JUDGED, strict_verdict=NOT_JUDGED, note=lacking)
    if "epoch" in row:
        cells = sample.at_epoch[row["epoch"]]
    match row["statistic"]:
        case "trend":
            return found._replace(**_trend(cells, measure, expect, confidence))
        case "largest":
            values = statistics.finite(cells[l2][measure])
            value = float(values.max()) if values.size else math.nan
            verdict = _verdict(value, value, expect)
            return found._replace(estimate=Estimate(value, n=values.size), verdict=verdict)
        case "mean":
            result = _mean(cells[l2][measure], row, l2, sample)
        case "difference":
            values = paired_differences(cells, measure, l2, float(row["against"]))
            result = _mean(values, row, l2, sample)
        case "ratio":
            first, second = cells[l2][measure].align(cells[float(row["against"])][measure])
            with np.errstate(divide="ignore", invalid="ignore"):
                ratio = statistics.mean_of(np.log(first / second))
            estimate = ratio.interval(confidence)
            estimate = Estimate(*np.exp(estimate[:3]), estimate.n)
            result = {"estimate": estimate, "error": ratio.error}
        case "association":
            runs = pd.concat(cells.values())
            values = runs[row["with"]], runs[measure]
            result = {"estimate": ranks.kendall(*values, runs.index, confidence)}
        case "within":
            runs = pd.concat(cells.values())
            values = runs[row["with"]], runs[measure], runs["l2"]
            result = {"estimate": ranks.kendall_within(*values, runs.index, confidence)}
    found = found._replace(**result)
    if why := _too_little(row, sample):
        return found._replace(note=why)
    verdict = _verdict(found.estimate.low, found.estimate.high, expect)
    if verdict == CONTRADICTED and row.get("possible"):
        return found._replace(note=Note("not_seen_here"))
    return found._replace(verdict=verdict)


def _mean(values: pd.Series, row: dict, l2: float, sample: Sample) -> dict:
    """Return estimate, scope, error and floor of a mean over seeds, as fields of `Judged`.

    It is for other images too if the measure is a mean over images, at the last epoch.
    """
    last, narrow = max(sample.evaluated), statistics.mean_of(values)
    if row.get("epoch", last) == last:
        against = float(row["against"]) if "against" in row else None
        if wide := sample.images.mean(row["measure"], values, l2, against):
            return {
                "estimate": wide.interval(sample.confidence),
                "scope": SEEDS_AND_IMAGES,
                "error": wide.error,
                "floor": max(wide.error**2 - narrow.error**2, 0.0),
            }
    return {"estimate": narrow.interval(sample.confidence), "error": narrow.error}


def _trend(cells: dict[float, pd.DataFrame], measure: str, expect: dict, confidence: float) -> dict:
    """Return estimate, verdict and p-value of Page's test of a measure's trend over lambda.

    A lambda without a value is left out, and a seed without a value at one of the others.
    """
    table = pd.concat({l2: cells[l2][measure] for l2 in cells}, axis=1)
    table = table.dropna(axis=1, how="all").dropna().to_numpy()
    page = ranks.page_trend(table)
    if math.isnan(page.correlation):
        return {}
    estimate, level = Estimate(page.correlation, n=page.n), (1 - confidence) / 2
    agrees, differs = page.p_increasing, page.p_decreasing
    if "below" in expect:
        agrees, differs = differs, agrees
    verdict = NOT_RESOLVED
    if min(agrees, differs) < level:
        verdict = SUPPORTED if agrees < level else CONTRADICTED
    return {"estimate": estimate, "verdict": verdict, "p": agrees}


def _verdict(low: float, high: float, expect: dict) -> str:
    """Return the verdict of an interval on where the estimand must lie."""
    above, below = expect.get("above", -math.inf), expect.get("below", math.inf)
    if math.isnan(low) or math.isnan(high):
        return NOT_RESOLVED
    if low > above and high < below:
        return SUPPORTED
    return CONTRADICTED if high <= above or low >= below else NOT_RESOLVED
