"""Means of crossed designs, from all their runs."""

import itertools
import math

import numpy as np
import pytest

import crossed
import synthetic
from l2study.core.design import Design
from l2study.core.scope_rows import SEEDS, SEEDS_AND_IMAGES, for_seeds
from l2study.tables.crossed import crossing_of, grand_mean
from l2study.tables.image_intervals import images_of
from l2study.tables.study_tables import tables_of
from l2study.tables.variance import components

ALL_ALIKE, NO_EFFECT = (1.0, 1.0), (0.0, 1.0)


def drawn(shape, effect, rest, draw):
    values = rest * draw.standard_normal(shape)
    for axis in range(len(shape)):
        size = [count if axis == own else 1 for own, count in enumerate(shape)]
        values = values + effect * draw.standard_normal(size)
    return values


@pytest.mark.parametrize("shape", [(4, 4), (2, 3, 4), (2, 3, 2, 3)])
@pytest.mark.parametrize(("effect", "rest"), [ALL_ALIKE, NO_EFFECT])
def test_coverage(shape, effect, rest):
    """At least 95 %; more where no source has an effect, since no mean square is believed alone."""
    draw, held = np.random.default_rng(5), []
    for _ in range(400):
        ends = grand_mean(drawn(shape, effect, rest, draw)).interval(0.95)
        held.append(ends.low <= 0 <= ends.high)
    assert np.mean(held) >= 0.93


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


CROSSED = {
    "lambdas": [0.0, 1e-3, 1e-2],
    "seeds": {"weights": [0, 1, 2], "split": [0, 1]},
    "epochs": 4,
    "split": "stratified",
}


@pytest.fixture(scope="module")
def made():
    config, found = synthetic.made_study(**CROSSED)
    setup = Design.of(config, checked=True).base
    return setup, found, tables_of(setup, {"claims": [ON_MEANS]}, found)


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


class TestTables:
    def test_means_differences_and_gaps_are_of_all_runs(self, made):
        setup, _, tables = made
        runs = tables["runs"].set_index(["l2", "seed"])["test_accuracy"]
        order = crossing_of(setup, setup.seeds).seeds
        one = {l2: runs[l2][order].to_numpy().reshape(3, 2) for l2 in (0.0, 0.01)}
        for name, values, column in (
            ("means", one[0.01], "mean"),
            ("contrasts", one[0.01] - one[0.0], "mean_difference"),
        ):
            table = for_seeds(tables[name]).query("measure == 'test_accuracy' and l2 == 0.01")
            found = table[[column, "low", "high", "n"]].iloc[0].tolist()
            assert found == pytest.approx(grand_mean(values).interval(setup.confidence))
        gap = for_seeds(tables["gap"]).query("gap == 'generalisation' and l2 == 0.01")
        for epoch in (2, 4):
            at = tables["histories"].query("l2 == 0.01 and epoch == @epoch").set_index("seed")
            values = (at["train_accuracy"] - at["test_accuracy"])[order].to_numpy().reshape(3, 2)
            row = gap[gap["epoch"] == epoch].iloc[0][["mean", "mean_low", "mean_high", "n"]]
            expected = grand_mean(values).interval(setup.confidence)
            assert row.tolist() == pytest.approx(expected)
        assert set(gap["n"]) == {6}

    def test_p_values_are_of_the_interval_and_adjusted_again(self, made):
        setup, _, tables = made
        contrasts = tables["contrasts"]
        rows = contrasts[contrasts["measure"] == "test_accuracy"]
        for _, of_scope in rows.groupby("scope"):
            for row in of_scope.itertuples():
                outside = row.low > 0 or row.high < 0
                assert outside == (row.p_t < 1 - setup.confidence)
            first = of_scope["p_t"].min()
            assert of_scope["p_holm"].min() == pytest.approx(min(1, 2 * first))

    def test_other_images_add_to_all_runs_too(self, made):
        setup, found, tables = made
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
        _, _, tables = made
        claims = tables["claims"].set_index("statistic")
        assert set(claims.loc[["mean", "difference"], "scope"]) == {SEEDS_AND_IMAGES}
        for name, statistic, column in (
            ("means", "mean", "mean"),
            ("contrasts", "difference", "mean_difference"),
        ):
            table = tables[name].query("measure == 'test_accuracy' and l2 == 0.01")
            row = table.set_index("scope").loc[SEEDS_AND_IMAGES, ["n", column, "low", "high"]]
            found = claims.loc[statistic, ["n", "estimate", "low", "high"]]
            assert found.tolist() == pytest.approx(row.tolist())
        course = tables["course"].query("epoch == epoch.max() and scope == @SEEDS_AND_IMAGES")
        decisive, numbers = claims.query("decisive == 'yes'"), ["estimate", "low", "high", "n"]
        assert course[numbers].to_numpy() == pytest.approx(decisive[numbers].to_numpy(float))
        # those that are no means stay with the runs that share no level
        assert claims.loc["ratio", "n"] == 2

    def test_a_lambda_that_lost_a_run_stays_with_runs_that_share_no_level(self):
        _, tables = synthetic.made_tables("penalty", **CROSSED, diverged={(1e-2, 1): 2})
        for name, column, kind in (
            ("means", "measure", "test_accuracy"),
            ("contrasts", "measure", "test_accuracy"),
            ("gap", "gap", "generalisation"),
        ):
            rows = tables[name][tables[name][column] == kind]
            counts = rows.groupby("l2")["n"].agg(set)
            assert (counts[0.01], counts[0.001]) == ({2}, {6})


def test_a_missing_run_leaves_all_tables_as_they_are():
    setup = crossed.setup(weights=3, order=3)
    runs = crossed.runs(setup, {"weights": 0.1, "rest": 0.1})
    gone = runs[runs["seed"] != setup.seeds[1]]
    assert crossing_of(setup, setup.seeds).whole
    assert not crossing_of(setup, sorted(set(gone["seed"]))).whole
