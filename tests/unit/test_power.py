"""How many seeds a difference needs."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.power import TTestPower

from l2study.tables import power
from tiny import PROJECT


class TestSeedsNeeded:
    @pytest.mark.parametrize("effect", [0.21, 0.47, 0.9, 2.5])
    def test_against_statsmodels(self, effect):
        needed = power.seeds_needed(1, effect, 0.9, 0.9)
        fewer, enough = (TTestPower().power(effect, n, 0.1) for n in (needed - 1, needed))
        assert fewer < 0.9 <= enough

    @pytest.mark.parametrize(
        ("sd", "difference", "seeds"),
        [(1, 1000, 2), (1e-17, 0.001, 2), (0, 0.1, 2), (math.nan, 0.1, math.nan)],
    )
    def test_at_least_two_if_the_spread_is_known(self, sd, difference, seeds):
        found = power.seeds_needed(sd, difference, 0.95)
        assert found == pytest.approx(seeds, nan_ok=True)

    def test_no_difference_to_resolve(self):
        with pytest.raises(ValueError, match="not above 0"):
            power.seeds_needed(1, 0, 0.95)

    def test_a_floor_can_be_too_high_for_any_number(self):
        # 1.96 + 0.84 standard errors give a power of 0.8
        assert power.seeds_needed(1, 1, 0.95, floor=1 / 2.79**2) == math.inf
        assert 20 < power.seeds_needed(1, 1, 0.95, floor=1 / 2.9**2) < 1000

    def test_a_low_floor_is_as_none(self):
        """Also where scipy.special's noncentral t has no value."""
        for effect in range(34, 62):
            assert power.seeds_needed(2, 1, 0.95, floor=1 / effect**2) == 34
            assert all(power.t_power(effect, df, 0.9) > 0.99 for df in (3, 9, 30, 1e6))

    @pytest.mark.parametrize(("sd", "floor"), [(1.0, 0.0), (1.0, 0.03), (2.0, 0.06), (0.5, 0.08)])
    def test_simulated_power(self, sd, floor):
        """The number is within 20 % of where four of five simulated studies find the difference."""
        needed = power.seeds_needed(sd, 1.0, 0.95, floor=floor)
        rng, studies = np.random.default_rng(0), 20_000

        def found(n):
            mean = 1 + math.sqrt(floor) * rng.standard_normal(studies)
            mean += sd / math.sqrt(n) * rng.standard_normal(studies)
            own = sd**2 * rng.chisquare(n - 1, studies) / (n - 1) / n
            df = (n - 1) * ((own + floor) / own) ** 2
            return np.mean(mean / np.sqrt(own + floor) > stats.t.ppf(0.975, df))

        reached = next(n for n in range(2, 200) if found(n) >= 0.8)
        assert abs(needed / reached - 1) <= 0.2


class TestPlan:
    def test_images_leave_what_no_number_of_seeds_resolves(self):
        """Simulated: infinitely many seeds resolve the least difference in four of five studies."""
        floor = 0.05**2
        least = power.least_resolvable(floor, 0.95)
        means = least + 0.05 * np.random.default_rng(0).standard_normal(100_000)
        assert np.mean(means > 1.96 * 0.05) == pytest.approx(0.8, abs=0.005)
        assert power.plan(0.2, 1.01 * least, 0.95, floor, 1000).seeds < math.inf
        assert power.plan(0.2, 0.99 * least, 0.95, floor, 1000).seeds == math.inf

    def test_more_images_are_enough_with_the_seeds_that_the_plan_names(self):
        floor, images, difference = 0.05**2, 1000, 0.1
        found = power.plan(0.2, difference, 0.95, floor, images)
        assert found.images == math.ceil(2 * images * (2.8016 * 0.05 / difference) ** 2)
        smaller = floor * images / found.images
        assert found.seeds_with_images == power.seeds_needed(0.2, 0.1, 0.95, floor=smaller)
        # half of the variance that the test allows is left to the seeds
        n = found.seeds_with_images
        assert 0.2**2 / n == pytest.approx(smaller, rel=0.1)

    def test_a_study_with_few_seeds_must_resolve_it_for_other_seeds_too(self):
        floor = 0.5
        alone = power.seeds_needed(1.0, 3.0, 0.95)
        assert power.seeds_needed(1.0, 3.0, 0.95, floor=floor) < alone
        assert power.plan(1.0, 3.0, 0.95, floor).seeds == alone


def test_how_far_seven_seeds_predict_the_spread_of_thirty_others():
    """The range that docs/results.md gives, from the default study and the confirmatory one."""
    keys, reference = ["l2", "reference_l2", "measure"], PROJECT / "reference"
    seven = pd.read_csv(reference / "mnist/tables/contrasts.csv").query("scope == 'seeds'")
    thirty = pd.read_csv(reference / "confirmatory/contrasts.csv")
    both = seven.merge(thirty, on=keys, suffixes=("_7", "_30"))
    sd = [
        (both[f"high_{n}"] - both[f"low_{n}"]) / 2 * math.sqrt(n) / stats.t.ppf(0.975, n - 1)
        for n in (7, 30)
    ]
    low, high = (sd[0] / sd[1]).quantile([0.05, 0.95])
    words = f"of 7 seeds was mostly {low:.1f} to {high:.1f} times that of 30 others"
    assert words in " ".join((PROJECT / "docs" / "results.md").read_text().split())
