"""What the tables and the report say for other images, with predictions made up here."""

import dataclasses
import math
import re

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import second_look
import synthetic
from l2study.core.design import Design
from l2study.core.measures import MEASURES
from l2study.core.predictions import PARTS, part_at
from l2study.core.scope_rows import SEEDS, SEEDS_AND_IMAGES, for_seeds
from l2study.report import claim_tables, text_tables
from l2study.report.study import Study
from l2study.tables import build, choice, claims, judge, statistics
from l2study.tables.image_intervals import NO_IMAGES, Images, images_of, spread_of, wide_mean
from l2study.tables.study_tables import tables_of

L2, SEEDS_OF_STUDY = (0.0, 1e-4, 0.01), (0, 1, 2, 3, 4)
LEDGER = {"claims": [judge.after(claim, 4) for claim in synthetic.ledger_of("small-gap")["claims"]]}
"""A claim on the last epoch."""


@pytest.fixture(scope="module")
def made():
    """A study: its set-up, runs and images, and its tables."""
    config, found = synthetic.made_study(
        lambdas=L2, seeds=SEEDS_OF_STUDY, epochs=4, split="stratified"
    )
    setup = Design.of(config, checked=True).base
    predictions = {(float(run.l2), run.seed): run.predictions for run in found}
    return setup, found, images_of(setup, predictions), tables_of(setup, LEDGER, found)


def with_keys(setup, **keys):
    return dataclasses.replace(setup, config=setup.config | keys)


def right(images, part, l2):
    return np.stack([images.predictions[l2, seed][part].right for seed in SEEDS_OF_STUDY])


def variance(table):
    """Return the variance of a mean over seeds and images from its components."""
    seeds, count = table.shape
    rest = table - table.mean(0) - table.mean(1)[:, None] + table.mean()
    rest = (rest**2).sum() / (seeds - 1) / (count - 1)
    of_seed = table.mean(1).var(ddof=1) - rest / count
    of_image = max(0, table.mean(0).var(ddof=1) - rest / seeds)
    return of_seed / seeds + of_image / count + rest / seeds / count


def test_a_mean_over_images_is_that_of_the_predictions(made):
    """Whatever the coefficients say, a measure moves with the predictions as they say."""
    _, _, images, tables = made
    runs = tables["runs"].set_index(["l2", "seed"])
    for name, measure in MEASURES.items():
        if not measure.images or name not in runs:
            continue
        of_images = {
            run: sum(
                coefficient * getattr(parts[part_at(part, measure.epoch)], quantity).mean()
                for quantity, of_parts in measure.images.items()
                for part, coefficient in of_parts.items()
            )
            for run, parts in images.predictions.items()
        }
        # made-up predictions have the accuracy of an earlier epoch to half an image
        exact = 0.5 / min(synthetic.IMAGES.values()) if measure.epoch else 1e-6
        held = runs[name] - pd.Series(of_images)
        others = ["train_accuracy", "train_ce", "penalty", "train_accuracy_running"]
        known = runs[others].assign(lag=runs["gap_lag"], none=0.0)
        assert any(
            np.allclose(held, sign * known[other], atol=exact)
            for other in known
            for sign in (1, -1)
        ), name


class TestPower:
    def test_the_second_row_plans_with_the_floor_of_the_images(self, made):
        _, _, images, tables = made
        found = tables["power"].query("l2 == 0.01 and gap == 'generalisation'")
        seeds, wide = (found[found["scope"] == scope] for scope in (SEEDS, SEEDS_AND_IMAGES))
        assert len(seeds) == len(wide) == 3
        assert (seeds["least_difference"] == 0).all() and seeds["images"].isna().all()
        table = right(images, "test", 0.01) - right(images, "test", 0.0)
        floor = variance(table) - table.mean(1).var(ddof=1) / 5
        least = (stats.norm.ppf(0.975) + stats.norm.ppf(0.8)) * math.sqrt(floor)
        assert wide["least_difference"].to_list() == pytest.approx([least] * 3, rel=1e-4)
        for row in wide.itertuples():
            if row.difference > least:
                alone = seeds.loc[seeds["difference"] == row.difference, "seeds"].item()
                assert row.seeds >= alone and math.isnan(row.images)
            else:
                assert math.isnan(row.seeds)
                share = 2 * (least / row.difference) ** 2
                assert row.images == pytest.approx(share * table.shape[1], rel=1e-3)
                assert row.seeds_with_images >= 2
        assert wide["seeds"].isna().any()

    def test_the_page_says_where_no_number_of_seeds_is_enough(self, made):
        study = Study("made", {}, data={}, tables={"power": made[3]["power"]})
        rows = text_tables.power_table(study)
        assert len(rows) == 2 * 2  # two lambdas, two gaps
        (row,) = (r for r in rows if str(r["λ"]) == "0.01" and r["Gap"] == "generalisation")
        assert re.fullmatch(r"none; about \d+ with [\d,]+ images", str(row["0.1 points"]))


class TestImages:
    def test_two_parts_are_independent(self, made):
        _, _, images, tables = made
        runs = build.by_lambda(tables["runs"])[0.0]
        found = images.mean("gap_split", runs["gap_split"], 0.0)
        test, val = right(images, "test", 0.0), right(images, "val", 0.0)
        between = test.mean(1) - val.mean(1)
        of_images = [variance(t) - t.mean(1).var(ddof=1) / 5 for t in (test, val)]
        assert found.error**2 == pytest.approx(between.var(ddof=1) / 5 + sum(of_images))

    def test_only_other_seeds_where_nothing_is_kept(self, made):
        _, _, images, tables = made
        runs = build.by_lambda(tables["runs"])[0.0]
        assert NO_IMAGES.mean("test_accuracy", runs["test_accuracy"], 0.0) is None
        assert images.mean("weight_norm", runs["weight_norm"], 0.0) is None
        fewer = {run: kept for run, kept in images.predictions.items() if run != (0.0, 3)}
        assert Images(fewer).mean("test_accuracy", runs["test_accuracy"], 0.0) is None
        # a run without a value needs no predictions
        some = runs["test_accuracy"].where(runs.index != 3)
        assert Images(fewer).mean("test_accuracy", some, 0.0).n == 4

    def test_a_split_of_its_own_for_every_seed(self, made):
        setup, _, images, tables = made
        varied = with_keys(setup, variation=["weights", "order", "split"])
        found = images_of(varied, images.predictions)
        # a tenth is held out: one validation image for nine training images
        assert found.correction == pytest.approx(1 / 9)
        smaller = with_keys(varied, dataset={"name": "mnist", "train_size": 600})
        assert images_of(smaller, images.predictions).correction == found.correction
        values = build.by_lambda(tables["runs"])[0.0]["gap_split"]
        test = spread_of(right(images, "test", 0.0))
        expected = wide_mean(values.to_numpy(), [(1.0, test)], 1 / 9)
        assert found.mean("gap_split", values, 0.0) == expected
        assert found.mean("val_ce", values, 0.0) == wide_mean(values.to_numpy(), [], 1 / 9)

    @pytest.mark.parametrize(
        ("split", "crossed", "correction"), [([0], PARTS, 0.0), ([0, 1], ("test",), 1 / 9)]
    )
    def test_one_level_of_the_split_is_shared_by_all_runs(self, made, split, crossed, correction):
        setup, _, images, _ = made
        levels = {"weights": [0, 1], "order": [0, 1], "split": split}
        found = images_of(with_keys(setup, seeds=levels), images.predictions)
        assert found.crossed == crossed
        assert found.correction == pytest.approx(correction)


class TestTables:
    def test_gap(self, made):
        _, _, images, tables = made
        gap = tables["gap"]
        wide = gap[gap["scope"] == SEEDS_AND_IMAGES]
        assert set(wide["epoch"]) == {4}
        assert set(wide["gap"]) == set(gap["gap"]) - {"lag"}
        assert wide[["variance", "variance_low", "sd", "variance_images"]].isna().all(axis=None)
        keys = ["l2", "epoch", "gap"]
        both = for_seeds(gap).merge(wide, on=keys, suffixes=("", "_wide"))
        assert len(both) == len(wide) == 6 * len(L2)
        assert (both["mean"] == both["mean_wide"]).all()
        assert (both["mean_low_wide"] < both["mean_low"]).all()
        row = for_seeds(gap).set_index(keys).loc[(0.0, 4, "split")]
        tables_of_parts = [right(images, part, 0.0) for part in PARTS]
        expected = sum(t.var(axis=1, ddof=1).mean() / t.shape[1] for t in tables_of_parts)
        assert row["variance_images"] == pytest.approx(expected)
        assert for_seeds(gap).query("epoch < 4 or gap == 'lag'")["variance_images"].isna().all()

    def test_contrasts(self, made):
        _, _, images, tables = made
        rows = tables["contrasts"].set_index(["measure", "scope", "l2"]).sort_index()
        table = right(images, "test", 0.01) - right(images, "test", 0.0)
        row = rows.loc[("test_accuracy", SEEDS_AND_IMAGES, 0.01)]
        given = pd.Series(table.mean(axis=1)), [(1.0, table)]
        expected = second_look.wide_interval(*given, 0.95)
        assert row[["mean_difference", "low", "high"]].tolist() == pytest.approx(expected)
        # the interval of this confidence ends at 0
        assert max(second_look.wide_interval(*given, 1 - row["p_t"])) == pytest.approx(0, abs=1e-9)
        family = rows.loc[("test_accuracy", SEEDS_AND_IMAGES)]
        least = family["p_t"].idxmin()
        assert family.loc[least, "p_holm"] == pytest.approx(min(1, 2 * family.loc[least, "p_t"]))
        of_seeds = ["p_sign_flip", "d_z", "probability_improvement", "p_variance", "correlation"]
        assert family[of_seeds].isna().all(axis=None)
        assert family["p_equivalent"].notna().all()
        assert (rows.loc["weight_norm"].index.get_level_values("scope") == SEEDS).all()

    def test_choice_resamples_images_too(self, made):
        _, _, images, tables = made
        rows = tables["choice"].query("metric == 'val_ce'").set_index(["rule", "scope"])
        assert len(rows) == 6
        for rule in ("best", "reference"):
            seeds, wide = rows.loc[(rule, SEEDS)], rows.loc[(rule, SEEDS_AND_IMAGES)]
            assert seeds["l2"] == wide["l2"]
            assert wide["high"] - wide["low"] > seeds["high"] - seeds["low"]
        draw, resampled = np.random.default_rng(1), []
        samples = draw.integers(0, 2000, size=(choice.RESAMPLES, 2000))
        for l2 in L2:
            ce = [images.predictions[l2, seed]["val"].cross_entropy for seed in range(5)]
            resampled.append(np.stack([one[samples].mean(axis=1) for one in ce], axis=1))
        means, _ = choice.resampled_means(np.stack(resampled))
        chosen = rows.loc[("best", SEEDS_AND_IMAGES)]
        assert chosen["share"] == np.mean(np.take(L2, means.argmin(axis=1)) == chosen["l2"])

    def test_the_one_standard_error_rule_has_the_error_for_other_images(self, made):
        _, _, images, tables = made
        own = choice.Choice(tables["runs"], "val_accuracy", images)
        error = own.difference("val_accuracy", 0.01, own.best, SEEDS_AND_IMAGES).error
        table = right(images, "val", 0.01) - right(images, "val", own.best)
        assert error**2 == pytest.approx(variance(table))
        rows = tables["choice"].query("metric == 'val_accuracy' and scope == @SEEDS_AND_IMAGES")
        row = rows.set_index("rule").loc["one_standard_error"]
        within = [
            l2 for l2 in L2
            if -(more := own.difference("val_accuracy", l2, own.best, SEEDS_AND_IMAGES)).value
            <= more.error
        ]  # fmt: skip
        assert row["l2"] == max(within)

    def test_without_predictions_every_row_is_for_seeds(self, made):
        setup, found, _, tables = made
        blind = [run._replace(predictions={}) for run in found]
        for name, table in tables_of(setup, LEDGER, blind).items():
            if "scope" in table and name != "claims":
                assert (table["scope"] == SEEDS).all(), name
                expected = for_seeds(tables[name]).reset_index(drop=True)
                pd.testing.assert_frame_equal(
                    table.drop(columns="variance_images", errors="ignore"),
                    expected.drop(columns="variance_images", errors="ignore"),
                )


ROW = {
    "estimand": "x",
    "statistic": "mean",
    "measure": "test_accuracy",
    "at": [0],
    "expect": {"above": 0},
    "rationale": "x",
    "evidence": {"table": "runs.csv", "figure": "gap"},
}


class TestClaims:
    def judged(self, made, *rows):
        """Return the claims of a ledger of one claim with these rows."""
        setup, _, images, tables = made
        ledger = {"claims": [{"id": "a", "claim": "the claim", "rows": [ROW | r for r in rows]}]}
        given = (tables["histories"], tables["runs"], tables["choice"])
        return claims.claims_table(ledger, *given, setup.epochs, 0.95, images)

    def between(self, made):
        """Return a bound that the interval over seeds excludes, and the wider one does not."""
        means = made[3]["means"].set_index(["measure", "l2", "scope"]).sort_index()
        rows = means.loc[("test_accuracy", 0.0)]
        return (rows.loc[SEEDS, "low"] + rows.loc[SEEDS_AND_IMAGES, "low"]) / 2

    def test_a_mean_over_images_is_judged_for_other_images(self, made):
        row, whole = self.judged(made, {"expect": {"above": self.between(made)}}).iloc
        means = made[3]["means"].set_index(["measure", "l2", "scope"]).sort_index()
        expected = means.loc[("test_accuracy", 0.0, SEEDS_AND_IMAGES), ["low", "high"]]
        assert row[["low", "high"]].tolist() == expected.tolist()
        assert (row["scope"], row["verdict"]) == (SEEDS_AND_IMAGES, "open")
        assert (whole["conclusion"], whole["conclusion_seeds"]) == ("open", "holds")
        assert whole["scope"] == SEEDS_AND_IMAGES

    @pytest.mark.parametrize(
        ("other", "scopes"),
        [
            ({"epoch": 4}, [SEEDS_AND_IMAGES] * 2),
            ({"statistic": "difference", "at": [0.01], "against": 0}, [SEEDS_AND_IMAGES] * 2),
            ({"measure": "gap_lag_split"}, [SEEDS_AND_IMAGES] * 2),
            # no predictions are kept after epoch 3
            ({"epoch": 3}, [SEEDS] * 2),
            ({"epoch": 3, "decides": False}, [SEEDS_AND_IMAGES, SEEDS]),
            # a norm is no mean over images, and has nothing to say of other images
            ({"measure": "weight_norm"}, [SEEDS_AND_IMAGES, SEEDS]),
            # a ratio of means over images has no interval for other images
            ({"statistic": "ratio", "at": [0.01], "against": 0}, [SEEDS] * 2),
        ],
    )
    def test_all_rows_of_a_claim_are_judged_in_one_scope(self, made, other, scopes):
        *rows, whole = self.judged(made, {}, other)["scope"]
        assert rows == scopes
        assert whole == scopes[0]


def test_runs_that_are_alike_up_to_the_epoch_of_a_claim_have_the_same_verdicts():
    """Whether the study ends there or goes on."""
    config, found = synthetic.made_study(lambdas=L2, seeds=range(3), epochs=12, predict_at=[4, 8])
    ended, judged = [], {}
    for run in found:  # as if the study had ended after epoch 8
        last = {part: run.predictions[part_at(part, 8)] for part in PARTS}
        history = run.history[run.history[:, 2] <= 8]
        ended.append(run._replace(history=history, predictions=run.predictions | last))
    for epochs, runs in ((8, ended), (12, found)):
        training = {"training": config["training"] | {"epochs": epochs}}
        setup = Design.of(config | training, checked=True).base
        tables = tables_of(setup, synthetic.ledger_of("small-gap", "negative-gap"), runs)
        judged[epochs] = tables["claims"].drop(columns="changes_with_epoch")
    assert set(judged[8].query("decides != 'no'")["scope"].dropna()) == {SEEDS_AND_IMAGES}
    longer = judged[12][~judged[12]["estimand"].str.endswith("epoch 12")]
    pd.testing.assert_frame_equal(judged[8], longer.reset_index(drop=True))


def test_more_seeds_make_the_part_of_the_images_no_smaller(made):
    setup, _, images, tables = made
    cells = build.by_lambda(tables["runs"])
    last = frozenset(setup.epochs)
    sample = judge.Sample(cells, {}, 0.95, last, {}, images=images)
    row = {"statistic": "mean", "measure": "test_accuracy", "at": [0], "expect": {"above": 0.5}}
    (item,) = judge.judge_claim({"rows": [row]}, sample)
    of_seeds = statistics.mean_of(cells[0.0]["test_accuracy"]).error
    assert item.scope == SEEDS_AND_IMAGES
    assert item.error**2 == pytest.approx(of_seeds**2 + item.floor)
    assert item.floor > of_seeds**2 > 0
    (alone,) = judge.judge_claim({"rows": [row]}, sample._replace(images=NO_IMAGES))
    assert (alone.error, alone.floor) == (pytest.approx(of_seeds), 0)


def test_the_claims_say_where_they_are_for_other_images(made):
    setup, _, _, tables = made
    whole = tables["claims"].query("estimand == 'overall'")
    for scope, images in ((SEEDS_AND_IMAGES, "and images"), (SEEDS, "on these images")):
        study = Study("made", setup.config, {"claims": whole.assign(scope=scope)}, {})
        assert f"for other seeds {images}." in claim_tables.claims_text(study)
