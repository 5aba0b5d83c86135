"""What the chosen lambda is worth, and what it costs to choose."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import synthetic
from l2study.tables import gain
from l2study.tables.choice import RESAMPLES, Choice, choice_table, choices_of
from tiny import PROJECT

OVERFITTING = synthetic.Effects(
    test_accuracy=(0.960, 0.980), val_ce_min=(0.16, 0.08), creep=(0.03, 0.001)
)
"""Validation chooses lambda 0.01, which has the highest test accuracy."""
METRICS = ("val_ce", "val_accuracy", "test_ce", "test_accuracy")


def runs_of(values):
    """Return runs of an array of the measures `METRICS`, shape (measures, lambdas, seeds)."""
    lambdas, seeds = values.shape[1:]
    index = pd.MultiIndex.from_product([map(float, range(lambdas)), range(seeds)])
    table = pd.DataFrame(dict(zip(METRICS, values.reshape(len(METRICS), -1), strict=True)), index)
    return table.rename_axis(["l2", "seed"]).reset_index().assign(status="completed")


def best_of(runs, reference=0.0, confidence=0.95):
    choices = choices_of(runs, "val_ce")
    known = choice_table(choices, reference, confidence)
    return gain.best_table(choices, known, reference, confidence).iloc[0]


@pytest.fixture(scope="module")
def chosen():
    """The tables of a set-up in which validation chooses lambda 0.01."""
    return synthetic.made_tables("start", epochs=3, effects=OVERFITTING)[1]


class TestBest:
    def test_against_scipy(self, chosen):
        row, runs = chosen["best"].iloc[0], chosen["runs"]
        assert (row["metric"], row["configured"]) == ("val_ce", "yes")
        assert row["best_l2"] == runs.groupby("l2")["val_ce"].mean().idxmin() == 0.01
        assert (row["reference_l2"], row["n"], row["resolved"]) == (0, 6, "yes")
        assert (row["grid"], row["next_l2"]) == ("at the end", 0.1)
        for measure in ("test_accuracy", "test_ce"):
            wide = runs.pivot(index="seed", columns="l2", values=measure)
            test = stats.ttest_rel(wide[0.01], wide[0.0])
            difference = row[f"{measure}_difference"]
            assert difference == pytest.approx((wide[0.01] - wide[0.0]).mean())
            # they are for other images, too
            ends = test.confidence_interval(0.95)
            assert row[f"{measure}_low"] <= ends.low and row[f"{measure}_high"] >= ends.high

    def test_where_one_lambda_is_picked_the_interval_is_that_of_the_contrasts(self, chosen):
        row = chosen["best"].iloc[0]
        assert row["picked"] == 1
        contrasts = chosen["contrasts"].query("measure == 'test_accuracy' and l2 == 0.01")
        assert row["test_accuracy_low"] == contrasts["low"].min()

    def test_the_reference_gains_nothing_over_itself(self, chosen):
        row = best_of(chosen["runs"], reference=0.01)
        assert row["best_l2"] == row["reference_l2"] == 0.01
        assert (row["test_accuracy_difference"], row["test_ce_difference"]) == (0, 0)
        assert (row["resolved"], row["n"]) == ("no", 6)
        assert "test_accuracy_low" not in row.dropna()

    def test_a_reference_without_a_completed_run_is_not_compared_with(self):
        diverged = {(0, seed): 1 for seed in range(6)}
        options = {"epochs": 3, "diverged": diverged, "effects": OVERFITTING}
        _, tables = synthetic.made_tables("start", **options)
        row = tables["best"].iloc[0]
        assert (row["best_l2"], row["reference_l2"]) == (0.01, 0.0001)

    def test_no_lambda_to_choose(self):
        diverged = {(l2, seed): 1 for l2 in (0, 0.01) for seed in (0, 1)}
        options = {"lambdas": [0, 0.01], "seeds": [0, 1], "diverged": diverged}
        row = synthetic.made_tables("start", **options)[1]["best"].iloc[0]
        assert row.dropna().to_dict() == {"metric": "val_ce", "configured": "yes", "n": 0}

    def test_the_interval_counts_every_lambda_that_is_often_picked(self):
        draw = np.random.default_rng(3).normal(size=(4, 4, 9))
        draw[:, 0] += 5  # never picked
        runs = runs_of(draw)
        (own, _), row = choices_of(runs, "val_ce"), best_of(runs)
        shares = pd.Series(own.picks("seeds").best).value_counts() / RESAMPLES
        assert row["picked"] == (shares > 0.025).sum() > 1
        wide = runs.pivot(index="seed", columns="l2", values="test_ce")
        test = stats.ttest_rel(wide[row["best_l2"]], wide[0.0])
        ends = test.confidence_interval(1 - 0.05 / row["picked"])
        assert (row["test_ce_low"], row["test_ce_high"]) == pytest.approx((ends.low, ends.high))

    def test_left_out(self):
        draw = np.random.default_rng(4).normal(size=(4, 3, 5))
        expected = []
        for seed in range(5):
            others = np.delete(draw[0], seed, axis=1).mean(axis=1)
            expected.append(draw[3, others.argmin(), seed] - draw[3, 0, seed])
        row = best_of(runs_of(draw))
        assert row["test_accuracy_left_out"] == pytest.approx(np.mean(expected))

    def test_too_few_seeds(self):
        row = best_of(runs_of(np.random.default_rng(4).normal(size=(4, 3, 2))))
        assert np.isnan(row[["test_ce_left_out", "test_ce_regret"]].tolist()).all()


class TestRegret:
    def test_of_one_seed(self):
        """Each seed's pick is measured by the other seeds."""
        draw = np.random.default_rng(5).normal(size=(4, 3, 6))
        (own, _) = choices_of(runs_of(draw), "val_ce")
        best, expected = draw[3].mean(axis=1).argmax(), []
        for seed in range(6):
            others = np.delete(draw[3], seed, axis=1).mean(axis=1)
            expected.append(others[best] - others[draw[0, :, seed].argmin()])
        assert gain.regret(own, "test_accuracy")[1] == pytest.approx(np.mean(expected))

    def test_of_all_seeds(self):
        draw = np.random.default_rng(6).normal(size=(4, 2, 4))
        (own, _) = choices_of(runs_of(draw), "val_ce")
        best, expected = draw[2].mean(axis=1).argmin(), []
        for counts in own.picks("seeds").counts:
            if (counts == 0).any():
                pick = (draw[0] * counts).sum(axis=1).argmin()
                short = draw[2, pick] - draw[2, best]
                expected.append(short[counts == 0].mean())
        assert gain.regret(own, "test_ce")[0] == pytest.approx(np.mean(expected))

    def test_is_honest(self):
        """Never clearly below the truth, and near it where lambdas differ."""
        draw, studies = np.random.default_rng(7), 60
        truth = np.array([[0.0, 0.4, 0.5], [0.9, 0.9, 0.9], [1.0, 0.0, 0.2], [0.9, 0.93, 0.95]])
        found, short = [], []
        for _ in range(studies):
            noise = draw.normal(size=(4, 3, 8)) * np.array([1, 1, 1, 0.02])[:, None, None]
            values = truth[..., None] + noise
            (own, _) = choices_of(runs_of(values), "val_ce")
            found.append(gain.regret(own, "test_accuracy"))
            picks = own.best, own.by_seed.to_numpy().argmin(axis=1)
            short.append([np.mean(0.95 - truth[3][np.array(pick, int)]) for pick in picks])
        estimate, true = np.mean(found, axis=0), np.mean(short, axis=0)
        error = np.std(short, axis=0) / math.sqrt(studies)
        assert (estimate > true - 3 * error - 0.1 * true).all()
        assert (estimate < 1.3 * true).all()


@pytest.mark.slow
@pytest.mark.parametrize("alike", [False, True])
def test_intervals_that_count_the_choice_hold(alike):
    """The chance of a seed makes its lambda look better in validation and in test."""
    draw, studies, held = np.random.default_rng(8), 150, 0
    truth = np.zeros(5) if alike else np.array([0.0, 0.3, 0.9, 1.1, 1.0])
    for _ in range(studies):
        noise = draw.normal(size=(5, 8))
        tests = truth[:, None] + 0.7 * noise + 0.7 * draw.normal(size=(5, 8))
        validation = -(truth[:, None] + noise)
        own = Choice(runs_of(np.stack([validation, -validation, -tests, tests])), "val_ce")
        ends = gain.counting_choice(own, "test_accuracy", 0.0, 0.95)
        held += ends.low <= truth[int(own.best)] - truth[0] <= ends.high
    assert held / studies >= 0.93


@pytest.fixture(scope="module")
def when_it_helps():
    """What the runs of twelve set-ups say, which have ten seeds each."""
    runs = pd.read_csv(PROJECT / "reference" / "when-it-helps" / "tables" / "runs.csv")
    rows = {name: best_of(own) for name, own in runs.groupby("setup")}
    return pd.DataFrame(rows).T


def test_the_metrics_differ_in_four_set_ups_of_the_reference(when_it_helps):
    found = when_it_helps[when_it_helps["metrics_differ"] == "yes"]
    assert (100 * found["other_difference"].astype(float)).round(2).to_dict() == {
        "label_noise~0.2": 0.43,
        "label_noise~0.4": 1.38,
        "images~2000,label_noise~0.2": 2.33,
        "images~10000,label_noise~0.4": 2.17,
    }
    # by the estimates alone, three more would
    assert (when_it_helps["other_difference"].abs() > 0.001).sum() == 7


def test_the_best_is_at_the_end_in_two_set_ups_of_the_reference(when_it_helps):
    found = when_it_helps[when_it_helps["grid"] == "at the end"]
    assert found["next_l2"].to_dict() == {
        "images~500,label_noise~0.4": 0.1,
        "images~2000,label_noise~0.4": 0.1,
    }


def test_what_one_seed_costs_in_the_reference(when_it_helps):
    at = when_it_helps["test_accuracy_regret_one_seed"]
    assert at["images~2000,label_noise~0.2"] == pytest.approx(0.029, abs=0.001)
    assert at["images~10000,label_noise~0.4"] == pytest.approx(0.0195, abs=0.0005)
    at = when_it_helps["test_ce_regret_one_seed"]
    assert at["images~2000,label_noise~0.2"] == pytest.approx(0.0068, abs=0.001)
