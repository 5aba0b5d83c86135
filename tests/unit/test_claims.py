import copy
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy import stats

import synthetic
from l2study.core.scope_rows import SEEDS_AND_IMAGES
from l2study.tables import build, choice, claims, judge, laws, ranks, statistics
from l2study.tables.derived import expected_square_norm, with_derived
from l2study.tables.laws import with_laws
from l2study.tables.ledger import LedgerError, read_ledger
from l2study.tables.statistics import Estimate
from synthetic import HARMFUL, HELPFUL, NOTHING, Effects, ledger_of
from tiny import PROJECT

ROOT = Path(__file__).parents[2]
LEDGER = ROOT / "reports" / "claims" / "exercise.yaml"
IDS = ["penalty", "start", "small-weights", "small-gap", "negative-gap"]
IDS += ["sensitivity", "creep", "takeaway"]
ALL = [(l2, seed) for l2 in (0, 0.0001, 0.001, 0.01) for seed in range(6)]
RISING_CE = Effects(creep=(0.03, 0.033))
CHOSEN = replace(HELPFUL, val_ce_min=(0.16, 0.08))
"""Validation chooses lambda 0.01, which does all that the exercise says."""
EASY_SPLIT = Effects(generalisation=(0.02, 0.02), split=(-0.013, -0.013))
OVERFITTED_TEST = replace(HELPFUL, generalisation=(0.01, -0.005))
CALM = replace(HELPFUL, spread=0.2)
VAGUE = {"effects": Effects(spread=20), "seeds": [0, 1]}
"""A study that tells too little."""
FEW_EPOCHS = {"epochs": 11, "evaluate_at": [2, 7, 9], "lambdas": [0, 1e-4, 0.01]}


MADE = {}


def made(**options):
    """Return histories and runs of a made-up study, and its evaluated epochs; made up once."""
    key = repr(options)
    if key not in MADE:
        setup, histories, runs, _ = synthetic.made_runs(**options)
        MADE[key] = histories, runs, setup.epochs
    return MADE[key]


def again(histories, runs, *ids, epochs=range(9)):
    """Return the table of these claims, or of all, of runs without predictions."""
    chosen = choice.choice_table(choice.choices_of(runs, "val_ce"), 0.0, 0.95)
    return claims.claims_table(ledger_of(*ids), histories, runs, chosen, epochs, 0.95)


def table(*ids, **options):
    """Return the table of these claims, or of all, of a made-up study, its histories and runs."""
    histories, runs, epochs = made(**options)
    return again(histories, runs, *ids, epochs=epochs), histories, runs


def overall(*ids, column="conclusion", **options):
    """Return the conclusions of these claims, or of all, or another column."""
    ledger, _, _ = table(*ids, **options)
    return ledger[ledger["estimand"] == "overall"].set_index("id")[column].to_dict()


def row(ledger, claim, statistic, measure, **where):
    """Return the one row of a claim with this statistic, measure and lambda."""
    found = ledger[(ledger["id"] == claim) & ~ledger["estimand"].str.startswith(claims.ALSO)]
    for column, value in {"statistic": statistic, "measure": measure, **where}.items():
        found = found[found[column] == value]
    assert len(found) == 1, found[["statistic", "measure", "l2"]]
    return found.iloc[0]


def whole(ledger, claim):
    """Return the row with the verdict on a claim."""
    return ledger[(ledger["id"] == claim) & (ledger["estimand"] == "overall")].iloc[0]


@pytest.fixture(scope="module")
def default():
    return table()


class TestVerdicts:
    @pytest.mark.parametrize(
        ("claim", "conclusion", "figure", "options"),
        [
            ("penalty", "holds", "", {}),
            ("penalty", "fails", "", {"effects": Effects(penalty_factor=1.001)}),
            ("start", "holds", "no", {}),
            ("start", "fails", "no", {"effects": Effects(first_epoch_ce=(4, 0.1))}),
            ("start", "open", "no", {"diverged": {(0.01, s): 3 for s in range(6)}}),
            ("small-weights", "holds", "", {}),
            ("small-weights", "fails", "", {"effects": HARMFUL}),
            ("small-weights", "open", "", {"effects": NOTHING}),
            ("small-gap", "holds", "yes", {}),
            ("small-gap", "fails", "yes", {"effects": EASY_SPLIT}),
            ("small-gap", "fails", "no", {"effects": NOTHING}),
            # a gap below zero is another figure, and no reason against a small gap
            ("small-gap", "holds", "no", {"effects": Effects(split=(-0.03, -0.03))}),
            ("small-gap", "open", "open", VAGUE),
            ("negative-gap", "fails", "yes", {}),
            ("negative-gap", "fails", "no", {"effects": NOTHING}),
            ("negative-gap", "holds", "yes", {"effects": OVERFITTED_TEST}),
            ("negative-gap", "open", "open", VAGUE),
            ("sensitivity", "holds", "", {}),
            ("sensitivity", "fails", "", {"effects": HARMFUL}),
            ("sensitivity", "open", "", VAGUE),
            # 1e-6, as without L2 here, decides only where no lambda of the exercise is there
            ("sensitivity", "holds", "", {"effects": CALM, "lambdas": [0, 1e-6, 1e-4, 0.01]}),
            ("sensitivity", "holds", "", {"effects": CALM, "lambdas": [0, 0.001]}),
            ("sensitivity", "fails", "", {"effects": CALM, "lambdas": [0, 1e-6, 0.001]}),
            ("creep", "holds", "yes", {}),
            ("creep", "fails", "yes", {"effects": RISING_CE, "lambdas": [0, 0.01]}),
            ("creep", "open", "no", {"effects": NOTHING}),
            ("creep", "fails", "no", {"effects": HARMFUL}),
            ("creep", "open", "open", {"epochs": 1}),
            ("takeaway", "holds", "", {"effects": CHOSEN}),
            ("takeaway", "fails", "", {"effects": replace(CHOSEN, test_accuracy=(0.98, 0.96))}),
            ("takeaway", "open", "", {"effects": replace(CHOSEN, spread=20), "seeds": [0, 1]}),
            ("takeaway", "not judged", "", {}),  # validation chooses no L2
        ],
    )
    def test_conclusion_and_whether_the_figure_is_found(self, claim, conclusion, figure, options):
        found = whole(table(claim, **options)[0], claim).fillna("")
        assert (found["conclusion"], found["figure_found"]) == (conclusion, figure)

    def test_a_figure_from_which_the_conclusion_fails_is_explained(self):
        assert not (table("small-gap")[0]["explains"] == "yes").any()
        ledger, _, _ = table("small-gap", effects=EASY_SPLIT)
        (row,) = ledger[ledger["explains"] == "yes"].to_dict("records")
        assert (row["measure"], row["verdict"], row["decides"]) == ("gap_lag_split", "within", "no")

    def test_a_lambda_that_is_too_large_does_not_decide_the_conclusion(self):
        """Test accuracy falls at the largest lambda, and rises at the one that is chosen."""
        _, found = synthetic.made_study(effects=CHOSEN, lambdas=[0, 0.001, 0.01, 1])
        histories, runs = build.histories_table(found), build.runs_table(found)
        for rows in (histories, runs):
            rows.loc[rows["l2"] == 1, "test_accuracy"] -= 0.5
            rows.loc[rows["l2"] == 1, "val_ce"] += 1
        runs = with_derived(histories, runs, None)
        ledger = again(histories, runs, "takeaway")
        assert whole(ledger, "takeaway")["conclusion"] == "holds"
        assert set(ledger.loc[ledger["decides"] == "conclusion", "l2"]) == {0.01}
        beside = ledger[ledger["at"] == "largest"].iloc[0]
        assert (beside["l2"], beside["verdict"], beside["decides"]) == (1, "outside", "no")

    @pytest.mark.parametrize(
        "options",
        [
            {"lambdas": [0.01]},
            {"seeds": [0, 1], "epochs": 1},
            {"diverged": dict.fromkeys(ALL, 0)},
            {"diverged": {case: 2 for case in ALL if case[1] > 0}},
            {"effects": Effects(spread=0), "reference_lambda": 0.01},
        ],
    )
    def test_odd_studies_have_an_overall_verdict_on_all(self, options):
        verdicts = overall(**options)
        assert list(verdicts) == IDS
        assert all(verdicts.values())

    def test_nothing_is_supported_by_runs_that_diverged(self):
        verdicts = overall(diverged=dict.fromkeys(ALL, 2))
        # the penalty is checked at the epochs that were kept
        assert verdicts.pop("penalty") == "holds"
        assert verdicts.pop("takeaway") == "not judged"
        assert set(verdicts.values()) == {"open"}


class TestRows:
    @pytest.mark.parametrize(
        ("claim", "options", "verdict", "note", "about"),
        [
            ("negative-gap", {"epochs": 7}, "not judged", "epochs_too_few", 8),
            ("negative-gap", FEW_EPOCHS, "not judged", "epoch_not_evaluated", 8),
            # compares the running loss of epoch 1 without naming the epoch
            ("start", FEW_EPOCHS, "not judged", "epoch_not_evaluated", 1),
            ("creep", {"epochs": 1}, "open", "lowest_at_end", "0"),
            ("creep", {"epochs": 3}, "open", "lowest_at_end", "0"),
            ("start", {"lambdas": [0.001]}, "not judged", "lambdas_missing", "0.0001 0.01"),
            ("small-weights", {"lambdas": [0.001]}, "not judged", "one_lambda", ""),
            ("small-gap", {"lambdas": [0.001]}, "not judged", "lambdas_missing", "0.0001"),
            ("takeaway", {"lambdas": [0.001]}, "not judged", "lambdas_missing", "0"),
            ("takeaway", {}, "not judged", "reference_chosen", "0"),
            ("penalty", {"lambdas": [0]}, "not judged", "no_lambda_above_0", ""),
        ],
    )
    def test_what_keeps_a_claim_from_a_verdict_is_said(self, claim, options, verdict, note, about):
        ledger, _, _ = table(claim, **options)
        rows = ledger[ledger["note"] == note]
        assert whole(ledger, claim)["conclusion"] == verdict
        assert set(rows["verdict"].dropna()) == {verdict}
        assert about in {*rows["note_lambdas"], *rows["note_epoch"]}
        assert verdict == "open" or rows["estimate"].isna().all()

    def test_association(self, default):
        ledger, _, runs = default
        lost, norm = runs["test_accuracy"] - runs["test_accuracy_noise_0.1"], runs["weight_norm"]
        for statistic, expected in (
            ("association", ranks.kendall(lost, norm, runs["seed"], 0.95)),
            ("within", ranks.kendall_within(lost, norm, runs["l2"], runs["seed"], 0.95)),
        ):
            found = row(ledger, "sensitivity", statistic, "accuracy_lost_0.1")
            assert found[["estimate", "low", "high", "n"]].tolist() == pytest.approx(expected)

    def test_that_more_l2_helps_further_is_beside_the_claim(self, default):
        _, histories, runs = default
        runs = runs.copy()
        runs.loc[runs["l2"] == 0.0001, "boundary_distance"] *= 3
        judged = again(histories, runs, "sensitivity")
        further = row(judged, "sensitivity", "ratio", "boundary_distance", against=0.0001)
        assert (further["verdict"], further["decides"]) == ("outside", "no")
        assert whole(judged, "sensitivity")["conclusion"] == "holds"

    def test_trend_leaves_out_what_diverged(self):
        diverged = {(0.01, s): 2 for s in range(6)} | {(0.001, 0): 2}
        ledger, _, _ = table("small-weights", diverged=diverged)
        found = row(ledger, "small-weights", "trend", "weight_norm")
        assert (found["estimate"], found["verdict"]) == (-1, "within")
        assert found["diverged_runs"] == "lambda 0.001 seed 0; lambda 0.01 seeds 0 to 5"

    def test_penalty_error_is_seen_in_one_epoch_of_one_run(self):
        _, found = synthetic.made_study(lambdas=[0, 0.001, 0.01], epochs=3)
        histories, runs = build.histories_table(found), build.runs_table(found)
        one = (histories["l2"] == 0.01) & (histories["seed"] == 4) & (histories["epoch"] == 1)
        histories.loc[one, "val_loss"] += 0.002
        runs = with_derived(histories, runs, [(784, 128)])
        ledger = again(histories, runs, "penalty", epochs=range(4))
        bad = row(ledger, "penalty", "largest", "penalty_error", l2=0.01)
        history = histories.query("l2 == 0.01 and seed == 4 and epoch == 1").iloc[0]
        assert bad["estimate"] == pytest.approx(0.002 / max(1, history["val_loss"]))
        assert bad["verdict"] == "outside"
        good = row(ledger, "penalty", "largest", "penalty_error", l2=0.001)
        assert good["verdict"] == "within"

    def test_penalty_before_training_against_glorot(self, default):
        ledger, histories, _ = default
        penalty = histories.query("l2 == 0.01 and epoch == 0")["penalty"]
        found = row(ledger, "penalty", "mean", "penalty_start_ratio", l2=0.01)
        assert found["estimate"] == pytest.approx(penalty.mean() / (0.01 * 220.07), rel=1e-4)
        assert found["verdict"] == "within"

    def test_expected_square_norm(self):
        draws = np.random.default_rng(0).uniform(-1, 1, (2000, 30, 20)) * math.sqrt(6 / 50)
        simulated = np.square(draws).sum(axis=(1, 2)).mean()
        both = expected_square_norm([(784, 128), (30, 20)])
        assert both == pytest.approx(220.07 + simulated, rel=0.001)

    def test_without_kernels_there_is_no_expectation(self, default):
        _, histories, runs = default
        runs = with_derived(histories, runs, None)
        ledger = again(histories, runs, "penalty")
        found = row(ledger, "penalty", "mean", "penalty_start_ratio", l2=0.01)
        assert math.isnan(found["estimate"])
        assert (found["verdict"], found["note"]) == ("not judged", "no_value")

    def test_without_creep_there_is_none_to_prevent(self):
        """A difference from runs that do not creep says nothing of what L2 does to creep."""
        _, found = synthetic.made_study(effects=Effects(creep=(0, 0)))
        histories = build.histories_table(found)
        histories["val_ce"] += np.random.default_rng(1).normal(0, 0.002, len(histories))
        runs = with_derived(histories, build.runs_table(found), None)
        ledger = again(histories, runs, "creep")
        first = row(ledger, "creep", "mean", "val_ce_rise")
        assert first["low"] < 0 < first["high"] and first["verdict"] == "open"
        found = row(ledger, "creep", "difference", "val_ce_rise", l2=0.01)
        assert (found["verdict"], found["note"]) == ("open", "need_not_met")

    def test_what_may_happen_is_not_ruled_out_by_one_study(self, default):
        """A validation cross-entropy that falls to the end in some seeds and rises in none."""
        _, histories, runs = default
        runs = runs.copy()
        runs.loc[runs["l2"] == 0, "val_ce_rise"] = np.linspace(-0.002, -0.001, 6)
        first = row(again(histories, runs, "creep"), "creep", "mean", "val_ce_rise")
        assert first["high"] < 0
        assert (first["verdict"], first["note"]) == ("open", "not_seen_here")

    def test_the_same_rules_after_other_epochs(self):
        ledger, _, _ = table("small-gap", "negative-gap", epochs=12, evaluate_at=[1, 4, 8])
        rows = ledger[ledger["estimand"].str.startswith(claims.ALSO)]
        assert rows["estimand"].unique().tolist() == [f"{claims.ALSO} epoch {e}" for e in (4, 12)]
        assert set(rows["decides"]) == {"no"}

    def test_seeds_left_out_are_named(self):
        ledger, _, _ = table("takeaway", diverged={(0.01, 3): 2, (0, 5): 1})
        found = row(ledger, "takeaway", "difference", "test_accuracy", at="largest")
        assert found["diverged_runs"] == "lambda 0.01 seed 3; lambda 0 seed 5"

    def test_val_loss_hides_creep(self):
        ledger, histories, _ = table("creep", effects=RISING_CE, lambdas=[0, 0.01])
        rows = histories.query("l2 == 0.01 and epoch > 0")
        ce, loss = (
            statistics.rise_after_minimum(rows.pivot(index="seed", columns="epoch", values=column))
            for column in ("val_ce", "val_loss")
        )
        found = row(ledger, "creep", "mean", "creep_hidden", l2=0.01)
        assert found["estimate"] == pytest.approx((ce - loss).mean())
        assert found["verdict"] == "within"


class TestRules:
    @pytest.mark.parametrize(
        ("low", "high", "expect", "verdict"),
        [
            (1, 2, {"above": 0}, "within"),
            (0, 2, {"above": 0}, "open"),
            (-2, 0, {"above": 0}, "outside"),
            (0, 0, {"above": 0}, "outside"),
            (-2, -1.5, {"below": -1}, "within"),
            (-1, 0, {"below": -1}, "outside"),
            (-0.5, 0.5, {"above": -1, "below": 1}, "within"),
            (1.5, 2, {"above": -1, "below": 1}, "outside"),
            (-3, -1, {"above": -1, "below": 1}, "outside"),
            (-2, 2, {"above": -1, "below": 1}, "open"),
            (math.nan, math.nan, {"above": 0}, "open"),
        ],
    )
    def test_of_an_interval(self, low, high, expect, verdict):
        ends = Estimate((low + high) / 2, low, high)
        assert judge._verdict(ends, ends, expect) == verdict

    @pytest.mark.parametrize(
        ("elsewhere", "changes"),
        [
            ([("yes", "fails")], "no"),
            ([("yes", "fails"), ("no", "fails")], "yes"),
            ([("yes", "holds")], "yes"),
            ([("yes", "fails"), ("yes", "open")], "open"),
            ([("open", "fails")], "open"),
            ([("not judged", "not judged")], None),
            ([], None),
        ],
    )
    def test_what_changes_with_the_epoch_is_shown_to_be_the_opposite(self, elsewhere, changes):
        here = judge.Outcome("yes", "fails")
        assert judge.changes((here, judge.Outcome(*one)) for one in elsewhere) == changes

    def test_a_row_that_is_outside_only_before_the_adjustment_is_open_with_a_number_of_seeds(self):
        """The interval of seven seeds is 1.0019 to 1.1796, and that for two rows 0.983 to 1.199."""
        half, middle = (1.1796 - 1.0019) / 2, (1.1796 + 1.0019) / 2
        deviations = np.array([-1, -1, -1, 0, 1, 1, 1.0])
        of_unit = stats.sem(deviations) * stats.t.ppf(0.975, 6)
        gap = pd.Series(middle + deviations * half / of_unit)
        cells = {0.0: pd.DataFrame({"val_ce": gap, "gap_lag": -1.0})}
        study = judge.Sample(cells, {}, 0.95, frozenset({0, 1}), {})
        rows = [
            {"statistic": "mean", "measure": measure, "at": [0], "expect": {"below": 1}}
            for measure in ("val_ce", "gap_lag")
        ]
        judged = judge.judge_claim({"rows": rows}, study)
        first = judged[0]
        assert first.estimate[1:3] == pytest.approx((1.0019, 1.1796))
        assert first.adjusted[1:3] == pytest.approx((0.983, 1.199), abs=5e-4)
        assert (first.verdict, judge.outcome(judged).conclusion) == ("open", "open")
        assert judge.decisive(judged, "open") is first
        assert claims.claim_seeds(judged, 0.95) == 14


def judged_as(verdict, estimate, expect, **more):
    """Return a judged row of the mean of the validation cross-entropy."""
    row = {"statistic": "mean", "measure": "val_ce", "estimand": "x", "expect": expect}
    return judge.Judged(row, None, Estimate(*estimate), verdict=verdict, **more)


class TestDecisive:
    """Which row makes a verdict, and what is said of it."""

    @pytest.mark.parametrize(
        ("conclusion", "decisive", "rows"),
        [
            # of several the least clear in half-widths; a figure does not decide a conclusion
            ("holds", 1, [
                judged_as("within", (1, 0.5, 1.5, 5), {"above": 0}),
                judged_as("within", (2, 0.1, 3.9, 5), {"above": 0}),
                judged_as("within", (3, 0.01, 5.99, 5), {"above": 0}, decides="figure"),
            ]),
            # half-widths of seeds alone do not win over those of images
            ("fails", 1, [
                judged_as("outside", (-0.76, -0.92, -0.6, 5), {"above": 0.1}),
                judged_as("outside", (-0.99, -1.3, -0.68, 5), {"above": 0.1},
                          scope=SEEDS_AND_IMAGES),
            ]),
            # without intervals the estimates count
            ("holds", 1, [
                judged_as("within", (value,), {"below": 1e-5}) for value in (1e-8, 3e-8, 2e-8)
            ]),
            # a conclusion fails by the row farthest on the wrong side
            ("fails", 2, [
                judged_as("within", (5, 4, 6, 5), {"above": 0}),
                judged_as("outside", (-2, -3, -1, 5), {"above": 0}),
                judged_as("outside", (-5, -6, -4, 5), {"above": 0}),
            ]),
        ],
    )  # fmt: skip
    def test_of_several_rows(self, conclusion, decisive, rows):
        assert judge.decisive(rows, conclusion) is rows[decisive]

    def test_half_widths_of_a_ratio_are_of_its_logarithm(self):
        ratio = judged_as("within", (2, 1, 4, 5), {"above": 0.5})
        ratio = ratio._replace(row=ratio.row | {"statistic": "ratio"})
        assert judge.clearance(ratio)[0] == pytest.approx(2)


class TestLedger:
    def test_rows_name_figures_and_tables_that_there_are(self):
        for path in sorted((PROJECT / "reports" / "claims").glob("*.yaml")):
            for row in [row for claim in read_ledger(path)["claims"] for row in claim["rows"]]:
                figure, table = (row["evidence"][key] for key in ("figure", "table"))
                assert (PROJECT / "reports" / "captions" / f"{figure}.rst").exists(), figure
                assert (PROJECT / "reports" / "tables" / table).with_suffix(".rst").exists(), table

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda c: c["rows"][0].pop("expect"), "claims.0.rows.0: 'expect' is a required"),
            (
                lambda c: c["rows"][0].update(holds={"above": 0}),
                "holds: was renamed in version 2.0; write expect",
            ),
            (lambda c: c["rows"][0].update(verdict="supported"), "'verdict' was unexpected"),
            (lambda c: c["rows"][0].update(measure="happiness"), "'happiness' is not one of"),
            (lambda c: c["rows"][0].update(statistic="ratio"), "'against' is a required"),
            (lambda c: c["rows"][1].update(epoch=8), "is not one of"),
            (lambda c: c["rows"][0].update(needs={"at": 0}), "is a required"),
            (lambda c: c["rows"][0].update(statistic="trend"), "0 was expected"),
            (lambda c: c.update(artefact_if=["contradicted"]), "artefact_if: was removed"),
            (lambda c: [row.update(decides=False) for row in c["rows"]], "no row decides"),
        ],
    )
    def test_faults_are_one_line(self, tmp_path, change, message):
        claim = copy.deepcopy(ledger_of()["claims"][0])
        change(claim)
        path = tmp_path / "claims.yaml"
        path.write_text(yaml.safe_dump({"claims": [claim]}))
        with pytest.raises(LedgerError) as stopped:
            read_ledger(path)
        assert str(stopped.value).startswith(str(path))
        assert message in str(stopped.value)
        assert "\n" not in str(stopped.value)

    def test_no_file_or_no_yaml(self, tmp_path):
        with pytest.raises(LedgerError, match="cannot be read"):
            read_ledger(tmp_path / "none.yaml")
        (tmp_path / "bad.yaml").write_text("claims: [")
        with pytest.raises(LedgerError, match="not valid YAML"):
            read_ledger(tmp_path / "bad.yaml")


def test_laws_are_judged_by_predictions_and_by_powers_of_lambda():
    """As laws.py computes them, of all lambdas and of one."""
    setup, histories, runs, images = synthetic.made_runs(lambdas=[0, 1e-3, 1e-2], seeds=range(5))
    runs = with_laws(histories, runs, setup, 1000)
    runs["val_accuracy_max_epoch"] = (1 / runs["l2"]).where(runs["l2"] > 0, 3.0)
    chosen = choice.choice_table(choice.choices_of(runs, "val_ce"), 0.0, 0.95)
    ledger = read_ledger(LEDGER.with_name("laws.yaml"))
    table = claims.claims_table(ledger, histories, runs, chosen, setup.epochs, 0.95, images)
    rows = table.set_index(["id", table["l2"].astype(object).fillna("all")])
    whole = table[table["estimand"] == "overall"].set_index("id")
    slope = rows.loc["time-scale"].iloc[0]
    assert slope["estimate"] == pytest.approx(-1)
    assert whole.loc["time-scale", "conclusion"] == "holds"
    right = np.stack([[images.predictions[l2, seed]["test"].right for seed in range(5)]
                      for l2 in (0, 1e-3, 1e-2)])  # fmt: skip
    found = rows.loc[("independent-errors", "all")].iloc[0]
    expected = laws.independent_errors(right, 0.95)
    assert [found[key] for key in ("estimate", "low", "high")] == pytest.approx(expected[:3])
    at = rows.loc[("independent-errors", 1e-2)]
    assert at["estimate"].item() == pytest.approx(laws.independent_errors(right[2:], 0.95).value)
    found = rows.loc[("disagreement", "all")].iloc[0]
    assert found["scope"] == SEEDS_AND_IMAGES and 0 < found["low"] < found["estimate"]
    assert whole.loc["never-lit", "conclusion"] == "not judged"  # not of Adam
