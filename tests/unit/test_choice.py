"""Which lambda each metric chooses, by whichever rule, and how stable that is."""

import math

import numpy as np
import pytest

from l2study.core.scope_rows import SEEDS
from l2study.tables import choice
from l2study.tables.choice import choices_of, lowest, one_standard_error
from synthetic import runs_table


def runs_of(val_ce):
    """Return runs of the given {l2: [val_ce per seed]}, NaN where one diverged.

    Validation accuracy falls with lambda.
    """
    ce = np.array([*val_ce.values()], float)
    return runs_table(
        [*val_ce],
        val_ce=ce,
        val_accuracy=0 * ce + 0.9 - np.reshape([*val_ce], (-1, 1)),
        test_accuracy=0 * ce + 0.9 + 0.01 * np.arange(ce.shape[1]),
    )


def chosen(runs, reference=0.0, confidence=0.95, choose_by="val_ce"):
    """Return the rows of the metric that is chosen by, by their rules."""
    table = choice.choice_table(choices_of(runs, choose_by), reference, confidence)
    assert set(table["metric"]) == {"val_ce", "val_accuracy"}
    return table[table["configured"] == "yes"].set_index("rule")


class TestPlaces:
    def test_largest_within_the_error_of_its_own_difference(self):
        l2, mean = [0, 0.1, 0.2, 0.3, 0.4], np.array([1.2, 1.0, 1.05, 1.1, 1.11])
        errors = np.zeros((5, 5))
        errors[1] = [9, 0, 0.01, 0.2, 0.1]  # of the differences to the best
        assert one_standard_error(l2, mean, errors) == (1, 3)
        errors[1, 3] = 0.09
        assert one_standard_error(l2, mean, errors) == (1, 1)

    def test_the_larger_lambda_of_a_tie_and_none_that_is_missing(self):
        assert lowest([0, 1, 2], np.array([1.0, 1.0 + 1e-15, 3.0])) == 1
        assert lowest([2, 1, 0], np.array([1.0, 1.0, 3.0])) == 0
        assert lowest([0, 1], np.array([math.nan, 1.0])) == 1
        with pytest.raises(ValueError, match="no lambda"):
            lowest([0, 1], np.array([math.nan] * 2))

    def test_many_at_once(self):
        rng = np.random.default_rng(0)
        l2, mean, errors = rng.permutation(6), rng.random((4, 5, 6)), rng.random((6, 6)) / 5
        mean[0, 0, :3] = math.nan
        found = np.stack(one_standard_error(l2, mean, errors), axis=-1)
        for place in np.ndindex(4, 5):
            assert tuple(found[place]) == one_standard_error(l2, mean[place], errors)


class TestTable:
    # paired with 0.1, 0.2 is worse by 0.07 with standard error 0.08, and 0.3 by 0.2 with 0.1
    VAL_CE = {0.0: [1.3, 1.3], 0.1: [0.9, 1.1], 0.2: [1.05, 1.09], 0.3: [1.2, 1.2]}  # noqa: RUF012

    def test_by_validation_cross_entropy(self):
        table = chosen(runs_of(self.VAL_CE))
        assert table["l2"].to_dict() == {"best": 0.1, "one_standard_error": 0.2, "reference": 0.0}
        best, simplest = table.loc["best"], table.loc["one_standard_error"]
        assert (best["mean"], best["difference"], best["n"]) == pytest.approx((1, 0, 2))
        assert (simplest["difference"], simplest["difference_se"]) == pytest.approx((0.07, 0.08))
        # test accuracy 0.90 and 0.91: 0.905 -+ 12.7062 * 0.005
        assert (best["test_accuracy_mean"], best["low"], best["high"]) == pytest.approx(
            (0.905, 0.905 - 0.063531, 0.905 + 0.063531), abs=1e-6
        )

    def test_by_validation_accuracy(self):
        table = chosen(runs_of(self.VAL_CE), choose_by="val_accuracy")
        assert (table["metric"] == "val_accuracy").all()
        assert table.loc["best", "l2"] == 0 and table.loc["best", "mean"] == 0.9

    def test_a_lambda_that_diverged_is_not_chosen(self):
        table = chosen(runs_of(self.VAL_CE | {0.1: [0.9, math.nan]}), 0.1)
        assert table.loc["best", "l2"] == 0.2
        assert table.loc["reference", ["l2", "n", "diverged_seeds"]].tolist() == [0.1, 1, "1"]

    def test_no_lambda_to_choose(self):
        table = chosen(runs_of({0.0: [math.nan, 2]}))
        assert table.loc[["best", "one_standard_error"], "l2"].isna().all()
        assert table.loc["best", "n"] == 0
        assert table[["share", "l2_low", "l2_high"]].isna().all(axis=None)

    def test_a_choice_that_hangs_on_one_seed(self):
        # 0.1 is best unless a sample of four lacks the first seed: its share of the
        # samples is 1 - (3 / 4)^4 = 0.684
        runs = runs_of({0.0: [2, 1, 1, 1], 0.1: [0, 1.1, 1.1, 1.1]})
        best = chosen(runs).loc["best"]
        assert best["l2"] == 0.1
        error = math.sqrt(0.684 * 0.316 / choice.RESAMPLES)
        assert best["share"] == pytest.approx(0.684, abs=3 * error)
        assert (best["l2_low"], best["l2_high"]) == (0, 0.1)
        narrow = chosen(runs, confidence=0.2).loc["best"]
        assert (narrow["l2_low"], narrow["l2_high"]) == (0.1, 0.1)

        # one seed says nothing of other seeds
        best = chosen(runs_of({0.0: [2], 0.1: [1]})).loc["best"]
        assert best["l2"] == 0.1 and not {"share", "l2_low"} & set(best.dropna().index)


def test_resamples_are_those_that_are_written_out():
    runs = np.random.default_rng(5).normal(size=(3, 6)) * 0.1 + [[1.0], [1.01], [1.05]]
    (own, _) = choices_of(runs_of(dict(enumerate(runs))), "val_ce")
    picks, simplest = own.picks(SEEDS), own.simplest_picks(SEEDS)
    errors = (runs[:, None] - runs).std(axis=-1, ddof=1) / math.sqrt(6)
    for place in range(50):
        mean = np.repeat(runs, picks.counts[place], axis=1).mean(axis=1)
        best = mean.argmin()
        assert picks.best[place] == best
        within = np.flatnonzero(mean <= mean.min() + errors[best])
        assert simplest[place] == within[-1]
    assert picks.alone.tolist() == [runs.argmin(axis=0).tolist()]
