"""What a change costs: after each, the jobs that Snakemake would run, by its own account."""

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
from collections import Counter

import pytest

from project import STUDY

REPORT = {"report": 1, "all": 1}
TABLES = {"aggregate": 1, **REPORT}
EVERYTHING = {"prepare": 1, "train": 9, **TABLES}
ALL_TRAINING = {"train": 9, **TABLES}


@pytest.fixture
def project(finished, tmp_path):
    """A copy of the finished study, with Snakemake's records, for a test to change."""
    return finished.copy(tmp_path / "copy")


def planned(project, *arguments):
    """Return how many jobs of each rule a dry run plans."""
    done = project.snakemake("--dry-run", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return Counter(re.findall(r"^(?:local)?rule (\w+):$", done.stdout + done.stderr, re.MULTILINE))


def edit(project, name, old, new):
    path = project.folder / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def section(name, **changes):
    return {name: STUDY.get(name, {}) | changes}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {}),
        ({"lambdas": [0, 0.001, 0.03, 0.1]}, {"train": 3, **TABLES}),
        ({"lambdas": [0, 0.001]}, TABLES),
        ({"lambdas": ["3e-2", "1e-3", -0.0]}, {}),
        ({"lambdas": [0.03, 0, 0.001]}, {}),
        ({"seeds": 4}, {"train": 3, **TABLES}),
        ({"seeds": [2, 0, 1]}, {}),
        (section("training", epochs=4), ALL_TRAINING),
        (section("training", batch_size=64), ALL_TRAINING),
        (section("training", learning_rate=0.02), ALL_TRAINING),
        (section("model", hidden_units=[9]), ALL_TRAINING),
        (section("model", activation="tanh"), ALL_TRAINING),
        (section("validation", fraction=0.3), EVERYTHING),
        ({"confidence": 0.9}, TABLES),
        ({"reference_lambda": 0.001}, TABLES),
        ({"allow_missing": True}, {}),
        ({"tensorboard": True}, {"tensorboard": 3, "all": 1}),
    ],
    ids=str,
)
def test_a_change_of_the_configuration_reruns_what_depends_on_it(project, changes, expected):
    project.configure(**changes)
    assert planned(project) == expected


def test_two_values_swapped_are_a_change(project):
    """32 units and batches of 8 have the same set of values as 8 units and batches of 32."""
    project.configure(**section("model", hidden_units=[32]), **section("training", batch_size=8))
    assert planned(project) == ALL_TRAINING


@pytest.mark.parametrize(
    ("name", "old", "new", "expected"),
    [
        ("scripts/l2study/engine.py", "import numpy", "# a comment\nimport numpy", ALL_TRAINING),
        ("scripts/l2study/figures.py", "import numpy", "# a comment\nimport numpy", REPORT),
        ("scripts/l2study/statistics.py", "import numpy", "# a comment\nimport numpy", TABLES),
        ("scripts/l2study/sources.py", "import numpy", "# a comment\nimport numpy", EVERYTHING),
        ("scripts/l2study/owner.py", "import json", "# a comment\nimport json", {}),
        ("scripts/l2study/progress.py", "import time", "# a comment\nimport time", {}),
        ("scripts/plan.py", "import json", "# a comment\nimport json", {}),
        ("scripts/l2study/config.py", '"""Reading', '"""On reading', EVERYTHING),
        ("reports/claims.yaml", "claims:", "# a comment\nclaims:", TABLES),
        ("schemas/tables.yaml", "columns:", "# a comment\ncolumns:", TABLES),
        ("reports/report.ipynb", '"cells"', '"cells" ', REPORT),
        ("reports/captions/gap.rst", "gap", "Gap", REPORT),
        ("reports/page/page.css", "body", "body ", REPORT),
        ("reports/page/explorer.js", "// Draws", "// It draws", REPORT),
        ("scripts/l2study/explorer.py", "import numpy", "# a comment\nimport numpy", REPORT),
        ("reports/tables/gap.rst", "gap", "Gap", {}),
        ("reports/workflow.rst", "study", "Study", {}),
        ("tiny.yaml", "study:", "# a comment\nstudy:", {}),
        ("config.yaml", "# The default study", "# This is the default study", {}),
        ("README.md", "#", "##", {}),
    ],
)
def test_a_change_of_a_file_reruns_what_is_made_from_it(project, name, old, new, expected):
    edit(project, name, old, new)
    assert planned(project) == expected


def test_modification_times_alone_rerun_nothing(project):
    """As after `git clone` over old results, `cp` or `touch`: every file newer, in any order."""
    for path in sorted(project.folder.rglob("*"), reverse=True):
        if path.is_file() and ".snakemake" not in path.parts:
            os.utime(path)
    assert planned(project) == {}


def test_data_of_another_content_rerun_everything(project):
    from tiny import write_npz

    write_npz(project.folder / "tiny.npz", seed=1)
    assert planned(project) == EVERYTHING


def test_modification_times_of_a_large_table_rerun_nothing(project):
    """Above Snakemake's own limit of 1 MB for comparing contents."""
    with open(project.folder / "reports" / "claims.yaml", "a") as file:
        file.write(f"# {'x' * 90}\n" * 15000)
    done = project.snakemake("aggregate")
    assert done.returncode == 0, done.stderr
    assert planned(project, "aggregate") == {}
    os.utime(project.folder / "reports" / "claims.yaml")
    assert planned(project, "aggregate") == {}


def test_only_what_is_missing_is_trained_and_nothing_if_that_is_allowed(project):
    shutil.rmtree(project.results / "runs" / "l2~0.001" / "seed~2")
    assert planned(project) == {"train": 1, **TABLES}
    assert planned(project, "--config", "allow_missing=true") == TABLES


def test_the_plan_says_what_is_new_and_how_long_it_takes(project):
    """In the words of plan.py, from the same dry run; it changes nothing."""

    def plan(**changes):
        project.configure(**changes)
        return subprocess.run(
            [sys.executable, "scripts/plan.py", "--cores", "2", "--configfile", "tiny.yaml"],
            cwd=project.folder, capture_output=True, text=True,
        )  # fmt: skip

    before = {p: p.stat().st_mtime_ns for p in project.folder.rglob("*.*") if p.is_file()}
    assert plan().stdout.startswith("Nothing to be done")
    told = plan(lambdas=[0, 0.001, 0.1], seeds=[1, 2, 3]).stdout
    assert "9 runs: 4 kept, 5 to train" in told
    assert "  lambda 0: seed 3\n" in told
    assert "  lambda 0.1: seeds 1, 2, 3\n" in told
    records = [json.loads(p.read_text()) for p in (project.results / "runs").rglob("run.json")]
    median = statistics.median(record["cost"]["seconds_total"] for record in records)
    hours, minutes, seconds = map(int, re.search(r"about (\d+):(\d+):(\d+)", told).groups())
    assert 3600 * hours + 60 * minutes + seconds == pytest.approx(median * 5 / 2, abs=0.6)
    told = plan(confidence=0.9).stdout
    assert "train" not in told
    assert "other jobs: aggregate, report" in told
    refused = plan(seeds=1)
    assert refused.returncode == 1
    assert "seeds" in refused.stderr.splitlines()[-1]
    project.configure()
    before.pop(project.folder / "tiny.yaml")
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_an_added_lambda_is_all_that_is_trained(project):
    """The one row that is run for real: files of the other runs stay as they are."""
    before = {p: p.stat().st_mtime_ns for p in (project.results / "runs").rglob("*.csv")}
    project.configure(lambdas=[0, 0.001, 0.03, "1e-1"])
    done = project.snakemake("aggregate")
    assert done.returncode == 0, done.stderr
    after = {p: p.stat().st_mtime_ns for p in (project.results / "runs").rglob("*.csv")}
    new = {str(path.relative_to(project.results / "runs")) for path in after.keys() - before.keys()}
    assert new == {f"l2~0.1/seed~{seed}/history.csv" for seed in range(3)}
    assert {path: after[path] for path in before} == before
    assert planned(project) == REPORT


def test_tensorboard_costs_a_job_per_lambda_and_no_training(project):
    """Of runs that are there, and again of a lambda that is added."""
    before = {p: p.stat().st_mtime_ns for p in project.results.rglob("*.*") if p.is_file()}
    project.configure(tensorboard=True)
    done = project.snakemake()
    assert done.returncode == 0, done.stderr
    assert {path: path.stat().st_mtime_ns for path in before} == before
    files = project.results.glob("tensorboard/*/*/events.out.tfevents.*")
    runs = (project.results / "runs").glob("*/*")
    assert {"/".join(path.parts[-3:-1]) for path in files} == {
        "/".join(path.parts[-2:]) for path in runs
    }
    assert planned(project) == {}
    project.configure(tensorboard=True, lambdas=[0, 0.001, 0.03, 0.1])
    assert planned(project) == {"train": 3, "tensorboard": 1, **TABLES}
    project.configure(tensorboard=True, lambdas=[0, 0.001])
    assert planned(project) == TABLES
    project.configure(tensorboard=True, confidence=0.9)
    assert planned(project) == TABLES
    shutil.rmtree(project.results / "runs" / "l2~0.001" / "seed~2")
    assert planned(project, "--config", "allow_missing=true")["train"] == 0
