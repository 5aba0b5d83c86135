"""The standard deviation over seeds, pooled over the lambdas."""

import dataclasses
import math

import numpy as np
import pytest
from scipy import stats

from l2study.report import text_tables
from l2study.tables import statistics
from l2study.tables.spread import pooled_sd, spread_table
from reported import shown, with_tables

VALUES = np.random.default_rng(0).standard_normal((1, 7))
"""Of one lambda and seven seeds."""


def test_one_lambda_is_the_usual_chi_square_interval():
    found = pooled_sd(VALUES, 0.9)
    assert (found.sd, found.df) == pytest.approx((VALUES.std(ddof=1), 6))
    squares = VALUES.var(ddof=1) * 6 / stats.chi2.ppf([0.95, 0.05], 6)
    assert [found.low, found.high] == pytest.approx(np.sqrt(squares))


def test_alike_lambdas_are_no_more_than_one():
    assert pooled_sd(np.tile(VALUES, (5, 1)), 0.95) == pytest.approx(pooled_sd(VALUES, 0.95))
    assert pooled_sd(np.ones((3, 4)), 0.95)[:3] == (0, 0, 0)
    assert math.isnan(pooled_sd(np.ones((3, 1)), 0.95).sd)


@pytest.fixture(scope="module")
def study():
    return shown(lambdas=[0, 1e-4, 1e-3, 1e-2], seeds=range(6), epochs=4, diverged={(1e-3, 5): 3})


def test_the_table_leaves_out_a_lambda_that_lost_a_seed(study):
    row = study.tables["spread"].set_index("gap").loc["reported"]
    runs = study.tables["runs"].query("l2 != 0.001")
    table = runs.pivot(index="l2", columns="seed", values="gap_reported").to_numpy()
    assert (row["lambdas"], row["n"]) == (3, 6)
    assert row["sd"] == pytest.approx(math.sqrt(table.var(axis=1, ddof=1).mean()))
    eigen = np.linalg.eigvalsh(np.cov(table))
    assert row["df"] == pytest.approx(5 * eigen.sum() ** 2 / (eigen**2).sum())
    lost = spread_table(study.tables["runs"].assign(status="diverged"), 0.95)
    assert (lost["lambdas"] == 0).all() and lost["sd"].isna().all()


def test_the_page_gives_the_pooled_one_with_its_interval(study):
    *rows, pooled = text_tables.spread_table(study)
    assert [str(row["λ"]) for row in rows] == ["0", "0.0001", "0.001", "0.01"]
    assert all(not row["Reported gap"].interval for row in rows)
    found = study.tables["spread"].set_index("gap").loc["generalisation"]
    number = pooled["Generalisation gap"]
    columns = ["sd", "sd_low", "sd_high"]
    assert [number.value, number.low, number.high] == found[columns].to_list()
    assert str(number) in " ".join(text_tables.variance_sentences(study))


class TestExchangeTest:
    @pytest.mark.parametrize(("tests", "level"), [(1, 0.05), (4, 0.05), (13, 0.01), (8, 0.0625)])
    def test_so_many_pairs_can_have_a_small_p_value(self, tests, level):
        needed = text_tables.seeds_of_exchange_test(tests, level)

        def least(pairs):
            # one side spreads far more: the sign of every product is the same
            small = 1.5 ** np.arange(pairs)
            p = statistics.equal_variances(3 * small, small)
            return statistics.holm([p, *[0.9] * (tests - 1)])[0]

        assert least(needed) < level <= least(needed - 1)

    def test_a_study_of_six_seeds_is_told_that_it_takes_seven(self, study):
        text = " ".join(text_tables.variance_sentences(study))
        assert "needs 7 seeds: with 6, its adjusted p-value cannot" in text
        assert "cannot be below 0.094" in text
        assert study.tables["contrasts"]["p_variance_holm"].min() >= 3 * 2 / 2**6
        more = with_tables(study, contrasts=study.tables["contrasts"].assign(n=7))
        enough = dataclasses.replace(more, config=study.config | {"seeds": list(range(7))})
        assert "is tested in contrasts.csv" in " ".join(text_tables.variance_sentences(enough))
