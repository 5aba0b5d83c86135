"""The claims ledger: every claim of the exercise with the verdict that this study gives it.

`reports/claims.yaml` holds the claims and the rules of decision, and explains them; this module
computes. It knows no claim and no figure.

A row with an `epoch` is of the histories at that epoch, any other of the whole run.

Derived measures, one value per run, of completed runs except for the first:

- `penalty_error`: the largest over epochs, in training and validation, of
  |loss - cross-entropy - l2 * weight norm squared|, relative to the loss where that is above 1;
- `penalty_start_ratio`: the penalty of epoch 0 over its expectation;
- `start_loss`: the training loss of epoch 0; `first_running_loss`: the running loss of epoch 1;
- `val_loss_creep_smoothed`: of `val_loss` what `val_ce_creep_smoothed` is of the cross-entropy;
- `creep_hidden`: `val_ce_creep_smoothed` minus `val_loss_creep_smoothed`;
- `accuracy_lost_<sd>`: test accuracy minus that under input noise;
- `gap_lag_split`: lag plus split, the part of the reported gap that is not generalisation.
"""

import itertools
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from l2study import statistics
from l2study.aggregate import (
    RUN_MEASURES,
    by_lambda,
    diverged_seeds,
    paired_values,
)
from l2study.columns import GAPS, HISTORY_COLUMNS, NOISE_LEVELS
from l2study.labels import l2_label
from l2study.statistics import Estimate
from l2study.wording import MEASURES, MISSING, Measure, interval, number, significant

SUPPORTED, CONTRADICTED, NOT_RESOLVED = "supported", "contradicted", "not resolved"
ARTEFACT, NOT_JUDGED = "artefact", "not judged"
OVERALL = "overall"

CLAIM_COLUMNS = [
    "id",
    "claim",
    "given",
    "estimand",
    "estimate",
    "low",
    "high",
    "verdict",
    "evidence",
    "decides",
    "decided_by",
]

DERIVED_MEASURES = [
    "penalty_error",
    "penalty_start_ratio",
    "start_loss",
    "first_running_loss",
    "val_loss_creep_smoothed",
    "creep_hidden",
    *(f"accuracy_lost_{sd}" for sd in NOISE_LEVELS),
    "gap_lag_split",
]
EPOCH_MEASURES = [*HISTORY_COLUMNS[3:-1], *(f"gap_{kind}" for kind in GAPS), "gap_lag_split"]
"""What a row with an `epoch` can be of."""

_STATISTICS = ["mean", "difference", "ratio", "trend", "association", "within", "largest"]
_MEASURE = {"enum": [*RUN_MEASURES, *DERIVED_MEASURES]}
_TEXT = {"type": "string", "minLength": 1}
_LAMBDAS = {"type": "array", "minItems": 1, "items": {"type": "number", "minimum": 0}}
_ROW = {
    "type": "object",
    "additionalProperties": False,
    "required": ["estimand", "statistic", "measure", "holds", "because", "evidence"],
    "properties": {
        "estimand": _TEXT,
        "given": _TEXT,
        "statistic": {"enum": _STATISTICS},
        "measure": _MEASURE,
        "with": _MEASURE,
        "at": {"anyOf": [{"const": "every"}, _LAMBDAS]},
        "against": {"type": "number", "minimum": 0},
        "epoch": {"type": "integer", "minimum": 1},
        "name": _TEXT,
        "holds": {
            "type": "object",
            "additionalProperties": False,
            "minProperties": 1,
            "properties": {"above": {"type": "number"}, "below": {"type": "number"}},
        },
        "because": _TEXT,
        "decides": {"type": "boolean"},
        "as_reported": {"type": "boolean"},
        "elsewhere": {"type": "boolean"},
        "needs": {
            "type": "object",
            "additionalProperties": False,
            "required": ["measure", "at", "above", "otherwise"],
            "properties": {
                "measure": _MEASURE,
                "at": {"type": "number", "minimum": 0},
                "above": {"type": "number"},
                "otherwise": _TEXT,
            },
        },
        "needs_minimum_at": {"type": "number", "minimum": 0},
        "evidence": {
            "type": "object",
            "additionalProperties": False,
            "required": ["table", "figure"],
            "properties": {"table": _TEXT, "figure": _TEXT},
        },
    },
    "allOf": [
        {  # a trend has a direction, not a size
            "if": {"properties": {"statistic": {"const": "trend"}}},
            "then": {
                "properties": {
                    "holds": {
                        "maxProperties": 1,
                        "properties": {"above": {"const": 0}, "below": {"const": 0}},
                    }
                }
            },
        },
        {
            "if": {"required": ["epoch"]},
            "then": {
                "properties": {
                    "measure": {"enum": EPOCH_MEASURES},
                    "statistic": {"enum": ["mean", "difference", "ratio"]},
                }
            },
        },
        *(
            {
                "if": {"properties": {"statistic": {"const": name}}},
                "then": {"required": keys},
            }
            for name, keys in {
                "mean": ["at"],
                "largest": ["at"],
                "difference": ["at", "against"],
                "ratio": ["at", "against"],
                "association": ["with"],
                "within": ["with"],
            }.items()
        ),
    ],
}
_LEDGER = {
    "type": "object",
    "additionalProperties": False,
    "required": ["decided_at", "claims"],
    "properties": {
        "decided_at": _LAMBDAS,
        "claims": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["id", "claim", "rows"],
                "properties": {
                    "id": _TEXT,
                    "claim": _TEXT,
                    "given": _TEXT,
                    "note": _TEXT,
                    "artefact_if": {
                        "type": "array",
                        "items": {"enum": [CONTRADICTED, NOT_RESOLVED]},
                    },
                    "rows": {"type": "array", "minItems": 1, "items": _ROW},
                },
            },
        },
    },
}


class LedgerError(ValueError):
    """The claims ledger is not as it should be. The message is one line."""


class Study(NamedTuple):
    """The runs of a study with the derived measures, and the confidence of its intervals."""

    cells: dict[float, pd.DataFrame]
    """The runs of every lambda, ascending, indexed by seed."""
    lost: dict[float, str]
    """The seeds that diverged, for every lambda."""
    confidence: float
    epochs: int
    """The epochs of a completed run."""
    at_epoch: dict[int, dict[float, pd.DataFrame]]
    """As `cells`, but measured at the end of an epoch that the ledger names."""


class Judged(NamedTuple):
    """A row of the ledger, for one lambda if it is for several, with its verdict.

    `strict_verdict` is the verdict with the interval widened for all deciding rows of the claim,
    `note` what else the reader must know of the estimate.
    """

    row: dict
    estimand: str
    estimate: Estimate
    verdict: str
    strict_verdict: str
    decides: bool
    as_reported: bool
    elsewhere: bool = False
    note: str = ""


def read_ledger(path: str | Path) -> dict:
    """Return the ledger in the YAML file at `path`.

    Raises:
        LedgerError: the file cannot be read or is not a ledger.
    """
    try:
        ledger = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise LedgerError(f"{path}: cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise LedgerError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if error := best_match(Draft202012Validator(_LEDGER).iter_errors(ledger)):
        place = ".".join(str(step) for step in error.absolute_path) or "the ledger"
        raise LedgerError(f"{path}: {place}: {error.message[:300]}")
    return ledger


def claims_table(
    ledger: dict,
    histories: pd.DataFrame,
    runs: pd.DataFrame,
    kernels: Sequence[tuple[int, int]] | None,
    epochs: int,
    confidence: float,
) -> pd.DataFrame:
    """Return every row of every claim with estimate, interval and verdict, by `CLAIM_COLUMNS`.

    The last row of a claim is its `overall` verdict, and its `decided_by` says which row made it.
    Of the others, those that count for it have `decides` yes.
    `estimand` says what is estimated, where it must lie, which seeds are left out because they
    diverged, and what to add to the study where the row is not judged. `given` is the exercise's
    figure, `evidence` a table and a figure.

    Args:
        ledger: from `read_ledger`.
        histories: the table of all histories.
        runs: the table of all runs.
        kernels: the shapes of the regularised kernels; without them, and for a row that needs
            them, there is no estimate.
        epochs: of a completed run.
        confidence: of the intervals.
    """
    cells = by_lambda(derived(histories, runs, kernels))
    named = {row["epoch"] for claim in ledger["claims"] for row in claim["rows"] if "epoch" in row}
    at_epoch = {epoch: by_lambda(measured_at(epoch, histories, runs)) for epoch in named}
    lost = {l2: diverged_seeds(runs, l2) for l2 in cells}
    study = Study(cells, lost, confidence, epochs, at_epoch)
    decided_at = [float(l2) for l2 in ledger["decided_at"]]
    rows = []
    for claim in ledger["claims"]:
        judged = judge_claim(claim, study, decided_at)
        verdict = overall(judged, claim.get("artefact_if", []))
        common = {"id": claim["id"], "claim": claim["claim"]}
        rows += [
            common
            | {
                "given": item.row.get("given", ""),
                "estimand": item.estimand,
                "estimate": item.estimate.value,
                "low": item.estimate.low,
                "high": item.estimate.high,
                "verdict": item.verdict,
                "evidence": _evidence(item.row),
                "decides": "yes" if item.decides else "no",
                "decided_by": "",
            }
            for item in judged
        ]
        rows.append(
            common
            | {
                "given": claim.get("given", ""),
                "estimand": OVERALL,
                "estimate": math.nan,
                "low": math.nan,
                "high": math.nan,
                "verdict": verdict,
                "evidence": _evidence(claim["rows"][0]),
                "decides": "",
                "decided_by": decided_by(judged, verdict, claim.get("note", "")),
            }
        )
    return pd.DataFrame(rows, columns=CLAIM_COLUMNS)


def expected_square_norm(kernels: Iterable[tuple[int, int]]) -> float:
    """Return the expected sum of squares of Glorot-uniform kernels of these shapes.

    A weight of an (m, n) kernel is uniform within sqrt(6 / (m + n)), so its square is 2 / (m + n)
    on average (Glorot and Bengio 2010): 220.07 for (784, 128).
    """
    return sum(2 * m * n / (m + n) for m, n in kernels)


def derived(
    histories: pd.DataFrame, runs: pd.DataFrame, kernels: Sequence[tuple[int, int]] | None
) -> pd.DataFrame:
    """Return `runs` with the derived measures as further columns."""
    table = runs.set_index(["l2", "seed"])
    histories = histories.set_index(["l2", "seed"])
    squares = histories.index.get_level_values("l2") * histories["weight_norm"] ** 2
    errors = pd.concat(
        [
            (histories[loss] - histories[ce] - squares).abs() / histories[loss].clip(lower=1)
            for loss, ce in (("train_loss", "train_ce"), ("val_loss", "val_ce"))
        ],
        axis=1,
    ).max(axis=1)
    table["penalty_error"] = errors.groupby(level=["l2", "seed"]).max()
    start = histories[histories["epoch"] == 0]
    first = histories[histories["epoch"] == 1]
    expected = expected_square_norm(kernels) if kernels else math.nan
    l2 = table.index.get_level_values("l2").to_numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        table["penalty_start_ratio"] = start["penalty"].reindex(table.index) / (l2 * expected)
    table["start_loss"] = start["train_loss"]
    table["first_running_loss"] = first["train_loss_running"]
    trained = histories.loc[histories["epoch"] > 0, "val_loss"].groupby(level=["l2", "seed"])
    table["val_loss_creep_smoothed"] = trained.agg(statistics.smoothed_rise)
    table["creep_hidden"] = table["val_ce_creep_smoothed"] - table["val_loss_creep_smoothed"]
    table["gap_lag_split"] = table["gap_lag"] + table["gap_split"]
    for sd in NOISE_LEVELS:
        table[f"accuracy_lost_{sd}"] = table["test_accuracy"] - table[f"test_accuracy_noise_{sd}"]
    of_completed = [name for name in DERIVED_MEASURES if name != "penalty_error"]
    table.loc[table["status"] != "completed", of_completed] = math.nan
    return table.reset_index()


def measured_at(epoch: int, histories: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Return a row per run with `EPOCH_MEASURES` after `epoch`; NaN for a diverged run."""
    completed = runs.loc[runs["status"] == "completed", ["l2", "seed"]]
    kept = histories[histories["epoch"] == epoch].merge(completed, on=["l2", "seed"])
    kept = kept.assign(**{f"gap_{kind}": kept[a] - kept[b] for kind, (a, b) in GAPS.items()})
    kept = kept.assign(gap_lag_split=kept["gap_lag"] + kept["gap_split"])
    return runs[["l2", "seed"]].merge(kept, on=["l2", "seed"], how="left")


def judge_claim(claim: dict, study: Study, decided_at: Sequence[float]) -> list[Judged]:
    """Return every row of a claim, at every lambda it is for, judged.

    Args:
        claim: an entry of the ledger.
        study: the runs.
        decided_at: of the rows for every lambda, those at these lambdas decide, or all if the
            study has none of them.
    """
    present = list(study.cells)
    chosen = {l2 for l2 in present if l2 in decided_at} or set(present)
    cases = []
    for row in claim["rows"]:
        beside = row.get("elsewhere", False) or not row.get("decides", True)
        for l2 in _lambdas(row, present):
            counts = row.get("at") != "every" or l2 is None or l2 in chosen
            cases.append((row, l2, counts and not beside, counts))
    # Bonferroni: one false contradiction among the deciding rows would contradict the claim
    rows = max(1, sum(decides for _, _, decides, _ in cases))
    strict = study._replace(confidence=1 - (1 - study.confidence) / rows)
    judged = []
    for row, l2, decides, counts in cases:
        if advice := _lacking(row, l2, study):
            estimate, verdict, strict_verdict = Estimate(), NOT_JUDGED, NOT_JUDGED
            note = f"to judge it, {advice}"
        else:
            estimate, verdict, note = _judge(row, l2, study)
            _, strict_verdict, _ = _judge(row, l2, strict)
        words = _words(row, l2, study, note)
        roles = (counts and row.get(role, False) for role in ("as_reported", "elsewhere"))
        judged.append(
            Judged(row, words, estimate, verdict, strict_verdict, decides, *roles, note=note)
        )
    return judged


def overall(judged: Iterable[Judged], artefact_if: Iterable[str]) -> str:
    """Return the verdict on a whole claim from its rows, as the ledger explains it."""
    judged = list(judged)
    reported = [row for row in judged if row.as_reported]
    elsewhere = [row for row in judged if row.elsewhere]
    deciding = [row for row in judged if row.decides]
    if reported and elsewhere and all(row.verdict == SUPPORTED for row in reported + elsewhere):
        fair = _all_of([row for row in deciding if not row.as_reported])
        if fair in artefact_if:
            return ARTEFACT
    return _all_of(deciding)


def _all_of(rows: list[Judged]) -> str:
    if any(row.verdict == NOT_JUDGED for row in rows):
        return NOT_JUDGED
    if any(row.strict_verdict == CONTRADICTED for row in rows):
        return CONTRADICTED
    return SUPPORTED if all(row.verdict == SUPPORTED for row in rows) else NOT_RESOLVED


def decided_by(judged: Iterable[Judged], verdict: str, note: str = "") -> str:
    """Return which row made a claim's verdict, with its estimate, in a line.

    Of several, the one whose estimate is farthest on the wrong side of its bounds, or else nearest
    to them, in half widths of its interval.

    Args:
        judged: the rows of the claim.
        verdict: from `overall`.
        note: of the ledger, where {name} stands for the estimate of the row with that name, or
            for those at the lambdas that decide; left out unless all of these are there.
    """
    judged = list(judged)
    deciding = [item for item in judged if item.decides]
    if verdict == NOT_JUDGED:
        return "; ".join(dict.fromkeys(row.note for row in deciding if row.verdict == verdict))
    if verdict == ARTEFACT:
        reported, elsewhere = (
            min(rows, key=_clearance)
            for rows in ([r for r in judged if r.as_reported], [r for r in judged if r.elsewhere])
        )
        text = f"{_shown(reported)}, but {_shown(elsewhere)}"
    elif verdict == CONTRADICTED:
        text = _shown(min((r for r in deciding if r.strict_verdict == verdict), key=_clearance))
    elif verdict == SUPPORTED:
        count = {1: "", 2: "both hold, least clearly: "}
        first = count.get(len(deciding), f"all {len(deciding)} hold, least clearly: ")
        text = first + _shown(min(deciding, key=_clearance))
    else:
        text = _shown(min((r for r in deciding if r.verdict != SUPPORTED), key=_clearance))
    named = {}
    for item in judged:
        if "name" in item.row and (item.decides or item.row.get("at") != "every"):
            named.setdefault(item.row["name"], []).append(significant(item.estimate.value))
    if not note or MISSING in itertools.chain(*named.values()):
        return text
    return f"{text}; {note.format(**{name: ' and '.join(said) for name, said in named.items()})}"


def _clearance(item: Judged) -> tuple[float, float]:
    """Return how far an estimate lies within its bounds, in half widths of its interval and as is.

    Without an interval the first is infinite.
    """
    value, holds = item.estimate.value, item.row["holds"]
    within = min(value - holds.get("above", -math.inf), holds.get("below", math.inf) - value)
    half = (item.estimate.high - item.estimate.low) / 2
    if math.isnan(within):
        return -math.inf, -math.inf
    return (within / half if half > 0 else math.copysign(math.inf, within)), within


def _shown(item: Judged) -> str:
    """Return a row in short: its estimand up to the first comma, estimate, interval and bounds."""
    of_values = item.row["statistic"] in ("mean", "difference", "largest")
    unit = MEASURES[item.row["measure"]] if of_values else Measure("")
    value, low, high = item.estimate[:3]
    if unit.scale == 100:
        value, span = number(value, 2, unit.scale), interval(low, high, 2, unit.scale)
    else:
        ends = [significant(end, 3, unit.scale) for end in (low, high)]
        value, span = significant(value, 3, unit.scale), " to ".join(ends)
    beside = "; ".join(filter(None, [span if MISSING not in span else "", item.note]))
    short = item.estimand.partition(";")[0].partition(",")[0]
    text = f"{short}: {value}{unit.unit and ' '}{unit.unit}" + (f" ({beside})" if beside else "")
    bounds = " and ".join(
        f"{side} {_with_unit(unit.scale * bound, unit.unit)}"
        for side, bound in item.row["holds"].items()
    )
    side = {SUPPORTED: "", CONTRADICTED: "not "}.get(item.verdict, "not clearly ")
    if item.verdict == CONTRADICTED and low > 0 and item.row["holds"].get("above", 0) > 0:
        side = "above 0, but not "
    return f"{text}, {side}{bounds.replace('e-0', 'e-').replace('-', '−')}"


def _with_unit(bound: float, unit: str) -> str:
    """Return a bound with its unit, which zero does without."""
    text = f"{bound:g}"
    if not bound or not unit:
        return text
    return f"{text} {unit.removesuffix('s') if text == '1' else unit}"


def _lambdas(row: dict, present: list[float]) -> list[float | None]:
    """Return the lambdas that a row is for; None for a row that is not for single lambdas."""
    if row.get("at") != "every":
        return [float(l2) for l2 in row.get("at", [])] or [None]
    if "against" in row and float(row["against"]) not in present:
        return [None]
    return [l2 for l2 in present if l2 > 0] or [None]


def _lacking(row: dict, l2: float | None, study: Study) -> str:
    """Return what to do before a row can be judged; empty if nothing."""
    present = list(study.cells)
    needed = [l2, row.get("against"), row.get("needs_minimum_at"), row.get("needs", {}).get("at")]
    missing = sorted({float(value) for value in needed if value is not None} - set(present))
    if missing:
        return f"add lambda {' and '.join(l2_label(value) for value in missing)}"
    if "at" in row and l2 is None:
        return "add a lambda above 0"
    if row["statistic"] == "trend" and len(present) < 2:
        return "add a second lambda"
    if row.get("epoch", 0) > study.epochs:
        return f"train for {row['epoch']} epochs or more"
    return ""


def _words(row: dict, l2: float | None, study: Study, note: str) -> str:
    """Return a row's estimand with its bounds and with what the reader must know of this study."""
    name = "above 0" if l2 is None else l2_label(l2)
    words = row["estimand"].format(l2=name, epoch=row.get("epoch"))
    words += "; holds if " + " and ".join(f"{side} {row['holds'][side]:g}" for side in row["holds"])
    places = list(study.cells) if l2 is None else [l2, float(row.get("against", l2))]
    lost = {l2_label(place): study.lost[place] for place in places if study.lost.get(place)}
    if lost and row["statistic"] != "largest":
        listed = ", ".join(f"{seeds} at lambda {place}" for place, seeds in lost.items())
        words += f"; diverged and left out: seeds {listed}"
    return f"{words}; {note}" if note else words


def _too_little(row: dict, study: Study) -> str:
    """Return why a row cannot be judged although its lambdas are there; empty if it can."""
    if "needs_minimum_at" in row:
        place = float(row["needs_minimum_at"])
        cell = study.cells[place]
        risen = cell.loc[cell["status"] == "completed", "val_ce_creep_smoothed"] > 0
        if not risen.empty and risen.mean() < 0.5:
            return (
                f"most runs at lambda {l2_label(place)} have no minimum before their last epochs,"
                " so train for longer"
            )
    if needs := row.get("needs"):
        values = study.cells[float(needs["at"])][needs["measure"]]
        # an interval that is not there is not above anything either
        if not statistics.mean_interval(values, study.confidence).low > needs["above"]:
            return needs["otherwise"]
    return ""


def _judge(row: dict, l2: float | None, study: Study) -> tuple[Estimate, str, str]:
    """Return the estimate of a row whose lambdas are there, its verdict, and a note on it."""
    measure, holds = row["measure"], row["holds"]
    cells, confidence = study.cells, study.confidence
    if "epoch" in row:
        cells = study.at_epoch[row["epoch"]]
    match row["statistic"]:
        case "trend":
            return _trend(cells, measure, holds, confidence)
        case "largest":
            value = cells[l2][measure].max()
            return Estimate(value), _verdict(value, value, holds), ""
        case "mean":
            estimate = statistics.mean_interval(cells[l2][measure], confidence)
        case "difference":
            pairs = paired_values(cells, measure, l2, float(row["against"]))
            estimate = statistics.mean_interval(statistics.differences(*pairs), confidence)
        case "ratio":
            pairs = paired_values(cells, measure, l2, float(row["against"]))
            with np.errstate(divide="ignore", invalid="ignore"):
                ratio = statistics.mean_interval(np.log(pairs[0] / pairs[1]), confidence)
            estimate = Estimate(*(math.exp(value) for value in ratio[:3]), ratio.n)
        case "association":
            runs = pd.concat(cells.values())
            values = runs[row["with"]], runs[measure]
            estimate = statistics.kendall(*values, runs.index, confidence)
        case "within":
            runs = pd.concat(cells.values())
            values = runs[row["with"]], runs[measure], runs["l2"]
            estimate = statistics.kendall_within(*values, confidence)
    if why := _too_little(row, study):
        return estimate, NOT_RESOLVED, why
    return estimate, _verdict(estimate.low, estimate.high, holds), ""


def _trend(
    cells: dict[float, pd.DataFrame], measure: str, holds: dict, confidence: float
) -> tuple[Estimate, str, str]:
    """Return the mean rank correlation of a measure with lambda, Page's test's verdict and p-value.

    A lambda without a value is left out, and a seed without a value at one of the others.
    """
    table = pd.concat({l2: cells[l2][measure] for l2 in cells}, axis=1)
    table = table.dropna(axis=1, how="all").dropna().to_numpy()
    page = statistics.page_trend(table)
    if math.isnan(page.correlation):
        return Estimate(), NOT_RESOLVED, ""
    estimate, level = Estimate(page.correlation, n=page.n), (1 - confidence) / 2
    agrees, differs = page.p_increasing, page.p_decreasing
    if "below" in holds:
        agrees, differs = differs, agrees
    note = "" if math.isnan(agrees) else f"Page's one-sided p {agrees:.2g}"
    if min(agrees, differs) < level:
        return estimate, SUPPORTED if agrees < level else CONTRADICTED, note
    return estimate, NOT_RESOLVED, note


def _verdict(low: float, high: float, holds: dict) -> str:
    """Return the verdict of an interval on where the estimand must lie."""
    above, below = holds.get("above", -math.inf), holds.get("below", math.inf)
    if math.isnan(low) or math.isnan(high):
        return NOT_RESOLVED
    if low > above and high < below:
        return SUPPORTED
    return CONTRADICTED if high <= above or low >= below else NOT_RESOLVED


def _evidence(row: dict) -> str:
    return f"{row['evidence']['table']}; {row['evidence']['figure']}"
