"""What the chosen lambda is worth, and what it costs to choose."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import synthetic
from l2study.tables import gain
from l2study.tables.choice import RESAMPLES, choice_table, choices_of
from tiny import PROJECT

OVERFITTING = synthetic.Effects(
    test_accuracy=(0.960, 0.980), val_ce_min=(0.16, 0.08), creep=(0.03, 0.001)
)
"""Validation chooses lambda 0.01, which has the highest test accuracy."""
METRICS = ("val_ce", "val_accuracy", "test_ce", "test_accuracy")


def runs_of(values):
    """Return runs of an array of the measures `METRICS`, shape (measures, lambdas, seeds)."""
    lambdas = [float(l2) for l2 in range(values.shape[1])]
    return synthetic.runs_table(lambdas, **dict(zip(METRICS, values, strict=True)))


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
        # where one lambda is picked, they are those of the contrasts
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
        _, tables = synthetic.made_tables("start", epochs=3, diverged=diverged, effects=OVERFITTING)
        row = tables["best"].iloc[0]
        assert (row["best_l2"], row["reference_l2"]) == (0.01, 0.0001)

    def test_no_lambda_to_choose(self):
        diverged = {(0, 0): 1, (0, 1): 1}
        _, tables = synthetic.made_tables("start", lambdas=[0], seeds=[0, 1], diverged=diverged)
        row = tables["best"].iloc[0].dropna().to_dict()
        assert row == {"metric": "val_ce", "configured": "yes", "n": 0}

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


def test_of_the_reference_what_follows_from_its_runs_alone():
    folder = PROJECT / "reference" / "when-it-helps" / "tables"
    runs = pd.read_csv(folder / "runs.csv")
    found = pd.DataFrame({name: best_of(own) for name, own in runs.groupby("setup")}).T
    names = ["best_l2", "other_l2", "other_difference", "metrics_differ", "test_ce_left_out"]
    best = pd.read_csv(folder / "best.csv").query("configured == 'yes'").set_index("setup")
    expected = best.loc[found.index, names]
    found = found[names].astype(expected.dtypes)
    pd.testing.assert_frame_equal(found, expected, check_names=False)
