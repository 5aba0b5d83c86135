import math
import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy import stats

import synthetic
from l2study import aggregate, claims
from l2study.statistics import Estimate
from synthetic import HARMFUL, HELPFUL, NOTHING, Effects

ROOT = Path(__file__).parents[2]
LEDGER = ROOT / "reports" / "claims.yaml"
IDS = [
    "penalty",
    "start",
    "small-weights",
    "small-gap",
    "negative-gap",
    "sensitivity",
    "creep",
    "takeaway",
]
FIGURES = {
    "learning_curves",
    "gap",
    "gap_variance",
    "decomposition",
    "weight_norm",
    "loss_parts",
    "contrasts",
    "sensitivity",
    "creep",
    "calibration",
}
ALL = [(l2, seed) for l2 in (0, 0.0001, 0.001, 0.01) for seed in range(6)]
STEADY_CE = Effects(creep=(0.03, 0.03))
EASY_SPLIT = Effects(generalisation=(0.02, 0.02), split=(-0.013, -0.013))


@cache
def ledger_as_read():
    return claims.read_ledger(LEDGER)


def table(folder, **options):
    """Return the claims table of a made-up study, and its histories and runs."""
    return claims_of(synthetic.write_study(folder, **options), folder)


def claims_of(config, folder):
    epochs, confidence = config["training"]["epochs"], config["confidence"]
    found = aggregate.read_runs(folder, config["lambdas"], config["seeds"], epochs)
    histories, runs = aggregate.histories_table(found), aggregate.runs_table(found)
    kernels = aggregate.regularised_kernels(found)
    ledger = ledger_as_read()
    judged = claims.claims_table(ledger, histories, runs, kernels, epochs, confidence)
    return judged, histories, runs


VERDICTS = {}


def overall(folder, **options):
    """Return the verdict on every claim; what was made up once is not made up again."""
    key = repr(options)
    if key not in VERDICTS:
        ledger, _, _ = table(folder, **options)
        whole = ledger[ledger["estimand"] == "overall"]
        VERDICTS[key] = whole.set_index("id")["verdict"].to_dict()
    return dict(VERDICTS[key])


def row(ledger, claim, words):
    """Return the one row of a claim whose estimand begins with `words`."""
    found = ledger[(ledger["id"] == claim) & ledger["estimand"].str.startswith(words)]
    assert len(found) == 1, found["estimand"].tolist()
    return found.iloc[0]


@pytest.fixture(scope="module")
def default(tmp_path_factory):
    return table(tmp_path_factory.mktemp("default"))


class TestVerdicts:
    @pytest.mark.parametrize(
        ("claim", "verdict", "options"),
        [
            ("penalty", "supported", {}),
            ("penalty", "contradicted", {"effects": Effects(penalty_factor=0.5)}),
            ("penalty", "contradicted", {"effects": Effects(penalty_factor=1.001)}),
            ("penalty", "not judged", {"lambdas": [0]}),
            ("start", "supported", {}),
            ("start", "contradicted", {"effects": Effects(first_epoch_ce=(4, 0.1))}),
            ("start", "not resolved", {"diverged": {(0.01, s): 3 for s in range(6)}}),
            ("start", "not judged", {"lambdas": [0, 0.01]}),
            ("small-weights", "supported", {}),
            ("small-weights", "supported", {"lambdas": [0.001, 0.01]}),
            ("small-weights", "contradicted", {"effects": HARMFUL}),
            ("small-weights", "not resolved", {"effects": NOTHING}),
            ("small-weights", "not judged", {"lambdas": [0.01]}),
            ("small-gap", "supported", {}),
            ("small-gap", "contradicted", {"effects": NOTHING}),
            ("small-gap", "artefact", {"effects": EASY_SPLIT}),
            ("small-gap", "not resolved", {"effects": Effects(spread=20), "seeds": [0, 1]}),
            ("small-gap", "not judged", {"lambdas": [0, 0.01]}),
            ("small-gap", "not judged", {"epochs": 7}),
            ("negative-gap", "artefact", {}),
            ("negative-gap", "supported", {"effects": Effects(generalisation=(0.01, -0.005))}),
            ("negative-gap", "contradicted", {"effects": HELPFUL}),
            ("negative-gap", "not resolved", {"effects": Effects(spread=20), "seeds": [0, 1]}),
            ("negative-gap", "not judged", {"lambdas": [0, 0.0001]}),
            ("sensitivity", "supported", {}),
            ("sensitivity", "contradicted", {"effects": HARMFUL}),
            ("sensitivity", "contradicted", {"effects": NOTHING}),
            ("sensitivity", "not resolved", {"effects": Effects(spread=20), "seeds": [0, 1]}),
            ("sensitivity", "not judged", {"lambdas": [0.0001, 0.01]}),
            ("creep", "supported", {}),
            ("creep", "contradicted", {"effects": NOTHING}),
            ("creep", "contradicted", {"effects": HARMFUL}),
            ("creep", "artefact", {"effects": STEADY_CE, "lambdas": [0, 0.01]}),
            ("creep", "not resolved", {"epochs": 1}),
            ("creep", "not judged", {"lambdas": [0.0001, 0.01]}),
            ("takeaway", "supported", {"effects": HELPFUL}),
            ("takeaway", "contradicted", {}),
            ("takeaway", "contradicted", {"effects": NOTHING}),
            ("takeaway", "not resolved", {"effects": Effects(spread=20), "seeds": [0, 1]}),
            ("takeaway", "not judged", {"lambdas": [0.0001, 0.01]}),
        ],
    )
    def test_come_out_each_way(self, tmp_path, claim, verdict, options):
        assert overall(tmp_path, **options)[claim] == verdict

    def test_a_lambda_that_the_exercise_had_not_does_not_decide(self, tmp_path):
        effects = replace(HELPFUL, spread=0.2)
        verdicts = overall(tmp_path, effects=effects, lambdas=[0, 1e-6, 0.0001, 0.01])
        assert verdicts["takeaway"] == "supported"

    def test_lambdas_of_the_study_decide_if_it_has_none_of_the_exercise(self, tmp_path):
        # at 1e-6 the made-up world is as without L2
        effects = replace(HELPFUL, spread=0.2)
        one = overall(tmp_path / "a", effects=effects, lambdas=[0, 0.001])
        both = overall(tmp_path / "b", effects=effects, lambdas=[0, 1e-6, 0.001])
        assert (one["takeaway"], both["takeaway"]) == ("supported", "contradicted")

    @pytest.mark.parametrize(
        "options",
        [
            {"lambdas": [0]},
            {"lambdas": [0.01]},
            {"lambdas": [0.5, 1]},
            {"seeds": [0, 1], "epochs": 1},
            {"diverged": dict.fromkeys(ALL, 1)},
            {"diverged": dict.fromkeys(ALL, 0)},
            {"diverged": {case: 2 for case in ALL if case[0] == 0}},
            {"diverged": {case: 2 for case in ALL if case[1] > 0}},
            {"effects": Effects(spread=0)},
            {"seeds": [0, 1], "lambdas": [0, 0.01], "diverged": {(0, 0): 1, (0.01, 1): 1}},
            {"reference_lambda": 0.01},
        ],
    )
    def test_odd_studies_have_an_overall_verdict_on_all(self, tmp_path, options):
        verdicts = overall(tmp_path, **options)
        assert list(verdicts) == IDS
        assert set(verdicts.values()) <= {
            "supported",
            "contradicted",
            "not resolved",
            "artefact",
            "not judged",
        }

    def test_nothing_is_supported_by_runs_that_diverged(self, tmp_path):
        verdicts = overall(tmp_path, diverged=dict.fromkeys(ALL, 2))
        # the penalty is checked at the epochs that were kept
        assert verdicts.pop("penalty") == "supported"
        assert set(verdicts.values()) == {"not resolved"}


class TestRows:
    def test_columns_ids_and_order(self, default):
        ledger, _, _ = default
        assert list(ledger) == claims.CLAIM_COLUMNS
        assert list(dict.fromkeys(ledger["id"])) == IDS
        assert (ledger.groupby("id")["estimand"].last() == "overall").all()

    def test_mean_at_a_lambda(self, default):
        ledger, _, runs = default
        gap = runs[runs["l2"] == 0.01]["gap_lag"]
        found = row(ledger, "negative-gap", "lag at lambda 0.01 after epoch 8")
        low, high = stats.t.interval(0.95, 5, gap.mean(), stats.sem(gap))
        assert (found["estimate"], found["low"], found["high"]) == pytest.approx(
            (gap.mean(), low, high)
        )
        assert found["verdict"] == "contradicted"
        assert found["evidence"] == "gap.csv; decomposition"

    def test_parts_add_up_to_the_reported_gap(self, default):
        ledger, _, _ = default
        reported, generalisation, both, lag, split = (
            row(ledger, "negative-gap", f"{words} at lambda 0.01 after epoch 8")["estimate"]
            for words in ("reported gap", "generalisation gap", "lag plus split", "lag", "split")
        )
        assert reported == pytest.approx(lag + generalisation + split)
        assert both == pytest.approx(lag + split)

    def test_gaps_are_those_of_the_epoch_in_the_ledger(self, tmp_path):
        ledger, histories, _ = table(tmp_path, epochs=11)
        at = histories.query("l2 == 0.01 and epoch == 8")
        found = row(ledger, "negative-gap", "reported gap at lambda 0.01 after epoch 8")
        gap = at["train_accuracy_running"] - at["val_accuracy"]
        assert found["estimate"] == pytest.approx(gap.mean())
        final = histories.query("l2 == 0.01 and epoch == 11")
        assert found["estimate"] != pytest.approx(
            (final["train_accuracy_running"] - final["val_accuracy"]).mean()
        )
        found = row(
            ledger, "negative-gap", "test accuracy at lambda 0.01 minus none, after epoch 8"
        )
        wide = histories.query("epoch == 8").pivot_table("test_accuracy", "seed", "l2")
        assert found["estimate"] == pytest.approx((wide[0.01] - wide[0.0]).mean())

    def test_too_few_epochs_for_the_figures(self, tmp_path):
        ledger, _, _ = table(tmp_path, epochs=7, lambdas=[0.0001, 0.01])
        found = row(ledger, "negative-gap", "reported gap at lambda 0.01")
        assert found["verdict"] == "not judged"
        assert found["estimand"].endswith("to judge it, train for 8 epochs or more")
        whole = ledger[(ledger["id"] == "negative-gap") & (ledger["estimand"] == "overall")]
        assert whole["decided_by"].item() == "to judge it, train for 8 epochs or more"

    def test_difference(self, default):
        ledger, histories, _ = default
        start = histories[histories["epoch"] == 0].pivot_table("train_loss", "seed", "l2")
        found = row(ledger, "start", "loss before training at lambda 0.01 minus")
        test = stats.ttest_rel(start[0.01], start[0.0001])
        low, high = test.confidence_interval(0.95)
        assert (found["low"], found["high"]) == pytest.approx((low, high))

    def test_the_start_is_not_the_figure(self, default):
        ledger, _, _ = default
        found = row(ledger, "start", "loss before training at lambda 0.01; ")
        assert found["given"] == "0.9991"
        assert found["estimate"] == pytest.approx(math.log(10) + 0.01 * 220.07, abs=0.02)
        assert found["verdict"] == "contradicted"

    def test_ratio_is_a_geometric_mean(self, default):
        ledger, _, runs = default
        wide = runs.pivot_table("jacobian_norm", "seed", "l2")
        found = row(ledger, "sensitivity", "Jacobian norm of the logits at lambda 0.001 relative")
        assert found["estimate"] == pytest.approx(stats.gmean(wide[0.001] / wide[0.0]))
        log = np.log(wide[0.001] / wide[0.0])
        low, high = np.exp(stats.t.interval(0.95, 5, log.mean(), stats.sem(log)))
        assert (found["low"], found["high"]) == pytest.approx((low, high))

    def test_association(self, default):
        ledger, _, runs = default
        lost = runs["test_accuracy"] - runs["test_accuracy_noise_0.1"]
        tau = "Kendall's tau of the test accuracy lost to noise of sd 0.1 and the norm of the"
        found = row(ledger, "sensitivity", f"{tau} regularised weights between and within lambdas")
        assert found["estimate"] == pytest.approx(stats.kendalltau(lost, runs["weight_norm"])[0])
        assert found["low"] < found["estimate"] < found["high"]
        within = [
            stats.kendalltau(lost[group.index], group["weight_norm"])[0]
            for _, group in runs.groupby("l2")
        ]
        found = row(ledger, "sensitivity", f"{tau} regularised weights within lambdas")
        assert found["estimate"] == pytest.approx(np.mean(within))
        low, high = stats.t.interval(0.95, 3, np.mean(within), stats.sem(within))
        assert (found["low"], found["high"]) == pytest.approx((low, high))
        assert found["verdict"] == "not resolved"

    def test_smaller_weights_must_be_less_sensitive(self, default):
        """Less sensitive than without L2 is not enough."""
        _, histories, runs = default
        runs = runs.copy()
        runs.loc[runs["l2"] == 0.0001, "softmax_jacobian_norm"] *= 0.4
        judged = claims.claims_table(ledger_as_read(), histories, runs, [(784, 128)], 8, 0.95)
        whole = judged[(judged["id"] == "sensitivity") & (judged["estimand"] == "overall")]
        assert whole["verdict"].item() == "contradicted"
        mean = np.log(runs.pivot_table("softmax_jacobian_norm", "seed", "l2")).mean()
        ratio = math.exp(mean[0.01] - mean[0.0001])
        assert ratio > 1.1
        words = "Jacobian norm of the probabilities at lambda 0.01 relative to 0.0001"
        assert whole["decided_by"].item().startswith(f"{words}: {ratio:.2f} (")
        against_none = " and ".join(
            f"{math.exp(mean[l2] - mean[0.0]):.3f}" for l2 in (0.0001, 0.01)
        )
        assert (
            whole["decided_by"]
            .item()
            .endswith(f"; relative to none it is {against_none}, at 0.0001 and 0.01")
        )

    def test_trend(self, tmp_path):
        ledger, _, runs = table(tmp_path, effects=NOTHING)
        wide = runs.pivot_table("weight_norm", "seed", "l2")
        each = [stats.spearmanr(wide.columns, values).statistic for values in wide.to_numpy()]
        found = row(ledger, "small-weights", "rank correlation of the norm")
        assert found["estimate"] == pytest.approx(np.mean(each))
        assert np.isnan([found["low"], found["high"]]).all()
        page = stats.page_trend_test(wide.to_numpy()[:, ::-1]).pvalue
        assert found["estimand"].endswith(f"; Page's one-sided p {page:.2g}")

    def test_trend_both_ways(self, tmp_path):
        up, _, _ = table(tmp_path / "up", effects=HARMFUL)
        down, _, _ = table(tmp_path / "down")
        words = "rank correlation of the norm"
        assert row(up, "small-weights", words)["verdict"] == "contradicted"
        assert row(down, "small-weights", words)["verdict"] == "supported"
        words = "rank correlation of the running loss"
        assert row(up, "start", words)["verdict"] == "supported"

    def test_trend_leaves_out_what_diverged(self, tmp_path):
        diverged = {(0.01, s): 2 for s in range(6)} | {(0.001, 0): 2}
        ledger, _, _ = table(tmp_path, diverged=diverged)
        found = row(ledger, "small-weights", "rank correlation of the norm")
        assert (found["estimate"], found["verdict"]) == (-1, "supported")
        assert "seeds 0 at lambda 0.001, 0 1 2 3 4 5 at lambda 0.01" in found["estimand"]

    def test_penalty_error_is_seen_in_one_epoch_of_one_run(self, tmp_path):
        config = synthetic.write_study(tmp_path, lambdas=[0, 0.001, 0.01], epochs=3)
        found = aggregate.read_runs(tmp_path, config["lambdas"], config["seeds"], 3)
        histories, runs = aggregate.histories_table(found), aggregate.runs_table(found)
        histories.loc[(histories["l2"] == 0.01) & (histories["seed"] == 4), "val_loss"] += [
            0,
            0.002,
            0,
            0,
        ]
        ledger = claims.claims_table(ledger_as_read(), histories, runs, [(784, 128)], 3, 0.95)
        bad = row(
            ledger,
            "penalty",
            "largest |loss - cross-entropy - l2 * weight norm squared| at lambda 0.01,",
        )
        history = histories.query("l2 == 0.01 and seed == 4 and epoch == 1").iloc[0]
        assert bad["estimate"] == pytest.approx(0.002 / max(1, history["val_loss"]))
        assert bad["verdict"] == "contradicted"
        good = row(
            ledger,
            "penalty",
            "largest |loss - cross-entropy - l2 * weight norm squared| at lambda 0.001,",
        )
        assert good["verdict"] == "supported"

    def test_penalty_before_training_against_glorot(self, default, tmp_path):
        ledger, histories, _ = default
        penalty = histories.query("l2 == 0.01 and epoch == 0")["penalty"]
        found = row(ledger, "penalty", "penalty before training at lambda 0.01,")
        assert found["estimate"] == pytest.approx(penalty.mean() / (0.01 * 220.07), rel=1e-4)
        assert found["verdict"] == "supported"
        other, _, _ = table(tmp_path, kernels=((784, 32), (32, 10)))
        assert row(other, "penalty", "penalty before training at lambda 0.01,")["verdict"] == (
            "supported"
        )

    def test_expected_square_norm(self):
        assert claims.expected_square_norm([(784, 128)]) == pytest.approx(220.07, abs=0.005)
        draws = np.random.default_rng(0).uniform(-1, 1, (2000, 30, 20)) * math.sqrt(6 / 50)
        simulated = np.square(draws).sum(axis=(1, 2)).mean()
        assert claims.expected_square_norm([(30, 20)]) == pytest.approx(simulated, rel=0.005)

    def test_without_kernels_there_is_no_expectation(self, default):
        _, histories, runs = default
        ledger = claims.claims_table(ledger_as_read(), histories, runs, None, 8, 0.95)
        found = row(ledger, "penalty", "penalty before training at lambda 0.01,")
        assert math.isnan(found["estimate"])
        assert found["verdict"] == "not resolved"

    def test_val_loss_hides_creep(self, tmp_path):
        ledger, histories, _ = table(tmp_path, effects=STEADY_CE, lambdas=[0, 0.01])
        rows = histories.query("l2 == 0.01 and epoch > 0")
        loss = rows.pivot_table("val_loss", "epoch", "seed").rolling(3).mean()
        ce = rows.pivot_table("val_ce", "epoch", "seed").rolling(3).mean()
        hidden = (ce.iloc[-1] - ce.min()) - (loss.iloc[-1] - loss.min())
        found = row(ledger, "creep", "creep that val_loss hides at lambda 0.01")
        assert found["estimate"] == pytest.approx(hidden.mean())
        assert found["verdict"] == "supported"

    @pytest.mark.parametrize(("epochs", "estimate"), [(1, math.nan), (3, 0)])
    def test_too_short_to_creep(self, tmp_path, epochs, estimate):
        ledger, _, _ = table(tmp_path, epochs=epochs)
        found = row(ledger, "creep", "creep of the validation cross-entropy at lambda 0,")
        assert found["verdict"] == "not resolved"
        assert found["estimate"] == pytest.approx(estimate, nan_ok=True)
        assert found["estimand"].endswith("so train for longer")

    def test_one_run_that_creeps_does_not_make_a_study_long_enough(self, tmp_path):
        config = synthetic.write_study(tmp_path, effects=Effects(creep=(0, 0), spread=0))
        runs = [tmp_path / f"runs/l2~0/seed~{seed}/history.csv" for seed in (0, 1, 2, 3)]
        for count, long_enough in ((1, False), (3, True)):
            for path in runs[count - 1 : count + 1]:
                history = pd.read_csv(path, dtype={"l2": str})
                history.loc[8, ["val_ce", "val_loss"]] += 0.1
                history.to_csv(path, index=False)
            judged, _, _ = claims_of(config, tmp_path)
            found = row(judged, "creep", "creep of the validation cross-entropy at lambda 0,")
            assert ("train for longer" not in found["estimand"]) == long_enough

    def test_nothing_is_said_of_how_long_runs_that_diverged_would_take(self, tmp_path):
        ledger, _, _ = table(tmp_path, diverged={(0, s): 2 for s in range(6)})
        creep = ledger[ledger["id"] == "creep"]
        assert not creep["estimand"].str.contains("train for longer").any()
        assert not creep["decided_by"].str.contains("train for longer").any()

    def test_without_creep_there_is_none_to_prevent(self, tmp_path):
        """A difference from runs that do not creep says nothing of what L2 does to creep."""
        ledger, _, _ = table(tmp_path, effects=Effects(creep=(0.001, 0.001)))
        first = row(ledger, "creep", "creep of the validation cross-entropy at lambda 0,")
        assert first["verdict"] != "supported"
        for claim in ("creep", "takeaway"):
            found = row(ledger, claim, "creep of the validation cross-entropy at lambda 0.01 minus")
            assert found["verdict"] == "not resolved"
            assert found["estimand"].endswith("; creep without L2 is not shown to be above 0.005")

    def test_what_is_missing_is_said(self, tmp_path):
        ledger, _, _ = table(tmp_path / "a", lambdas=[0.001])
        words = {
            claim: ledger[ledger["id"] == claim]["estimand"].iloc[0].split("; ")[-1]
            for claim in IDS
        }
        assert words["start"] == "to judge it, add lambda 0.0001 and 0.01"
        assert words["small-weights"] == "to judge it, add a second lambda"
        assert words["small-gap"] == "to judge it, add lambda 0.0001"
        assert words["negative-gap"] == "to judge it, add lambda 0.01"
        assert words["creep"] == "to judge it, add lambda 0"
        assert words["takeaway"] == "to judge it, add lambda 0"
        ledger, _, _ = table(tmp_path / "b", lambdas=[0])
        assert row(ledger, "penalty", "largest")["estimand"].endswith("add a lambda above 0")
        judged = ledger["verdict"] != "not judged"
        assert ledger[~judged]["estimate"].isna().all()

    def test_seeds_left_out_are_named(self, tmp_path):
        ledger, _, _ = table(tmp_path, diverged={(0.01, 3): 2, (0, 5): 1})
        found = row(ledger, "takeaway", "test accuracy at lambda 0.01")
        assert found["estimand"].endswith("left out: seeds 3 at lambda 0.01, 5 at lambda 0")

    def test_bounds_are_in_the_estimand(self, default):
        ledger, _, _ = default
        found = row(ledger, "takeaway", "test accuracy at lambda 0.01")
        assert found["estimand"] == "test accuracy at lambda 0.01 minus none; holds if above 0.001"

    def test_confidence_widens_intervals(self, tmp_path):
        narrow, _, _ = table(tmp_path, confidence=0.5)
        wide, _, _ = table(tmp_path, confidence=0.999)
        width = (wide["high"] - wide["low"]) - (narrow["high"] - narrow["low"])
        rows = (wide["verdict"] != "not judged") & wide["estimand"].str.contains(
            "difference|gap at"
        )
        assert rows.any()
        assert (width[rows] > 0).all()


class TestRules:
    @pytest.mark.parametrize(
        ("low", "high", "holds", "verdict"),
        [
            (1, 2, {"above": 0}, "supported"),
            (0, 2, {"above": 0}, "not resolved"),
            (-1, 2, {"above": 0}, "not resolved"),
            (-2, 0, {"above": 0}, "contradicted"),
            (0, 0, {"above": 0}, "contradicted"),
            (-2, -1.5, {"below": -1}, "supported"),
            (-0.5, 0.5, {"below": -1}, "contradicted"),
            (-1, 0, {"below": -1}, "contradicted"),
            (-0.5, 0.5, {"above": -1, "below": 1}, "supported"),
            (1.5, 2, {"above": -1, "below": 1}, "contradicted"),
            (-3, -1, {"above": -1, "below": 1}, "contradicted"),
            (-2, 2, {"above": -1, "below": 1}, "not resolved"),
            (math.nan, math.nan, {"above": 0}, "not resolved"),
        ],
    )
    def test_of_an_interval(self, low, high, holds, verdict):
        assert claims._verdict(low, high, holds) == verdict

    def judged(self, *rows):
        """Return rows given as (verdict, strict verdict, decides, as reported, elsewhere)."""
        return [claims.Judged({}, "", Estimate(), *fields) for fields in rows]

    def test_a_contradiction_must_survive_bonferroni(self):
        weak = self.judged(
            ("supported", "supported", True, False), ("contradicted", "not resolved", True, False)
        )
        assert claims.overall(weak, []) == "not resolved"
        strong = self.judged(
            ("supported", "supported", True, False), ("contradicted", "contradicted", True, False)
        )
        assert claims.overall(strong, []) == "contradicted"

    def test_support_needs_no_wider_intervals(self):
        rows = self.judged(*[("supported", "not resolved", True, False)] * 5)
        assert claims.overall(rows, []) == "supported"

    @pytest.mark.parametrize(
        ("fair", "elsewhere", "verdict"),
        [
            ("contradicted", "supported", "artefact"),
            ("not resolved", "supported", "artefact"),
            ("not resolved", "not resolved", "not resolved"),
            ("contradicted", "contradicted", "contradicted"),
            ("supported", "supported", "supported"),
            ("not judged", "supported", "not judged"),
        ],
    )
    def test_an_artefact_is_shown_to_come_from_elsewhere(self, fair, elsewhere, verdict):
        rows = self.judged(
            ("supported", "supported", True, True, False),
            (fair, fair, True, False, False),
            (elsewhere, elsewhere, False, False, True),
        )
        assert claims.overall(rows, ["contradicted", "not resolved"]) == verdict
        assert claims.overall(rows[:2], ["contradicted", "not resolved"]) != "artefact"

    def test_rows_beside_do_not_decide(self):
        rows = self.judged(
            ("supported", "supported", True, False), ("contradicted", "contradicted", False, False)
        )
        assert claims.overall(rows, []) == "supported"

    def test_false_contradictions_of_many_rows_are_rare(self):
        """Of six true claims each with a 95 % interval, one would seem false too often."""
        rng = np.random.default_rng(11)
        ledger = yaml.safe_load(LEDGER.read_text())
        claim = next(c for c in ledger["claims"] if c["id"] == "takeaway")
        rows = [r | {"at": "every"} for r in claim["rows"] if r["measure"] == "test_accuracy"]
        lambdas = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
        wrong = 0
        for _ in range(200):
            cells = {
                l2: pd.DataFrame(
                    {"test_accuracy": rng.normal(0.001 * (l2 > 0), 0.001, 10)}, index=range(10)
                )
                for l2 in lambdas
            }
            # the truth lies on the bound, where a contradiction is most likely
            study = claims.Study(cells, dict.fromkeys(lambdas, ""), 0.95, 1, {})
            judged = claims.judge_claim({"rows": rows}, study, [])
            wrong += claims.overall(judged, []) == "contradicted"
        assert wrong / 200 < 0.06


class TestDecidedBy:
    def texts(self, ledger):
        return ledger[ledger["estimand"] == "overall"].set_index("id")["decided_by"]

    def test_only_the_verdict_on_the_whole_has_it(self, default):
        ledger, _, _ = default
        assert (ledger["decided_by"] != "").tolist() == (ledger["estimand"] == "overall").tolist()

    def test_contradicted_names_row_lambda_and_estimate(self, default):
        ledger, _, runs = default
        wide = runs.pivot_table("test_accuracy", "seed", "l2")
        test = stats.ttest_rel(wide[0.01], wide[0.0])
        ends = test.confidence_interval(0.95)
        numbers = [f"{100 * x:.2f}" for x in ((wide[0.01] - wide[0.0]).mean(), *ends)]
        text = "test accuracy at lambda 0.01 minus none: {} points ({} to {}), not above 0.1 points"
        assert self.texts(ledger)["takeaway"] == text.format(*numbers).replace("-", "−")

    def test_artefact_names_the_figure_and_where_it_comes_from(self, default):
        ledger, _, _ = default
        assert re.fullmatch(
            r"reported gap at lambda 0\.01 after epoch 8: −1\.\d+ points \(.*\), below 0,"
            r" but lag plus split at lambda 0\.01 after epoch 8: −1\.\d+ points \(.*\), below 0",
            self.texts(ledger)["negative-gap"],
        )

    def test_supported_names_the_row_that_holds_least_clearly(self, default):
        ledger, _, _ = default
        assert self.texts(ledger)["sensitivity"].startswith("all 5 hold, least clearly: ")
        rows = [
            claims.Judged(
                {"statistic": "mean", "measure": "val_ce", "holds": {"above": 0}},
                f"row {value}, at length; holds if above 0",
                Estimate(value, value - half, value + half, 5),
                "supported", "supported", decides, False,
            )
            for value, half, decides in ((1.0, 0.5, True), (2.0, 1.9, True), (3, 2.99, False))
        ]  # fmt: skip
        assert claims.decided_by(rows, "supported") == (
            "both hold, least clearly: row 2.0: 2.00 nats (0.100 to 3.90), above 0"
        )

    def test_without_intervals_the_estimates_count(self):
        rows = [
            claims.Judged(
                {"statistic": "largest", "measure": "penalty_error", "holds": {"below": 1e-5}},
                f"row {value}",
                Estimate(value),
                "supported", "supported", True, False,
            )
            for value in (1e-8, 3e-8, 2e-8)
        ]  # fmt: skip
        assert claims.decided_by(rows, "supported").endswith("row 3e-08: 3.00e−8, below 1e−5")

    def test_start_tells_the_figures_from_the_start(self, default):
        ledger, histories, _ = default
        words = (
            r"at 0\.01 and 0\.0001 the loss starts at (\S+) and (\S+), and its running mean"
            r" over epoch 1 is (\S+) and (\S+)"
        )
        found = re.search(words, self.texts(ledger)["start"])
        means = [
            histories.query(f"epoch == {epoch} and l2 == {l2}")[column].mean()
            for epoch, column in ((0, "train_loss"), (1, "train_loss_running"))
            for l2 in (0.01, 0.0001)
        ]
        assert [float(number) for number in found.groups()] == pytest.approx(means, abs=0.005)

    def test_what_is_not_there_is_not_spoken_of(self, tmp_path):
        ledger, _, _ = table(tmp_path / "a", diverged={(0.01, s): 3 for s in range(6)})
        assert "starts at" not in self.texts(ledger)["start"]
        ledger, _, _ = table(tmp_path / "b", lambdas=[0.001])
        assert self.texts(ledger)["start"] == "to judge it, add lambda 0.0001 and 0.01"


class TestLedger:
    def test_covers_the_claims_and_names_known_figures(self):
        ledger = ledger_as_read()
        assert [claim["id"] for claim in ledger["claims"]] == IDS
        rows = [r for claim in ledger["claims"] for r in claim["rows"]]
        assert {r["evidence"]["figure"] for r in rows} <= FIGURES
        assert all(len(r["because"]) > 10 for r in rows)
        for claim in ledger["claims"]:
            assert any(r.get("decides", True) for r in claim["rows"]), claim["id"]

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda c: c["rows"][0].pop("holds"), "claims.0.rows.0: 'holds' is a required"),
            (lambda c: c["rows"][0].update(at=None), "claims.0.rows.0.at"),
            (lambda c: c["rows"][0].update(verdict="supported"), "'verdict' was unexpected"),
            (lambda c: c["rows"][0].update(statistic="median"), "'median' is not one of"),
            (lambda c: c["rows"][0].update(measure="happiness"), "'happiness' is not one of"),
            (lambda c: c["rows"][0].update(statistic="ratio"), "'against' is a required"),
            (lambda c: c["rows"][1].update(epoch=8), "is not one of"),
            (lambda c: c["rows"][0].update(needs={"at": 0}), "is a required"),
            (lambda c: c["rows"][0].update(statistic="trend"), "0 was expected"),
            (lambda c: c.pop("claim"), "'claim' is a required"),
            (lambda c: c.update(artefact_if=["maybe"]), "'maybe' is not one of"),
        ],
    )
    def test_faults_are_one_line(self, tmp_path, change, message):
        ledger = yaml.safe_load(LEDGER.read_text())
        change(ledger["claims"][0])
        path = tmp_path / "claims.yaml"
        path.write_text(yaml.safe_dump(ledger))
        with pytest.raises(claims.LedgerError) as stopped:
            claims.read_ledger(path)
        assert str(stopped.value).startswith(str(path))
        assert message in str(stopped.value)
        assert "\n" not in str(stopped.value)

    def test_no_file_or_no_yaml(self, tmp_path):
        with pytest.raises(claims.LedgerError, match="cannot be read"):
            claims.read_ledger(tmp_path / "none.yaml")
        (tmp_path / "bad.yaml").write_text("claims: [")
        with pytest.raises(claims.LedgerError, match="not valid YAML"):
            claims.read_ledger(tmp_path / "bad.yaml")
