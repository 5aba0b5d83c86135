"""What the tables and the report say for other images, with predictions made up here."""

import dataclasses
import json
import math

import numpy as np
import pandas as pd
import pytest
from frictionless import validate
from scipy import stats

import aggregate
import synthetic
from l2study.core.epochs import evaluated_epochs
from l2study.core.measures import MEASURES
from l2study.core.predictions import PARTS, Predicted
from l2study.core.scope_rows import SEEDS, SEEDS_AND_IMAGES, for_seeds, widest
from l2study.report import answer, claim_tables, comparison, figures, summary, text_tables
from l2study.report.study import Study, read_study
from l2study.tables import across, build, claims, decision_tables, judge, scopes, statistics
from l2study.tables.derived import with_derived
from l2study.tables.image_means import NO_IMAGES, Images, images_of
from l2study.tables.ledger import read_ledger
from reported import CAPTIONS
from tiny import PROJECT

COUNTS = {"val": 300, "test": 500}
L2, SEEDS_OF_STUDY = (0.0, 1e-4, 0.01), (0, 1, 2, 3, 4)
LEDGER = read_ledger(PROJECT / "reports" / "claims" / "exercise.yaml")


def predictions_of(lambdas, seeds, spread=1.5, lower=0.1):
    """Return predictions of images of which some are hard for every seed."""
    draw = np.random.default_rng(7)
    hardness = {part: draw.normal(0, spread, size=count) for part, count in COUNTS.items()}
    found = {}
    for rank, l2 in enumerate(lambdas):
        for seed in seeds:
            found[l2, seed] = {}
            for part, hard in hardness.items():
                logit = 3 - lower * rank - hard + 0.3 * draw.normal(size=hard.size)
                probability = 1 / (1 + np.exp(-logit))
                label = np.zeros(hard.size, np.uint8)
                wrong = (probability < 0.5).astype(np.uint8)
                found[l2, seed][part] = Predicted(label, wrong, probability.astype(np.float32))
    return found


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A study with predictions: its configuration, histories, runs and images, and its tables."""
    folder = tmp_path_factory.mktemp("study")
    config = synthetic.write_study(folder, lambdas=L2, seeds=SEEDS_OF_STUDY, epochs=4)
    found = synthetic.read_study(folder, config)
    predictions = predictions_of(L2, SEEDS_OF_STUDY)
    kept = {(float(run.l2), run.seed): run for run in found}
    for run, parts in predictions.items():
        for part, shown in parts.items():
            for name, values in (("accuracy", shown.right), ("ce", shown.cross_entropy)):
                place = synthetic.HISTORY_COLUMNS.index(f"{part}_{name}")
                kept[run].history[-1, place] = values.mean()
        loss, ce, penalty = map(synthetic.HISTORY_COLUMNS.index, ("val_loss", "val_ce", "penalty"))
        history = kept[run].history
        history[-1, loss] = history[-1, ce] + history[-1, penalty]
    images = images_of(config, predictions)
    return config, found, images, tables_of(config, found, images)


def tables_of(config, found, images):
    histories = build.histories_table(found)
    runs = with_derived(histories, build.runs_table(found), build.regularised_kernels(found))
    epochs = evaluated_epochs(config["training"])
    absent = build.without_value(config)
    choice = decision_tables.choice_table(runs, 0.0, 0.95, images)
    return {
        "histories": histories,
        "runs": runs,
        "gap": build.gap_table(histories, runs, epochs, 0.95, absent, images),
        "contrasts": build.contrasts_table(runs, 0.0, 0.95, absent, images),
        "choice": choice,
        "claims": claims.claims_table(LEDGER, histories, runs, choice, epochs, 0.95, images),
        "means": build.means_table(runs, [n for n in MEASURES if n in runs], 0.95, images),
        "answer": decision_tables.answer_table(runs, choice, 0.0, 0.95, images),
    }


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


class TestRegistry:
    def test_a_mean_over_images_is_that_of_the_predictions(self, made):
        """Whatever the coefficients say, a measure moves with the predictions as they say."""
        _, _, images, tables = made
        runs = tables["runs"].set_index(["l2", "seed"])
        for name, measure in MEASURES.items():
            if not measure.images or name not in runs:
                continue
            of_images = pd.Series(
                {
                    run: sum(
                        coefficient * getattr(parts[part], quantity).mean()
                        for quantity, of_parts in measure.images.items()
                        for part, coefficient in of_parts.items()
                    )
                    for run, parts in images.predictions.items()
                }
            )
            held = runs[name] - of_images
            others = ["train_accuracy", "train_ce", "penalty", "train_accuracy_running"]
            known = runs[others].assign(lag=runs["gap_lag"], none=0.0)
            fits = [
                np.allclose(held, sign * known[other], atol=1e-9)
                for other in known
                for sign in (1, -1)
            ]
            assert any(fits), name

    def test_what_other_images_would_change_is_known_of_accuracies_gaps_and_cross_entropies(self):
        known = {name for name, measure in MEASURES.items() if measure.images}
        assert {"test_accuracy", "val_ce", "test_ce", "gap_reported", "gap_ce"} <= known
        assert not known & {"gap_lag", "weight_norm", "test_accuracy_best", "train_accuracy"}
        for name in known:
            for of_parts in MEASURES[name].images.values():
                assert set(of_parts) <= set(PARTS)


class TestImages:
    def test_differences_are_formed_image_by_image(self, made):
        _, _, images, tables = made
        runs = build.by_lambda(tables["runs"])
        values = build.paired_differences(runs, "test_accuracy", 0.01, 0.0)
        found = images.mean("test_accuracy", values, 0.01, 0.0)
        table = right(images, "test", 0.01) - right(images, "test", 0.0)
        assert found.value == pytest.approx(table.mean())
        assert found.error**2 == pytest.approx(variance(table))

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
        config, _, images, tables = made
        varied = config | {"variation": ["weights", "order", "split"]}
        found = images_of(varied, images.predictions)
        # a tenth is held out: one validation image for nine training images
        assert found.correction == pytest.approx(1 / 9)
        smaller = varied | {"dataset": {"name": "mnist", "train_size": 600}}
        assert images_of(smaller, images.predictions).correction == found.correction
        values = build.by_lambda(tables["runs"])[0.0]["gap_split"]
        test = scopes.Part(1.0, right(images, "test", 0.0))
        expected = scopes.crossed_mean(values, [test], 1 / 9)
        assert found.mean("gap_split", values, 0.0) == expected
        assert found.mean("val_ce", values, 0.0) == scopes.crossed_mean(values, [], 1 / 9)

    @pytest.mark.parametrize(
        ("split", "crossed", "correction"), [([0], PARTS, 0.0), ([0, 1], ("test",), 1 / 9)]
    )
    def test_one_level_of_the_split_is_shared_by_all_runs(self, made, split, crossed, correction):
        config, _, images, _ = made
        levels = {"weights": [0, 1], "order": [0, 1], "split": split}
        found = images_of(config | {"seeds": levels}, images.predictions)
        assert found.crossed == crossed
        assert found.correction == pytest.approx(correction)


class TestTables:
    def test_gap(self, made):
        _, _, images, tables = made
        gap = tables["gap"]
        wide = gap[gap["scope"] == SEEDS_AND_IMAGES]
        assert set(wide["epoch"]) == {4}
        assert set(wide["gap"]) == {"reported", "generalisation", "split", "endpoint", "ce"}
        assert wide[["variance", "variance_low", "sd", "variance_images"]].isna().all(axis=None)
        keys = ["l2", "epoch", "gap"]
        both = for_seeds(gap).merge(wide, on=keys, suffixes=("", "_wide"))
        assert len(both) == len(wide) == 5 * len(L2)
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
        assert row["mean_difference"] == pytest.approx(table.mean())
        df = scopes.crossed_mean(table.mean(1), [scopes.Part(1.0, table)]).df
        errors = [(math.sqrt(variance(table)), df)]
        errors.append((statistics.standard_error(table.mean(1)), len(table) - 1))
        half = max(stats.t.ppf(0.975, df) * error for error, df in errors)
        assert (row["high"] - row["low"]) / 2 == pytest.approx(half)
        p = max(2 * stats.t.sf(abs(table.mean()) / error, df) for error, df in errors)
        assert row["p_t"] == pytest.approx(p)
        family = rows.loc[("test_accuracy", SEEDS_AND_IMAGES)]
        least = family["p_t"].idxmin()
        assert family.loc[least, "p_holm"] == pytest.approx(min(1, 2 * family.loc[least, "p_t"]))
        of_seeds = ["p_sign_flip", "d_z", "probability_improvement", "p_variance", "correlation"]
        assert family[of_seeds].isna().all(axis=None)
        assert family["p_equivalent"].notna().all()
        assert (rows.loc["weight_norm"].index.get_level_values("scope") == SEEDS).all()

    def test_choice_resamples_images_too(self, made):
        _, _, images, tables = made
        rows = tables["choice"].set_index(["rule", "scope"])
        assert len(rows) == 6
        for rule in ("best", "one_standard_error"):
            seeds, wide = rows.loc[(rule, SEEDS)], rows.loc[(rule, SEEDS_AND_IMAGES)]
            assert seeds["l2"] == wide["l2"]
            assert wide["high"] - wide["low"] > seeds["high"] - seeds["low"]
        ce = [
            np.stack([images.predictions[l2, seed]["val"].cross_entropy for seed in range(5)])
            for l2 in L2
        ]
        best, _ = scopes.resampled_choice(L2, ce)
        chosen = rows.loc[("best", SEEDS_AND_IMAGES)]
        assert chosen["share"] == np.mean(best == chosen["l2"])

    def test_answer_and_best(self, made):
        _, _, _, tables = made
        answer, contrasts = tables["answer"], tables["contrasts"]
        keys = ["l2", "measure", "scope"]
        both = answer.merge(contrasts, on=keys, suffixes=("", "_c"))
        assert len(both) == len(answer)
        assert (
            (both[["low", "p_equivalent"]] == both[["low_c", "p_equivalent_c"]].to_numpy())
            .eq(both[["low", "p_equivalent"]].notna())
            .all(axis=None)
        )
        chosen = answer.assign(comparison="chosen")[answer["comparison"] == "strongest"]
        choice = tables["choice"].assign(l2=0.01)
        row = across.best_table({"base": {"choice": choice, "answer": chosen}}).iloc[0]
        wide = widest(chosen, ["measure"]).set_index("measure")
        assert row["test_accuracy_low"] == wide.loc["test_accuracy", "low"]
        assert wide.loc["test_accuracy", "scope"] == SEEDS_AND_IMAGES

    def test_means(self, made):
        _, _, images, tables = made
        means = tables["means"].set_index(["measure", "l2", "scope"]).sort_index()
        row = means.loc[("test_accuracy", 0.0, SEEDS_AND_IMAGES)]
        half = (row["high"] - row["low"]) / 2
        error = math.sqrt(variance(right(images, "test", 0.0)))
        assert half / error == pytest.approx(1.97, abs=0.05)
        assert (means.loc[("train_accuracy", 0.0)].index == SEEDS).all()

    def test_without_predictions_every_row_is_for_seeds(self, made):
        config, found, _, tables = made
        for name, table in tables_of(config, found, NO_IMAGES).items():
            if "scope" in table and name != "claims":
                assert (table["scope"] == SEEDS).all(), name
                expected = for_seeds(tables[name]).reset_index(drop=True)
                pd.testing.assert_frame_equal(
                    table.drop(columns="variance_images", errors="ignore"),
                    expected.drop(columns="variance_images", errors="ignore"),
                )


def ledger_of(**row):
    """Return a ledger of one claim with one row."""
    usual = {
        "estimand": "x",
        "statistic": "mean",
        "measure": "test_accuracy",
        "at": [0],
        "because": "x",
        "evidence": {"table": "runs.csv", "figure": "gap"},
    }
    return {"claims": [{"id": "a", "claim": "the claim", "rows": [usual | row]}]}


class TestClaims:
    def judged(self, made, **row):
        config, _, images, tables = made
        given = (tables["histories"], tables["runs"], tables["choice"])
        epochs = evaluated_epochs(config["training"])
        return claims.claims_table(ledger_of(**row), *given, epochs, 0.95, images)

    def between(self, made):
        """Return a bound that the interval over seeds excludes, and the wider one does not."""
        means = made[3]["means"].set_index(["measure", "l2", "scope"]).sort_index()
        rows = means.loc[("test_accuracy", 0.0)]
        return (rows.loc[SEEDS, "low"] + rows.loc[SEEDS_AND_IMAGES, "low"]) / 2

    def test_a_mean_over_images_is_judged_for_other_images(self, made):
        row, whole = self.judged(made, holds={"above": self.between(made)}).iloc
        means = made[3]["means"].set_index(["measure", "l2", "scope"]).sort_index()
        expected = means.loc[("test_accuracy", 0.0, SEEDS_AND_IMAGES), ["low", "high"]]
        assert row[["low", "high"]].tolist() == expected.tolist()
        assert (row["scope"], row["verdict"]) == (SEEDS_AND_IMAGES, "not resolved")
        assert (whole["verdict"], whole["verdict_seeds"]) == ("not resolved", "supported")
        assert (
            "For other seeds on these images it is supported; for other images too, it is not"
            " resolved." in whole["decided_by"]
        )
        assert pd.isna(whole["scope"])

    def test_nothing_is_said_where_both_scopes_agree(self, made):
        _, whole = self.judged(made, holds={"above": 0.1}).iloc
        assert whole["verdict"] == whole["verdict_seeds"] == "supported"
        assert "other images" not in whole["decided_by"]

    @pytest.mark.parametrize(
        ("row", "scope"),
        [
            ({"epoch": 4}, SEEDS_AND_IMAGES),
            ({"epoch": 3}, SEEDS),
            ({"measure": "weight_norm"}, SEEDS),
            ({"statistic": "difference", "at": [0.01], "against": 0}, SEEDS_AND_IMAGES),
            ({"statistic": "ratio", "at": [0.01], "against": 0}, SEEDS),
            ({"measure": "gap_lag_split"}, SEEDS_AND_IMAGES),
        ],
    )
    def test_scope_of_a_row(self, made, row, scope):
        assert self.judged(made, holds={"above": 0}, **row).iloc[0]["scope"] == scope

    def test_verdicts_have_the_scope_of_their_row(self, made):
        table = self.judged(made, holds={"above": 0.1})
        verdicts = across.verdicts_table({"base": {"claims": table}})
        assert verdicts["scope"].tolist() == [SEEDS_AND_IMAGES]


@pytest.mark.slow  # makes a whole study
def test_a_whole_study_is_written_as_described_and_reported(tmp_path, monkeypatch):
    config = synthetic.write_study(tmp_path, lambdas=L2, seeds=SEEDS_OF_STUDY, epochs=3)
    predictions = predictions_of(L2, SEEDS_OF_STUDY)
    monkeypatch.setattr(aggregate, "predictions_of", lambda _: predictions)
    aggregate.write_tables(config, PROJECT / "reports" / "claims" / "exercise.yaml", tmp_path)
    report = validate(str(tmp_path / "tables" / "datapackage.json"))
    assert report.valid, report.flatten(["type", "note"])
    study = read_study(json.dumps(config), tmp_path, CAPTIONS)
    for name in ("gap", "contrasts", "choice", "means", "answer", "claims"):
        assert set(study.tables[name]["scope"].dropna()) == {SEEDS, SEEDS_AND_IMAGES}, name
    text = summary.summary(study)
    assert answer.text(study)[-1] in text
    assert text_tables.scopes_sentence(study) in text
    assert text_tables.variance_sentences(study)[-1] in text


def test_more_seeds_make_the_part_of_the_images_no_smaller(made):
    config, _, images, tables = made
    cells = build.by_lambda(tables["runs"])
    last = frozenset(range(config["training"]["epochs"] + 1))
    sample = judge.Sample(cells, {}, 0.95, last, {}, images=images)
    row = {"statistic": "mean", "measure": "test_accuracy", "at": [0], "holds": {"above": 0.5}}
    (item,) = judge.judge_claim({"rows": [row]}, sample)
    of_seeds = statistics.standard_error(cells[0.0]["test_accuracy"])
    assert item.scope == SEEDS_AND_IMAGES
    assert item.error**2 == pytest.approx(of_seeds**2 + item.floor)
    assert item.floor > of_seeds**2 > 0
    (alone,) = judge.judge_claim({"rows": [row]}, sample._replace(images=NO_IMAGES))
    assert (alone.error, alone.floor) == (pytest.approx(of_seeds), 0)


class TestReport:
    @pytest.fixture
    def study(self, made):
        config, _, _, tables = made
        return Study("made-up", config, tables, {})

    def test_the_answer_says_what_its_intervals_are_for(self, study):
        text = " ".join(answer.text(study))
        assert "on these images" not in text
        assert "if the validation images are drawn again, too" in text
        row = answer.comparison(study, "strongest", answer.EFFECTS).differences[0]
        contrasts = widest(study.tables["contrasts"], ["measure", "l2"])
        wide = contrasts.set_index(["measure", "l2"]).loc[("test_accuracy", 0.01)]
        assert sorted(abs(wide[["low", "high"]])) == [row.change.low, row.change.high]

    def test_studies_are_compared_for_other_seeds(self, study):
        table = comparison.comparison_table([study])
        assert len(table) == len(comparison.COMPARED) * len(L2)
        means = for_seeds(study.tables["means"]).set_index(["measure", "l2"])
        row = table.set_index(["measure", "l2"]).loc[("test_accuracy", 0.01)]
        assert row["low"] == means.loc[("test_accuracy", 0.01), "low"]
        assert [len(cells) for _, cells in comparison.choices([study])] == [1, 1, 1]

    def test_figures_and_tables_have_one_mark_and_row_each(self, study):
        rows = text_tables.lambda_table(study)
        assert len(rows) == len(text_tables.gap_table(study)) == len(L2)
        assert len(text_tables.choice_table(study)) == 3
        for name in ("gap", "decomposition", "gap_variance", "contrasts"):
            figures.draw(name, study)
        measured = [row["For other"] for row in text_tables.contrast_table(study, "test_accuracy")]
        assert measured == [SEEDS] * 2 + [SEEDS_AND_IMAGES] * 2
        assert "other validation and test images" in text_tables.scopes_sentence(study)

    def test_a_variance_below_that_of_images_alone_is_said(self, study):
        texts = text_tables.variance_sentences(study)
        gap = for_seeds(study.tables["gap"]).set_index(["gap", "epoch", "l2"])
        row = gap.loc[("generalisation", 4, 0.0)]
        assert row["variance"] < row["variance_images"]
        shown = [text_tables.SQUARED(row[name]) for name in ("variance", "variance_images")]
        assert f"at lambda 0 (variance {shown[0]} against {shown[1]} points²)" in texts[1]
        above = study.tables["gap"].assign(variance_images=0.0)
        quiet = dataclasses.replace(study, tables=study.tables | {"gap": above})
        assert text_tables.variance_sentences(quiet) == []

    def test_the_claims_say_where_they_are_for_other_images(self, study):
        assert "for other seeds and other validation and test images" in claim_tables.claims_text(
            study
        )
        rows = study.tables["claims"]
        wide = rows[rows["scope"] == SEEDS_AND_IMAGES].iloc[0]
        beneath = " ".join(
            str(row["Estimand"].beneath) for row in claim_tables.claim_table(study, wide["id"])
        )
        assert "The interval is for other seeds and other images." in beneath
