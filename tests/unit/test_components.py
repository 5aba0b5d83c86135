"""Components of variance of crossed designs, against statsmodels, a published table and truth."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from l2study.tables.variance import component_sources, components, mean_squares

# four judges (columns) rate six targets: Shrout and Fleiss 1979, table 2
RATINGS = np.array(
    [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
)
SOURCES = ("weights", "order", "split")
MIXED = (0.1, 0.05, 0.6, 0.05, 0.02, 0.03, 0.15)
"""Components of three sources, in the order of `components`."""


def crossed(shape, variances, rng, draw=np.random.Generator.normal):
    """Return the values of a crossed design, the sum of independent effects."""
    axes = range(len(shape))
    sets = [s for size in axes for s in itertools.combinations(axes, size + 1)]
    values = np.zeros(shape)
    for own, variance in zip(sets, variances, strict=True):
        size = [count if axis in own else 1 for axis, count in enumerate(shape)]
        values = values + math.sqrt(variance) * draw(rng, size=size)
    return values


def studies(shape, variances, count):
    """Return the components of simulated studies, by name: arrays of (studies, fields)."""
    rng = np.random.default_rng(11)
    found = {}
    for _ in range(count):
        values = crossed(shape, variances, rng)
        for part in components(values, SOURCES[: len(shape)], 0.95):
            found.setdefault(part.source, []).append(part[2:])
    return {name: np.array(rows) for name, rows in found.items()}


def shares_within(rows, low, high, truth):
    return np.mean((rows[:, low] <= truth) & (truth <= rows[:, high]))


def test_the_share_is_the_intraclass_correlation_that_was_published():
    target, judge, rest, total = components(RATINGS, ["target", "judge"], 0.95)
    assert target.share == pytest.approx(0.29, abs=0.005)
    assert target.variance == pytest.approx((11.24 - 1.02) / 4, abs=0.005)
    assert judge.variance == pytest.approx((32.49 - 1.02) / 6, abs=0.005)
    assert total.variance == pytest.approx(target.variance + judge.variance + rest.variance)
    assert target.share + judge.share + rest.share == pytest.approx(1)


def test_an_interval_of_the_share_is_close_to_that_of_mcgraw_and_wong():
    # for these ratings, R's psych::ICC prints 0.019 to 0.761
    target = components(RATINGS, ["target", "judge"], 0.95)[0]
    assert (target.share_low, target.share_high) == pytest.approx((0.019, 0.761), abs=0.02)


@pytest.mark.filterwarnings("ignore:divide by zero")
@pytest.mark.filterwarnings("ignore:invalid value")
def test_mean_squares_against_statsmodels():
    values = np.random.default_rng(0).normal(size=(2, 3, 4)) + np.arange(3)[:, None]
    rows = [(*place, value) for place, value in np.ndenumerate(values)]
    table = pd.DataFrame(rows, columns=["a", "b", "c", "y"])
    anova = anova_lm(ols("y ~ C(a) * C(b) * C(c)", table).fit())
    squares = mean_squares(values)
    found = {":".join(f"C({'abc'[axis]})" for axis in own): k for k, own in enumerate(squares.sets)}
    assert len(found) == 7
    for name, place in found.items():
        assert squares.df[place] == anova.loc[name, "df"]
        assert squares.mean[place] == pytest.approx(anova.loc[name, "mean_sq"])


def test_one_source_alone_is_the_rest_with_the_chi_square_interval():
    rest, total = components(np.array([1.0, 2, 3, 4]), ["split"], 0.95)
    assert rest[2:5] == pytest.approx((5 / 3, 5 / 9.348, 5 / 0.2158), rel=2e-4)
    assert total[2:5] == pytest.approx(rest[2:5])


def test_a_negative_estimate_is_zero_and_said_to_be_so():
    # rows have equal means, though the values in them differ
    values = np.array([[0, 3, 1], [1, 0, 3], [3, 1, 0.0]])
    row, column, rest, total = components(values, ["weights", "order"], 0.95)
    assert row[2] == 0 and row.negative and row.share == 0
    assert column.negative and not rest.negative and not total.negative
    # both negative estimates are -rest / 3
    assert total.variance == pytest.approx(rest.variance / 3)


def test_values_that_are_all_alike_have_no_variance_and_no_shares():
    for part in components(np.full((4, 4), 0.1), ["weights", "order"], 0.95):
        assert part[2:5] == (0, 0, 0)
        assert all(map(math.isnan, part[5:8]))


@pytest.mark.parametrize("values", [np.ones((4, 1)), np.array([[0, 1], [2, math.nan]]), 3.0])
def test_a_design_that_is_not_crossed_in_full_is_refused(values):
    with pytest.raises(ValueError, match="two levels or more"):
        components(values, ["weights", "order"], 0.95)


@pytest.mark.parametrize(("beyond", "resolved"), [(1.001, True), (0.999, False)])
def test_two_mean_squares_are_told_apart_where_the_f_test_does(beyond, resolved):
    rest = np.array([[1, -1, 0], [-1, 0, 1], [0, 1, -1.0]])
    effect = np.array([[-1.0], [0], [1]])
    squares = mean_squares(effect + rest).mean
    factor = math.sqrt(beyond * stats.f.ppf(0.975, 2, 4) * squares[2] / squares[0])
    weights = components(factor * effect + rest, ["weights", "order"], 0.95)[0]
    assert (weights.low > 0) is resolved


@pytest.mark.slow
def test_estimates_have_no_bias_and_intervals_cover():
    count = 1200
    found = studies((4, 4, 4), MIXED, count)
    truth = dict(zip(component_sources(SOURCES), (*MIXED, sum(MIXED)), strict=True))
    for name, rows in found.items():
        assert shares_within(rows, 1, 2, truth[name]) >= 0.93, name
        if name != "total":
            assert shares_within(rows, 4, 5, truth[name]) >= 0.93, name
    # free of bias is what is not set to 0: the total, and components far above 0
    for name in ("total", "rest"):
        values = found[name][:, 0]
        error = 4 * values.std() / math.sqrt(count)
        assert values.mean() == pytest.approx(truth[name], abs=error)


@pytest.mark.parametrize("variances", [(0.7, 0.1, 0.2), (0, 0.2, 0.8)])
def test_intervals_of_two_sources_cover(variances):
    found = studies((4, 4), variances, 400)
    for name, truth in zip(
        component_sources(SOURCES[:2]), (*variances, sum(variances)), strict=True
    ):
        assert shares_within(found[name], 1, 2, truth) >= 0.915, name
