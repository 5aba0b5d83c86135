import dataclasses
import json
import re
import shutil

import pytest
from scipy import stats

from aggregate import write_tables
from l2study import summary
from l2study.study import read_study
from reported import ODD, made_up
from synthetic import write_study
from tiny import PROJECT


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return made_up(
        tmp_path_factory.mktemp("study"),
        lambdas=[0, 1e-4, 1e-2],
        seeds=[0, 1, 2, 5],
        epochs=4,
        diverged={(1e-4, 5): 3},
        confidence=0.9,
    )


def numbers(text):
    return [float(n.replace("−", "-")) for n in re.findall(r"−?\d+\.?\d*(?:e−?\d+)?", text)]


def section(text, title):
    return re.search(rf"^## {title}\n\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)[1]


def cells(markdown):
    rows = [line.strip("| ").split(" | ") for line in markdown.splitlines() if line[:1] == "|"]
    return rows[0], rows[2:]


def test_lambda_table_repeats_the_tables(study):
    runs, gap = study.tables["runs"], study.tables["gap"]
    head, rows = cells(section(summary.summary(study), "Per lambda"))
    assert [row[0] for row in rows[:3]] == ["0", "0.0001", "0.01"]
    for row, l2 in zip(rows[:3], (0, 1e-4, 1e-2), strict=True):
        shown = dict(zip(head, row, strict=True))
        complete = runs[(runs["l2"] == l2) & (runs["status"] == "completed")]
        for column, measure in {
            "Training %": "train_accuracy",
            "Validation %": "val_accuracy",
            "Test %": "test_accuracy",
        }.items():
            assert float(shown[column]) == pytest.approx(100 * complete[measure].mean(), abs=0.005)
        assert float(shown["Norm, weights under L2"]) == pytest.approx(
            complete["weight_norm"].mean(), rel=0.005
        )
        end = gap[(gap["l2"] == l2) & (gap["epoch"] == 4)].set_index("gap")
        for column, kind in {
            "Reported gap": "reported",
            "Generalisation gap": "generalisation",
        }.items():
            expected = 100 * end.loc[kind, ["mean", "mean_low", "mean_high"]].astype(float)
            assert numbers(shown[column]) == pytest.approx(expected.tolist(), abs=0.005)
        expected = 1e4 * end.loc["reported", ["variance", "variance_low", "variance_high"]].astype(
            float
        )
        assert numbers(shown["Its variance"]) == pytest.approx(expected.tolist(), rel=0.005)


def test_gap_table_has_the_parts_of_the_reported_gap(study):
    table = summary.gap_table(study).set_index("λ")
    for l2 in ("0", "0.0001", "0.01"):
        reported, lag, generalisation, split = (numbers(cell)[0] for cell in table.loc[l2].iloc[:4])
        assert reported == pytest.approx(lag + generalisation + split, abs=0.02)


def test_counts_and_names_diverged_runs_near_the_top(study):
    text = summary.summary(study)
    top = text[: text.index("## Per lambda")]
    assert "12 runs (3 lambdas, 4 seeds each): 11 completed, 1 diverged" in top
    assert "lambda 0.0001 seed 5" in top
    assert "seed 5 after epoch 2" in section(text, "Runs")
    assert "3, 1 diverged" in section(text, "Per lambda")


def test_study_without_diverged_runs_says_so(tmp_path):
    text = summary.summary(made_up(tmp_path, **ODD["no lambda 0"]))
    assert "6 runs (2 lambdas, 3 seeds each), all completed." in text
    assert "No run diverged." in text


def test_has_question_answer_setup_and_confidence(study):
    text = summary.summary(study)
    assert text.startswith("# L2 regularisation study: made-up\n\nHow does")
    assert section(text, "Answer").strip()
    setup = section(text, "Set-up")
    for expected in (
        "Dense(128, relu)",
        "adam",
        "batch size 200",
        "4 epochs",
        "last 10 %",
        "0, 1, 2, 5",
    ):
        assert expected in setup
    assert "with 90 % intervals" in text


def test_verdicts_are_those_of_the_ledger(study):
    claims = study.tables["claims"]
    overall = claims[claims["estimand"] == "overall"]
    _, rows = cells(section(summary.summary(study), "Claims"))
    assert [row[0] for row in rows] == overall["claim"].tolist()
    assert [row[2] for row in rows] == overall["verdict"].tolist()
    reasons = [row[3].replace(r"\|", "|") for row in rows]
    assert reasons == overall["decided_by"].tolist()
    assert all(reasons)


def test_the_epoch_of_the_claims_is_said_once(study):
    text = summary.summary(study)
    assert text.count("Estimates are of the last epoch, epoch 4, unless they name another.") == 1


def test_weight_table_tells_what_is_regularised(study):
    table = summary.weight_table(study)
    assert list(table) == [
        "λ",
        "Regularised weights",
        "Output kernel (not regularised)",
        "Product over all kernels",
    ]
    cell = study.tables["runs"].query("l2 == 0.01")
    for head, measure in zip(
        list(table)[1:], ("weight_norm", "output_kernel_norm", "norm_product"), strict=True
    ):
        low, high = stats.t.interval(0.9, 3, cell[measure].mean(), stats.sem(cell[measure]))
        shown = numbers(table[head].iloc[2])
        assert shown == pytest.approx([cell[measure].mean(), low, high], rel=0.005)
    config = {**study.config, "model": {**study.config["model"], "regularize_output": True}}
    table = summary.weight_table(dataclasses.replace(study, config=config))
    assert list(table)[2] == "Output kernel (regularised)"


def test_choice_is_that_of_the_table(study):
    _, rows = cells(section(summary.summary(study), "Choice of lambda"))
    choice = study.tables["choice"]
    assert [float(row[1]) for row in rows] == choice["l2"].tolist()
    accuracy = [float(row[4]) for row in rows]
    assert accuracy == pytest.approx((100 * choice["test_accuracy_mean"]).tolist(), abs=0.005)


def test_contrasts_have_their_unit(study):
    rows = study.tables["contrasts"].query("measure == 'gap_reported'").reset_index()
    table = summary.contrast_table(study, "gap_reported")
    assert table["λ"].tolist() == ["0.0001", "0.01"]
    shown = [numbers(text)[0] for text in table["Difference"]]
    assert shown == pytest.approx((100 * rows["mean_difference"]).tolist(), rel=0.005)
    assert table["Correlation"].tolist() == [f"{r:.2f}".replace("-", "−") for r in rows.correlation]
    assert table["p (variances, Holm)"].tolist() == [
        summary.significant(p, 2) for p in rows["p_variance_holm"]
    ]
    assert summary.measure_label("gap_reported") == "Reported gap (points)"


def test_power_table_has_a_column_per_difference(study):
    table = summary.power_table(study)
    assert list(table.columns[-3:]) == ["0.1 points", "0.2 points", "0.5 points"]
    power = study.tables["power"]
    first = power[(power["l2"] == 1e-4) & (power["gap"] == "reported")]
    row = table[(table["λ"] == "0.0001") & (table["Gap"] == "reported")].iloc[0]
    assert [float(cell) for cell in row.iloc[-3:]] == first["seeds"].tolist()


def test_versions_are_those_of_the_runs(study):
    table = summary.versions(study)
    assert table["Runs"].tolist() == ["12"]
    assert table["Keras"].tolist() == ["3.0"]


def test_versions_differ_between_runs_and_lists_are_plain(study):
    environments = [({"devices": ["/physical_device:CPU:0", "GPU:0"]}, 3), ({"cpu": "x"}, 1)]
    table = summary.versions(dataclasses.replace(study, environments=environments))
    assert table["Devices"].tolist() == ["CPU:0, GPU:0", "–"]
    assert table["Runs"].tolist() == ["3", "1"]


def test_every_figure_is_shown_once_with_alternative_text_and_caption(study):
    images = re.findall(
        r"!\[([^\]]+)\]\(figures/(\w+)\.png\)\n\n\*(.+?)\* (.+)", summary.summary(study)
    )
    assert sorted(name for _, name, _, _ in images) == sorted(study.captions)
    assert all(alt == description and len(reading) > 50 for alt, _, description, reading in images)
    assert images[0][1] == "decomposition"


@pytest.mark.parametrize("case", sorted(ODD))
def test_odd_studies_are_summarised(tmp_path, case):
    study = made_up(tmp_path, **ODD[case])
    text = summary.summary(study)
    assert not re.search(r"\b(nan|None|NaN|inf)\b", text)
    assert len(cells(section(text, "Per lambda"))[1]) == 2 * len(study.config["lambdas"]) + 2
    if case == "every run diverged":
        assert "0 completed, 4 diverged" in text


def test_markdown_table_escapes_bars():
    import pandas as pd

    text = summary.markdown_table(pd.DataFrame({"a": ["|x|"], "b": ["1"]}))
    assert text == "| a | b |\n| --- | ---: |\n| \\|x\\| | 1 |"
    assert summary.markdown_table(pd.DataFrame()) == "(none)"


def test_missing_runs_are_named_before_anything_else_is_shown(tmp_path):
    config = write_study(tmp_path, lambdas=[0, 1e-4, 1e-2], seeds=[0, 1, 2], epochs=2)
    shutil.rmtree(tmp_path / "runs" / "l2~0.01")
    (tmp_path / "runs" / "l2~0" / "seed~1" / "run.json").unlink()
    ledger = PROJECT / "reports" / "claims.yaml"
    write_tables(config, ledger, tmp_path, allow_missing=True)
    study = read_study(json.dumps(config), tmp_path, PROJECT / "reports" / "captions")
    sentence = (
        "Only 5 of the 9 runs of this study are there "
        "(missing: lambda 0 seed 1; lambda 0.01 seeds 0, 1, 2), all completed."
    )
    text = summary.summary(study)
    assert summary.runs_sentence(study) == sentence
    assert text.index(sentence) < min(text.index("!["), text.index("## Per lambda"))
    _, rows = cells(section(text, "Per lambda"))
    assert [row[:2] for row in rows[:2]] == [["0", "2"], ["0.0001", "3"]]
