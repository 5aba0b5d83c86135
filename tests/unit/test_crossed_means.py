"""Means of crossed designs, from all their runs."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import crossed
import synthetic
from l2study.core.design import Design
from l2study.core.scope_rows import SEEDS, SEEDS_AND_IMAGES, for_seeds
from l2study.tables import build
from l2study.tables.crossed import crossing_of, grand_mean, with_all_runs
from l2study.tables.image_intervals import images_of
from l2study.tables.judge import AllRuns, Sample, judge_claim
from l2study.tables.study_tables import tables_of
from l2study.tables.variance import components
from tiny import PROJECT

ALL_ALIKE, NO_EFFECT, ONE_SOURCE = (1.0, 1.0), (0.0, 1.0), (1.0, 0.3)


def drawn(shape, effect, rest, draw, varied=4):
    values = rest * draw.standard_normal(shape)
    for axis in range(min(len(shape), varied)):
        size = [count if axis == own else 1 for own, count in enumerate(shape)]
        values = values + effect * draw.standard_normal(size)
    return values


@pytest.mark.parametrize("shape", [(4, 4), (3, 5), (4, 4, 4), (2, 3, 4), (2, 3, 2, 3)])
@pytest.mark.parametrize(("effect", "rest"), [ALL_ALIKE, NO_EFFECT])
def test_coverage(shape, effect, rest):
    """At least 95 %; more where no source has an effect, since no mean square is believed alone."""
    draw, held, naive = np.random.default_rng(5), [], []
    for _ in range(400):
        values = drawn(shape, effect, rest, draw)
        ends = grand_mean(values).interval(0.95)
        held.append(ends.low <= 0 <= ends.high)
        naive.append(abs(values.mean()) <= 2 * values.std(ddof=1) / math.sqrt(values.size))
    assert np.mean(held) >= 0.93
    if effect:
        assert np.mean(naive) < 0.9  # as if all runs were independent


def test_coverage_where_one_source_is_all():
    draw = np.random.default_rng(6)
    found = [grand_mean(drawn((4, 4, 4), *ONE_SOURCE, draw, 1)).interval(0.95) for _ in range(400)]
    assert np.mean([one.low <= 0 <= one.high for one in found]) == pytest.approx(0.95, abs=0.03)


@pytest.mark.parametrize("shape", [(4, 3), (2, 3, 4), (2, 3, 2, 3)])
def test_the_variance_is_that_of_the_components(shape):
    """Written as components over their levels, of a table in which every component is above 0."""
    sources, draw = ["weights", "order", "split", "sample"][: len(shape)], np.random.default_rng(0)
    for _ in range(200):
        values = drawn(shape, 2.0, 1.0, draw)
        for pair in itertools.combinations(range(len(shape)), 2):
            size = [count if axis in pair else 1 for axis, count in enumerate(shape)]
            values = values + draw.standard_normal(size)
        parts = components(values, sources, 0.95)[:-1]
        if not any(part.negative for part in parts):
            break
    levels = dict(zip(sources, shape, strict=True))
    expected = sum(
        part.variance / math.prod(levels[source] for source in part.sources) for part in parts
    )
    found = grand_mean(values)
    assert found.error**2 == pytest.approx(expected)
    assert (found.value, found.n) == (pytest.approx(values.mean()), values.size)
    assert min(shape) - 1 <= found.df


def test_it_is_never_surer_than_a_source_alone():
    values = np.array([[0.0, 1.0], [1.0, 0.0]])
    assert grand_mean(values).error == 0
    tilted = values + np.array([[0.1], [-0.1]])
    squares = 2 * ((tilted.mean(axis=1) - tilted.mean()) ** 2).sum()
    assert grand_mean(tilted).error ** 2 == pytest.approx(squares / 4)
    assert grand_mean(tilted).df == 1


def test_the_crossed_study_of_the_project():
    """With four levels of three sources, intervals of differences are two to three times narrower
    than those of the four runs that share no level."""
    runs = pd.read_csv(PROJECT / "reference" / "variance" / "tables" / "runs.csv")
    columns = ["seed_weights", "seed_order", "seed_split"]
    table = runs.set_index(["l2", *columns])["test_accuracy"].sort_index()
    for l2, half, former in ((1e-4, 0.085, 0.201), (0.01, 0.266, 0.886)):
        values = 100 * (table[l2] - table[0.0]).to_numpy().reshape(4, 4, 4)
        low, high = grand_mean(values).interval(0.95)[1:3]
        assert (high - low) / 2 == pytest.approx(half, abs=5e-4)
        diagonal = np.einsum("iii->i", values)
        assert stats.t.ppf(0.975, 3) * stats.sem(diagonal) == pytest.approx(former, abs=5e-4)


@pytest.fixture(scope="module")
def made():
    levels = {"weights": [0, 1, 2], "split": [0, 1]}
    config, found = synthetic.made_study(
        lambdas=[0.0, 1e-3, 1e-2], seeds=levels, epochs=4, split="stratified"
    )
    return Design.of(config, checked=True).base, found


LEDGER = synthetic.ledger_of("small-gap")


ON_MEANS = {
    "id": "means",
    "claim": "test accuracy is something",
    "rows": [
        {
            "estimand": "test accuracy",
            "statistic": statistic,
            "measure": "test_accuracy",
            "at": [0.01],
            "expect": {"above": -1},
            "decides": statistic != "ratio",
            "evidence": {"table": "runs.csv", "figure": "gap"},
        }
        | ({} if statistic == "mean" else {"against": 0})
        for statistic in ("mean", "difference", "ratio")
    ],
}


def test_coverage_of_a_claim():
    """On a mean over four levels of two sources: surer than by the runs that share no level."""
    setup = crossed.setup(weights=4, order=4)
    draw, covered, narrower = np.random.default_rng(4), 0, []
    crossing = crossing_of(setup, setup.seeds)
    claim = ON_MEANS | {"rows": ON_MEANS["rows"][:1]}
    for _ in range(300):
        values = drawn((4, 4), 0.02, 0.02, draw).ravel()
        every = {0.01: pd.DataFrame({"test_accuracy": values}, crossing.seeds)}
        few = {0.01: every[0.01].loc[setup.independent_seeds]}
        sample = Sample(few, {}, 0.95, frozenset({0, 1}), {})
        (alone,) = judge_claim(claim, sample)
        (found,) = judge_claim(claim, sample._replace(all_runs=AllRuns(crossing, every, {})))
        covered += found.estimate.low <= 0 <= found.estimate.high
        narrower.append(found.estimate.high - found.estimate.low)
        narrower[-1] /= alone.estimate.high - alone.estimate.low
    assert 0.93 <= covered / 300 <= 0.99 and np.median(narrower) < 0.9


class TestTables:
    def test_means_differences_and_gaps_are_of_all_runs(self, made):
        setup, found = made
        tables = tables_of(setup, LEDGER, found)
        runs = tables["runs"].set_index(["l2", "seed"])["test_accuracy"]
        order = crossing_of(setup, setup.seeds).seeds
        one = {l2: runs[l2][order].to_numpy().reshape(3, 2) for l2 in (0.0, 0.01)}
        for name, values, column in (
            ("means", one[0.01], "mean"),
            ("contrasts", one[0.01] - one[0.0], "mean_difference"),
        ):
            table = for_seeds(tables[name]).query("measure == 'test_accuracy' and l2 == 0.01")
            (row,) = table.to_dict("records")
            ends = grand_mean(values).interval(setup.confidence)
            assert [row["n"], row[column], row["low"], row["high"]] == pytest.approx(
                [6, values.mean(), ends.low, ends.high]
            )
        gap = for_seeds(tables["gap"]).query("gap == 'generalisation' and l2 == 0.01")
        last = gap[gap["epoch"] == 4].iloc[0]
        means = for_seeds(tables["means"]).set_index(["measure", "l2"])
        same = means.loc[("gap_generalisation", 0.01)]
        assert [last["mean"], last["mean_low"], last["mean_high"]] == pytest.approx(
            same[["mean", "low", "high"]].to_list()
        )
        assert set(gap["n"]) == {6}

    def test_p_values_are_of_the_interval_and_adjusted_again(self, made):
        contrasts = tables_of(made[0], LEDGER, made[1])["contrasts"]
        rows = contrasts[contrasts["measure"] == "test_accuracy"]
        for _, of_scope in rows.groupby("scope"):
            for row in of_scope.itertuples():
                outside = row.low > 0 or row.high < 0
                assert outside == (row.p_t < 1 - made[0].confidence)
            first = of_scope["p_t"].min()
            assert of_scope["p_holm"].min() == pytest.approx(min(1, 2 * first))

    def test_other_images_add_to_all_runs_too(self, made):
        setup, found = made
        tables = tables_of(setup, LEDGER, found)
        rows = tables["means"].query("measure == 'test_accuracy' and l2 == 0.01")
        narrow, wide = (rows.set_index("scope").loc[scope] for scope in (SEEDS, SEEDS_AND_IMAGES))
        predictions = {(float(run.l2), run.seed): run.predictions for run in found}
        images = images_of(setup, predictions)
        runs = tables["runs"].query("l2 == 0.01").set_index("seed")["test_accuracy"]
        right = images.table("test", "right", [0.01], runs.index.tolist())
        rest = right - right.mean(0) - right.mean(1)[:, None] + right.mean()
        rest = (rest**2).sum() / 5 / (right.shape[1] - 1)
        floor = max(0, right.mean(0).var(ddof=1) - rest / 6) / right.shape[1]
        order = crossing_of(setup, setup.seeds).seeds
        alone = grand_mean(runs[order].to_numpy().reshape(3, 2))
        found = images.mean("test_accuracy", runs, 0.01, None, alone, 2)
        corrected = alone.error**2 * (1 + 2 * images.correction)
        assert found.error**2 == pytest.approx(corrected + floor)
        assert wide["n"] == 6 and wide["mean"] == pytest.approx(narrow["mean"])
        assert wide["high"] - wide["low"] >= narrow["high"] - narrow["low"]

    def test_claims_on_means_and_differences_are_of_all_runs_too(self, made):
        tables = tables_of(made[0], {"claims": [ON_MEANS]}, made[1])
        claims = tables["claims"].set_index("statistic")
        assert set(claims.loc[["mean", "difference"], "scope"]) == {SEEDS_AND_IMAGES}
        for name, statistic, column in (
            ("means", "mean", "mean"),
            ("contrasts", "difference", "mean_difference"),
        ):
            table = tables[name].query("measure == 'test_accuracy' and l2 == 0.01")
            row = table.set_index("scope").loc[SEEDS_AND_IMAGES]
            found = claims.loc[statistic]
            assert found[["n", "estimate", "low", "high"]].tolist() == pytest.approx(
                row[["n", column, "low", "high"]].tolist()
            )
        course = tables["course"].query("epoch == epoch.max() and scope == @SEEDS_AND_IMAGES")
        decisive = tables["claims"].query("decisive == 'yes'")
        numbers = ["estimate", "low", "high", "n"]
        assert course[numbers].to_numpy().tolist() == [
            pytest.approx(decisive[numbers].iloc[0].tolist())
        ]
        # those that are no means stay with the runs that share no level
        assert claims.loc["ratio", "n"] == 2

    def test_a_lambda_that_lost_a_run_stays_with_runs_that_share_no_level(self, made):
        setup, found = made
        tables = tables_of(setup, LEDGER, found)
        runs, histories = tables["runs"], tables["histories"]
        shared = next(seed for seed in setup.seeds if seed not in setup.independent_seeds)
        lost = (runs["l2"] == 0.01) & (runs["seed"] == shared)
        runs = runs.assign(status=runs["status"].where(~lost, "diverged"))
        few = build.independent(runs, setup)
        before = {
            "means": build.means_table(few, ["test_accuracy"], setup.confidence),
            "contrasts": build.contrasts_table(few, 0.0, setup.confidence),
            "gap": build.gap_table(
                build.independent(histories, setup), few, setup.epochs, setup.confidence
            ),
        }
        # a run that diverged has no measures
        runs = runs.assign(test_accuracy=runs["test_accuracy"].where(~lost))
        after = with_all_runs(before, setup, histories, runs)
        for name in before:
            column = "gap" if name == "gap" else "measure"
            kind = "generalisation" if name == "gap" else "test_accuracy"
            rows = after[name][after[name][column] == kind]
            counts = rows.groupby("l2")["n"].unique()
            assert list(counts[0.01]) == [2] and list(counts[0.001]) == [6]


def test_a_missing_run_leaves_all_tables_as_they_are():
    setup = crossed.setup(weights=3, order=3)
    runs = crossed.runs(setup, {"weights": 0.1, "rest": 0.1})
    gone = runs[runs["seed"] != setup.seeds[1]]
    assert crossing_of(setup, setup.seeds).whole
    assert not crossing_of(setup, sorted(set(gone["seed"]))).whole
