"""The sentences on claims: made of keys and numbers of the table, and of words of the ledger."""

import dataclasses
import math

import pandas as pd
import pytest

import synthetic
from l2study.report import claim_tables, claim_text
from l2study.report.study import Study
from l2study.tables.claims import ALSO

CLAIM = {"note": "Named: {here}.", "rows": [{"statistic": "mean", "measure": "val_ce",
         "needs": {"otherwise": "There is no rise."}}]}  # fmt: skip
USUAL = {
    "statistic": "mean", "measure": "val_ce", "n": 5, "p": math.nan, "above": 0.0,
    "below": math.nan, "verdict": "supported", "decides": "yes", "decisive": "no",
    "explains": None, "name": None, "note": None, "note_lambdas": None, "note_epoch": None,
}  # fmt: skip


def row(estimand, value=2.0, low=1.5, high=2.5, **more):
    return USUAL | {"estimand": estimand, "estimate": value, "low": low, "high": high} | more


def claim_of(verdict, *rows, by_seeds=None, **whole):
    """Return the rows of a claim, the first of them the decisive one, and that of its verdict."""
    rows = [rows[0] | {"decisive": "yes"}, *rows[1:]]
    last = USUAL | {"estimand": "overall", "verdict": verdict, "decides": None, "decisive": None,
                    "verdict_seeds": by_seeds or verdict, "seeds_needed": math.nan}  # fmt: skip
    return pd.DataFrame([*rows, last | whole])


@pytest.fixture(scope="module")
def study():
    """A study with the tables of claims and of choice."""
    setup, tables = synthetic.made_tables(lambdas=[0, 1e-4, 1e-2], seeds=[0, 1, 2])
    return Study("made-up", setup.config, tables, {})


def said(study, verdict, *rows, claim=None, **whole):
    return claim_text.found(claim_of(verdict, *rows, **whole), claim or {}, study)


NEEDS = "The claim needs a value above 0."


@pytest.mark.parametrize(
    ("verdict", "rows", "text"),
    [
        ("supported", [row("gap")], f"Gap is 2.00 nats (95 % interval 1.50 to 2.50). {NEEDS}"),
        ("supported", [row("gap"), row("other")], "agrees at least as clearly."),
        ("supported", [row("gap"), *[row("other")] * 2], "The other 2 estimates that decide"),
        (
            "contradicted",
            [row("gap", 0.2, 0.1, 0.3, above=0.5)],
            "The claim needs a value above 0.5 nats. It is above 0, but too small.",
        ),
        ("contradicted", [row("gap", -2, -3, -1)], f"−3.00 to −1.00). {NEEDS} That is ruled out."),
        ("not resolved", [row("gap", 1, -1, 3, below=2)], "below 2 nats. This study cannot tell."),
        (
            "not resolved",
            [row("gap", 1, -1, 3, note="lowest_at_end", note_lambdas="0")],
            "cross-entropy at lambda 0 is lowest at the end. Train for longer.",
        ),
        ("not resolved", [row("gap", *[math.nan] * 3)], f"Gap has no estimate here. {NEEDS}"),
        (
            "supported",
            [row("rank", 1.0, math.nan, math.nan, p=0.0046, statistic="trend")],
            f"Rank is 1.00 (one-sided p-value of Page's test: 0.0046). {NEEDS}",
        ),
        (
            "artefact",
            [row("figure"), row("source", decides="no", explains="yes")],
            "Figure is 2.00 nats (95 % interval 1.50 to 2.50), as the exercise reports. But"
            " something else explains it. Source is 2.00 nats (95 % interval 1.50 to 2.50).",
        ),
        (
            "not judged",
            [row("gap", verdict="not judged", note="lambdas_missing", note_lambdas="0.1 1")] * 2,
            "To judge this, add lambda 0.1 and 1 to the study.",
        ),
    ],
)
def test_of_a_verdict(study, verdict, rows, text):
    assert text in said(study, verdict, *rows)
    assert said(study, verdict, *rows).count("To judge this") <= 1


def test_other_scopes_and_other_epochs_are_said(study):
    also = row(f"{ALSO} epoch 4", verdict="artefact", decides="no")
    text = said(study, "supported", row("gap"), also, by_seeds="artefact")
    assert "For other seeds on these images it is an artefact; for other images too" in text
    assert text.endswith("By the same rules it is artefact after epoch 4.")


def test_the_note_of_the_ledger_is_said_if_all_that_it_names_is_there(study):
    named = [row("x", 3.0, name="here"), row("y", 4.0, name="here", decides="no")]
    assert "Named: 3.00 and 4.00." in said(study, "supported", *named, claim=CLAIM)
    missing = row("y", math.nan, name="here", decides="no")
    assert "Named" not in said(study, "supported", named[0], missing, claim=CLAIM)
    chosen = {"note": "Chosen: {chosen}."}
    assert "Chosen: 0." in said(study, "supported", row("x"), claim=chosen)


@pytest.mark.parametrize(
    ("note", "text"),
    [
        ({"note": "need_not_met"}, "There is no rise."),
        ({"note": "epochs_too_few", "note_epoch": 8}, "train for 8 epochs or more."),
        ({"note": "epoch_not_evaluated", "note_epoch": 4}, "evaluate epoch 4 (training"),
        ({"note": "one_lambda"}, "add a second lambda to the study."),
        ({"note": "no_lambda_above_0"}, "add a lambda above 0 to the study."),
        ({"note": "no_lambda_chosen"}, "have a lambda at which no run diverges."),
        ({"note": "no_value"}, "leaves nothing to measure here."),
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
        ({"clarity": "nothing"}, "There is nothing to judge by."),
        ({"clarity": "clear"}, "Clear."),
        ({"clarity": "narrow"}, "Narrow."),
        ({"clarity": "open"}, "either way."),
        ({"clarity": "open", "seeds_needed": 23}, "about 23 seeds in all would resolve it"),
        ({"clarity": "open", "seeds_needed": 5}, "With as many seeds as here"),
        ({"clarity": "open", "note": "images_leave_open"}, "the images leave too much open."),
    ],
)
def test_how_sure(whole, text):
    assert text in claim_text.sure(claim_of("not resolved", row("gap"), **whole))


def test_a_whole_table_has_a_text_for_every_claim(study):
    rows = claim_tables.verdict_table(study)
    assert len(rows) == study.tables["claims"]["id"].nunique()
    assert all(row["What we found"].endswith(".") and row["How sure"] for row in rows)
    assert any(row["Its figure"] == "−1.4 points" for row in rows)
