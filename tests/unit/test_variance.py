"""The table of where the variance comes from."""

import math

import numpy as np
import pandas as pd
import pytest

import crossed
from l2study.core.design import Setup
from l2study.tables.statistics import variance_interval
from l2study.tables.variance import (
    VARIANCE_MEASURES,
    balanced,
    component_sources,
    components,
    variance_table,
)

SOURCES = ["weights", "order", "split"]


@pytest.fixture(scope="module")
def study():
    setup = crossed.setup(weights=2, order=3, split=4)
    return setup, crossed.runs(setup, {"split": 0.01, "weights": 0.002, "rest": 0.004})


def of(table, measure, l2=0.01):
    return table[(table["measure"] == measure) & (table["l2"] == l2)].set_index("source")


def test_a_crossed_study_has_its_components(study):
    setup, runs = study
    table = variance_table(setup, runs)
    assert len(table) == 3 * len(VARIANCE_MEASURES) * 8
    # the sorted seeds have the weights change fastest
    values = runs.loc[runs["l2"] == 0.01].sort_values("seed")["val_ce"].to_numpy()
    expected = components(values.reshape(4, 3, 2).transpose(2, 1, 0), SOURCES, 0.9)
    rows = of(table, "val_ce")
    assert list(rows.index) == [part.source for part in expected]
    for part in expected:
        row = rows.loc[part.source]
        found = row[["variance", "low", "high", "share", "share_low", "share_high"]]
        assert found.to_numpy(float) == pytest.approx(part[2:8], nan_ok=True)
        assert row["negative"] == ("yes" if part.negative else "no")
    assert rows["levels"].tolist()[:4] == ["2", "3", "4", "2 x 3"]
    assert rows.loc[["rest", "total"], "levels"].tolist() == ["2 x 3 x 4"] * 2
    assert (rows["n"] == 24).all()
    assert rows["share"].drop("total").idxmax() == "split"


def test_a_source_of_one_level_is_none(study):
    _, runs = study
    setup = crossed.setup(weights=1, order=3, split=4)
    table = variance_table(setup, runs[runs["seed"] % 100 == 0])
    assert of(table, "val_ce").index.tolist() == ["order", "split", "rest", "total"]


def test_a_plain_study_has_the_total_alone():
    runs = pd.DataFrame({"l2": 0.0, "seed": range(6), "status": "completed"})
    runs = runs.assign(**{name: [1, 2, 4, 7, 11, np.nan] for name in VARIANCE_MEASURES})
    runs.loc[4, "status"] = "diverged"
    plain = Setup("base", {}, {"seeds": list(range(6)), "confidence": 0.95}, {})
    table = variance_table(plain, runs)
    assert len(table) == len(VARIANCE_MEASURES)
    row = of(table, "gap_reported", 0).loc["total"]
    expected = variance_interval([1, 2, 4, 7], 0.95)
    assert tuple(row[["variance", "low", "high", "n"]]) == pytest.approx(expected)
    assert row["negative"] == "no"
    assert not {"levels", "share", "share_low", "share_high"} & set(table)


def test_a_level_with_a_lost_run_is_left_out(study):
    setup, runs = study
    lost = (runs["l2"] == 0.01) & runs["seed"].isin([20100, 20001])
    table = variance_table(setup, runs.assign(status=np.where(lost, "diverged", "completed")))
    rows = of(table, "val_ce")
    assert (rows["n"] == 18).all()
    assert rows.loc["total", "levels"] == "2 x 3 x 3"
    kept = runs[(runs["l2"] == 0.01) & (runs["seed"] // 10000 != 2)]
    others = variance_table(crossed.setup(weights=2, order=3, split=[0, 1, 3]), kept)
    pd.testing.assert_frame_equal(rows, of(others, "val_ce"))
    assert (of(table, "val_ce", 0.0)["n"] == 24).all()


def test_a_design_without_two_levels_left_has_no_values(study):
    setup, runs = study
    few = runs[runs["seed"] % 100 == 0]
    rows = of(variance_table(setup, few), "val_ce")
    assert list(rows.index) == list(component_sources(SOURCES))
    assert (rows["n"] == 0).all()
    assert not {"variance", "low", "high", "share", "negative"} & set(rows)
    none = variance_table(setup, runs.assign(status="diverged"))
    assert (none["n"] == 0).all() and "variance" not in none


def test_the_rest_that_is_kept_is_complete():
    setup = crossed.setup(weights=4, order=4, split=4)
    seeds = pd.DataFrame([setup.sources(seed) for seed in setup.seeds])
    rng = np.random.default_rng(1)
    for lost in (0, 1, 2, 5, 9):
        kept = balanced(seeds.drop(rng.choice(64, lost, replace=False)), SOURCES)
        assert len(kept) == math.prod(kept[source].nunique() for source in SOURCES)
        assert len(kept) == {0: 64, 1: 48}.get(lost, len(kept))
        assert len(kept) >= 8
