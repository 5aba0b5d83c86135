"""The sentences on claims: made of keys and numbers of the table, and of words of the ledger."""

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest

import synthetic
from l2study.core.scope_rows import SEEDS, SEEDS_AND_IMAGES
from l2study.core.wording import rounded
from l2study.report import claim_drawings, claim_tables, claim_text
from l2study.report.study import Study, verdicts
from l2study.report.templates import line
from reported import with_tables

CLAIM = {"note": "Named: {here}.", "rows": [{"statistic": "mean", "measure": "val_ce",
         "needs": {"otherwise": "There is no rise."}}]}  # fmt: skip
USUAL = {
    "statistic": "mean", "measure": "val_ce", "at": None, "l2": 0.01, "n": 5, "p": math.nan,
    "above": 0.0, "below": math.nan, "half_widths": 3.2, "verdict": "within",
    "decides": "conclusion", "decisive": "no", "explains": None, "name": None, "note": None,
    "note_lambdas": None, "note_epoch": None,
}  # fmt: skip


def row(estimand, value=2.0, low=1.5, high=2.5, **more):
    ends = {"low": low, "high": high, "low_adjusted": low, "high_adjusted": high}
    return USUAL | {"estimand": estimand, "estimate": value} | ends | more


def claim_of(conclusion, *rows, figure_found=math.nan, **whole):
    """Return the rows of a claim, the first of them the decisive one, and that of the whole."""
    rows = [rows[0] | {"decisive": "yes"}, *rows[1:]]
    last = USUAL | {"estimand": "overall", "id": "made up", "note": None,
                    "verdict": None, "decides": None, "decisive": None,
                    "conclusion": conclusion, "conclusion_seeds": conclusion,
                    "figure_found": figure_found, "figure_found_seeds": figure_found,
                    "changes_with_epoch": None, "seeds_needed": math.nan}  # fmt: skip
    return pd.DataFrame([*rows, last | whole])


@pytest.fixture(scope="module")
def study():
    """A study with the tables of claims and of choice."""
    setup, tables = synthetic.made_tables(lambdas=[0, 1e-4, 1e-2], seeds=[0, 1, 2])
    claims = tables["claims"].assign(setup="base")
    return Study("made-up", setup.config, tables | {"verdicts": verdicts(claims)}, {})


def said(study, conclusion, *rows, claim=None, **whole):
    return claim_text.found(claim_of(conclusion, *rows, **whole), claim or {}, study)


@pytest.mark.parametrize(
    ("conclusion", "rows", "text"),
    [
        ("holds", [row("gap")], ""),
        ("fails", [row("gap", 0.2, 0.1, 0.3, above=0.5)], "The effect is above 0, but too small."),
        ("fails", [row("gap", -2, -3, -1)], ""),
        ("open", [row("gap", 1, -1, 3, below=2)], ""),
        (
            "open",
            [row("gap", 1, -1, 3, note="lowest_at_end", note_lambdas="0")],
            "Validation cross-entropy at lambda 0 is lowest at the end. Train for longer.",
        ),
        (
            "not judged",
            [row("gap", verdict="not judged", note="lambdas_missing", note_lambdas="0 0.1 1")] * 2,
            "To judge this, add lambda 0, 0.1 and 1 to the study.",
        ),
        (
            "not judged",
            [row("gap", verdict="not judged", note="reference_chosen", note_lambdas="0")],
            "Validation chooses no L2, so this does not apply.",
        ),
    ],
)
def test_of_a_conclusion(study, conclusion, rows, text):
    assert said(study, conclusion, *rows) == text


@pytest.mark.parametrize(
    ("found", "verdict", "text"),
    [
        ("yes", "within", "(1.50 to 2.50): its number is found."),
        ("no", "outside", "(1.50 to 2.50): its number is not found."),
        ("open", "open", "; this does not tell whether its number is found."),
        ("not judged", "not judged", ""),
    ],
)
def test_of_a_figure(study, found, verdict, text):
    figure = row("figure", verdict=verdict, decides="figure")
    words = said(study, "fails", row("gap", -2, -3, -1), figure, figure_found=found)
    assert ("Measured as the claim did, the figure is 2.00 nats" in words) == bool(text)
    assert text in words


def test_what_explains_a_figure_is_said(study):
    cause = row("source", decides="no", explains="yes")
    text = said(study, "fails", row("gap", -2, -3, -1), cause, figure_found="yes")
    assert "Where that comes from: source is 2.00 nats (1.50 to 2.50)." in text


def test_what_is_otherwise_for_other_seeds_alone_is_said(study):
    text = said(study, "open", row("gap"), conclusion_seeds="holds", figure_found="open",
                figure_found_seeds="yes")  # fmt: skip
    assert text.endswith(
        "For other seeds on these images alone, its number is found and the conclusion holds."
    )
    assert "For other seeds" not in said(study, "open", row("gap"))


def test_the_note_of_the_ledger_is_said_if_all_that_it_names_is_there(study):
    named = [row("x", 3.0, name="here"), row("y", 4.0, name="here", decides="no")]
    assert "Named: 3.00 and 4.00." in said(study, "holds", *named, claim=CLAIM)
    missing = row("y", math.nan, name="here", decides="no")
    assert "Named" not in said(study, "holds", named[0], missing, claim=CLAIM)
    chosen = {"note": "Chosen: {chosen}."}
    assert "Chosen: 0." in said(study, "holds", row("x"), claim=chosen)
    largest, claim = row("x", at="largest", l2=0.1), {"note": "Largest: {largest}."}
    assert "Largest: 0.1." in said(study, "holds", largest, claim=claim)
    assert "Largest" not in said(study, "holds", row("x", l2=0.1), claim=claim)


@pytest.mark.parametrize(
    ("note", "text"),
    [
        ({"note": "need_not_met"}, "There is no rise."),
        ({"note": "epochs_too_few", "note_epoch": 8}, "train for 8 epochs or more."),
        ({"note": "epoch_not_evaluated", "note_epoch": 4}, "evaluate epoch 4 (training"),
        ({"note": "one_lambda"}, "add a second lambda to the study."),
        ({"note": "no_lambda_above_0"}, "add a lambda above 0 to the study."),
        ({"note": "no_lambda_chosen"}, "have a lambda at which no run diverges."),
        ({"note": "no_value"}, "there is nothing to measure."),
        ({"note": "not_seen_here"}, "does not rule it out in another."),
        ({}, ""),
    ],
)
def test_of_a_note(study, note, text):
    (found,) = pd.DataFrame([row("x", **note)]).itertuples()
    said = claim_text.note(found, CLAIM, study)
    assert said.endswith(text) or text in said
    assert bool(said) == bool(text)


@pytest.mark.parametrize(
    ("epochs", "curve", "advice"),
    [
        ([1, 4, 16, 64], [2.0, 1.0, 1.1, 1.2], "Evaluate more (training.evaluate_at)."),
        ([1, 4, 16, 64], [2.0, 1.3, 1.2, 1.1], "Train for longer."),
        ([1, 2, 3, 4, 5], [2.0, 1.5, 1.0, 1.2, 1.1], "Train for longer."),
        ([1, 8, 9, 10], [2.0, 1.0, 1.2, 1.1], "Train for longer."),
        ([1, 64], [1.0, 2.0], "Evaluate more (training.evaluate_at)."),
    ],
    ids=["rises between", "falls", "every epoch", "all near the end", "two epochs"],
)
def test_where_no_rise_is_seen_the_note_says_what_would_show_one(study, epochs, curve, advice):
    histories = pd.DataFrame({"l2": 0.0, "seed": 0, "epoch": epochs, "val_ce": curve})
    runs = pd.DataFrame({"l2": [0.0], "seed": [0], "status": ["completed"]})
    own = dataclasses.replace(study, tables={"histories": histories, "runs": runs})
    noted = row("x", note="lowest_at_end", note_lambdas="0")
    (found,) = pd.DataFrame([noted]).itertuples()
    assert claim_text.note(found, CLAIM, own).endswith(advice)


@pytest.mark.parametrize(
    ("whole", "text"),
    [
        ({}, ""),
        ({"seeds_needed": 23}, "about 23 seeds would resolve it"),
        ({"seeds_needed": 5}, "As many seeds as here"),
        ({"note": "images_leave_open"}, "the images leave too much open."),
    ],
)
def test_what_would_resolve_a_claim_that_is_open(study, whole, text):
    words = said(study, "open", row("gap", 1, -1, 3), **whole)
    assert text in words
    assert bool(words) == bool(text)


def test_in_how_many_set_ups_the_conclusion_is_the_same(study):
    for others, text in ((["open", "holds"], "in 2 of 3 set-ups"), (["holds"], "in all 2 set-ups")):
        elsewhere = pd.DataFrame({"id": "made up", "conclusion": ["holds", *others]})
        own = with_tables(study, verdicts=elsewhere)
        assert said(own, "holds", row("gap")) == f"The conclusion is the same {text}."


def cells(study, column):
    return [row[column] for row in claim_tables.verdict_table(study)]


def test_a_claim_has_a_row_with_its_figure_verdicts_and_what_decides(study):
    claims = study.tables["verdicts"]
    assert [str(cell) for cell in cells(study, "Conclusion")] == claims["conclusion"].tolist()
    assert [cell.address for cell in cells(study, "Claim")] == [f"#claim-{i}" for i in claims["id"]]
    assert "Its number: −1.4 points" in [cell.beneath for cell in cells(study, "Claim")]
    for cell, row in zip(cells(study, "What decides"), claims.itertuples(), strict=True):
        if row.conclusion == "not judged":
            assert isinstance(cell, str) and cell
        else:
            assert cell.text == row.estimand and cell.value


def test_that_a_claim_changes_with_the_epoch_stands_beneath_its_conclusion(study):
    claims = study.tables["claims"].assign(changes_with_epoch="yes")
    changing = with_tables(study, claims=claims)
    assert {cell.beneath for cell in cells(changing, "Conclusion")} == {"changes with the epoch"}


def test_estimates_at_every_lambda_have_one_row(study):
    tables = {one["id"]: one for one in claim_tables.details(study)}
    assert list(tables) == study.tables["verdicts"]["id"].tolist()
    rows = study.tables["claims"].query("measure == 'output_kernel_norm'")
    (own,) = [
        one for one in tables["small-weights"]["others"] if "output kernel" in str(one["Estimand"])
    ]
    assert own["Estimand"] == "norm of the output kernel relative to that without L2"
    values = sorted(rows["estimate"])
    assert own["Estimate"] == f"{rounded()(values[0])} to {rounded()(values[-1])}"
    deciding = tables["small-weights"]["deciding"]
    assert [row["Decides"] for row in deciding] == ["conclusion"] * 2
    penalty = tables["penalty"]["deciding"][0]
    assert [text.split(":")[0] for text in penalty["Estimate"].texts] == ["0.0001", "0.01"]


def drawing(**more):
    (found,) = pd.DataFrame([row("gap", **more)]).itertuples()
    return claim_drawings.estimate(found)


@pytest.mark.parametrize(
    ("more", "inside"),
    [
        ({"value": 2.0, "low": 1.5, "high": 2.5}, (True, True, True)),
        ({"value": 0.2, "low": -0.1, "high": 0.5}, (False, True, True)),
        ({"value": -2.0, "low": -3.0, "high": -1.0}, (False, False, False)),
        ({"value": 2.0, "low": 1.5, "high": 2.5, "below": 2.2}, (True, True, False)),
        ({"value": 2.0, "low": 1.5, "high": 2.5, "above": math.nan, "below": 9}, (True,) * 3),
    ],
)
def test_what_is_shaded_is_what_the_claim_needs(more, inside):
    """Of the lower end, the estimate and the upper end, those lie on the ground that do."""
    found = drawing(**more)
    low, high = found["interval"]
    first, last = found["needed"]
    assert 0 <= first < last <= found["width"]
    assert low < found["at"] < high
    assert tuple(first < place < last for place in (low, found["at"], high)) == inside


def test_a_drawing_has_the_interval_by_which_the_claim_is_judged():
    found = drawing(value=-2, low=-3, high=-1, low_adjusted=-9.0, high_adjusted=5.0)
    assert found["interval"][1] > found["needed"][0]  # the adjusted end is beyond 0


def test_an_estimate_without_interval_or_value():
    nothing = {"low": math.nan, "high": math.nan}
    trend = drawing(value=-1.0, above=math.nan, below=0.0, **nothing)
    assert trend["interval"] is None
    assert trend["needed"][0] == 0 < trend["at"] < trend["needed"][1]
    assert drawing(value=math.nan, **nothing) is None


def test_correlations_have_an_axis_in_common():
    """Of the mean, and of what is not between -1 and 1, each has an axis of its own."""
    values, unknown = (-1.0, -0.3, 0.9), {"low": math.nan, "high": math.nan}
    for statistic, common in (("trend", True), ("within", True), ("mean", False)):
        found = [drawing(value=value, statistic=statistic, **unknown) for value in values]
        assert (len({str(one["bounds"]) for one in found}) == 1) == common
        assert [text for _, text in found[0]["limits"]] == (["−1", "1"] if common else [])
    low, high = (place for place, _ in drawing(statistic="trend", **unknown)["limits"])
    at = [drawing(value=value, statistic="trend", **unknown)["at"] for value in values]
    assert at == pytest.approx([low + (high - low) * (value + 1) / 2 for value in values], abs=0.01)


def test_the_course_has_the_places_of_its_table(study):
    judged = study.tables["claims"].query("decisive == 'yes'")
    claims = {row.id: row for row in judged.itertuples()}
    own = study.tables["course"].query("id == 'small-gap'")
    found = claim_drawings.course(study, claims["small-gap"])
    seeds, images = (own[own["scope"] == scope] for scope in (SEEDS, SEEDS_AND_IMAGES))
    assert len(found["line"]) == len(seeds) and len(found["bars"]) == len(images) > 0
    up = np.polyfit(seeds["estimate"], [y for _, y in found["line"]], 1)
    across = np.polyfit(seeds["epoch"], [x for x, _ in found["line"]], 1)
    assert up[0] < 0 < across[0]
    ends = [y for _, y in found["band"]]
    expected = np.polyval(up, [*seeds["high"], *seeds["low"][::-1]])
    assert ends == pytest.approx(expected, abs=0.05)
    row = claims["small-gap"]
    assert found["here"] == pytest.approx(
        (np.polyval(across, row.epoch), np.polyval(up, row.estimate)), abs=0.05
    )
    assert found["bounds"] == pytest.approx([np.polyval(up, row.below)], abs=0.05)
    assert claim_drawings.course(study, claims["penalty"]) is None


@pytest.mark.parametrize(
    ("ledger", "words"),
    [
        ("exercise", "of a teaching exercise"),
        ("general", "are general questions"),
        ("laws", "laws that others have published"),
        ("mine.yaml", "those of mine.yaml"),
    ],
)
def test_where_claims_come_from_and_how_their_intervals_read(ledger, words):
    facts = {"ledger": ledger, "epochs": 2, "wide": ["a", "b", "c"], "all_wide": False}
    text = line("claims", **facts, at_chosen=True)
    assert words in text and 'those on "a", "b" and "c" for other images too' in text
    assert "at the chosen lambda" in text
    assert "chosen" not in line("claims", **facts, at_chosen=False)
