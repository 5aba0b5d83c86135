"""Intervals for other seeds and other images, against other ways to the same, and by simulation."""

import math

import numpy as np
import pandas as pd
import pytest
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

import synthetic
from l2study.core.design import Setup
from l2study.tables import statistics
from l2study.tables.image_intervals import images_of, spread_of, wide_mean


def crossed(seeds, images, *, seed=0.0, image=0.0, rest=1.0, mean=0.0, random_state=0):
    """Return a table of seeds and images whose components have these standard deviations."""
    draw = np.random.default_rng(random_state)
    table = mean + rest * draw.normal(size=(seeds, images))
    return table + seed * draw.normal(size=(seeds, 1)) + image * draw.normal(size=images)


def rest_of(seeds, images):
    """Return a table in which neither seeds nor images differ in their means."""
    table = crossed(seeds, images)
    return table - table.mean(axis=0) - table.mean(axis=1, keepdims=True) + table.mean()


def _rest(table):
    """Return the variance that neither seeds nor images explain."""
    rest = table - table.mean(axis=0) - table.mean(axis=1, keepdims=True) + table.mean()
    return (rest**2).sum() / np.prod(np.array(table.shape) - 1)


def wide(values, *parts, correction=0.0):
    """Return the mean of values with parts given as coefficient and table of seeds and images."""
    of_parts = [(coefficient, spread_of(table)) for coefficient, table in parts]
    return wide_mean(np.asarray(values, float), of_parts, correction)


def one_part(table):
    return wide(table.mean(axis=1), (1.0, table))


class TestCrossedMean:
    def test_is_that_of_the_components_by_statsmodels(self):
        seeds, images = 4, 9
        table = crossed(seeds, images, seed=0.5, image=2.0)
        index = pd.MultiIndex.from_product([range(seeds), range(images)], names=["seed", "image"])
        long = pd.Series(table.ravel(), index, name="x").reset_index()
        anova = anova_lm(ols("x ~ C(seed) + C(image)", long).fit())
        of_seed, of_image, rest = anova["sum_sq"] / anova["df"]
        variances = [(of_seed - rest) / images, (of_image - rest) / seeds, rest]
        sizes = [seeds, images, seeds * images]
        expected = sum(v / size for v, size in zip(variances, sizes, strict=True))
        # Satterthwaite: the variance is (MS_seed + MS_image - MS_rest) / (S N)
        squares = [of_seed**2 / 3, of_image**2 / 8, rest**2 / 24]
        found = one_part(table)
        assert found.value == pytest.approx(table.mean())
        assert found.error**2 == pytest.approx(expected, rel=1e-9)
        assert found.df == pytest.approx((of_seed + of_image - rest) ** 2 / sum(squares), rel=1e-9)
        assert found.n == seeds

    def test_parts_and_what_is_no_mean_over_images_add_up(self):
        test, val = crossed(6, 50, image=1.0), crossed(6, 20, image=2.0, random_state=1)
        training = crossed(6, 1, seed=0.3, random_state=2)[:, 0]
        values = training + 2 * test.mean(axis=1) - val.mean(axis=1)
        both = wide(values, (2.0, test), (-1.0, val))
        by_seeds = wide(values).error ** 2
        of_parts = [wide(values, part).error ** 2 - by_seeds for part in ((2.0, test), (-1.0, val))]
        # the images' own share, by the components
        share = (6 * test.mean(axis=0).var(ddof=1) - _rest(test)) / (6 * 50)
        assert of_parts[0] == pytest.approx(4 * share)
        assert both.error**2 == pytest.approx(by_seeds + sum(of_parts))

    def test_without_images_is_students(self):
        values = np.random.default_rng(0).normal(size=7)
        assert wide(values).interval(0.9) == pytest.approx(statistics.mean_interval(values, 0.9))
        found, student = wide(values + 0.4), statistics.mean_of(values + 0.4)
        assert found.df == 6
        assert found.p_value() == pytest.approx(student.p_value())
        assert found.equivalence(0.9) == pytest.approx(student.equivalence(0.9))

    def test_images_that_differ_by_less_than_the_rest_count_for_nothing(self):
        found = one_part(rest_of(5, 8) + np.arange(5)[:, None])
        expected = (2, math.sqrt(2.5 / 5), 4)
        assert (found.value, found.error, found.df) == pytest.approx(expected, abs=1e-9)

    def test_images_that_hardly_differ_by_more_than_the_rest_leave_the_degrees_of_the_seeds(self):
        # every seed has the same mean, and images differ a hair more than by chance
        table = rest_of(3, 500)
        of_images = np.random.default_rng(1).normal(size=500)
        of_images *= math.sqrt(1.001 * _rest(table) / 3 / of_images.var(ddof=1))
        found = one_part(table + of_images + 0.001 * np.arange(3)[:, None])
        expected = 1e-6 / 3 + 0.001 * _rest(table) / 3 / 500
        assert (found.error**2, found.df) == pytest.approx((expected, 2), rel=1e-6)
        # with fewer images than seeds, these have the fewest degrees
        table = rest_of(9, 3)
        of_images = math.sqrt(1.001 * _rest(table) / 9) * np.array([-1, 0, 1])
        assert one_part(table + of_images).df == 2

    def test_overlapping_training_sets_widen_the_share_of_the_seeds(self):
        # Nadeau and Bengio 2003, equation 9: (1 / J + n2 / n1) times the variance
        values = np.random.default_rng(0).normal(size=10)
        error = wide(values, correction=1 / 9).error
        assert error == pytest.approx(math.sqrt((1 / 10 + 1 / 9) * values.var(ddof=1)))
        table = crossed(10, 100, image=3.0)
        of_images = wide(values, (1.0, table)).error ** 2
        wider = wide(values, (1.0, table), correction=1 / 9).error ** 2
        assert wider - of_images == pytest.approx(values.var(ddof=1) / 9)

    def test_few_seeds_and_images(self):
        one = wide([0.7], (1.0, np.ones((1, 5))))
        # the spread of images is not known from a single one
        single = wide([0.7, 0.8], (1.0, np.array([[0.7], [0.8]])))
        for found, value, n in ((wide([]), math.nan, 0), (one, 0.7, 1), (single, 0.75, 2)):
            expected = (value, math.nan, math.nan, n)
            assert found.interval(0.95) == pytest.approx(expected, nan_ok=True)
        assert math.isnan(one.p_value()) and math.isnan(one.equivalence(0.1))

    def test_equal_values(self):
        same = np.ones((3, 4))
        found = wide([0.1, 0.1, 0.1], (1.0, same))
        assert found.interval(0.95) == (0.1, 0.1, 0.1, 3)
        assert found.p_value() == 0
        assert wide([0, 0, 0], (1.0, same)).p_value() == 1
        assert [found.equivalence(margin) for margin in (0.05, 0.2)] == [1, 0]
        assert math.isnan(found.equivalence(math.nan))
        # seeds that agree about images that differ
        images = np.tile([0.0, 0.0, 1.0, 1.0], (3, 1))
        found = wide([0.5, 0.5, 0.5], (1.0, images))
        assert found.error**2 == pytest.approx(1 / 3 / 4)
        assert found.df == pytest.approx(3)


@pytest.mark.parametrize("random_state", range(5))
def test_what_holds_for_other_images_too_is_never_surer(random_state):
    rng = np.random.default_rng(random_state)
    table = rng.normal(size=(3, 1)) + 4 * rng.normal(size=(1, 50)) + rng.normal(size=(3, 50))
    values = table.mean(axis=1)
    both = wide(values, (1.0, table))
    seeds = statistics.mean_interval(values, 0.95)
    assert both.interval(0.95).low <= seeds.low and both.interval(0.95).high >= seeds.high
    assert both.p_value() >= statistics.mean_of(values).p_value() - 1e-12
    assert both.equivalence(2.0) >= statistics.mean_of(values).equivalence(2.0) - 1e-12


def test_after_an_epoch_and_at_the_best_one():
    """Each by its own predictions; without a mean where an epoch's were not kept."""
    config, runs = synthetic.made_study(seeds=range(3), predict_at=[2])
    images = images_of(Setup.of(config), {(float(r.l2), r.seed): r.predictions for r in runs})
    own = {run.seed: run.predictions for run in runs if run.l2 == "0.01"}
    for epoch, name, measure in (
        (None, "test", "test_accuracy"),
        (2, "test@2", "test_accuracy"),
        (2, "test@best", "test_accuracy_best"),
    ):
        tables = np.stack([own[seed][name].right for seed in (0, 1, 2)])
        values = pd.Series(tables.mean(axis=1), [0, 1, 2])
        assert images.at(epoch).mean(measure, values, 0.01) == one_part(tables)
    assert images.at(3).mean("test_accuracy", values, 0.01) is None
