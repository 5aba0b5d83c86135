"""Judge the claims of the ledger by the runs of a study.

The ledgers in reports/claims hold the claims and the rules, and their README.md explains both. This
module applies the rules: it knows no claim and no figure.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from l2study.core.labels import l2_label
from l2study.core.measures import MEASURES
from l2study.core.scope_rows import SEEDS, SEEDS_AND_IMAGES
from l2study.core.wording import seed_list
from l2study.tables import laws, ranks, statistics
from l2study.tables.build import paired_differences
from l2study.tables.crossed import Crossing, widest_mean
from l2study.tables.derived import EPOCH_OF
from l2study.tables.image_intervals import NO_IMAGES, Images
from l2study.tables.ledger import BESIDE, CONCLUSION, FIGURE, decided_by
from l2study.tables.statistics import Estimate

OPEN, NOT_JUDGED = "open", "not judged"
WITHIN, OUTSIDE = "within", "outside"
"""Where the interval of a row lies, if it is not open or not judged."""
FOUND, NOT_FOUND = "yes", "no"
"""Whether the figure of a claim is found, measured as the claim measured it."""
HOLDS, FAILS = "holds", "fails"
"""What a fair measurement says of the conclusion of a claim."""


class AllRuns(NamedTuple):
    """All runs of a crossed design: how they are crossed, and the rest as in `Sample`."""

    crossing: Crossing
    cells: dict[float, pd.DataFrame]
    at_epoch: dict[int, dict[float, pd.DataFrame]]


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
    all_runs: AllRuns | None = None
    """Of a crossed design: means and differences are of them. `cells` has those that share no level
    of a source, of which all other estimates are."""
    sizes: tuple[laws.Sized, ...] = ()
    """These runs with the number of rows that they are trained on, and after them those of every
    set-up that differs in this number alone; empty if there is no such set-up."""


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
    adjusted: Estimate = Estimate()
    """With the interval widened for the number of rows that decide the claim (Bonferroni)."""
    verdict: str = OPEN
    decides: str = CONCLUSION
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


class Outcome(NamedTuple):
    """What a study says of a claim; `figure_found` is None for a claim without a figure."""

    figure_found: str | None
    conclusion: str


def judge_claim(claim: dict, sample: Sample, decided_at: Sequence[float] = ()) -> list[Judged]:
    """Return every row of a claim, judged at every lambda that it is for, all in one scope.

    That is seeds and images, if every row that decides and is of a mean over images can be judged
    for other images, and otherwise seeds for all rows. A measure that is no mean over images, such
    as a norm, has an interval for other seeds in either case.

    Of the rows for every lambda, those at the lambdas `decided_at` decide. If the study has none of
    these, or none are given, all do.
    """
    judged = _judge_rows(claim, sample, decided_at)
    if any(_only_for_seeds(item) for item in judged if item.decides != BESIDE):
        return _judge_rows(claim, sample._replace(images=NO_IMAGES), decided_at)
    return judged


def _judge_rows(claim: dict, sample: Sample, decided_at: Sequence[float]) -> list[Judged]:
    """Return every row of a claim, each in the widest scope that it can have."""
    named = {l2 for l2 in sample.cells if l2 > 0 and l2 in decided_at}
    deciding_lambdas = named or set(sample.cells)
    cases = []
    for row in claim["rows"]:
        for l2 in _lambdas(row, sample):
            counts = row.get("at") != "every" or l2 is None or l2 in deciding_lambdas
            cases.append((row, l2, decided_by(row) if counts else BESIDE, counts))
    deciding = sum(decides != BESIDE for _, _, decides, _ in cases)
    strict = adjusted_confidence(sample.confidence, deciding)
    judged = []
    for row, l2, decides, counts in cases:
        found = _judge(row, l2, sample, sample.confidence if decides == BESIDE else strict)
        judged.append(
            found._replace(
                decides=decides,
                alternative_cause=counts and row.get("alternative_cause", False),
                diverged_runs=_diverged_runs(row, l2, sample),
                at_deciding=counts,
            )
        )
    return judged


def adjusted_confidence(confidence: float, deciding: int) -> float:
    """Return the confidence of the interval by which one of the deciding rows fails a claim.

    By Bonferroni: one row that is outside by chance would fail the whole claim.
    """
    return 1 - (1 - confidence) / max(1, deciding)


def _only_for_seeds(item: Judged) -> bool:
    """Return whether a row of a mean over images is judged for other seeds alone."""
    of_images = bool(MEASURES[item.row["measure"]].images)
    return of_images and item.scope == SEEDS and item.estimate.n > 0


def scope_of(judged: Iterable[Judged]) -> str:
    """Return what a claim is judged for: other images too, if a row that decides is."""
    wide = any(item.scope == SEEDS_AND_IMAGES for item in judged if item.decides != BESIDE)
    return SEEDS_AND_IMAGES if wide else SEEDS


def after(claim: dict, epoch: int) -> dict:
    """Return `claim` with `epoch` in place of the epochs that its rows name."""
    rows = [row | {"epoch": epoch} if "epoch" in row else row for row in claim["rows"]]
    return claim | {"rows": rows}


def outcome(judged: Iterable[Judged]) -> Outcome:
    """Return what is said of a whole claim from its rows, as the ledger explains it."""
    judged = list(judged)
    figure = [item.verdict for item in judged if item.decides == FIGURE]
    conclusion = [item.verdict for item in judged if item.decides == CONCLUSION]
    return Outcome(
        _all_of(figure, FOUND, NOT_FOUND) if figure else None, _all_of(conclusion, HOLDS, FAILS)
    )


def _all_of(verdicts: list[str], within: str, outside: str) -> str:
    if NOT_JUDGED in verdicts:
        return NOT_JUDGED
    if OUTSIDE in verdicts:
        return outside
    return within if set(verdicts) == {WITHIN} else OPEN


def changes(compared: Iterable[tuple[Outcome, Outcome]]) -> str | None:
    """Return whether a claim comes out otherwise in the second of two outcomes, of any pair: yes if
    the opposite is shown, else no or open; None if unknown."""
    pairs = {frozenset(pair) for both in compared for pair in zip(*both, strict=True)}
    known = {pair for pair in pairs if not pair & {None, NOT_JUDGED}}
    if not known:
        return None
    if known & {frozenset((FOUND, NOT_FOUND)), frozenset((HOLDS, FAILS))}:
        return "yes"
    return OPEN if any(OPEN in pair for pair in known) else "no"


def decisive(judged: Iterable[Judged], conclusion: str) -> Judged:
    """Return the row that the conclusion on a claim rests on.

    Of several candidates, that is the one whose estimate is farthest on the wrong side of its
    bounds, or else nearest to them, counted in half widths of its interval. Half widths of two
    scopes do not compare: rows for other images go before those for seeds alone.
    """
    deciding = [item for item in judged if item.decides == CONCLUSION]
    candidates = {
        NOT_JUDGED: [item for item in deciding if item.verdict == NOT_JUDGED],
        FAILS: [item for item in deciding if item.verdict == OUTSIDE],
        HOLDS: deciding,
        OPEN: [item for item in deciding if item.verdict != WITHIN],
    }[conclusion]
    wide = [item for item in candidates if item.scope == SEEDS_AND_IMAGES]
    return min(wide or candidates, key=clearance)


def cause(judged: Iterable[Judged], found: Outcome) -> Judged | None:
    """Return the row that says where the figure comes from, if the conclusion from it fails."""
    causes = [item for item in judged if item.alternative_cause]
    shown = causes and all(item.verdict == WITHIN for item in causes)
    return min(causes, key=clearance) if shown and found == (FOUND, FAILS) else None


def clearance(item: Judged) -> tuple[float, float]:
    """Return how far an estimate lies within its bounds, in half widths of its interval and as is,
    on the scale of `_symmetric`. Without an interval the first is infinite."""
    value, low, high, above, below = _symmetric(item)
    within = min(value - above, below - value)
    half = (high - low) / 2
    if math.isnan(within):
        return -math.inf, -math.inf
    return (within / half if half > 0 else math.copysign(math.inf, within)), within


def to_bound(item: Judged) -> tuple[float, bool]:
    """Return how far the estimate is from its nearest bound, on the scale of `_symmetric`, and
    whether it is within all bounds."""
    value, _, _, above, below = _symmetric(item)
    distances = value - above, below - value
    if min(distances) > 0:
        return min(distances), True
    return max(-d for d in distances if d <= 0), False


def _symmetric(item: Judged) -> tuple[float, float, float, float, float]:
    """Return estimate, ends and bounds on the scale on which the interval is symmetric: logarithms
    for a ratio."""
    expect = item.row["expect"]
    ends = expect.get("above", -math.inf), expect.get("below", math.inf)
    numbers = (*item.estimate[:3], *ends)
    if item.row["statistic"] not in ("ratio", *laws.OVER_IMAGES):
        return numbers
    return tuple(-math.inf if number <= 0 else math.log(number) for number in numbers)


def _lambdas(row: dict, sample: Sample) -> list[float | None]:
    """Return the lambdas that a row is for; None for a row that is not for single lambdas."""
    present = list(sample.cells)
    if row.get("at") == "chosen":
        return [sample.chosen]
    if row.get("at") == "largest":
        return [max(present) or None]
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
    if row.get("at") == "chosen" and l2 == row.get("against"):
        return Note("reference_chosen", (l2,))
    if "at" in row and l2 is None:
        return Note("no_lambda_above_0")
    if row["statistic"] == "trend" and len(present) < 2:
        return Note("one_lambda")
    if epoch > max(sample.evaluated):
        return Note("epochs_too_few", epoch=epoch)
    if epoch not in sample.evaluated:
        return Note("epoch_not_evaluated", epoch=epoch)
    if row["statistic"] in laws.OVER_IMAGES and not sample.images.predictions:
        return Note("no_predictions")
    if row["statistic"] in laws.OVER_SETUPS and len(sample.sizes) < 3:
        return Note("no_other_sizes")
    # Rows that need a minimum say by themselves what runs are too short for them.
    cells = sample.cells.values()
    has_completed = sum(map(len, cells)) > sum(map(len, sample.lost.values()))
    has_value = any(cell[row["measure"]].notna().any() for cell in cells)
    if has_completed and not has_value and "needs_minimum_at" not in row:
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


def _judge(row: dict, l2: float | None, sample: Sample, strict: float) -> Judged:
    """Return what a row comes to; `strict` is the confidence of the interval by which it is outside
    its bounds."""
    measure, cells = row["measure"], sample.cells
    found = Judged(row, l2, Estimate())
    if lacking := _lacking(row, l2, sample):
        return found._replace(verdict=NOT_JUDGED, note=lacking)
    if "epoch" in row:
        cells = sample.at_epoch[row["epoch"]]
    if row["statistic"] == "trend":
        return found._replace(**_trend(cells, measure, row["expect"], sample.confidence, strict))
    if row["statistic"] == "largest":
        values = statistics.finite(cells[l2][measure])
        value = float(values.max()) if values.size else math.nan
        ends = Estimate(value, value, value)
        verdict = _verdict(ends, ends, row["expect"])
        return found._replace(estimate=Estimate(value, n=values.size), verdict=verdict)
    interval, more = _estimator(row, l2, cells, sample)
    estimate = interval(sample.confidence)
    adjusted = estimate if strict == sample.confidence else interval(strict)
    found = found._replace(estimate=estimate, adjusted=adjusted, **more)
    if why := _too_little(row, sample):
        return found._replace(note=why)
    if row["statistic"] in laws.OVER_SETUPS and not estimate.n:
        return found._replace(note=Note("best_at_end"))
    verdict = _verdict(estimate, adjusted, row["expect"])
    if verdict == OUTSIDE and row.get("possible"):
        return found._replace(note=Note("not_seen_here"))
    return found._replace(verdict=verdict)


Interval = Callable[[float], Estimate]
"""What gives an estimate with its interval at a confidence."""


def _estimator(
    row: dict, l2: float | None, cells: dict[float, pd.DataFrame], sample: Sample
) -> tuple[Interval, dict]:
    """Return the interval of a row at any confidence, and what else is known of the estimate."""
    measure = row["measure"]
    match row["statistic"]:
        case "mean" | "difference":
            return _mean(row, l2, cells, sample)
        case "ratio":
            first, second = cells[l2][measure].align(cells[float(row["against"])][measure])
            with np.errstate(divide="ignore", invalid="ignore"):
                ratio = statistics.mean_of(np.log(first / second))

            def interval(confidence: float) -> Estimate:
                estimate = ratio.interval(confidence)
                return Estimate(*np.exp(estimate[:3]), estimate.n)

            return interval, {"error": ratio.error}
        case "slope":
            mean = statistics.mean_of(laws.slopes(cells, measure))
            return mean.interval, {"error": mean.error}
        case "transfer" | "transfer_spread" as law:
            mean = statistics.mean_of(laws.OVER_SETUPS[law](sample.sizes, measure))
            return mean.interval, {"error": mean.error}
        case "independent_errors" | "disagreement" as law:
            return laws.over_images(law, l2, sample.images), {"scope": SEEDS_AND_IMAGES}
    runs = pd.concat(cells.values())
    values = runs[row["with"]], runs[measure]
    if row["statistic"] == "association":
        return (lambda confidence: ranks.kendall(*values, runs.index, confidence)), {}
    return (
        lambda confidence: ranks.kendall_within(*values, runs["l2"], runs.index, confidence)
    ), {}


def _mean(
    row: dict, l2: float, cells: dict[float, pd.DataFrame], sample: Sample
) -> tuple[Interval, dict]:
    """Return the interval of a mean over seeds, with scope, error and floor.

    It is for other images too if the measure is a mean over images, of which the predictions after
    the epoch of the row are known. Of a crossed design it is that of all runs, if none is missing.
    How many more of these would narrow it depends on their sources, so it has no error.
    """
    measure, last = row["measure"], max(sample.evaluated)
    against = float(row["against"]) if "against" in row else None

    def by_seed(cells: dict[float, pd.DataFrame]) -> pd.Series:
        if row["statistic"] == "mean":
            return cells[l2][measure]
        return paired_differences(cells, measure, l2, against)

    every, crossing = None, None
    if crossed := sample.all_runs:
        of_all = crossed.at_epoch[row["epoch"]] if "epoch" in row else crossed.cells
        every, crossing = by_seed(of_all), crossed.crossing
    values, narrow, splits = widest_mean(by_seed(cells), every, crossing)
    epoch = row.get("epoch", last)
    images = sample.images if epoch == last else sample.images.at(epoch)
    wide = images.mean(measure, values, l2, against, narrow, splits)
    mean, more = wide or narrow, {"scope": SEEDS_AND_IMAGES} if wide else {}
    if splits is None:
        more |= {"error": mean.error, "floor": max(mean.error**2 - narrow.error**2, 0.0)}
    return mean.interval, more


def _trend(
    cells: dict[float, pd.DataFrame], measure: str, expect: dict, confidence: float, strict: float
) -> dict:
    """Return estimate, verdict and p-value of Page's test of a measure's trend over lambda, without
    the lambdas that have no value, and the seeds that have none at one of the others."""
    table = pd.concat({l2: cells[l2][measure] for l2 in cells}, axis=1)
    table = table.dropna(axis=1, how="all").dropna().to_numpy()
    page = ranks.page_trend(table)
    if math.isnan(page.correlation):
        return {}
    estimate = Estimate(page.correlation, n=page.n)
    agrees, differs = page.p_increasing, page.p_decreasing
    if "below" in expect:
        agrees, differs = differs, agrees
    verdict = OPEN
    if agrees < (1 - confidence) / 2:
        verdict = WITHIN
    elif differs < (1 - strict) / 2:
        verdict = OUTSIDE
    return {"estimate": estimate, "verdict": verdict, "p": agrees}


def _verdict(estimate: Estimate, adjusted: Estimate, expect: dict) -> str:
    """Return where an estimand is shown to lie, by its interval and by the adjusted, wider one."""
    above, below = expect.get("above", -math.inf), expect.get("below", math.inf)
    if math.isnan(estimate.low) or math.isnan(estimate.high):
        return OPEN
    if estimate.low > above and estimate.high < below:
        return WITHIN
    return OUTSIDE if adjusted.high <= above or adjusted.low >= below else OPEN
