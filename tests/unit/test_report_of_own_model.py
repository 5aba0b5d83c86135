"""What the report shows of a model of one's own, which lacks measures and has a training mode."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.container import BarContainer

import synthetic
from l2study.core.columns import HISTORY_COLUMNS
from l2study.core.design import Design
from l2study.core.measures import names
from l2study.report import answer, curve_picker, figures, text_tables
from l2study.report.study import Study
from l2study.tables.study_tables import tables_of
from reported import shown, with_tables

MODEL = {"build": "models.py:words", "code": "0" * 64}
SMALL = {"lambdas": [0, 0.01], "seeds": [0, 1], "epochs": 2}


def study_of(missing):
    """Return a made-up study of such a model, without the measures in `missing`."""
    config, runs = synthetic.made_study(**SMALL)
    config = config | {"model": MODEL}
    lower = HISTORY_COLUMNS.index("train_accuracy")
    runs = [
        run._replace(
            history=np.column_stack([run.history, run.history[:, lower] - 0.1]),
            record=run.record | {"config": {"model": MODEL}},
            measured=run.measured | {"measures": run.measured["measures"] | dict.fromkeys(missing)},
        )
        for run in runs
    ]
    setup = Design.of(config, checked=True).base
    tables = tables_of(setup, synthetic.ledger_of("penalty"), runs)
    tables["best"] = tables["best"].assign(setup="base")
    return Study("made-up", config, tables, {})


@pytest.fixture(scope="module")
def study():
    kept = {"ece", "brier", "output_kernel_norm"}
    return study_of(set(names("weights")) - kept)


@pytest.mark.parametrize("name", sorted(figures.FIGURES))
def test_every_figure_is_drawn(study, name):
    assert figures.draw(name, study).axes


def test_the_tables_have_what_is_there(study):
    heads = list(text_tables.weight_table(study)[0])
    assert heads == ["λ", "Regularised weights", "Output kernel", "Within ±0.1 (%)"]
    heads = list(text_tables.gap_table(study)[0])
    assert heads[2:5] == ["= lag", "(averaging)", "(mode)"]
    picked = {one["name"] for one in curve_picker.curves(study)["measures"]}
    assert {"train_accuracy_training_mode", "gap_lag_averaging", "gap_lag_mode"} <= picked


def test_the_lag_is_two_parts_in_the_figure_and_in_the_answer(study):
    (ax,) = figures.draw("decomposition", study).axes
    bars = {one.get_label(): one for one in ax.containers if isinstance(one, BarContainer)}
    assert list(bars) == ["lag_averaging", "lag_mode", "generalisation", "split"]
    gap = study.over_seeds["gap"].query("epoch == epoch.max()")
    gap = gap.pivot(index="gap", columns="l2")["mean"]
    for place, l2 in enumerate(gap):
        heights = [own[place].get_height() for own in bars.values()]
        assert sum(heights) == pytest.approx(100 * gap.loc["reported", l2])
    means = study.tables["means"].copy()
    means.loc[means["measure"] == "gap_reported", "high"] = -0.001
    found = answer.of(with_tables(study, means=means))
    parts = found.facts["negative"]["parts"]
    for kind in ("averaging", "mode"):
        assert parts[f"lag_{kind}"].interval in found.sentences[-1]


def test_parts_of_the_first_kernel_are_shown_only_where_an_input_is_always_zero():
    image = shown(**SMALL)
    means = image.tables["means"].copy()
    means.loc[means["measure"] == "weight_norm_never_lit", "mean"] = 0.0
    table = with_tables(image, means=means)
    for study, parts in ((image, 3), (table, 1)):
        assert len(figures.draw("weight_norm", study).axes[1].get_legend().get_texts()) == parts
    assert image.measured - table.measured == {"weight_norm_lit", "weight_norm_never_lit"}


def test_what_is_missing_is_said_once_and_why(study):
    said = text_tables.missing_sentence(study)
    assert said.count(".") == 1
    for words in ("under noise or attack", "lit and never-lit", "product of the norms", "active"):
        assert words in said
    assert "output kernel" not in said
    assert "van Laarhoven" in text_tables.mode_sentences(study)
    drops = {"layers": [{"class": name} for name in ("Dense", "Dropout", "Dense")]}
    said = text_tables.mode_sentences(replace(study, model=drops))
    assert "mode part" in said and "van Laarhoven" not in said


def test_averages_that_lag_behind_are_the_first_thing_that_the_answer_says(study):
    """The made-up accuracy in training mode is 10 points lower, as with Dropout."""
    warning = "First mend the model"
    assert warning not in answer.of(study).headline
    means = study.tables["means"].copy()
    of_mode = means["measure"] == "gap_lag_mode"
    means.loc[of_mode, ["mean", "low", "high"]] *= -1
    behind = with_tables(study, means=means)
    headline = answer.of(behind).headline
    assert headline.startswith(warning) and "10.00 points" in headline


def test_what_only_the_epochs_leave_empty_has_rows_as_in_any_other_study(study):
    """Two epochs are too few for a rise; the model lacks nothing for it."""
    assert {"val_ce_rise", "first_running_loss"} <= set(study.tables["means"]["measure"])
    assert "val_ce_rise" in set(study.tables["contrasts"]["measure"])


def test_nothing_is_said_of_a_model_that_has_all():
    plain = shown(**SMALL)
    assert text_tables.missing_sentence(plain) == text_tables.mode_sentences(plain) == ""
