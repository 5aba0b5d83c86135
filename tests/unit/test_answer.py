import re
from dataclasses import replace

import pytest
from scipy import stats

import reported
from l2study.core.config import check
from l2study.core.scope_rows import SEEDS, SEEDS_AND_IMAGES, for_seeds, widest
from l2study.report.answer import answer, covers
from synthetic import HARMFUL, HELPFUL, NOTHING, Effects

pytestmark = pytest.mark.slow  # makes whole studies, and draws or reads them

LAMBDAS = (0, 0.0001, 0.001, 0.01)


MADE_UP = {}


def made_up(folder, **options):
    """Return a made-up study; what was made up once is not made up again."""
    key = repr(options)
    if key not in MADE_UP:
        MADE_UP[key] = reported.made_up(folder, **options)
    return MADE_UP[key]


def written(folder, **options):
    return answer(made_up(folder, **options))


def said(study):
    """Return which lambda to use, because of what, and how sure that is."""
    return " ".join(answer(study)[:2])


def without_other_images(study):
    """Return a study as if no predictions were kept, so that all intervals are for other seeds."""
    tables = {name: for_seeds(study.tables[name]) for name in ("means", "answer", "choice")}
    return replace(study, tables=study.tables | tables)


def compared(study, comparison):
    """Return the rows of a comparison that the answer uses, by measure."""
    rows = widest(study.tables["answer"], ["comparison", "measure"])
    return rows[rows["comparison"] == comparison].set_index("measure")


def numbers(text):
    return [float(n) for n in re.findall(r"\d+\.\d+", text.replace("−", "-"))]


def expected(runs, measure, l2, base, scale):
    """Return difference and interval as scipy has them, without their signs, ascending."""
    wide = runs.pivot_table(measure, "seed", "l2").dropna()
    test = stats.ttest_rel(wide[l2], wide[base])
    low, high = test.confidence_interval(0.95)
    ends = sorted([abs(scale * low), abs(scale * high)])
    return [abs(scale * (wide[l2] - wide[base]).mean()), *ends]


class TestComparison:
    def test_numbers_for_other_seeds(self, tmp_path):
        study = without_other_images(made_up(tmp_path))
        shown = numbers(answer(study)[2].replace("lambda 0.01", ""))
        runs = study.tables["runs"]
        accuracy = expected(runs, "test_accuracy", 0.01, 0.0, 100)
        gap = expected(runs, "gap_generalisation", 0.01, 0.0, 100)
        norm = expected(runs, "weight_norm", 0.01, 0.0, 1)
        assert shown[:3] == pytest.approx(accuracy, abs=0.006)
        assert shown[3:6] == pytest.approx(gap, abs=0.006)
        assert shown[6:9] == pytest.approx(norm, abs=0.06)

    def test_numbers_for_other_images(self, tmp_path):
        study = made_up(tmp_path)
        shown = numbers(answer(study)[2].replace("lambda 0.01", ""))
        rows, runs = compared(study, "strongest"), study.tables["runs"]
        for place, measure in ((0, "test_accuracy"), (3, "gap_generalisation")):
            row = rows.loc[measure]
            mean, *seeds = expected(runs, measure, 0.01, 0.0, 100)
            ends = sorted(100 * abs(row[end]) for end in ("low", "high"))
            assert row["scope"] == SEEDS_AND_IMAGES
            assert ends[0] < seeds[0] < mean < seeds[1] < ends[1]
            assert shown[place : place + 3] == pytest.approx([mean, *ends], abs=0.006)
        norm = expected(runs, "weight_norm", 0.01, 0.0, 1)
        assert shown[6:9] == pytest.approx(norm, abs=0.06)

    @pytest.mark.parametrize(
        ("effects", "gap", "weights", "accuracy"),
        [
            (Effects(), "lower", "lower", "lower"),
            (HELPFUL, "lower", "lower", "higher"),
            (HARMFUL, "higher", "higher", "lower"),
        ],
    )
    def test_directions(self, tmp_path, effects, gap, weights, accuracy):
        made = made_up(tmp_path, effects=effects)
        for study, here in ((made, ""), (without_other_images(made), ", on these images")):
            text = answer(study)[2]
            assert text.startswith("At lambda 0.01, compared with lambda 0, test accuracy is")
            assert re.search(rf"test accuracy is [\d.]+ points {accuracy} \(95 % interval", text)
            named = rf"the generalisation gap \(training minus test accuracy{here}\)"
            assert re.search(rf"{named} is [\d.]+ points {gap} \(", text)
            assert re.search(rf"norm of the regularised weights is [\d.]+ {weights} \(", text)
            assert text.endswith("This rests on 6 seeds, each trained at both lambdas.")

    def test_nothing_resolved(self, tmp_path):
        text = written(tmp_path, effects=NOTHING)[2]
        assert text.count("is not clearly different") + text.count("differs by less than") == 3
        assert not re.search("lower|higher", text)

    def test_equivalence_is_said_where_two_tests_show_it(self, tmp_path):
        study = made_up(tmp_path, effects=replace(NOTHING, spread=0.2))
        rows = compared(study, "strongest")
        assert rows.loc["test_accuracy", "p_equivalent"] < 0.05
        words = "test accuracy differs by less than 0.1 points, as two one-sided tests show, namely"
        assert words in answer(study)[2]
        # no margin says which difference of norms would matter
        assert answer(study)[2].count("as two one-sided tests show") == 2

    def test_a_norm_is_given_beside_that_without_l2(self, tmp_path):
        study = made_up(tmp_path)
        means = study.tables["means"].query("measure == 'weight_norm'").set_index("l2")["mean"]
        norms = f"{means[0.01]:.3g} instead of {means[0]:.3g}"
        assert "), and the norm of the regularised weights is" in answer(study)[2]
        assert f"), {norms}. This rests" in answer(study)[2]
        lost = made_up(tmp_path / "lost", diverged={(0.01, 3): 2})
        assert "instead of" not in answer(lost)[2]

    def test_confidence_is_the_study_s(self, tmp_path):
        assert "(99 % interval" in written(tmp_path, confidence=0.99)[2]

    def test_two_seeds(self, tmp_path):
        text = written(tmp_path, seeds=[0, 1])[2]
        assert text.endswith("This rests on 2 seeds and is a first look, no more.")

    def test_no_lambda_0(self, tmp_path):
        text = written(tmp_path, lambdas=[0.0001, 0.01])[2]
        assert text.startswith("At lambda 0.01, compared with lambda 0.0001,")
        assert "The reference, lambda 0, is not in the study." in text

    def test_the_reference_is_the_largest(self, tmp_path):
        text = written(tmp_path, reference_lambda=0.01)[2]
        assert text.startswith("At lambda 0, compared with lambda 0.01,")
        assert "norm of the regularised weights is 14" in text
        assert "higher" in text

    def test_one_lambda(self, tmp_path):
        study = made_up(tmp_path, lambdas=[0])
        text, last = answer(study)
        assert text.startswith(
            "Only lambda 0 has completed runs (6), so there is nothing to compare"
        )
        runs = study.tables["runs"]
        assert f"{100 * runs['gap_generalisation'].mean():.2f} points" in text
        assert f"{100 * runs['test_accuracy'].mean():.2f} %" in text
        assert last.endswith(f"points of accuracy. {covers(study.config, True)}")

    def test_what_the_intervals_cover_is_said_last(self, tmp_path):
        assert written(tmp_path)[-1] == (
            "Points are percentage points of accuracy. The intervals of accuracies,"
            " cross-entropies and gaps are for other seeds, that is other initial weights and other"
            " orders of the batches, and for other validation and test images. Those of norms and"
            " of the lag are for other seeds alone. The training images and the set-up stay the"
            " same."
        )

    @pytest.mark.parametrize(
        ("given", "words"),
        [
            ({"variation": ["order"]}, "for other orders of the batches, with the same training,"),
            ({"variation": ["weights", "split"]}, "other initial weights and other validation"
                " splits, with the same test images and the same set-up. The runs share most"),
            ({"variation": ["sample"]}, "other samples of the training images, with the same"
                " validation and test images"),
            ({"seeds": {"weights": 3, "split": 4}}, "Of the 12 runs of every lambda, they rest on"
                " those that share no level of a source, which are 3."),
        ],
    )  # fmt: skip
    def test_it_depends_on_what_a_seed_changes(self, given, words):
        base = {"validation": {"split": "stratified"}, "dataset": {"train_size": 100}}
        assert words in covers(check(base | given), images_too=False)

    def test_other_images_are_covered_where_predictions_are_kept(self):
        base = {"validation": {"split": "stratified"}}
        said = covers(check(base | {"variation": ["weights", "split"]}), images_too=True)
        assert "other initial weights and other validation splits, and for other validation" in said
        assert "The training sets of two splits overlap, and the intervals for other" in said
        assert "The training images and the set-up stay" not in said


class TestDiverged:
    def test_pairs_are_counted(self, tmp_path):
        study = made_up(tmp_path, diverged={(0.01, 3): 2})
        text = answer(study)[2]
        assert "rests on 5 seeds" in text
        target = expected(study.tables["runs"], "test_accuracy", 0.01, 0.0, 100)
        assert f"test accuracy is {target[0]:.2f} points lower" in text

    def test_a_lambda_of_which_nothing_is_left(self, tmp_path):
        text = written(tmp_path, diverged={(0.01, s): 2 for s in range(6)})[2]
        assert text.startswith("At lambda 0.001, compared with lambda 0,")
        assert text.endswith("All runs at lambda 0.01 diverged.")

    def test_the_reference_of_which_nothing_is_left(self, tmp_path):
        text = written(tmp_path, diverged={(0, s): 2 for s in range(6)})[2]
        assert text.startswith("At lambda 0.01, compared with lambda 0.0001,")
        assert text.endswith("All runs at lambda 0 diverged.")
        assert "not in the study" not in text

    def test_all_of_them(self, tmp_path):
        diverged = {(l2, s): 1 for l2 in LAMBDAS for s in range(6)}
        assert written(tmp_path, diverged=diverged) == [
            "All runs diverged, so this study cannot say what regularisation does."
        ]

    def test_no_seed_at_both(self, tmp_path):
        diverged = {(0, 0): 1, (0.01, 1): 1}
        text = written(tmp_path, seeds=[0, 1], lambdas=[0, 0.01], diverged=diverged)
        assert text[:2] == [
            "Validation chooses no lambda: at each of them a run diverged.",
            "At lambda 0.01, compared with lambda 0, nothing can be said: no seed completed at"
            " both. No seed is left.",
        ]

    def test_one_seed_at_both(self, tmp_path):
        text = written(tmp_path, seeds=[0, 1], lambdas=[0, 0.01], diverged={(0, 0): 1})[2]
        assert text.count("(one seed, no interval)") == 3
        assert "rests on a single seed and is a first look" in text

    def test_a_choice_among_the_others(self, tmp_path):
        text = said(made_up(tmp_path, diverged={(0, 2): 3}))
        assert text.startswith(
            "Use lambda 0.0001 because it has the lowest validation cross-entropy, as a mean over"
            " seeds, among the lambdas without a diverged run."
        )
        assert "At lambda 0.0001, compared with lambda 0, test accuracy" in text


class TestNegativeGap:
    def test_is_explained_by_its_parts(self, tmp_path):
        study = made_up(tmp_path)
        text = answer(study)[3]
        gap = widest(study.tables["gap"], ["gap", "epoch", "l2"])
        gap = gap.query("l2 == 0.01 and epoch == 8").set_index("gap")
        shown = numbers(text.replace("lambda 0.01", ""))
        kinds = ["reported", "lag", "split", "generalisation"]
        assert (gap.loc[kinds, "scope"] == SEEDS_AND_IMAGES).tolist() == [True, False, True, True]
        target = 100 * gap.loc[kinds, ["mean", "mean_low", "mean_high"]].abs().to_numpy().ravel()
        assert shown[0] == 1.34
        assert [abs(n) for n in shown] == pytest.approx(target, abs=0.006)
        assert "easier than the test images" in text

    @pytest.mark.parametrize(
        ("at_strongest", "words"),
        [
            (0.012, "which is above zero"),
            (0.0, "which is not clearly different from zero"),
            (-0.012, "which is below zero"),
        ],
    )
    def test_conclusion(self, tmp_path, at_strongest, words):
        effects = Effects(generalisation=(0.018, at_strongest), split=(-0.002, -0.03))
        made = made_up(tmp_path, effects=effects, lambdas=[0, 0.01])
        for study, here in ((made, ""), (without_other_images(made), " on these images")):
            assert answer(study)[3].endswith(f" of training minus test accuracy{here}, {words}.")

    def test_what_is_resolved_on_these_images_need_not_be_for_others(self, tmp_path):
        effects = Effects(generalisation=(0.018, 0.004))
        made = made_up(tmp_path, effects=effects, lambdas=[0, 0.01])
        assert answer(made)[3].endswith("test accuracy, which is not clearly different from zero.")
        assert answer(without_other_images(made))[3].endswith("images, which is above zero.")

    @pytest.mark.parametrize(
        ("at_strongest", "words"),
        [
            (0.015, "harder than the test images"),
            (0.0, "are not clearly easier or harder than the test images, and"),
        ],
    )
    def test_split(self, tmp_path, at_strongest, words):
        effects = Effects(split=(0, at_strongest), generalisation=(0.018, -0.04))
        assert words in written(tmp_path, effects=effects, lambdas=[0, 0.01])[3]

    @pytest.mark.parametrize(
        ("at_strongest", "words"),
        [
            (-0.004, " from averaging training accuracy while the model improves, "),
            (
                0.0,
                " averaging training accuracy while the model changes, not clearly different from",
            ),
            (0.004, " from averaging training accuracy over models better than the last, "),
        ],
    )
    def test_lag(self, tmp_path, at_strongest, words):
        effects = Effects(lag=(0, at_strongest), split=(0, -0.02))
        assert words in written(tmp_path, effects=effects, lambdas=[0, 0.01])[3]

    def test_is_not_spoken_of_where_there_is_none(self, tmp_path):
        assert "negative" not in " ".join(written(tmp_path, effects=HELPFUL))


class TestRecommendation:
    def test_the_lambda_compared_with(self, tmp_path):
        study = made_up(tmp_path)
        seeds = (
            "Use lambda 0, that is, no L2, because it has the lowest validation cross-entropy, as a"
            " mean over seeds. If the seeds of this study are drawn again at random (bootstrap),"
            " the same lambda is chosen in 100 % of the draws"
        )
        too = ", and in 100 % if the validation images are drawn again, too."
        assert said(study) == seeds + too
        assert said(without_other_images(study)) == f"{seeds}."

    def test_another_lambda(self, tmp_path):
        effects = Effects(val_ce_min=(0.16, 0.08), test_accuracy=(0.95, 0.97), creep=(0.001, 0.001))
        study = made_up(tmp_path, effects=effects, lambdas=(0, 0.0001, 0.001, 0.01))
        choice = study.tables["choice"].copy()
        choice.loc[choice["rule"] == "best", "l2"] = 0.001
        study = replace(study, tables=study.tables | {"choice": choice})
        text = said(study)
        assert text.startswith("Use lambda 0.001 because it has the lowest validation cross-")
        shown = numbers(text.split("test accuracy is")[1])
        row = compared(study, "chosen").loc["test_accuracy"]
        assert row["scope"] == SEEDS_AND_IMAGES
        target = [100 * row[name] for name in ("mean_difference", "low", "high")]
        assert shown[:3] == pytest.approx(target, abs=0.006)
        assert "points higher (95 % interval" in text
        assert "accuracy. Nats are the unit of the cross-entropy that Keras" in answer(study)[-1]
        assert "nats lower (" in text

    def test_one_standard_error(self, tmp_path):
        study = made_up(tmp_path, effects=NOTHING)
        choice = study.tables["choice"].set_index(["rule", "scope"])
        assert (choice.loc["one_standard_error", "l2"] == 0.01).all()
        seeds, wide = choice.loc[("best", SEEDS)], choice.loc[("best", SEEDS_AND_IMAGES)]
        shares = [f"{100 * round(row['share'], 2):.0f} %" for row in (seeds, wide)]
        assert shares[0] != shares[1]
        text = said(study)
        assert f"is chosen in {shares[0]} of the draws, and in {shares[1]} if the" in text
        assert seeds["l2"] != 0.01
        assert "Lambda 0.01 is nearly as good: it is the largest within one standard error" in text
