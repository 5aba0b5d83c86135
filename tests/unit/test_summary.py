"""The tables of page and summary, against the study's tables; and all words, as golden texts.

A golden text is the whole summary of a made-up study. After a change of words, write them again:

    REWRITE=1 python -m pytest tests/unit/test_summary.py
"""

import dataclasses
import json
import os
import re
import shutil
from pathlib import Path

import pytest
from scipy import stats

import set_ups
from aggregate import write_tables
from l2study.core.scope_rows import SEEDS_AND_IMAGES, widest
from l2study.core.wording import fixed
from l2study.report import claim_tables, claim_text, provenance, summary, text_tables
from l2study.report.study import read_study
from l2study.report.table_cells import Number, markdown_table
from reported import CAPTIONS, EDGE_CASES, add_across, shown, with_tables, write_results
from synthetic import HELPFUL, write_study
from tiny import PROJECT
from words import words

GOLDEN = Path(__file__).with_name("golden_texts")
LEDGER = PROJECT / "reports" / "claims" / "exercise.yaml"


@pytest.fixture(scope="module")
def study():
    return shown(
        lambdas=[0, 1e-4, 1e-2],
        seeds=[0, 1, 2, 5],
        epochs=4,
        diverged={(1e-4, 5): 3},
        confidence=0.9,
    )


# --- golden texts ---------------------------------------------------------------------------------


def plain(folder):
    return write_results(folder)


def factors(folder):
    write_results(folder, lambdas=[0, 1e-2], seeds=[0, 1, 2], epochs=4)
    lost = {"missing": ["optimizer~sgd"], "diverged": {"batch_size~32": 2}}
    return add_across(folder, set_ups.ROBUSTNESS, **lost)


def crossed(folder):
    levels = {"weights": [0, 1, 2], "split": [0, 1, 2]}
    return write_results(folder, seeds=levels, split="stratified", lambdas=[0, 1e-3, 1e-2])


def odd(folder):
    """One run diverged, one is missing, and a lambda has no run."""
    config = write_study(folder, lambdas=[0, 1e-4, 1e-2], seeds=[0, 1, 2], epochs=3,
                         diverged={(1e-4, 2): 2})  # fmt: skip
    shutil.rmtree(folder / "runs" / "l2~0.01")
    (folder / "runs" / "l2~0" / "seed~1" / "run.json").unlink()
    write_tables(config, LEDGER, folder, allow_missing=True)
    return json.dumps(config)


@pytest.mark.slow  # makes whole studies
@pytest.mark.parametrize("made", [plain, factors, crossed, odd])
def test_the_summary_is_the_golden_text(made, tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "version", lambda package: "1.0")
    study = read_study(made(tmp_path), tmp_path, CAPTIONS)
    if made is factors:  # the claims of the made-up set-ups are all alike
        study.tables["verdicts"] = set_ups.across_tables(study.tables["setups"])["verdicts"]
    text = summary.summary(study)
    several = made is factors
    assert len(text.splitlines()) <= (90 if several else 60)
    assert words(text) <= (900 if several else 600)
    path = GOLDEN / f"{made.__name__}.md"
    if os.environ.get("REWRITE"):
        path.write_text(text)
    assert text == path.read_text()


# --- tables ---------------------------------------------------------------------------------------


def ends(number):
    return [number.value, number.low, number.high]


def test_lambda_table_repeats_the_tables(study):
    runs, gap = study.tables["runs"].query("status == 'completed'"), study.tables["gap"]
    rows = text_tables.lambda_table(study)
    assert [str(row["λ"]) for row in rows] == ["0", "0.0001", "0.01"]
    for head, measure in {"Training %": "train_accuracy", "Validation %": "val_accuracy",
                          "Test %": "test_accuracy",
                          "Norm, weights under L2": "weight_norm"}.items():  # fmt: skip
        means = runs.groupby("l2")[measure].mean()
        assert [row[head].value for row in rows] == pytest.approx(means.tolist())
    last = widest(gap[gap["epoch"] == 4], ["gap", "l2"]).set_index("gap").sort_values("l2")
    for kind in ("reported", "generalisation"):
        found = [ends(row[f"{kind.capitalize()} gap"]) for row in rows]
        wide = last.loc[kind]
        assert set(wide["scope"]) == {SEEDS_AND_IMAGES}
        assert found == wide[["mean", "mean_low", "mean_high"]].to_numpy().tolist()


def test_weight_table_tells_what_is_regularised(study):
    heads = ["Regularised weights", "Output kernel (not regularised)", "Product over all kernels"]
    (row,) = (row for row in text_tables.weight_table(study) if str(row["λ"]) == "0.01")
    assert list(row)[1:] == [*heads, "Within ±0.1 (%)"]
    assert row["Within ±0.1 (%)"].text == "80.00"
    cell = study.tables["runs"].query("l2 == 0.01")
    measures = ("weight_norm", "output_kernel_norm", "norm_product")
    for head, measure in zip(heads, measures, strict=True):
        low, high = stats.t.interval(0.9, 3, cell[measure].mean(), stats.sem(cell[measure]))
        assert ends(row[head]) == pytest.approx([cell[measure].mean(), low, high])


def test_choice_is_that_of_the_table(study):
    choice = widest(study.tables["choice"], ["rule"])
    assert set(choice["scope"]) == {SEEDS_AND_IMAGES}
    rows = text_tables.choice_table(study)
    assert [row["λ"].value for row in rows] == choice["l2"].tolist()
    shown = [ends(row["Test accuracy %"]) for row in rows]
    assert shown == choice[["test_accuracy_mean", "low", "high"]].to_numpy().tolist()


def test_contrasts_are_for_other_images_too(study):
    rows = study.tables["contrasts"].query("measure == 'gap_reported'")
    rows = rows[rows["scope"] == SEEDS_AND_IMAGES]
    table = text_tables.contrast_table(study, "gap_reported")
    assert [str(row["λ"]) for row in table] == ["0.0001", "0.01"]
    for head, column in {"Difference": "mean_difference", "p (Holm)": "p_holm"}.items():
        assert [row[head].value for row in table] == rows[column].tolist()
    expected = rows[["mean_difference", "low", "high"]].to_numpy().tolist()
    assert [ends(row["Difference"]) for row in table] == expected


def test_claim_table_has_estimates_and_bounds_in_the_unit_of_the_reader():
    study = shown("negative-gap", epochs=8, diverged={(1e-2, 3): 2})
    claims = study.tables["claims"]
    expected = claims.query("id == 'negative-gap' and measure == 'gap_reported'").iloc[0]
    rows, _, claim = next(claim_text.claims(study))
    row = claim_tables.deciding_table(rows, claim, study)[0]
    (estimate,) = row["Estimate"].texts
    assert estimate.startswith(f"{100 * expected['estimate']:.2f} points (".replace("-", "−"))
    assert "lambda 0.01 seed 3" in row["Estimand"].beneath


def test_that_a_choice_is_not_counted_is_said_whatever_the_words_of_the_ledger(tmp_path):
    effects = dataclasses.replace(HELPFUL, val_ce_min=(0.16, 0.08))
    study = read_study(write_results(tmp_path, effects=effects), tmp_path, CAPTIONS)
    other = study.tables["claims"].replace({"estimand": {"chosen": "picked"}}, regex=True)
    for claims, expected in ((other, True), (other.assign(at="every"), False)):
        text = summary.summary(with_tables(study, claims=claims))
        assert ("do not count that validation chose it" in text) == expected


def test_markdown_table_escapes_bars_and_aligns_numbers():
    text = markdown_table([{"a": "|x|", "b": Number(1.0, fixed(1))}])
    assert text == "| a | b |\n| --- | ---: |\n| \\|x\\| | 1.0 |"
    assert markdown_table([]) == "(none)"


# --- what was run ---------------------------------------------------------------------------------


def set_up(study):
    """Return what was set by its name."""
    return dict(line.split(": ", 1) for line in provenance.setup(study))


def test_what_was_set_follows_the_configuration(study):
    parts = {
        "model": {"regularizer": "decoupled", "regularize_output": True, "hidden_units": [64, 32]},
        "dataset": {"label_noise": 0.2, "train_size": 5000},
    }
    config = study.config | {name: study.config[name] | part for name, part in parts.items()}
    said = set_up(dataclasses.replace(study, config=config))
    assert "20 % of the training labels" in said["Data"] and "5,000" in said["Data"]
    assert "L2(" not in said["L2"] and "output kernel" in said["L2"]
    assert "Dense(64, relu) → Dense(32, relu)" in said["Model"]


def test_what_was_set_describes_a_model_of_one_s_own(study):
    """By its description; by the configuration where that is not there."""
    model = {"build": "mine.py:net", "arguments": {"depth": 2}, "code": "0123456789abcdef"}
    mine = dataclasses.replace(study, config=study.config | {"model": model})
    layers = [{"class": name} for name in ("InputLayer", *["Conv2D"] * 13, "Dense")]
    built = {"layers": layers, "parameters": 1234, "outputs": "logits", "program": "graph"}
    built |= {"regularised": [{"path": f"net/{name}"} for name in ("a", "b")]}
    built |= {"same_start": ["net/base"]}
    for description, said in ({}, ""), (built, ": layers Conv2D, "):
        found = set_up(dataclasses.replace(mine, model=description))
        assert found["Model"].startswith(f"mine.py:net (depth 2), checksum 0123456789ab{said}")
        assert ("graph of TensorFlow" in found["Training"]) == bool(description)
    assert "and 2 more, in the order of their creation; 1,234 parameters" in found["Model"]
    assert found["L2"].endswith("on net/a and net/b")
    assert found["Model"].endswith("the same start for every seed: net/base")


def test_what_was_set_says_which_classes_and_parts_the_data_have(study):
    dataset = {"name": "iris", "test_fraction": 0.2, "scale": "standardize"}
    config = study.config | {"dataset": dataset, "validation": {"split": "given", "fraction": 0.1}}
    known = {"counts": {"train": 9}, "shape": [4], "values": [0, 8], "scale": 1.0}
    known |= {"standardize": True, "class_names": ["cat", "dog", "eel"]}
    said = set_up(dataclasses.replace(study, config=config, data=known))["Data"]
    assert "classes cat, dog and eel" in said and "test rows: 20 %" in said
    assert "standardised by the training rows" in said and "images" not in said
    assert "validation: the validation part of the data" in said
    known |= {"validation_left_out": 1234}
    said = set_up(dataclasses.replace(study, data=known))["Data"]
    assert "the 1,234 rows of the data's own validation part are left out" in said


def test_runs_are_counted_by_the_machine_that_made_them(study):
    environments = [({"devices": ["/physical_device:CPU:0", "GPU:0"]}, 3), ({"cpu": "x"}, 1)]
    table = provenance.versions(dataclasses.replace(study, environments=environments))
    assert [row["Devices"] for row in table] == ["CPU:0, GPU:0", "–"]
    assert [row["Runs"] for row in table] == ["3", "1"]


# --- the whole ------------------------------------------------------------------------------------


@pytest.mark.slow  # makes whole studies
@pytest.mark.parametrize("case", sorted(EDGE_CASES))
def test_odd_studies_are_summarised(edge_case, case):
    study = edge_case(case)
    assert not re.search(r"\b(nan|None|NaN|inf)\b", summary.summary(study))
    assert len(text_tables.lambda_table(study)) == len(study.config["lambdas"])
