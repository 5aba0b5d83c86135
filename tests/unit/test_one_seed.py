"""What one seed would have said: the counts against a computation by hand, and the words."""

import json
import math

import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint

import crossed
from l2study.core.labels import l2_label
from l2study.report import one_seed_text, page
from l2study.tables import build, statistics
from l2study.tables.choice import choice_table, choices_of
from l2study.tables.one_seed import ONE_SEED_MEASURES, one_seed_table
from reported import shown, with_tables
from synthetic import runs_table

LAMBDAS = [0.0, 1e-4, 1e-2]


def runs_of(val_ce):
    """Runs with these validation cross-entropies, a row for each seed and a column for each lambda.

    NaN is a run that diverged.
    """
    ce, rng = np.transpose(val_ce).astype(float), np.random.default_rng(0)
    others = {name: 0 * ce + rng.normal(0.001, 0.01, ce.shape) for name in ONE_SEED_MEASURES}
    return runs_table(LAMBDAS[: len(ce)], val_ce=ce, val_accuracy=1 - ce, **others)


def counted(runs, reference=0.0, confidence=0.95, choose_by="val_ce"):
    choice = choice_table(choices_of(runs, choose_by), reference, confidence)
    return one_seed_table(runs, choice, reference, confidence)


def test_picks_are_by_what_the_study_chooses_by():
    runs = runs_of([[1.0, 2.0], [1.0, 2.0], [2.0, 1.0]])
    runs["val_accuracy"] = runs["val_ce"]  # so that the larger one is better
    table = counted(runs, choose_by="val_accuracy")
    assert picked_by(table) == {0.0: "2", 1e-4: "0 1"}
    assert said(table, "picks another").index.tolist() == [1e-4]
    assert set(said(table, "picks")["measure"]) == {"val_accuracy"}


def said(table, what):
    return table[table["finding"] == what].set_index("l2")


def picked_by(table):
    return {l2: row["which_seeds"] for l2, row in said(table, "picks").iterrows()}


@pytest.fixture(scope="module")
def random_runs():
    return runs_of(np.random.default_rng(3).normal(0.1, 0.01, (12, 3)))


@pytest.fixture(scope="module")
def study():
    return shown(lambdas=LAMBDAS, seeds=[0, 1, 2, 5, 7], epochs=4, diverged={(1e-4, 5): 3})


class TestTable:
    def test_picks_are_the_lowest_of_every_row(self, random_runs):
        ce = random_runs["val_ce"].to_numpy().reshape(3, 12).T
        lowest, best = ce.argmin(axis=1), ce.mean(axis=0).argmin()
        table = counted(random_runs)
        for rank, l2 in enumerate(LAMBDAS):
            row = said(table, "picks").loc[l2]
            assert (row["count"], row["n"]) == ((lowest == rank).sum(), 12)
            assert row["which_seeds"] == " ".join(map(str, np.flatnonzero(lowest == rank)))
        another = said(table, "picks another")
        assert another.index.tolist() == [LAMBDAS[best]]
        assert another["count"].tolist() == [(lowest != best).sum()]
        assert 0 < another["count"].iloc[0] < 12

    @pytest.mark.parametrize("reference", [0, 1e-4])
    def test_opposite_signs_are_counted_seed_by_seed(self, random_runs, reference):
        table = counted(random_runs, reference)
        signs = table[table["finding"] == "opposite sign"]
        assert len(signs) == 6 and set(signs["reference_l2"]) == {reference}
        base = LAMBDAS.index(reference)
        for row in signs.itertuples():
            values = random_runs[row.measure].to_numpy().reshape(3, 12)
            difference = values[LAMBDAS.index(row.l2)] - values[base]
            opposite = difference * difference.mean() < 0
            assert row.count == opposite.sum()
            assert row.which_seeds == " ".join(map(str, np.flatnonzero(opposite)))
        assert signs["count"].max() > 2

    @pytest.mark.parametrize("confidence", [0.9, 0.95])
    def test_intervals_are_wilsons(self, random_runs, confidence):
        table = counted(random_runs, confidence=confidence)
        for row in table.to_dict("records"):
            assert row["share"] == row["count"] / row["n"]
            ends = proportion_confint(row["count"], row["n"], 1 - confidence, method="wilson")
            assert [row["low"], row["high"]] == pytest.approx(ends, abs=1e-12)
        assert statistics.share_interval(0, 0, 0.95).n == 0

    def test_the_larger_of_a_tie_is_picked(self):
        assert picked_by(counted(runs_of([[0.2, 0.1, 0.1], [0.1, 0.1, 0.3]]))) == {
            0: "", 1e-4: "1", 1e-2: "0",
        }  # fmt: skip

    def test_a_seed_picks_among_the_lambdas_at_which_it_completed(self):
        """All seeds together pick no lambda with a diverged run, but a seed knows only its own."""
        nan = math.nan
        table = counted(runs_of([[0.2, 0.3, 0.1], [0.2, 0.3, nan], [nan, 0.1, 0.2]]))
        assert picked_by(table) == {0: "1", 1e-4: "2", 1e-2: "0"}
        another = said(table, "picks another").loc[1e-4]
        assert another[["count", "n", "diverged_seeds"]].tolist() == [2, 3, "1 2"]
        signs = said(table, "opposite sign")
        assert signs.loc[1e-2, "n"].tolist() == [1, 1, 1]
        assert set(signs.loc[1e-2, "diverged_seeds"]) == {"1 2"}

    def test_a_seed_that_lacks_a_run_is_not_asked_what_it_picks(self, random_runs):
        left = random_runs[(random_runs["seed"] != 4) | (random_runs["l2"] != 1e-2)]
        table = counted(left)
        assert set(said(table, "picks")["n"]) == {11}
        assert "4" not in " ".join(said(table, "picks")["which_seeds"]).split()
        signs = said(table, "opposite sign")
        assert set(signs.loc[1e-4, "n"]) == {12} and set(signs.loc[1e-2, "n"]) == {11}

    def test_a_seed_without_a_difference_shows_no_opposite_sign(self):
        runs = runs_of(np.full((4, 2), 0.1))
        for name in ONE_SEED_MEASURES:
            runs[name] = [0.5] * 4 + [0.5, 0.5, 0.4, 0.7]
        signs = said(counted(runs), "opposite sign")
        assert signs["which_seeds"].tolist() == ["2"] * 3 and set(signs["n"]) == {4}

    def test_one_lambda_or_no_completed_run_has_no_rows(self):
        assert counted(runs_of([[0.1], [0.2]])).empty
        assert counted(runs_of(np.full((2, 3), math.nan))).empty

    def test_of_a_crossed_design_those_that_share_no_level_are_asked(self):
        setup = crossed.setup(weights=4, order=3, split=4)
        runs = crossed.runs(setup, {"split": 0.002, "rest": 0.002})
        table = counted(build.independent(runs, setup))
        assert set(table["n"]) == {3}
        asked = " ".join(said(table, "picks")["which_seeds"]).split()
        assert sorted(map(int, asked)) == sorted(setup.independent_seeds)


class TestWords:
    @pytest.mark.parametrize("low", [1e-6, -1.0])
    def test_the_least_sure_sign_is_named(self, study, low):
        counts, contrasts = study.tables["one_seed"].copy(), study.tables["contrasts"].copy()
        row = (counts["measure"] == "gap_reported") & (counts["l2"] == 1e-4)
        counts.loc[counts["finding"] == "opposite sign", ["count", "share"]] = 0, 0.0
        counts.loc[row, ["count", "share"]] = 2, 0.5
        contrasts.loc[contrasts["measure"] == "gap_reported", ["low", "high"]] = low, 1.0
        changed = with_tables(study, one_seed=counts, contrasts=contrasts)
        text = " ".join(one_seed_text.text(changed))
        assert "reported gap at lambda 0.0001" in text and "2 of 4 seeds" in text
        assert ("do not resolve" in text) == (low < 0)

    @pytest.mark.parametrize("case", ["one lambda, two seeds", "every run diverged"])
    def test_nothing_to_compare_is_said(self, edge_case, case):
        study = edge_case(case)
        assert one_seed_text.drawing(study) is None
        (text,) = one_seed_text.text(study)
        assert text in page.one_seed(study).data and "<button" not in page.one_seed(study).data


def test_every_seed_has_its_own_numbers(study):
    drawn = one_seed_text.drawing(study)
    data, names = json.loads(drawn["data"]), [row["what"] for row in drawn["rows"]]
    runs = study.tables["runs"].set_index(["l2", "seed"])
    assert data["seeds"] == [0, 1, 2, 5, 7]
    assert len(names) == len(data["said"]) == len(data["other"]) == 7
    at = names.index("Generalisation gap (points): λ 0.01 less λ 0")
    gap = runs["gap_generalisation"]
    expected = [gap[0.01, seed] - gap[0, seed] for seed in data["seeds"]]
    texts = [float(text.replace("−", "-")) for text in data["said"][at]]
    assert texts == pytest.approx(100 * np.array(expected), rel=0.01)
    opposite = (np.array(expected) * np.mean(expected) < 0).tolist()
    assert list(map(bool, data["other"][at])) == opposite
    lost = names.index("Test accuracy (points): λ 0.0001 less λ 0")
    assert data["said"][lost][3] == "–" and data["other"][lost][3] == 0
    ce = study.tables["runs"].pivot(index="seed", columns="l2", values="val_ce")
    assert data["said"][0] == [l2_label(l2) for l2 in ce.idxmin(axis=1)]
