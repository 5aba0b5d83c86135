import dataclasses
import json
import re
import shutil

import pytest
from scipy import stats

from aggregate import write_tables
from l2study.core.scope_rows import SEEDS, SEEDS_AND_IMAGES, for_seeds, widest
from l2study.core.wording import fixed
from l2study.report import claim_tables, provenance, summary, text_tables
from l2study.report.study import read_study
from l2study.report.table_cells import Number
from reported import EDGE_CASES, made_up
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
        end = gap[(gap["l2"] == l2) & (gap["epoch"] == 4)]
        # the mean has an interval for other images too, the variance over seeds has none
        wide, end = (rows.set_index("gap") for rows in (widest(end, ["gap"]), for_seeds(end)))
        assert set(wide.loc[["reported", "generalisation"], "scope"]) == {SEEDS_AND_IMAGES}
        for column, kind in {
            "Reported gap": "reported",
            "Generalisation gap": "generalisation",
        }.items():
            expected = 100 * wide.loc[kind, ["mean", "mean_low", "mean_high"]].astype(float)
            assert numbers(shown[column]) == pytest.approx(expected.tolist(), abs=0.005)
        expected = 1e4 * end.loc["reported", ["variance", "variance_low", "variance_high"]].astype(
            float
        )
        assert numbers(shown["Its variance"]) == pytest.approx(expected.tolist(), rel=0.005)


def by_lambda(rows):
    return {str(row["λ"]): row for row in rows}


def test_gap_table_has_the_parts_of_the_reported_gap(study):
    table = by_lambda(text_tables.gap_table(study))
    for l2 in ("0", "0.0001", "0.01"):
        reported, lag, generalisation, split = (
            table[l2][head].value for head in ("Reported", "= lag", "+ generalisation", "+ split")
        )
        assert reported == pytest.approx(lag + generalisation + split)


def test_counts_and_names_diverged_runs_near_the_top(study):
    text = summary.summary(study)
    top = text[: text.index("## Per lambda")]
    assert "12 runs (3 lambdas, 4 seeds each): 11 completed, 1 diverged" in top
    assert "lambda 0.0001 seed 5" in top
    assert "seed 5 after epoch 2" in section(text, "Runs")
    assert "3, 1 diverged" in section(text, "Per lambda")


def test_study_without_diverged_runs_says_so(edge_case):
    text = summary.summary(edge_case("no lambda 0"))
    assert "6 runs (2 lambdas, 3 seeds each), all completed." in text
    assert "No run diverged." in text


def test_has_question_answer_setup_and_confidence(study):
    text = summary.summary(study)
    assert text.startswith("# L2 regularisation study: made-up\n\nWhat does")
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
    assert "are 90 % intervals" in text


def test_setup_names_a_decoupled_regulariser_and_label_noise(study):
    def setup(config):
        rows = provenance.setup(dataclasses.replace(study, config=config))
        return {row["What"]: row["Value"] for row in rows}

    plain = setup(study.config)
    assert "Label noise" not in plain
    assert "L2(lambda)" in plain["Regulariser"]
    model = study.config["model"] | {"regularizer": "decoupled", "regularize_output": True}
    dataset = study.config["dataset"] | {"label_noise": 0.2}
    changed = setup({**study.config, "model": model, "dataset": dataset})
    assert changed["Label noise"] == "20 % of the training labels replaced by another class"
    assert "decoupled weight decay" in changed["Regulariser"]
    assert "output kernel" in changed["Regulariser"]
    assert "L2(" not in changed["Regulariser"]


@pytest.mark.parametrize(
    ("known", "words"),
    [
        ({}, "digits.npz: 1,000 train, 200 test images"),
        (
            {"values": [0, 16], "scale": 1 / 255},
            "digits.npz: 1,000 train, 200 test images; values 0 to 16, divided by 255",
        ),
        (
            {"values": [-0.5, 1.0], "scale": 1.0},
            "digits.npz: 1,000 train, 200 test images; values −0.5 to 1",
        ),
    ],
)
def test_setup_says_how_images_were_scaled(study, known, words):
    data = {"source": "digits.npz", "counts": {"train": 1000, "test": 200}} | known
    rows = provenance.setup(dataclasses.replace(study, data=data))
    assert rows[0] == {"What": "Data", "Value": words}


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
    heads = [
        "λ",
        "Regularised weights",
        "Output kernel (not regularised)",
        "Product over all kernels",
    ]
    row = by_lambda(text_tables.weight_table(study))["0.01"]
    assert list(row) == heads
    cell = study.tables["runs"].query("l2 == 0.01")
    for head, measure in zip(
        heads[1:], ("weight_norm", "output_kernel_norm", "norm_product"), strict=True
    ):
        low, high = stats.t.interval(0.9, 3, cell[measure].mean(), stats.sem(cell[measure]))
        shown = row[head].value, row[head].low, row[head].high
        assert shown == pytest.approx((cell[measure].mean(), low, high))
    config = {**study.config, "model": {**study.config["model"], "regularize_output": True}}
    table = text_tables.weight_table(dataclasses.replace(study, config=config))
    assert list(table[0])[2] == "Output kernel (regularised)"


def test_choice_is_that_of_the_table(study):
    _, rows = cells(section(summary.summary(study), "Choice of lambda"))
    choice = widest(study.tables["choice"], ["rule"])
    assert set(choice["scope"]) == {SEEDS_AND_IMAGES}
    assert [float(row[1]) for row in rows] == choice["l2"].tolist()
    for row, (_, expected) in zip(rows, choice.iterrows(), strict=True):
        ends = 100 * expected[["test_accuracy_mean", "low", "high"]].astype(float)
        assert numbers(row[4]) == pytest.approx(ends.tolist(), abs=0.005)


def test_contrasts_have_their_unit(study):
    rows = study.tables["contrasts"].query("measure == 'gap_reported'").reset_index()
    table = text_tables.contrast_table(study, "gap_reported")
    assert [(str(row["λ"]), row["For other"]) for row in table] == [
        (l2, scope) for scope in (SEEDS, SEEDS_AND_IMAGES) for l2 in ("0.0001", "0.01")
    ]
    shown = [numbers(str(row["Difference"]))[0] for row in table]
    assert shown == pytest.approx((100 * rows["mean_difference"]).tolist(), rel=0.005)
    columns = {"Correlation": "correlation", "p (variances, Holm)": "p_variance_holm"}
    for head, column in columns.items():
        expected = pytest.approx(rows[column].tolist(), rel=0, abs=0, nan_ok=True)
        assert [row[head].value for row in table] == expected
        assert for_seeds(rows)[column].notna().all()
    assert isinstance(table[0]["p (Holm)"], Number)


def test_power_table_has_a_column_per_difference(study):
    table = text_tables.power_table(study)
    heads = ["0.1 points", "0.2 points", "0.5 points"]
    assert list(table[0])[-3:] == heads
    power = study.tables["power"]
    first = power[(power["l2"] == 1e-4) & (power["gap"] == "reported")]
    (row,) = [r for r in table if (str(r["λ"]), r["Gap"]) == ("0.0001", "reported")]
    assert [row[head].value for head in heads] == first["seeds"].tolist()


def test_versions_are_those_of_the_runs(study):
    (row,) = provenance.versions(study)
    assert (row["Runs"], row["Keras"]) == ("12", "3.0")


def test_versions_differ_between_runs_and_lists_are_plain(study):
    environments = [({"devices": ["/physical_device:CPU:0", "GPU:0"]}, 3), ({"cpu": "x"}, 1)]
    table = provenance.versions(dataclasses.replace(study, environments=environments))
    assert [row["Devices"] for row in table] == ["CPU:0, GPU:0", "–"]
    assert [row["Runs"] for row in table] == ["3", "1"]


def test_claim_table_has_estimates_and_bounds_in_the_unit_of_the_reader(tmp_path):
    study = made_up(tmp_path, epochs=8, diverged={(1e-2, 3): 2})
    claims = study.tables["claims"]
    expected = claims.query("id == 'negative-gap' and measure == 'gap_reported'").iloc[0]
    row = claim_tables.claim_table(study, "negative-gap")[0]
    assert row["Estimate"].value == expected["estimate"]
    assert row["Estimate"].text == f"{100 * expected['estimate']:.2f} points".replace("-", "−")
    assert (row["The claim needs"], row["The exercise"].text) == ("below 0", "−1.4 points")
    assert "Diverged and left out: lambda 0.01 seed 3." in row["Estimand"].beneath
    assert (row["Evidence"].table, row["Evidence"].figure) == ("gap.csv", "decomposition")
    trend = claim_tables.claim_table(study, "small-weights")[0]
    assert "one-sided p-value" in trend["Estimand"].beneath
    assert "The exercise" not in trend


def test_every_figure_is_shown_once_with_alternative_text_and_caption(study):
    images = re.findall(
        r"!\[([^\]]+)\]\(figures/(\w+)\.png\)\n\n\*(.+?)\* (.+)", summary.summary(study)
    )
    assert sorted(name for _, name, _, _ in images) == sorted(study.captions)
    assert all(alt == description and len(reading) > 50 for alt, _, description, reading in images)
    assert images[0][1] == "decomposition"


@pytest.mark.slow  # makes whole studies
@pytest.mark.parametrize("case", sorted(EDGE_CASES))
def test_odd_studies_are_summarised(edge_case, case):
    study = edge_case(case)
    text = summary.summary(study)
    assert not re.search(r"\b(nan|None|NaN|inf)\b", text)
    assert len(cells(section(text, "Per lambda"))[1]) == 2 * len(study.config["lambdas"]) + 2
    if case == "every run diverged":
        assert "0 completed, 4 diverged" in text


def test_markdown_table_escapes_bars_and_aligns_numbers():
    text = summary.markdown_table([{"a": "|x|", "b": Number(1.0, fixed(1))}])
    assert text == "| a | b |\n| --- | ---: |\n| \\|x\\| | 1.0 |"
    assert summary.markdown_table([]) == "(none)"


def test_missing_runs_are_named_before_anything_else_is_shown(tmp_path):
    config = write_study(tmp_path, lambdas=[0, 1e-4, 1e-2], seeds=[0, 1, 2], epochs=2)
    shutil.rmtree(tmp_path / "runs" / "l2~0.01")
    (tmp_path / "runs" / "l2~0" / "seed~1" / "run.json").unlink()
    ledger = PROJECT / "reports" / "claims" / "exercise.yaml"
    write_tables(config, ledger, tmp_path, allow_missing=True)
    study = read_study(json.dumps(config), tmp_path, PROJECT / "reports" / "captions")
    sentence = (
        "Only 5 of the 9 runs of this study are there "
        "(missing: lambda 0 seed 1; lambda 0.01 seeds 0, 1, 2), all completed."
    )
    text = summary.summary(study)
    assert provenance.runs_sentence(study) == sentence
    assert text.index(sentence) < min(text.index("!["), text.index("## Per lambda"))
    _, rows = cells(section(text, "Per lambda"))
    assert [row[:2] for row in rows[:2]] == [["0", "2"], ["0.0001", "3"]]
