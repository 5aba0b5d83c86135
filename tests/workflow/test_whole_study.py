"""A tiny real study from the configuration to the report, its numbers computed a second time."""

import json
import math
import re
import subprocess
import sys

import frictionless
import numpy as np
import pandas as pd
import pytest
import yaml
from scipy import special
from snakemake.utils import update_config

import second_look
from l2study.core.config import check, read_config
from l2study.core.scope_rows import for_seeds
from tiny import PROJECT

LAMBDAS = ["0", "0.001", "0.03"]
SEEDS = [0, 1, 2]
LAST = 3


def history(project, l2, seed):
    path = project.results / "runs" / f"l2~{l2}" / f"seed~{seed}" / "history.csv"
    lines = [line.split(",") for line in path.read_text().splitlines()]
    return [dict(zip(lines[0], line, strict=True)) for line in lines[1:]]


def at(project, l2, epoch, column):
    return [float(history(project, l2, seed)[epoch][column]) for seed in SEEDS]


def test_every_promised_file_is_there(finished):
    files = ["data.json", "data.images.npy", "data.labels.npy"]
    for l2 in LAMBDAS:
        for seed in SEEDS:
            folder = f"runs/l2~{l2}/seed~{seed}"
            files += [f"{folder}/{name}" for name in ("history.csv", "run.json")]
            files += [f"{folder}/weights.npz"]
    tables = ("histories", "runs", "gap", "contrasts", "claims")
    files += [f"tables/{table}.csv" for table in tables]
    files += [f"tables/{name}" for name in ("histories.parquet", "runs.parquet")]
    files += [f"report/{name}" for name in ("report.ipynb", "report.html", "summary.md")]
    for caption in (PROJECT / "reports" / "captions").glob("*.rst"):
        files += [f"report/figures/{caption.stem}.{kind}" for kind in ("png", "svg")]
    for name in files:
        assert (finished.results / name).stat().st_size > 0, name
    assert not list(finished.results.rglob(".unfinished*"))
    logs = {path.relative_to(finished.folder / "logs/tiny").as_posix() for path in
            (finished.folder / "logs" / "tiny").rglob("*.log")}  # fmt: skip
    assert {"prepare.log", "aggregate.log", "report.log"} < logs
    assert {f"train/l2~{l2}/seed~{seed}.log" for l2 in LAMBDAS for seed in SEEDS} < logs


def test_histories_are_those_of_the_runs(finished):
    expected = [row for l2 in LAMBDAS for seed in SEEDS for row in history(finished, l2, seed)]
    lines = (finished.results / "tables" / "histories.csv").read_text().splitlines()
    assert lines[0].split(",") == ["setup", *expected[0]]
    rows = [["base", *row.values()] for row in expected]
    assert [line.split(",") for line in lines[1:]] == rows


DIFFERENCES = {
    "reported": ("train_accuracy_running", "val_accuracy"),
    "lag": ("train_accuracy_running", "train_accuracy"),
    "generalisation": ("train_accuracy", "test_accuracy"),
    "split": ("test_accuracy", "val_accuracy"),
    "endpoint": ("train_accuracy", "val_accuracy"),
    "ce": ("val_ce", "train_ce"),
}


@pytest.mark.parametrize("l2", LAMBDAS)
@pytest.mark.parametrize("gap", DIFFERENCES)
def test_gap_table_against_arithmetic_on_the_histories(finished, l2, gap):
    """Mean and variance written out; quantiles by inverting the distribution functions."""
    table = for_seeds(pd.read_csv(finished.results / "tables" / "gap.csv"))
    row = table.query("l2 == @l2_ and gap == @gap and epoch == @LAST",
                      local_dict={"l2_": float(l2), "gap": gap, "LAST": LAST})  # fmt: skip
    (row,) = row.to_dict("records")
    left, right = (at(finished, l2, LAST, column) for column in DIFFERENCES[gap])
    values = [a - b for a, b in zip(left, right, strict=True)]
    mean = sum(values) / 3
    variance = sum((value - mean) ** 2 for value in values) / 2
    t = special.stdtrit(2, 0.975)
    assert row["n"] == 3
    assert row["mean"] == pytest.approx(mean, abs=1e-12)
    assert row["variance"] == pytest.approx(variance, rel=1e-9)
    assert row["sd"] == pytest.approx(math.sqrt(variance), rel=1e-9)
    assert row["mean_low"] == pytest.approx(mean - t * math.sqrt(variance / 3), abs=1e-9)
    assert row["mean_high"] == pytest.approx(mean + t * math.sqrt(variance / 3), abs=1e-9)
    # chi-square with 2 degrees of freedom is exponential: its quantile is -2 log(1 - p)
    assert row["variance_low"] == pytest.approx(2 * variance / (-2 * math.log(0.025)), rel=1e-6)
    assert row["variance_high"] == pytest.approx(2 * variance / (-2 * math.log(0.975)), rel=1e-6)


def test_reported_gap_is_the_sum_of_its_parts(finished):
    table = for_seeds(pd.read_csv(finished.results / "tables" / "gap.csv"))
    means = table[table["epoch"] > 0].pivot(index=["l2", "epoch"], columns="gap", values="mean")
    parts = means["lag"] + means["generalisation"] + means["split"]
    np.testing.assert_allclose(means["reported"], parts, rtol=0, atol=1e-12)
    assert len(means) == len(LAMBDAS) * LAST


def test_contrasts_against_arithmetic_on_the_histories(finished):
    table = for_seeds(pd.read_csv(finished.results / "tables" / "contrasts.csv"))
    table = table.set_index(["measure", "l2"])
    for column in ("test_accuracy", "weight_norm", "val_ce"):
        pairs = zip(
            at(finished, "0.03", LAST, column), at(finished, "0", LAST, column), strict=True
        )
        differences = [a - b for a, b in pairs]
        mean = sum(differences) / 3
        sd = math.sqrt(sum((d - mean) ** 2 for d in differences) / 2)
        row = table.loc[(column, 0.03)]
        assert row["mean_difference"] == pytest.approx(mean, abs=1e-12)
        assert row["d_z"] == pytest.approx(mean / sd, rel=1e-6)
        # Student's t with 2 degrees of freedom: P(|T| > t) = 1 - t / sqrt(t^2 + 2)
        t = abs(mean) / (sd / math.sqrt(3))
        assert row["p_t"] == pytest.approx(1 - t / math.sqrt(t * t + 2), rel=1e-6)


def test_runs_table_has_what_each_run_says(finished):
    table = pd.read_csv(finished.results / "tables" / "runs.csv").set_index(["l2", "seed"])
    assert len(table) == 9
    for l2 in LAMBDAS:
        for seed in SEEDS:
            folder = finished.results / "runs" / f"l2~{l2}" / f"seed~{seed}"
            record = json.loads((folder / "run.json").read_text())
            row = table.loc[(float(l2), seed)]
            found = json.loads((finished.results / f"measures/l2~{l2}.json").read_text())
            measures = found["runs"][str(seed)]["measures"]
            for name, value in (measures | record["cost"]).items():
                assert row[name] == pytest.approx(value), name
            val_ce = [float(line["val_ce"]) for line in history(finished, l2, seed)]
            assert row["val_ce_min"] == min(val_ce)
            assert row["val_ce_min_epoch"] == val_ce.index(min(val_ce))
            assert row["val_ce_creep"] == pytest.approx(val_ce[-1] - min(val_ce), abs=1e-15)
            assert row["status"] == "completed"


def test_the_tables_are_as_they_are_described(finished):
    checked = frictionless.validate(str(finished.results / "tables" / "datapackage.json"))
    assert checked.flatten(["type", "message"]) == []
    assert {task.stats["rows"] for task in checked.tasks if task.name == "histories"} == {36}


def test_summary_has_the_numbers_of_the_tables(finished):
    text = (finished.results / "report" / "summary.md").read_text()
    table = for_seeds(pd.read_csv(finished.results / "tables" / "gap.csv"))
    rows = table[(table["gap"] == "reported") & (table["epoch"] == LAST)]
    for mean in rows["mean"]:
        assert f"{100 * mean:.2f}".replace("-", "−") in text
    for link in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (finished.results / "report" / link).exists(), link


def test_page_is_one_file_with_every_figure(finished):
    page = (finished.results / "report" / "report.html").read_text()
    assert "Traceback" not in page
    loaded = re.findall(r"<(?:script|img|link|iframe)[^>]+(?:src|href)=[\"']([^\"']+)", page)
    assert all(address.startswith(("data:", "#")) for address in loaded)
    captions = list((PROJECT / "reports" / "captions").glob("*.rst"))
    assert page.count("<figure") >= len(captions)


def test_a_second_run_does_nothing_and_says_so(finished, tmp_path):
    done = finished.copy(tmp_path / "copy").snakemake()
    assert done.returncode == 0
    assert "Nothing to be done" in done.stdout + done.stderr


def test_common_random_numbers(finished):
    for seed in SEEDS:
        first = {history(finished, l2, seed)[0]["train_ce"] for l2 in LAMBDAS}
        assert len(first) == 1
    assert len({history(finished, "0", seed)[0]["train_ce"] for seed in SEEDS}) == 3


def test_every_deciding_row_is_what_the_files_of_the_runs_say(finished):
    assert second_look.check(finished.results, 0.95) > 5


def test_stages_run_alone(finished, tmp_path):
    """Every script is a program of its own, with a help text and the same result."""
    for script in sorted((PROJECT / "scripts").glob("*.py")):
        done = subprocess.run(
            [sys.executable, str(script), "--help"], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert "example:" in done.stdout.lower(), script
    copy = finished.copy(tmp_path / "copy")
    tables = copy.results / "tables"
    before = {path.name: path.read_bytes() for path in tables.iterdir()}
    done = subprocess.run(
        [sys.executable, "scripts/aggregate.py", "--config", "tiny.yaml"]
        + ["--claims", "reports/claims/general.yaml", "--results", str(copy.results)],
        cwd=copy.folder, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert {path.name: path.read_bytes() for path in tables.iterdir()} == before


def test_configurations_of_the_project_are_valid():

    names = {read_config(PROJECT / "config.yaml")["study"]}
    for path in sorted((PROJECT / "studies").glob("*.yaml")):
        merged = yaml.safe_load((PROJECT / "config.yaml").read_text())
        update_config(merged, yaml.safe_load(path.read_text()))
        names.add(check(merged, defaults=False)["study"])
    assert len(names) == 1 + len(list((PROJECT / "studies").glob("*.yaml")))
