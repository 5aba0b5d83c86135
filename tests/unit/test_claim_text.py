"""The sentences on claims: made of keys and numbers of the table, and of words of the ledger."""

import dataclasses
import math

import pandas as pd
import pytest

import synthetic
from l2study.report import claim_tables, claim_text
from l2study.report.study import Study, verdicts
from l2study.tables.claims import ALSO

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
    last = USUAL | {"estimand": "overall", "verdict": None, "decides": None, "decisive": None,
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


NEEDS = "The claim needs a value above 0."


ADJUSTED = {"low_adjusted": -3.5, "high_adjusted": -0.5}


@pytest.mark.parametrize(
    ("conclusion", "rows", "text"),
    [
        ("holds", [row("gap")], f"Gap is 2.00 nats (95 % interval 1.50 to 2.50). {NEEDS}"),
        ("holds", [row("gap"), row("other")], "The other estimate that decides agrees."),
        ("holds", [row("gap"), *[row("other")] * 2], "The other 2 estimates that decide agree."),
        (
            "fails",
            [row("gap", 0.2, 0.1, 0.3, above=0.5)],
            "The claim needs a value above 0.5 nats. It is above 0, but too small.",
        ),
        (
            "fails",
            [row("ratio", value=6.0, low=4.0, high=9.0, above=0.5, below=2.0, verdict="outside")],
            "The claim needs a value above 0.5 nats and below 2 nats. That is ruled out.",
        ),
        ("fails", [row("gap", -2, -3, -1)], f"−3.00 to −1.00). {NEEDS} That is ruled out."),
        # the interval that decides is the adjusted one, on the wrong side of the bound alone
        (
            "fails",
            [row("gap", -2, -3, -1, **ADJUSTED), row("other")],
            "is −2.00 nats (95 % interval, adjusted for 2 estimates, −3.50 to −0.500).",
        ),
        ("holds", [row("gap", 2, 1, 3, low_adjusted=-1, high_adjusted=5)], "interval 1.00 to 3.00"),
        ("open", [row("gap", 1, -1, 3, below=2)], "below 2 nats. This study cannot tell."),
        (
            "open",
            [row("gap", 1, -1, 3, note="lowest_at_end", note_lambdas="0")],
            "cross-entropy at lambda 0 is lowest at the end. Train for longer.",
        ),
        ("open", [row("gap", *[math.nan] * 3)], f"Gap has no estimate here. {NEEDS}"),
        (
            "holds",
            [row("rank", 1.0, math.nan, math.nan, p=0.0046, statistic="trend")],
            f"Rank is 1.00 (one-sided p-value of Page's test: 0.0046). {NEEDS}",
        ),
        (
            "not judged",
            [row("gap", verdict="not judged", note="lambdas_missing", note_lambdas="0.1 1")] * 2,
            "To judge this, add lambda 0.1 and 1 to the study.",
        ),
        (
            "not judged",
            [row("gap", verdict="not judged", note="reference_chosen", note_lambdas="0")],
            "Validation chooses no L2, so this does not apply.",
        ),
    ],
)
def test_of_a_conclusion(study, conclusion, rows, text):
    assert text in said(study, conclusion, *rows)
    assert said(study, conclusion, *rows).count("To judge this") <= 1


@pytest.mark.parametrize(
    ("found", "verdict", "text"),
    [
        ("yes", "within", "(95 % interval 1.50 to 2.50): its figure is found."),
        ("no", "outside", "(95 % interval 1.50 to 2.50): its figure is not found."),
        ("open", "open", "; this does not tell whether its figure is found."),
        ("not judged", "not judged", ""),
    ],
)
def test_of_a_figure(study, found, verdict, text):
    figure = row("figure", verdict=verdict, decides="figure")
    words = said(study, "fails", row("gap", -2, -3, -1), figure, figure_found=found)
    assert ("Measured as the claim did, figure is 2.00 nats" in words) == bool(text)
    assert text in words


def test_what_explains_a_figure_is_said(study):
    cause = row("source", decides="no", explains="yes")
    text = said(study, "fails", row("gap", -2, -3, -1), cause, figure_found="yes")
    assert "Where that comes from: source is 2.00 nats (95 % interval 1.50 to 2.50)." in text


def test_what_is_otherwise_for_other_seeds_alone_is_said(study):
    text = said(study, "open", row("gap"), conclusion_seeds="holds", figure_found="open",
                figure_found_seeds="yes")  # fmt: skip
    assert text.endswith(
        "For other seeds on these images alone, the figure is found and the conclusion holds."
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


ALONE = pd.DataFrame({"conclusion": ["holds"]})


@pytest.mark.parametrize(
    ("conclusion", "whole", "text"),
    [
        ("not judged", {}, "There is nothing to judge by."),
        ("holds", {}, "What decides is 3.2 half widths of its interval from the bound."),
        ("open", {}, "It may come out either way."),
        ("open", {"seeds_needed": 23}, "about 23 seeds in all would resolve it"),
        ("open", {"seeds_needed": 5}, "With as many seeds as here"),
        ("open", {"note": "images_leave_open"}, "the images leave too much open."),
        ("fails", {"changes_with_epoch": "yes"}, "It changes with the epoch."),
        ("fails", {"changes_with_epoch": "no"}, "It is the same after epoch 4 and epoch 12."),
        ("fails", {"changes_with_epoch": "open"}, "Whether it changes with the epoch is open."),
    ],
)
def test_how_sure(conclusion, whole, text):
    also = [row(f"{ALSO} epoch {epoch}", decides="no") for epoch in (4, 12)]
    said = claim_text.sure(claim_of(conclusion, row("gap"), *also, **whole), ALONE)
    assert text in said
    assert "set-up" not in said


def test_a_trend_is_as_sure_as_its_p_value_which_stands_elsewhere():
    trend = row("rank", -1.0, math.nan, math.nan, p=0.001, statistic="trend", half_widths=math.nan)
    assert claim_text.sure(claim_of("holds", trend), ALONE) == ""


def test_distances_that_are_all_large_are_told_alike():
    said = claim_text.sure(claim_of("holds", row("gap", half_widths=-258802.3)), ALONE)
    assert said == "What decides is more than 100 half widths of its interval from the bound."


def test_in_how_many_set_ups_the_conclusion_is_the_same():
    for others, text in ((["open", "holds"], "in 2 of 3 set-ups"), (["holds"], "in all 2 set-ups")):
        elsewhere = pd.DataFrame({"conclusion": ["holds", *others]})
        said = claim_text.sure(claim_of("holds", row("gap")), elsewhere)
        assert said.endswith(f"The conclusion is the same {text}.")


def test_a_whole_table_has_a_text_for_every_claim(study):
    rows = claim_tables.verdict_table(study)
    assert len(rows) == study.tables["claims"]["id"].nunique()
    assert all(row["What we found"].endswith(".") for row in rows)
    assert [str(row["Conclusion"]) for row in rows] == study.tables["verdicts"][
        "conclusion"
    ].tolist()
    assert any(row["Its figure"] == "−1.4 points" for row in rows)
