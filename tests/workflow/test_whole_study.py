"""A tiny real study from the configuration to the report, its numbers computed a second time."""

import json
import math
import re

import frictionless
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
    lines = (project.run_folder(l2, seed) / "history.csv").read_text().splitlines()
    head, *rows = (line.split(",") for line in lines)
    return [dict(zip(head, row, strict=True)) for row in rows]


def test_every_promised_file_is_there(finished):
    runs = [f"l2~{l2}/seed~{seed}" for l2 in LAMBDAS for seed in SEEDS]
    captions = [path.stem for path in (PROJECT / "reports" / "captions").glob("*.rst")]
    files = ["data.json", "data.images.npy", "data.labels.npy", "data.check.json"]
    files += [f"runs/{run}/{name}" for run in runs
              for name in ("history.csv", "run.json", "weights.npz")]  # fmt: skip
    files += [f"tables/{name}.csv" for name in ("histories", "runs", "gap", "contrasts", "claims")]
    files += [f"tables/{name}.parquet" for name in ("histories", "runs")]
    files += [f"report/{name}" for name in ("report.ipynb", "report.html", "summary.md")]
    files += [f"report/figures/{name}.{kind}" for name in captions for kind in ("png", "svg")]
    for name in files:
        assert (finished.results / name).stat().st_size > 0, name
    assert not list(finished.results.rglob(".unfinished*"))
    logs = finished.folder / "logs" / "tiny"
    for name in ("prepare", "check_data", "aggregate", "report", *(f"train/{run}" for run in runs)):
        assert (logs / f"{name}.log").exists(), name


def test_histories_are_those_of_the_runs(finished):
    expected = [row for l2 in LAMBDAS for seed in SEEDS for row in history(finished, l2, seed)]
    lines = (finished.results / "tables" / "histories.csv").read_text().splitlines()
    assert lines[0].split(",") == ["setup", *expected[0]]
    assert [line.split(",") for line in lines[1:]] == [["base", *row.values()] for row in expected]


DIFFERENCES = {
    "reported": ("train_accuracy_running", "val_accuracy"),
    "lag": ("train_accuracy_running", "train_accuracy"),
    "generalisation": ("train_accuracy", "test_accuracy"),
    "split": ("test_accuracy", "val_accuracy"),
    "endpoint": ("train_accuracy", "val_accuracy"),
    "ce": ("val_ce", "train_ce"),
}


@pytest.mark.parametrize("gap", DIFFERENCES)
def test_gap_table_against_arithmetic_on_the_histories(finished, gap):
    """Mean and variance written out; quantiles by inverting the distribution functions."""
    table = for_seeds(pd.read_csv(finished.results / "tables" / "gap.csv"))
    table = table[(table["gap"] == gap) & (table["epoch"] == LAST)].set_index("l2")
    left, right = DIFFERENCES[gap]
    for l2 in LAMBDAS:
        row = table.loc[float(l2)]
        last = [history(finished, l2, seed)[LAST] for seed in SEEDS]
        values = [float(one[left]) - float(one[right]) for one in last]
        mean = sum(values) / 3
        variance = sum((value - mean) ** 2 for value in values) / 2
        t = special.stdtrit(2, 0.975)
        assert row["n"] == 3
        assert row["mean"] == pytest.approx(mean, abs=1e-12)
        assert row["variance"] == pytest.approx(variance, rel=1e-9)
        assert row["mean_low"] == pytest.approx(mean - t * math.sqrt(variance / 3), abs=1e-9)
        assert row["mean_high"] == pytest.approx(mean + t * math.sqrt(variance / 3), abs=1e-9)
        # chi-square with 2 degrees of freedom is exponential: its quantile is -2 log(1 - p)
        for name, p in (("variance_low", 0.025), ("variance_high", 0.975)):
            assert row[name] == pytest.approx(2 * variance / (-2 * math.log(p)), rel=1e-6)


def test_runs_table_has_what_each_run_says(finished):
    table = pd.read_csv(finished.results / "tables" / "runs.csv").set_index(["l2", "seed"])
    assert len(table) == 9
    for l2 in LAMBDAS:
        found = json.loads((finished.results / f"measures/l2~{l2}.json").read_text())
        for seed in SEEDS:
            record = json.loads((finished.run_folder(l2, seed) / "run.json").read_text())
            row = table.loc[(float(l2), seed)]
            measures = found["runs"][str(seed)]["measures"]
            for name, value in (measures | record["cost"]).items():
                assert row[name] == pytest.approx(value), name
            val_ce = [float(line["val_ce"]) for line in history(finished, l2, seed)]
            assert row["val_ce_min"] == min(val_ce)
            assert row["val_ce_min_epoch"] == val_ce.index(min(val_ce))
            assert row["val_ce_creep"] == pytest.approx(val_ce[-1] - min(val_ce), abs=1e-15)


def test_the_tables_are_as_they_are_described(finished):
    checked = frictionless.validate(str(finished.results / "tables" / "datapackage.json"))
    assert checked.flatten(["type", "message"]) == []
    assert {task.stats["rows"] for task in checked.tasks if task.name == "histories"} == {36}


def test_every_deciding_row_is_what_the_files_of_the_runs_say(finished):
    assert second_look.check(finished.results, 0.95) >= 5


def test_links_of_the_summary_lead_somewhere(finished):
    text = (finished.results / "report" / "summary.md").read_text()
    links = re.findall(r"\]\(([^)#:]+)\)", text)
    assert links
    assert all((finished.results / "report" / link).exists() for link in links)


def test_common_random_numbers(finished):
    start = {(l2, seed): history(finished, l2, seed)[0]["train_ce"]
             for l2 in LAMBDAS for seed in SEEDS}  # fmt: skip
    assert all(start[l2, seed] == start["0", seed] for l2, seed in start)
    assert len(set(start.values())) == len(SEEDS)


def test_aggregate_alone_writes_the_same_tables(finished, tmp_path):
    copy = finished.copy(tmp_path / "copy")
    tables = copy.results / "tables"
    before = {path.name: path.read_bytes() for path in tables.iterdir()}
    done = copy.program(
        "aggregate", "--config", "tiny.yaml", "--claims", "reports/claims/general.yaml",
        "--results", str(copy.results),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert {path.name: path.read_bytes() for path in tables.iterdir()} == before


def test_configurations_of_the_project_are_valid():
    names = {read_config(PROJECT / "config.yaml")["study"]}
    studies = list((PROJECT / "studies").glob("*.yaml"))
    for path in studies:
        merged = yaml.safe_load((PROJECT / "config.yaml").read_text())
        update_config(merged, yaml.safe_load(path.read_text()))
        names.add(check(merged)["study"])
    assert len(names) == 1 + len(studies)
