"""How many seeds a difference needs."""

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import TTestPower

from l2study.tables import power


class TestSeedsNeeded:
    @pytest.mark.parametrize("effect", [0.21, 0.47, 0.9])
    def test_against_solve_power(self, effect):
        solved = TTestPower().solve_power(effect, alpha=0.1, power=0.9)
        assert power.seeds_needed(1, effect, 0.9, 0.9) == math.ceil(solved)

    def test_at_least_two(self):
        assert power.seeds_needed(1, 1000, 0.95) == 2
        assert power.seeds_needed(1e-17, 0.001, 0.95) == 2
        assert power.seeds_needed(0, 0.1, 0.95) == 2

    def test_without_spread_known(self):
        assert math.isnan(power.seeds_needed(math.nan, 0.1, 0.95))

    def test_no_difference_to_resolve(self):
        with pytest.raises(ValueError, match="not above 0"):
            power.seeds_needed(1, 0, 0.95)

    def test_a_floor_can_be_too_high_for_any_number(self):
        # 1.96 + 0.84 standard errors give a power of 0.8
        assert power.seeds_needed(1, 1, 0.95, floor=1 / 2.79**2) == math.inf
        assert 20 < power.seeds_needed(1, 1, 0.95, floor=1 / 2.9**2) < 1000

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

    @pytest.mark.parametrize("effect", [2.5, 6.0, 12.5])
    def test_large_effects_by_integration(self, effect):
        """Without the noncentral t: the mean over the spread of a normal tail."""

        def reached(n):
            critical = stats.t.ppf(0.975, n - 1)
            spread = stats.chi2(n - 1)
            return spread.expect(
                lambda v: stats.norm.cdf(effect * math.sqrt(n) - critical * np.sqrt(v / (n - 1)))
            )

        smallest = next(n for n in range(2, 50) if reached(n) >= 0.8)
        assert power.seeds_needed(1, effect, 0.95) == smallest
