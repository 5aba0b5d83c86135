"""The facts of the answer, against scipy and the tables; its words are in the golden texts."""

from dataclasses import replace

import pandas as pd
import pytest

import reported
from l2study.core.config import check
from l2study.core.design import Setup
from l2study.core.labels import l2_label
from l2study.core.scope_rows import SEEDS, SEEDS_AND_IMAGES, for_seeds
from l2study.report import answer
from l2study.report.inputs import groups_of
from l2study.report.study import Study
from l2study.report.templates import line
from l2study.tables.study_tables import tables_of
from reported import said, with_tables
from synthetic import HELPFUL, NOTHING, Effects, ledger_of, made_study

pytestmark = pytest.mark.slow  # makes the tables of many studies

OVERFITTING = replace(HELPFUL, val_ce_min=(0.16, 0.08), creep=(0.03, 0.001))
"""Validation chooses the largest lambda by either metric."""

LAMBDAS = (0, 0.0001, 0.001, 0.01)


def shown(**options):
    """Return a made-up study of two epochs, unless told otherwise."""
    return reported.shown(**{"epochs": 2} | options)


def chosen_by(choose_by, **options):
    """Return a made-up study that chooses by this metric."""
    config, runs = made_study(**{"epochs": 2} | options)
    setup = Setup("base", {}, config | {"choose_by": choose_by}, {})
    tables = tables_of(setup, ledger_of("penalty"), runs)
    tables["best"] = tables["best"].assign(setup="base")
    return replace(shown(**options), config=setup.config, tables=tables)


def without_other_images(study):
    """Return a study as if no predictions were kept, so that all intervals are for other seeds."""
    names = ("means", "contrasts", "choice")
    return with_tables(study, **{name: for_seeds(study.tables[name]) for name in names})


def strongest(study):
    _, l2 = answer.compared(study)
    return answer.comparison(study, l2, answer.EFFECTS)


def by_measure(comparison):
    return {one["measure"]: one for one in comparison["differences"]}


def numbers(number):
    return [number.value, number.low, number.high]


class TestComparison:
    def test_differences_are_those_of_the_contrasts_for_other_images_too(self):
        study = shown()
        contrasts = study.tables["contrasts"].query("l2 == 0.01 and scope == @SEEDS_AND_IMAGES")
        rows = contrasts.set_index("measure")[["mean_difference", "low", "high"]]
        for measure, one in by_measure(strongest(study)).items():
            mean, low, high = rows.loc[measure].tolist()
            assert numbers(one["signed"]) == [mean, low, high]
            assert (one["kind"], numbers(one["change"])) == ("lower", [-mean, -high, -low])

    @pytest.mark.parametrize(
        ("measure", "ends", "equivalent", "kind", "margin"),
        [
            ("test_accuracy", [0.02, 0.01, 0.03], False, "higher", ""),
            ("test_accuracy", [0.0002, 0.0001, 0.0003], True, "equivalent", "0.1 points"),
            ("weight_norm", [0.1, -0.1, 0.3], False, "unclear", ""),
        ],
    )
    def test_directions(self, measure, ends, equivalent, kind, margin):
        found = answer.difference(measure, *ends, equivalent)
        assert (found["kind"], found["margin"]) == (kind, margin)
        assert numbers(found["change"]) == numbers(found["signed"]) == ends

    def test_it_is_equivalent_if_the_contrasts_are(self):
        study = shown(effects=replace(NOTHING, spread=0.2))
        compared = answer.comparison(study, 0.01, ["test_accuracy", "weight_norm"])
        assert [one["kind"] for one in compared["differences"]] == ["equivalent", "unclear"]

    @pytest.mark.parametrize(
        ("options", "compared"),
        [
            ({"lambdas": [0.0001, 0.01]}, (0.01, 0.0001, 6)),
            ({"reference_lambda": 0.01}, (0, 0.01, 6)),
            ({"diverged": {(0.01, 3): 2}}, (0.01, 0, 5)),
            ({"diverged": {(0.01, s): 2 for s in range(6)}}, (0.001, 0, 6)),
            ({"diverged": {(0, s): 2 for s in range(6)}}, (0.01, 0.0001, 6)),
            ({"seeds": [0, 1], "lambdas": [0, 0.01], "diverged": {(0, 0): 1}}, (0.01, 0, 1)),
            ({"seeds": [0, 1], "lambdas": [0, 0.01], "diverged": {(0, 0): 1, (0.01, 1): 1}},
             (0.01, 0, 0)),
        ],
    )  # fmt: skip
    def test_what_is_compared_by_how_many_pairs(self, options, compared):
        found = strongest(shown(**options))
        assert (found["l2"], found["reference"], found["n"]) == compared

    def test_one_pair_has_no_interval(self):
        options = {"seeds": [0, 1], "lambdas": [0, 0.01], "diverged": {(0, 0): 1}}
        study = shown(**options)
        assert {one["change"].interval for one in strongest(study)["differences"]} == {""}
        assert "one seed, no interval" in said(study)


class TestChoice:
    def test_shares_are_those_of_the_table(self):
        study = shown(effects=NOTHING)
        rows = study.tables["choice"].query("metric == 'val_ce'").set_index(["rule", "scope"])
        seeds, wide = (rows.loc[("best", scope)] for scope in (SEEDS, SEEDS_AND_IMAGES))
        found, alone = answer.choice(study), answer.choice(without_other_images(study))
        simplest = rows.loc[("one_standard_error", SEEDS_AND_IMAGES), "l2"]
        assert found["l2"] == seeds["l2"] != simplest == found["simplest"]
        assert (found["images_too"], alone["images_too"]) == (True, False)
        for one, row in ((found, wide), (alone, seeds)):
            assert one["share"] == pytest.approx(row["share"], abs=0.005)
            assert one["picks"] == f"{l2_label(row['l2_low'])} to {l2_label(row['l2_high'])}"

    def test_another_lambda_is_compared_with_the_reference(self):
        study = shown(diverged={(0, 2): 2})
        row, found = answer.own_best(study), answer.chosen(study)
        assert (found["l2"], found["reference"], found["n"]) == (0.0001, 0, 5)
        assert list(by_measure(found)) == ["test_ce", "test_accuracy"]
        change = by_measure(found)["test_ce"]["change"]
        ends = sorted(abs(row[f"test_ce_{end}"]) for end in ("low", "high"))
        assert [change.low, change.high] == ends
        assert found["left_out"].value == row["test_accuracy_left_out"]
        assert answer.facts(study)["chosen"]["l2"] == found["l2"]
        # the reference is not compared with itself
        assert answer.choice(shown())["l2"] == 0 and answer.facts(shown())["chosen"] is None

    def test_where_every_lambda_has_a_diverged_run_none_is_chosen(self):
        diverged = {(0, 0): 1, (0.01, 1): 1}
        study = shown(seeds=[0, 1], lambdas=[0, 0.01], diverged=diverged)
        assert answer.choice(study)["l2"] is None
        assert "chooses no lambda" in answer.of(study).headline

    def test_the_metric_of_the_study_leads(self):
        """Accuracy is best at 0.01, cross-entropy without L2."""
        effects = replace(HELPFUL, val_ce_min=(0.08, 0.16), creep=(0.0, 0.0))
        for choose_by, l2, other in (("val_ce", 0, 0.01), ("val_accuracy", 0.01, 0)):
            study = chosen_by(choose_by, effects=effects)
            found = answer.choice(study)
            assert (found["metric"], found["l2"]) == (choose_by, l2)
            assert (found["other"]["l2"], found["other"]["metric"] == choose_by) == (other, False)
            (row,) = study.tables["best"].query("metric == @choose_by").to_dict("records")
            difference = found["other"]["difference"]
            assert difference["kind"] == ("higher" if choose_by == "val_ce" else "lower")
            assert difference["signed"].value == row["other_difference"]
            if found["regret"]:
                names = ["test_accuracy_regret", "test_accuracy_regret_one_seed"]
                assert [one.value for one in found["regret"]] == [row[name] for name in names]

    def test_another_choice_that_is_not_clearly_different_has_no_difference(self):
        row = pd.Series({"best_l2": 0.01, "other_l2": 0.1, "metric": "val_ce",
                         "other_difference": 0.002, "other_low": -0.001, "other_high": 0.005,
                         "metrics_differ": "no"})  # fmt: skip
        assert answer.other_choice(row) == {
            "l2": 0.1, "metric": "val_accuracy", "difference": None,
        }  # fmt: skip
        assert answer.other_choice(row.replace({0.1: 0.01})) is None

    def test_the_end_of_the_grid_is_named_as_wrong(self):
        study = shown(effects=OVERFITTING)
        found = answer.choice(study)
        assert (found["grid"], found["end"], found["next_l2"]) == ("at the end", "largest", 0.1)
        (wrong,) = (text for text, wrong in answer.of(study).state if wrong)
        assert "largest" in wrong and "add lambda 0.1" in wrong
        assert answer.choice(shown())["grid"] == "inside"
        assert not any(wrong for _, wrong in answer.of(shown()).state)


class TestNegativeGap:
    def test_parts_are_the_means_of_the_table(self):
        study = shown()
        found = answer.negative_gap(study)
        assert found["l2"] == 0.01
        means = study.tables["means"].query("l2 == 0.01").set_index(["measure", "scope"])
        for kind, part in found["parts"].items():
            scope = SEEDS if kind == "lag" else SEEDS_AND_IMAGES
            row = means.loc[(f"gap_{kind}", scope), ["mean", "low", "high"]]
            assert numbers(part) == row.tolist()
        assert found["signs"]["reported"] == -1

    @pytest.mark.parametrize(("with_l2", "sign"), [(0.012, 1), (0.0, 0), (-0.012, -1)])
    def test_signs(self, with_l2, sign):
        effects = Effects(generalisation=(0.018, with_l2), split=(-0.002, -0.03))
        study = shown(effects=effects, lambdas=[0, 0.01])
        assert answer.negative_gap(study)["signs"]["generalisation"] == sign

    def test_what_is_resolved_on_these_images_need_not_be_for_others(self):
        effects = Effects(generalisation=(0.018, 0.004))
        made = shown(effects=effects, lambdas=[0, 0.01])
        for study, sign in ((made, 0), (without_other_images(made), 1)):
            assert answer.negative_gap(study)["signs"]["generalisation"] == sign

    def test_there_may_be_none(self):
        assert answer.negative_gap(shown(effects=HELPFUL)) is None


@pytest.mark.parametrize(
    ("given", "sources", "runs", "independent"),
    [
        ({"seeds": 4}, ["weights", "order"], None, 4),
        ({"seeds": 4, "variation": ["split"]}, ["split"], None, 4),
        ({"seeds": {"weights": 3, "split": 4}}, ["weights", "split"], 12, 3),
        ({"seeds": {"weights": 3, "order": 1}}, ["weights"], 3, 3),
    ],
)
def test_coverage_depends_on_what_a_seed_changes(given, sources, runs, independent):
    config = check({"validation": {"split": "stratified"}} | given)
    means = pd.DataFrame({"measure": ["val_ce"], "l2": [0.0], "scope": [SEEDS_AND_IMAGES]})
    assert answer.coverage(Study("made-up", config, {"means": means}, {})) == {
        "images_too": True, "sources": sources, "runs": runs, "independent": independent,
        "groups": groups_of({}),
    }  # fmt: skip


class TestText:
    def test_all_runs_diverged(self):
        found = answer.of(shown(diverged={(l2, s): 1 for l2 in LAMBDAS for s in range(6)}))
        assert "All runs diverged" in found.headline
        assert (found.sentences, found.choice) == ([], [])

    def test_one_lambda_is_compared_with_nothing(self):
        study = shown(lambdas=[0])
        text, runs = said(study), study.tables["runs"]
        for number in (f"{len(runs)} runs", f"{100 * runs['gap_generalisation'].mean():.2f} points",
                       f"{100 * runs['test_accuracy'].mean():.2f} %"):  # fmt: skip
            assert number in text

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"diverged": {(0, 2): 2}}, "without a diverged run"),
            ({"diverged": {(0.01, s): 2 for s in range(6)}}, "All runs at lambda 0.01 diverged."),
            ({"lambdas": [0.0001, 0.01]}, "lambda 0, is not in the study"),
            ({"seeds": [0, 1]}, "With 2 seeds, this is a first look"),
            ({"confidence": 0.99}, "99 % intervals"),
        ],
    )
    def test_what_is_unusual_is_said(self, options, words):
        assert words in said(shown(**options))
        assert words not in said(shown())


def test_data_without_a_finding_are_said_to_be_fine():
    rows = {"part": "test", "check": "largest class", "which": "7", "share": 0.5, "finding": "no"}
    fine = answer.of(with_tables(shown(), data_check=pd.DataFrame([rows]))).state
    old = answer.of(shown()).state
    assert len(fine) == len(old) + 1 and not any(wrong for _, wrong in fine)


@pytest.mark.parametrize(
    ("changes", "left"),
    [
        ({}, 0.999**900),
        ({"model": {}}, None),
        ({"lambdas": ["0", "1"]}, None),  # leaves 0.998^900, less than exp(-1)
        ({"training": {"learning_rate": {"name": "cosine_decay"}}}, None),
    ],
)
def test_decay_that_hardly_acts_is_told(changes, left):
    training = {"learning_rate": 0.001, "epochs": 9, "batch_size": 10} | changes.get("training", {})
    config = {"lambdas": ["0", "0.5"], "model": {"regularizer": "decoupled"}} | changes
    config = shown().config | config | {"training": shown().config["training"] | training}
    study = replace(shown(), config=config, data={"counts": {"train": 995}})
    assert answer.decay_left(study) == (left and pytest.approx(left))
    states = answer.of(study).state
    assert any("Decay alone leaves" in text for text, wrong in states if wrong) == bool(left)
    assert answer.decay_left(replace(study, data={})) is None


@pytest.mark.parametrize(("lambdas", "asked"), [([0, 0.01], False), ([0.001, 0.01], True)])
def test_a_study_without_lambda_0_is_told_to_add_it(lambdas, asked):
    choice = {"grid": "inside", "metric": "val_ce", "next_l2": None}
    text = line("state", part="grid", choice=choice, completed=lambdas, lost=[])
    assert "By validation cross-entropy" in text
    assert ("Without lambda 0" in text) == asked


@pytest.mark.parametrize(
    ("picks", "as_good", "unclear"),
    [("0 to 0.1", None, True), ("0 to 0.1", {"low": 0}, False), (None, None, False)],
)
def test_lambdas_that_cannot_be_told_apart_are_in_the_headline(picks, as_good, unclear):
    choice = {"l2": 0.01, "metric": "val_ce", "picks": picks, "as_good": as_good}
    at_choice = {"test_accuracy": answer.Number(0.9, str)}
    text = line("use", choice=choice, at_choice=at_choice, level=0.95, diverged=False)
    assert ("from 0 to 0.1 is best is not clear: 95 % of resamples" in text) == unclear
