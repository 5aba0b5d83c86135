"""Intervals for other seeds and other images, against other ways to the same, and by simulation."""

import math
from time import perf_counter

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, special, stats
from statsmodels.api import OLS
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from l2study.tables import decisions, statistics
from l2study.tables.scopes import (
    Mean,
    Part,
    crossed_mean,
    resampled_choice,
    spread_of,
    variance_of_images,
    wide_interval,
)


def crossed(seeds, images, *, seed=0.0, image=0.0, rest=1.0, mean=0.0, random_state=0):
    """Return a table of seeds and images whose components have these standard deviations."""
    draw = np.random.default_rng(random_state)
    table = mean + rest * draw.normal(size=(seeds, images))
    return table + seed * draw.normal(size=(seeds, 1)) + image * draw.normal(size=images)


def redrawn(parts):
    return variance_of_images([(coefficient, spread_of(table)) for coefficient, table in parts])


def one_part(table):
    return crossed_mean(table.mean(axis=1), [Part(1.0, table)])


class TestCrossedMean:
    def test_is_that_of_the_components_by_statsmodels(self):
        seeds, images = 4, 9
        table = crossed(seeds, images, seed=0.5, image=2.0)
        long = pd.DataFrame(
            {
                "x": table.ravel(),
                "seed": np.repeat(np.arange(seeds), images),
                "image": np.tile(np.arange(images), seeds),
            }
        )
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

    def test_is_that_of_clustering_both_ways(self):
        # Cameron, Gelbach and Miller 2011, who take the whole variance for that of the rest
        table = crossed(30, 400, seed=0.1, image=1.0)
        groups = np.indices(table.shape).reshape(2, -1).T
        fit = OLS(table.ravel(), np.ones(table.size)).fit(
            cov_type="cluster", cov_kwds={"groups": groups}
        )
        found = one_part(table)
        assert found.error == pytest.approx(fit.bse[0], rel=0.03)
        assert found.error > 2 * statistics.standard_error(table.mean(axis=1))

    def test_is_that_of_the_pigeonhole_bootstrap(self):
        # Owen 2007: its expectation is s2_seed / S + s2_image / N + 3 s2_rest / (S N)
        table = crossed(25, 300, seed=0.2, image=1.0, rest=0.5)
        draw = np.random.default_rng(1)
        means = [
            table[draw.integers(0, 25, 25)][:, draw.integers(0, 300, 300)].mean()
            for _ in range(2000)
        ]
        assert one_part(table).error == pytest.approx(np.std(means), rel=0.06)

    def test_parts_and_what_is_no_mean_over_images_add_up(self):
        test, val = crossed(6, 50, image=1.0), crossed(6, 20, image=2.0, random_state=1)
        training = crossed(6, 1, seed=0.3, random_state=2)[:, 0]
        values = training + 2 * test.mean(axis=1) - val.mean(axis=1)
        both = crossed_mean(values, [Part(2.0, test), Part(-1.0, val)])
        by_seeds = crossed_mean(values).error ** 2
        of_parts = [
            crossed_mean(values, [part]).error ** 2 - by_seeds
            for part in (Part(2.0, test), Part(-1.0, val))
        ]
        # the images' own share, by the components
        share = (6 * test.mean(axis=0).var(ddof=1) - _rest(test)) / (6 * 50)
        assert of_parts[0] == pytest.approx(4 * share)
        assert both.error**2 == pytest.approx(by_seeds + sum(of_parts))

    def test_without_images_is_students(self):
        values = np.random.default_rng(0).normal(size=7)
        assert wide_interval(values, [], 0.9) == pytest.approx(
            statistics.mean_interval(values, 0.9)
        )
        found = crossed_mean(values + 0.4)
        assert found.df == 6
        assert found.p_value() == pytest.approx(statistics.paired_t(values + 0.4))
        assert found.equivalence(0.9) == pytest.approx(statistics.equivalence(values + 0.4, 0.9))

    def test_images_that_differ_by_less_than_the_rest_count_for_nothing(self):
        table = crossed(5, 8)
        table -= table.mean(axis=0)
        table -= table.mean(axis=1, keepdims=True)
        found = one_part(table + np.arange(5)[:, None])
        assert found[:3] == pytest.approx((2, math.sqrt(2.5 / 5), 4), abs=1e-9)

    def test_images_that_hardly_differ_by_more_than_the_rest_leave_the_degrees_of_the_seeds(self):
        # every seed has the same mean, and images differ a hair more than by chance
        table = crossed(3, 500)
        table -= table.mean(axis=0)
        table -= table.mean(axis=1, keepdims=True)
        rest = (table**2).sum() / (2 * 499)
        of_images = np.random.default_rng(1).normal(size=500)
        of_images *= math.sqrt(1.001 * rest / 3 / of_images.var(ddof=1))
        found = one_part(table + of_images + 0.001 * np.arange(3)[:, None])
        assert found.error**2 == pytest.approx(1e-6 / 3 + 0.001 * rest / 3 / 500, rel=1e-6)
        assert found.df == 2
        # with fewer images than seeds, these have the fewest degrees
        table = crossed(9, 3)
        table -= table.mean(axis=0)
        table -= table.mean(axis=1, keepdims=True)
        rest = (table**2).sum() / (8 * 2)
        of_images = math.sqrt(1.001 * rest / 9) * np.array([-1, 0, 1])
        assert one_part(table + of_images).df == 2

    def test_overlapping_training_sets_widen_the_share_of_the_seeds(self):
        # Nadeau and Bengio 2003, equation 9: (1 / J + n2 / n1) times the variance
        values = np.random.default_rng(0).normal(size=10)
        error = crossed_mean(values, correction=1 / 9).error
        assert error == pytest.approx(math.sqrt((1 / 10 + 1 / 9) * values.var(ddof=1)))
        table = crossed(10, 100, image=3.0)
        of_images = crossed_mean(values, [Part(1.0, table)]).error ** 2
        wider = crossed_mean(values, [Part(1.0, table)], correction=1 / 9).error ** 2
        assert wider - of_images == pytest.approx(values.var(ddof=1) / 9)

    def test_few_seeds_and_images(self):
        none = wide_interval([], [], 0.95)
        assert none == pytest.approx((math.nan, math.nan, math.nan, 0), nan_ok=True)
        one = crossed_mean([0.7], [Part(1.0, np.ones((1, 5)))])
        assert one.interval(0.95) == pytest.approx((0.7, math.nan, math.nan, 1), nan_ok=True)
        assert math.isnan(one.p_value())
        assert math.isnan(one.equivalence(0.1))
        # the spread of images is not known from a single one
        single = wide_interval([0.7, 0.8], [Part(1.0, np.array([[0.7], [0.8]]))], 0.95)
        assert single == pytest.approx((0.75, math.nan, math.nan, 2), nan_ok=True)

    def test_equal_values(self):
        same = np.ones((3, 4))
        found = crossed_mean([0.1, 0.1, 0.1], [Part(1.0, same)])
        assert found.interval(0.95) == (0.1, 0.1, 0.1, 3)
        assert found.p_value() == 0
        assert crossed_mean([0, 0, 0], [Part(1.0, same)]).p_value() == 1
        assert [found.equivalence(margin) for margin in (0.05, 0.2)] == [1, 0]
        assert math.isnan(found.equivalence(math.nan))
        # seeds that agree about images that differ
        images = np.tile([0.0, 0.0, 1.0, 1.0], (3, 1))
        found = crossed_mean([0.5, 0.5, 0.5], [Part(1.0, images)])
        assert found.error**2 == pytest.approx(1 / 3 / 4)
        assert found.df == pytest.approx(3)

    def test_a_seed_without_a_value_is_left_out_with_its_images(self):
        table = crossed(6, 40, image=1.0)
        values = table.mean(axis=1)
        values[2] = math.nan
        kept = [0, 1, 3, 4, 5]
        assert crossed_mean(values, [Part(1.0, table)]) == one_part(table[kept])

    def test_refuses_other_seeds(self):
        with pytest.raises(ValueError, match="3 values, but predictions of 2 seeds"):
            crossed_mean([1, 2, 3], [Part(1.0, np.zeros((2, 4)))])

    def test_p_values_go_with_the_interval(self):
        found = Mean(0.3, 0.1, 6.0, 7)
        confidence = 1 - found.p_value()
        assert found.interval(confidence).low == pytest.approx(0)
        level = found.equivalence(0.5)
        assert found.interval(1 - 2 * level).high == pytest.approx(0.5)
        assert found.equivalence(0.3) == pytest.approx(0.5)


def _rest(table):
    rest = table - table.mean(axis=0) - table.mean(axis=1, keepdims=True) + table.mean()
    return (rest**2).sum() / np.prod(np.array(table.shape) - 1)


class TestVarianceOfImages:
    def test_is_that_of_a_bootstrap_of_the_images(self):
        table = crossed(5, 200, image=1.0)
        draw = np.random.default_rng(1)
        means = [table[:, draw.integers(0, 200, 200)].mean(axis=1) for _ in range(4000)]
        expected = np.var(means, axis=0).mean()
        assert redrawn([Part(-1.0, table)]) == pytest.approx(expected, rel=0.05)

    def test_seeds_that_share_images_may_vary_less(self):
        table = crossed(8, 500, image=2.0, rest=1.0)
        parts = [Part(1.0, table), Part(-2.0, table)]
        assert redrawn(parts) == pytest.approx(5 * redrawn(parts[:1]))
        assert table.mean(axis=1).var(ddof=1) < redrawn(parts[:1])

    def test_nothing_to_say(self):
        assert math.isnan(variance_of_images([]))
        assert math.isnan(redrawn([Part(1.0, np.ones((3, 1)))]))
        assert math.isnan(redrawn([Part(1.0, np.ones((0, 5)))]))


class TestResampledChoice:
    def test_without_differences_between_images_is_that_of_the_seeds(self):
        runs = np.random.default_rng(0).normal(size=(6, 3))
        table = np.repeat(runs.T[:, :, None], 5, axis=2)
        found = resampled_choice([0, 1, 2], table)
        assert np.array_equal(found, decisions.resampled_choice([0, 1, 2], runs))

    def test_is_that_of_plain_resampling(self):
        images, l2 = 60, np.array([0.0, 1.0])
        table = np.stack([crossed(4, images, image=1.0, random_state=place) for place in (3, 4)])
        table[1] += table[0].mean() - table[1].mean() + 0.1
        draw = np.random.default_rng(5)
        again = [
            table[:, draw.integers(0, 4, 4)][:, :, draw.integers(0, images, images)].mean((1, 2))
            for _ in range(4000)
        ]
        share = np.mean(np.argmin(again, axis=1) == 0)
        best, simplest = resampled_choice(l2, table)
        assert 0.55 < share < 0.9
        assert np.mean(best == 0) == pytest.approx(share, abs=0.05)
        assert best.shape == simplest.shape == (decisions.RESAMPLES,)
        assert np.all(simplest >= best)
        by_seeds, _ = decisions.resampled_choice(l2, table.mean(axis=2).T)
        assert np.mean(by_seeds == 0) > share + 0.05

    def test_is_fast_enough_for_a_study(self):
        table = np.random.default_rng(0).random(size=(7, 10, 6000))
        start = perf_counter()
        resampled_choice(range(7), table)
        assert perf_counter() - start < 10


def test_coverage_of_two_parts_with_normal_values():
    """Half of the variance is the seeds', which is the hard case: five seeds and two samples."""
    draw = np.random.default_rng(2)
    covered = 0
    for _ in range(2000):
        tables = [draw.normal(size=(5, images)) + draw.normal(size=images) for images in (60, 40)]
        values = 0.2 * draw.normal(size=5) + tables[0].mean(axis=1) - tables[1].mean(axis=1)
        found = wide_interval(values, [Part(1.0, tables[0]), Part(-1.0, tables[1])], 0.95)
        covered += found.low <= 0 <= found.high
    assert 0.93 < covered / 2000 < 0.97


IMAGES = 5000
"""Half of MNIST's test images. The seeds' variance is twice as large to keep the proportions."""
LOGIT, DIFFICULTY = 17.0, 8.0
"""Mean and standard deviation over images of the logit of a right answer: 98 % of answers are
right, most images are always right or always wrong, and the variance of images is 2.3 times that of
the rest, as the default study has them at lambda 0 (.0139 and .0057 of a right answer squared)."""
SEED = 0.15
"""Standard deviation over seeds of all logits of a run."""


def _answers(draw, logits, shifts):
    """Return right and wrong answers of every seed and image by a logistic model."""
    right = np.repeat((logits > 0)[None], len(shifts), axis=0).astype(float)
    # beyond this an answer differs in one of 10,000 draws, and need not be drawn
    open_to_chance = np.flatnonzero(np.abs(logits) < 9)
    chance = special.expit(logits[open_to_chance] + shifts[:, None])
    right[:, open_to_chance] = draw.random(chance.shape) < chance
    return right


def _expected(logit):
    """Return the share of right answers over all seeds and images, by numerical integration."""
    spread = math.hypot(DIFFICULTY, SEED)
    return integrate.quad(
        lambda z: special.expit(logit + spread * z) * stats.norm.pdf(z), -9, 9, limit=300
    )[0]


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [5, 10, 30])
@pytest.mark.parametrize("lower", [0.0, 1.0])
def test_coverage_of_right_and_wrong_answers(seeds, lower):
    """Of an accuracy and, with a second lambda whose logits are `lower`, of a paired difference."""
    draw = np.random.default_rng([seeds, int(lower)])
    truth = _expected(LOGIT) - (_expected(LOGIT - lower) if lower else 0.0)
    studies, wide, narrow = 800, 0, 0
    for _ in range(studies):
        logits = LOGIT + DIFFICULTY * draw.normal(size=IMAGES)
        shifts = SEED * draw.normal(size=seeds)
        table = _answers(draw, logits, shifts)
        if lower:
            # a seed has something in common at both lambdas
            other = 0.5 * shifts + math.sqrt(0.75) * SEED * draw.normal(size=seeds)
            table -= _answers(draw, logits - lower, other)
        values = table.mean(axis=1)
        found = wide_interval(values, [Part(1.0, table)], 0.95)
        wide += found.low <= truth <= found.high
        found = statistics.mean_interval(values, 0.95)
        narrow += found.low <= truth <= found.high
    assert 0.93 < wide / studies < 0.97
    # the interval over seeds alone is not for other images
    assert narrow < (studies * 0.7 if not lower else wide)


@pytest.mark.parametrize("random_state", range(20))
def test_what_holds_for_other_images_too_is_never_surer(random_state):
    rng = np.random.default_rng(random_state)
    table = rng.normal(size=(3, 1)) + 4 * rng.normal(size=(1, 50)) + rng.normal(size=(3, 50))
    values = table.mean(axis=1)
    wide = crossed_mean(values, [Part(1.0, table)])
    seeds = statistics.mean_interval(values, 0.95)
    assert wide.interval(0.95).low <= seeds.low and wide.interval(0.95).high >= seeds.high
    assert wide.p_value() >= statistics.paired_t(values) - 1e-12
    assert wide.equivalence(2.0) >= statistics.equivalence(values, 2.0) - 1e-12
