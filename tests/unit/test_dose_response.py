"""Results as curves over lambda, and the lambdas that are as good as the best."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from l2study.core.measures import MEASURES
from l2study.core.predictions import PARTS, Predicted
from l2study.report import dose_text, figures
from l2study.report.study import Study
from l2study.tables import dose_response as dose
from l2study.tables.image_intervals import Images
from reported import with_tables
from synthetic import runs_table
from tiny import PROJECT

LAMBDAS = [0.0, 1e-5, 1e-4, 1e-3, 3e-3, 1e-2, 3e-2]


def cells_of(study, measure, chosen=slice(None)):
    """Return what is left out of set-ups of a study in reference/, in the order of their names."""
    runs = pd.read_csv(PROJECT / "reference" / study / "tables" / "runs.csv")
    runs = runs[runs["setup"].isin(sorted(set(runs["setup"]))[chosen])]
    tables = (
        of_setup.pivot(index="seed", columns="l2", values=measure)
        for _, of_setup in runs.groupby("setup")
    )
    return [cell for table in tables for cell in dose.left_out(dose.points(measure, table, 0.95))]


class TestHolds:
    """On reference/when-it-helps: twelve set-ups of seven lambdas, five of them left out."""

    @pytest.mark.parametrize("measure", dose.DOSE_MEASURES)
    def test_curves_of_cross_entropy_and_accuracy_do(self, measure, monkeypatch):
        check = dose.checked(cells_of("when-it-helps", measure))
        assert check.cells == 60 and check.holds
        # without the error of the interpolation, at least a third of the bands miss
        monkeypatch.setattr(dose, "CURVATURE", 0.0)
        assert dose.checked(cells_of("when-it-helps", measure)).covered < 0.67

    def test_the_factor_of_half_of_the_set_ups_does_for_the_other_half(self, monkeypatch):
        def covered(half):
            cells = [cells_of("when-it-helps", measure, half) for measure in dose.DOSE_MEASURES]
            return min(dose.checked(own).covered for own in cells)

        one, other = slice(0, None, 2), slice(1, None, 2)
        assert covered(one) >= 0.95 and covered(other) >= 0.95
        monkeypatch.setattr(dose, "CURVATURE", dose.CURVATURE - 0.25)
        assert covered(one) < 0.95

    def test_those_of_the_generalisation_gap_do_not(self, monkeypatch):
        monkeypatch.setattr(dose, "_of_images", lambda *given: None)
        assert not dose.checked(cells_of("when-it-helps", "gap_generalisation")).holds
        assert not [measure for measure in dose.DOSE_MEASURES if measure.startswith("gap")]

    def test_a_curve_with_a_jump_does_not(self):
        table = study(lambda x: np.where(x > -3.5, 1.0, 0.0), 0.01, 7)
        assert not dose.checked(dose.left_out(dose.points("val_ce", table, 0.95))).holds


def study(truth, sd, seeds, seed=0):
    """Return a made-up measure, a row per seed and a column per lambda."""
    draw = np.random.default_rng(seed)
    noise = draw.normal(0, sd, (seeds, len(LAMBDAS))) + draw.normal(0, sd, (seeds, 1))
    return pd.DataFrame(truth(dose.places(LAMBDAS)) + noise, columns=LAMBDAS)


class TestPoints:
    def test_the_band_at_a_trained_lambda_is_the_interval_of_its_mean(self):
        table = study(np.sin, 0.01, 8)
        known = dose.points("val_ce", table, 0.9)
        value, drawn, bound = dose.interpolated(known, known.place)
        assert value == pytest.approx(table.mean().to_numpy()) and not bound.any()
        half = known.factor * drawn.std(axis=0)
        t = stats.t.interval(0.9, 7, table.mean(), stats.sem(table))
        assert half == pytest.approx((t[1] - t[0]) / 2, rel=0.1)

    def test_other_images_widen_it(self):
        draw, seeds, count = np.random.default_rng(0), 4, 400
        difficulty = draw.random(count)
        lambdas = LAMBDAS[:4]
        label = np.zeros(count, np.uint8)
        runs = list(itertools.product(lambdas, range(seeds)))
        right = {run: difficulty < 0.9 + 0.01 * draw.normal() for run in runs}
        predicted = {
            run: dict.fromkeys(PARTS, Predicted(label, 1 - of_run, label.astype("f4") + 0.5))
            for run, of_run in right.items()
        }
        table = pd.Series({run: of_run.mean() for run, of_run in right.items()}).unstack(0)
        for images in (Images(predicted), Images(predicted, crossed=("test",))):
            known = dose.points("val_accuracy", table, 0.95, images)
            # of a share of 0.9 of 400 images, 0.015, if these are drawn again
            of_images = 0.015 if "val" in images.crossed else 0.0
            expected = np.hypot(known.error, of_images)
            assert known.drawn.std(axis=0) == pytest.approx(expected, rel=0.3)
            apart = (known.drawn[:, 0] - known.drawn[:, 1]).std()
            assert apart < 0.012  # lambdas share their images


@pytest.fixture(scope="module")
def runs():
    ce = study(lambda x: 0.5 + 0.02 * (x + 2.7) ** 2, 0.01, 6)
    right = study(lambda x: 0.9 - 0.01 * (x + 2.7) ** 2, 0.004, 6, 1)
    measures = {"val_ce": ce, "val_accuracy": right, "test_accuracy": right - 0.01}
    return runs_table(LAMBDAS, **{name: table.T for name, table in measures.items()})


class TestTables:
    def test_the_range_is_where_the_interval_of_the_difference_ends(self, runs):
        tables = dose.dose_tables(runs, 0.95)
        row = tables["equivalence"].set_index("measure").loc["val_ce"]
        assert row["holds"] == "yes"
        table = runs.pivot(index="seed", columns="l2", values="val_ce")
        assert row["best_l2"] == table.mean().idxmin()
        assert row["low_l2"] <= row["best_l2"] <= row["high_l2"]
        # a trained lambda is within where the paired t interval ends below the margin
        for l2 in LAMBDAS:
            difference = table[l2] - table[row["best_l2"]]
            end = difference.mean() + stats.t.ppf(0.975, 5) * stats.sem(difference)
            if abs(end - row["margin"]) > 0.002 and l2 != row["best_l2"]:
                assert (row["low_l2"] <= l2 <= row["high_l2"]) == (end < row["margin"]), l2

    def test_the_test_set_chooses_nothing(self, runs):
        tables = dose.dose_tables(runs, 0.95)
        row = tables["equivalence"].set_index("measure").loc["test_accuracy"]
        assert row["holds"] == "yes" and pd.isna(row["best_l2"])
        assert set(tables["dose_response"]["measure"]) == set(dose.DOSE_MEASURES)

    def test_lambdas_are_written_once_and_ascend(self, runs):
        curve = dose.dose_tables(runs, 0.95)["dose_response"].query("measure == 'val_ce'")
        assert set(LAMBDAS) < set(curve["l2"])
        assert curve["l2"].is_monotonic_increasing and curve["l2"].is_unique
        assert curve["value"].between(curve["low"], curve["high"]).all()

    def test_a_lambda_that_lost_a_run_is_left_out(self, runs):
        table = dose.dose_tables(
            runs.assign(status=np.where(runs["l2"] == 0.03, "diverged", "completed")), 0.95
        )
        assert table["dose_response"]["l2"].max() == 0.01
        assert set(table["equivalence"]["cells"]) == {4}

    @pytest.mark.parametrize("few", ["l2 < 0.0005", "seed == 0"])
    def test_too_few(self, runs, few):
        tables = dose.dose_tables(runs.query(few), 0.95)
        assert tables["dose_response"].empty and tables["equivalence"].empty

    def test_equal_runs_have_a_curve_without_a_band(self, runs):
        alike = runs.assign(val_ce=0.5, val_accuracy=0.9, test_accuracy=0.9)
        tables = dose.dose_tables(alike, 0.95)
        assert set(tables["equivalence"]["holds"]) == {"yes"}
        row = tables["equivalence"].set_index("measure").loc["val_ce"]
        assert (row["low_l2"], row["best_l2"], row["high_l2"]) == (0, 0.03, 0.03)


class TestFigure:
    @pytest.fixture
    def shown(self, runs):
        means = runs.groupby("l2")[list(dose.DOSE_MEASURES)].mean().reset_index()
        means = means.melt("l2", var_name="measure", value_name="mean")
        means = means.assign(low=means["mean"], high=means["mean"], scope="seeds")
        tables = dose.dose_tables(runs, 0.95) | {"runs": runs, "means": means}
        return Study("made", {"confidence": 0.95}, tables, {})

    def test_points_curve_and_range(self, shown):
        ax = figures.draw("dose_response", shown).axes[0]
        drawn = {line.get_label(): line.get_xydata() for line in ax.lines}
        means = shown.tables["means"].query("measure == 'val_ce'")["mean"]
        assert drawn["mean:val_ce"][:, 1] == pytest.approx(means.to_numpy())
        row = shown.tables["equivalence"].set_index("measure").loc["val_ce"]
        low, high = drawn["as good"][:, 0]
        assert [low, high] == pytest.approx(np.log10([row["low_l2"], row["high_l2"]]), abs=0.01)
        place = dict(drawn["mean:val_ce"])
        for x, y in drawn["curve"]:
            assert place.get(x, y) == pytest.approx(y)

    def test_where_the_curve_does_not_hold_there_are_points_alone(self, shown):
        nothing = pd.DataFrame()
        without = with_tables(shown, dose_response=nothing, equivalence=nothing)
        drawing = figures.draw("dose_response", without)
        for ax in drawing.axes:
            assert "points alone" in ax.texts[-1].get_text()
            assert "curve" not in {line.get_label() for line in ax.lines}
        assert [len(figures.draw("dose_response", one).legends[0].get_texts())
                for one in (shown, without)] == [3, 1]  # fmt: skip


def test_the_report_says_the_range_and_which_curves_fail(runs):
    equivalence = dose.dose_tables(runs, 0.95)["equivalence"]
    equivalence.loc[equivalence["measure"] == "val_ce", ["low_l2", "high_l2"]] = 0.000838, 0.00523
    config = {"confidence": 0.95}
    (text,) = dose_text.text(Study("made", config, {"equivalence": equivalence}, {}))
    ends = "0.00084 to 0.0052"  # inside what is known
    assert f"95 % confidence, any lambda from {ends} is within 0.01 nats of the best" in text
    assert "0.5 points of the best in validation accuracy" in text and "left out" not in text
    failed = equivalence.assign(holds="no", best_l2=math.nan)
    (text,) = dose_text.text(Study("made", config, {"equivalence": failed}, {}))
    assert text.startswith("The curve of validation cross-entropy, validation accuracy")
    assert dose_text.text(Study("made", config, {"equivalence": pd.DataFrame()}, {})) == []


def test_what_has_a_curve_is_a_mean_over_the_images_of_one_part():
    for measure in dose.DOSE_MEASURES:
        ((_, parts),) = MEASURES[measure].images.items()
        assert list(parts.values()) == [1]
    assert all(math.isfinite(margin) for margin in dose.MARGINS.values())
