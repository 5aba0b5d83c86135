import itertools
import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import DescrStatsW, ttost_paired

from l2study.tables import ranks, statistics

# Student 1908, extra hours of sleep of ten patients under two drugs
SLEEP = (
    np.array([1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]),
    np.array([0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]),
)
# Darwin's plants, differences of height in eighths of an inch (Fisher 1935, section 21)
DARWIN = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]


def normal(seed=0, size=10, **parameters):
    return np.random.default_rng(seed).normal(size=size, **parameters)


@pytest.mark.parametrize(
    ("function", "given"),
    [
        (statistics.variance_interval, ([], 0.95)),
        (statistics.variance_interval, ([3.0], 0.95)),
        (statistics.cohen_d_z, ([1, 1],)),
        (statistics.cohen_d_z, ([1],)),
        (statistics.sign_flip, ([],)),
        (statistics.holm, ([math.nan, math.nan],)),
        (statistics.equal_variances, ([], [])),
        (statistics.equal_variances, ([1, 2], [2, 1])),
        (statistics.equal_variances, ([1, 2, 3], [2, 3, 4])),
        (statistics.equal_variances, ([1, 2, 3], [3, 2, 1])),
        (statistics.mean_of([0.1]).equivalence, (0.1,)),
        (statistics.mean_of([0.1, 0.2]).equivalence, (math.nan,)),
        (statistics.correlation, ([1, 2], [2, 1])),
        (statistics.correlation, ([1, 1, 1], [1, 2, 3])),
        (statistics.rise_after_minimum, ([[1, 2, 3, 4]],)),
        (statistics.rise_after_minimum, ([[1, 2], [3, 4]],)),
        (ranks.page_trend, (np.ones((3, 1)),)),
        (ranks.page_trend, (np.empty((0, 4)),)),
        (ranks.kendall, ([1, 1, 1], [1, 2, 3], [0, 1, 2], 0.95)),
        (ranks.kendall, ([], [], [], 0.95)),
        (ranks.kendall_within, ([], [], [], [], 0.95)),
    ],
)
def test_too_little_has_no_value(function, given):
    found = np.atleast_1d(function(*given))[:3]  # the fourth of an estimate is a number of values
    assert len(found) and np.isnan(found).all()


class TestMeanInterval:
    @pytest.mark.parametrize("confidence", [0.5, 0.9, 0.99])
    def test_against_statsmodels(self, confidence):
        values = normal(size=7)
        low, high = DescrStatsW(values).tconfint_mean(alpha=1 - confidence)
        estimate = statistics.mean_interval(values, confidence)
        assert estimate[:3] == pytest.approx((values.mean(), low, high), rel=1e-12)

    def test_few_values(self):
        for values, expected in (
            ([], (math.nan, math.nan, math.nan, 0)),
            ([2.5], (2.5, math.nan, math.nan, 1)),
            # t(1) at 0.975 is 12.7062
            ([1, 2], (1.5, 1.5 - 12.7062 / 2, 1.5 + 12.7062 / 2, 2)),
            ([0.1, 0.1, 0.1], (0.1, 0.1, 0.1, 3)),
        ):
            found = statistics.mean_interval(values, 0.95)
            assert found == pytest.approx(expected, abs=1e-4, nan_ok=True)


class TestManyAtOnce:
    """What is computed of many rows at once is what each row alone has, whatever it lacks."""

    TABLE = np.random.default_rng(3).normal(0.5, 1.0, size=(3, 2, 7))
    TABLE[0, 0, [2, 5]] = np.nan
    TABLE[0, 1, 3] = np.inf
    TABLE[1, 0] = 0.1
    TABLE[1, 1] = 0.0
    TABLE[2, 0, 1:] = np.nan
    TABLE[2, 1] = np.nan

    @pytest.mark.parametrize(
        "function",
        [
            lambda values: statistics.mean_interval(values, 0.9),
            lambda values: statistics.mean_of(values).p_value(),
            lambda values: statistics.mean_of(values).equivalence(0.3),
            statistics.cohen_d_z,
            statistics.sign_flip,
            lambda values: statistics.correlation(values, values[..., ::-1] ** 2),
            lambda values: statistics.equal_variances(values, values[..., ::-1] ** 2),
            statistics.probability_improvement,
        ],
    )
    def test_each_is_as_alone(self, function):
        with np.errstate(invalid="ignore"):
            found = np.asarray(function(self.TABLE))
            for place in np.ndindex(3, 2):
                alone = np.asarray(function(self.TABLE[place]), float)
                assert found[(..., *place)] == pytest.approx(alone, rel=1e-12, nan_ok=True)

    def test_variances(self):
        table = self.TABLE[:, :, :1] * np.arange(8)
        table = np.nan_to_num(table) + np.random.default_rng(1).normal(size=8)
        found = np.asarray(statistics.variance_interval(table, 0.9)[:3])
        for place in np.ndindex(3, 2):
            alone = statistics.variance_interval(table[place], 0.9)[:3]
            assert found[(..., *place)] == pytest.approx(alone, rel=1e-12)

    def test_signs_are_drawn_in_parts(self, monkeypatch):
        case = normal(size=20)
        flips = np.random.default_rng(0).integers(0, 2, size=(statistics.RANDOM_FLIPS, 20))
        far = np.abs((2 * flips - 1) @ case) >= abs(case.sum()) - 1e-9
        expected = (far.sum() + 1) / (statistics.RANDOM_FLIPS + 1)
        assert statistics.sign_flip(case) == expected
        monkeypatch.setattr(statistics, "_FLIPS_AT_A_TIME", 7)
        assert statistics.sign_flip(case) == expected


class TestVarianceInterval:
    def test_bonett_written_out(self):
        values = np.array([1, 2, 3, 4, 5, 6, 7, 8, 9, 19.0])
        # trimmed share 1 / (2 sqrt(6)) = 0.204: two at each end, and the mean of 3 to 8 is 5.5
        fourths = 2 * (0.5**4 + 1.5**4 + 2.5**4 + 3.5**4) + 4.5**4 + 13.5**4
        squares = 646 - 10 * 6.4**2
        se = math.sqrt((10 * fourths / squares**2 - 7 / 10) / 9)
        z = 1.959964
        c = 10 / (10 - z)
        ends = [c * squares / 9 * math.exp(side * z * c * se) for side in (-1, 1)]
        estimate = statistics.variance_interval(values, 0.95)
        assert estimate == pytest.approx((squares / 9, *ends, 10), rel=1e-5)

    def test_equal_values(self):
        assert statistics.variance_interval([0.1, 0.1, 0.1], 0.95) == (0, 0, 0, 3)

    def test_a_confidence_near_one_has_an_interval_too(self):
        # n / (n - z) needs n well above z, which is 4.9 here; the sum of squares is 66
        estimate = statistics.variance_interval([1, 2, 4, 7, 11], 1 - 1e-6)
        lower, upper = stats.chi2.interval(1 - 1e-6, 4)
        assert estimate[1:3] == pytest.approx((66 / upper, 66 / lower))

    def test_up_to_four_values_with_quantiles_from_a_printed_table(self):
        # sum of squares 5; chi2(3) is 9.348 at 0.975 and 0.2158 at 0.025
        estimate = statistics.variance_interval([1, 2, 3, 4], 0.95)
        assert estimate == pytest.approx((5 / 3, 5 / 9.348, 5 / 0.2158, 4), rel=2e-4)


class TestPairs:
    def test_differences_leave_out_incomplete_pairs(self):
        first, second = [1, math.nan, 3, 4, math.inf], [0.5, 1, math.nan, 1, math.inf]
        expected = [0.5, math.nan, math.nan, 3, math.nan]
        assert statistics.differences(first, second) == pytest.approx(expected, nan_ok=True)
        # rounding is no difference
        assert statistics.differences([0.3, 2], [0.1 + 0.2, 1]).tolist() == [0, 1]

    def test_paired_t(self):
        # published by R's t.test(paired = TRUE): t = 4.0621, p = 0.002833
        p = statistics.mean_of(statistics.differences(*SLEEP)).p_value()
        assert p == pytest.approx(0.002833, abs=5e-7)
        # without spread it takes the limit
        assert statistics.mean_of([0, 0, 0]).p_value() == 1
        assert statistics.mean_of([0.1, 0.1, 0.1]).p_value() == 0

    def test_cohen_d_z(self):
        # sleep: mean 1.58, sd 1.229995 as published
        found = statistics.cohen_d_z(statistics.differences(*SLEEP))
        assert found == pytest.approx(1.58 / 1.229995, rel=1e-6)

    def test_probability_improvement(self):
        difference = np.array([-1, -2, 0, 3])
        assert statistics.probability_improvement(-difference) == 2.5 / 4
        assert statistics.probability_improvement(difference) == 1.5 / 4
        assert math.isnan(statistics.probability_improvement([]))


class TestSignFlip:
    def test_darwin_as_fisher_counted(self):
        # Fisher: 863 of 2^15 sums are at least 314, the sum as it was, and as many at most -314
        assert statistics.sign_flip(DARWIN) == pytest.approx(2 * 863 / 2**15, abs=1e-12)

    @pytest.mark.parametrize("n", [2, 3, 9])
    def test_against_scipy(self, n):
        values = normal(seed=n, size=n, loc=0.5)
        reference = stats.permutation_test(
            (values,), lambda x, axis: x.mean(axis), permutation_type="samples", vectorized=True
        )
        assert statistics.sign_flip(values) == pytest.approx(reference.pvalue, abs=1e-12)

    def test_ties_count_as_far(self):
        # of the 8 sums, those of +-0.3: 0.1 + 0.2 is not 0.3 in floating point
        assert statistics.sign_flip([0.1, 0.2, 0.0]) == 4 / 8
        assert statistics.sign_flip([0, 0, 0]) == statistics.sign_flip([5.0]) == 1


class TestHolm:
    @pytest.mark.parametrize(
        "p_values", [[0.02], [1, 0.3, 0, 0.01, 0.3], np.random.default_rng(0).random(12) ** 3]
    )
    def test_against_statsmodels(self, p_values):
        assert statistics.holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1])

    def test_missing_p_values_are_no_tests(self):
        adjusted = statistics.holm([math.nan, 0.03, 0.01])
        assert math.isnan(adjusted[0])
        assert adjusted[1:] == pytest.approx([0.03, 0.02])
        assert statistics.holm([]).size == 0


def test_equal_variances_against_every_swap():
    rng = np.random.default_rng(5)
    shared = rng.normal(size=8)
    first, second = shared + rng.normal(size=8), 0.3 * shared + 0.6 * rng.normal(size=8)
    centred = np.array([first - first.mean(), second - second.mean()])
    distances = []
    for swaps in itertools.product([False, True], repeat=8):
        a, b = np.where(swaps, centred[::-1], centred)
        distances.append(abs(np.square(a).sum() - np.square(b).sum()))
    expected = np.mean(np.array(distances) >= distances[0] - 1e-9)
    assert 0.01 < expected < 0.5
    assert statistics.equal_variances(first, second) == pytest.approx(expected)


class TestEquivalence:
    @pytest.mark.parametrize("margin", [0.3, 1.0, 2.0, 3.0])
    def test_against_statsmodels(self, margin):
        expected = ttost_paired(*SLEEP, -margin, margin)[0]
        difference = statistics.differences(*SLEEP)
        for values in (difference, -difference):
            found = statistics.mean_of(values).equivalence(margin)
            assert found == pytest.approx(expected, rel=1e-9)

    def test_without_spread_it_takes_the_limit(self):
        assert statistics.mean_of([0, 0, 0]).equivalence(0.1) == 0
        assert statistics.mean_of([-0.2, -0.2]).equivalence(0.1) == 1


class TestPageTrend:
    # Siegel and Castellan 1988, ratings by ten students of three seminars, with L = 133.5
    RATINGS = np.array(
        [
            [3, 4, 3], [2, 2, 4], [3, 3, 5], [1, 3, 2], [2, 3, 2],
            [2, 4, 5], [1, 2, 4], [3, 4, 4], [2, 4, 5], [1, 3, 4],
        ]
    )  # fmt: skip

    def test_published_example(self):
        trend = ranks.page_trend(self.RATINGS)
        assert trend.correlation == pytest.approx(12 * 133.5 / (10 * 3 * 8) - 3 * 4 / 2)
        assert trend.p_increasing == pytest.approx(0.0018191161948127822)
        assert trend.n == 10

    def test_against_enumeration(self):
        table = normal(seed=7, size=(3, 3)) + np.array([0, 0.4, 0.8])
        ranked = stats.rankdata(table, axis=1)
        observed = (ranked @ [1, 2, 3]).sum()
        rows = [np.dot(p, [1, 2, 3]) for p in itertools.permutations([1, 2, 3])]
        totals = np.array([sum(t) for t in itertools.product(rows, repeat=3)])
        trend = ranks.page_trend(table)
        assert trend.p_increasing == pytest.approx((totals >= observed).mean())
        assert trend.p_decreasing == pytest.approx((totals <= observed).mean())
        correlations = [stats.spearmanr([1, 2, 3], row).statistic for row in table]
        assert trend.correlation == pytest.approx(np.mean(correlations))

    def test_two_columns_are_the_sign_test(self):
        trend = ranks.page_trend([[1, 2], [1, 3], [5, 6], [2, 1], [4, 4]])
        assert trend.correlation == pytest.approx((3 - 1) / 5)
        # of four signs, at least three: 5 / 16; at most three: 15 / 16
        assert (trend.p_increasing, trend.p_decreasing) == pytest.approx((5 / 16, 15 / 16))
        assert ranks.page_trend([[1, 1]]) == (0, 1, 1, 1)

    def test_incomplete_rows_are_left_out(self):
        table = np.vstack([self.RATINGS, [math.nan, 1, 2]])
        assert ranks.page_trend(table) == ranks.page_trend(self.RATINGS)

    def test_one_row_has_a_correlation_alone(self):
        single = ranks.page_trend([[1, 2, 3]])
        assert single.correlation == pytest.approx(1) and math.isnan(single.p_increasing)


class TestKendall:
    def test_jackknife_written_out(self):
        first = np.array([1, 2, 3, 4, 5, 6.0])
        second = np.array([2, 1, 3, 5, 6, 4.0])
        # wrong order: (2, 1), (5, 4) and (6, 4) of 15 pairs, so tau = (12 - 3) / 15
        estimate = ranks.kendall(first, second, [0, 0, 1, 2, 2, 1], 0.9)
        assert estimate.value == pytest.approx(9 / 15)
        # without cluster 0: 3 5 6 4, wrong (5, 4), (6, 4); without 1: 2 1 5 6, wrong (2, 1);
        # without 2: 2 1 3 4, wrong (2, 1); each of 6 pairs
        without = [2 / 6, 4 / 6, 4 / 6]
        error = math.sqrt(2 / 3 * sum((t - np.mean(without)) ** 2 for t in without))
        half = 2.919986 * error  # t(2) at 0.95
        assert estimate[1:3] == pytest.approx((9 / 15 - half, min(1, 9 / 15 + half)), rel=1e-5)

    def test_few_clusters_have_no_interval(self):
        two = ranks.kendall([1, 2, 3, 4], [1, 2, 4, 3], [0, 0, 1, 1], 0.95)
        assert two.value == pytest.approx(4 / 6) and math.isnan(two.low)

    def test_missing_values(self):
        first, second, clusters = [1, 2, math.nan, 4, 3], [1, 2, 9, 3, math.nan], [0, 1, 2, 3, 4]
        assert ranks.kendall(first, second, clusters, 0.95).n == 3


class TestKendallWithin:
    # three groups (lambdas) of three seeds
    GROUPS = np.repeat([0, 0.1, 5], 3)
    SEEDS = np.tile([4, 7, 9], 3)

    def test_what_groups_differ_in_does_not_count(self):
        # within groups in wrong order, between groups in the right one
        first = [1, 2, 3, 11, 12, 13, 21, 22, 23]
        second = [3, 2, 1, 13, 12, 11, 22, 23, 21]
        taus = [-1, -1, -1 / 3]  # the last: two of three pairs in wrong order
        estimate = ranks.kendall_within(first, second, self.GROUPS, self.SEEDS, 0.99)
        assert estimate.value == pytest.approx(np.mean(taus))
        # in the last group 22 23 is in order: without seed 9 its tau is 1, without another -1
        without = np.array([-1, -1, -1 / 3])
        error = math.sqrt(2 / 3 * np.square(without - without.mean()).sum())
        assert 9.924843 * error > 2  # t(2) at 0.995
        assert estimate[1:] == (-1, 1, 3)
        narrow = ranks.kendall_within(first, second, self.GROUPS, self.SEEDS, 0.1)
        half = stats.t.ppf(0.55, 2) * error
        assert narrow[1:3] == pytest.approx((np.mean(taus) - half, np.mean(taus) + half))
        assert ranks.kendall(first, second, range(9), 0.95).value > 0.2

    def test_one_group_is_kendall_and_ties_are_tau_b(self):
        first, second = normal(seed=8, size=12), normal(seed=9, size=12).round(0)
        seeds = np.arange(12) // 2
        one = ranks.kendall_within(first, second, np.zeros(12), seeds, 0.95)
        kendall = ranks.kendall(first, second, seeds, 0.95)
        assert one[:3] == pytest.approx(kendall[:3]) and (one.n, kendall.n) == (6, 12)
        assert one.value == pytest.approx(stats.kendalltau(first, second).statistic)

    def test_a_group_that_is_constant_is_left_out(self):
        first = [1, 2, 3, 4, 1, 2, 3, 4]
        second = [1, 3, 2, 4, 5, 5, 5, 5]
        groups, seeds = np.repeat([0, 1], 4), np.tile(range(4), 2)
        both = ranks.kendall_within(first, second, groups, seeds, 0.95)
        alone = ranks.kendall_within(first[:4], second[:4], groups[:4], seeds[:4], 0.95)
        assert both == pytest.approx(alone)

    def test_few_seeds_have_no_interval(self):
        two = ranks.kendall_within([1, 2, 3, 4], [1, 2, 5, 5], [0, 0, 1, 1], [0, 1, 0, 1], 0.95)
        assert two.value == 1 and math.isnan(two.low)


class TestRiseAfterMinimum:
    def test_written_out(self):
        curves = [
            [6, 4, 2, 3, 4, 5, 6],  # means of three: 4, 3, 3, 4, 5; lowest at the third, of equals
            [9, 6, 3, 3, 9, 9, 9],  # means of three: 6, 4, 5, 7, 9; lowest at the second
        ]
        assert statistics.rise_after_minimum(curves) == pytest.approx([5 - 3, 9 - 5])
        single = statistics.rise_after_minimum(curves, width=1)
        assert single == pytest.approx([6 - 3, 9 - 3])

    def test_the_place_is_that_of_the_other_half(self):
        # lowest at 0, 1, 2, 3; every second curve is of one half
        curves = np.array([[0, 5, 6, 7.0], [5, 0, 6, 9], [5, 9, 0, 8], [8, 6, 9, 0]])
        # the mean of 1 and 3 is lowest at 1; that of 0 and 2 is lowest at 0, its first of 2.5
        rise = statistics.rise_after_minimum(curves, width=1)
        assert rise == pytest.approx([7 - 5, 9 - 5, 8 - 9, 0 - 8])

    def test_rounding_is_no_minimum(self):
        curves = [[0.3, 0.1 + 0.2, 0.3], [0.1 + 0.2, 0.3, 0.1 + 0.2]]
        assert (statistics.rise_after_minimum(curves, width=1) == 0).all()

    def test_few_epochs(self):
        assert statistics.rise_after_minimum(np.empty((0, 5))).shape == (0,)
        assert statistics.rise_after_minimum([[1, 2, 3]] * 3).tolist() == [0, 0, 0]

    def test_noise_alone_does_not_rise(self):
        noise = np.random.default_rng(3).normal(scale=0.002, size=(1000, 10, 50))
        curve = 0.1 * np.exp(-np.arange(50) / 4)
        rises = np.array([statistics.rise_after_minimum(curve + curves) for curves in noise])
        assert np.mean(statistics.mean_interval(rises, 0.95).low > 0) <= 0.05


def test_correlation_against_scipy():
    first, second = normal(seed=12), normal(seed=13)
    second[3] = math.nan
    expected = stats.pearsonr(np.delete(first, 3), np.delete(second, 3)).statistic
    assert statistics.correlation(first, second) == pytest.approx(expected)
