"""What a change costs: after each, the jobs that Snakemake would run, by its own account."""

import os
import re
import shutil
from collections import Counter

import pytest

from conftest import STUDY, Project

REPORT = {"report": 1, "all": 1}
TABLES = {"aggregate": 1, **REPORT}
EVERYTHING = {"prepare": 1, "train": 9, **TABLES}
ALL_TRAINING = {"train": 9, **TABLES}


@pytest.fixture
def project(finished, tmp_path):
    """A copy of the finished study, with Snakemake's records, for a test to change."""
    shutil.copytree(finished.folder, tmp_path / "copy", symlinks=True)
    copy = Project.__new__(Project)
    copy.folder = tmp_path / "copy"
    return copy


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
        ("scripts/l2study/figures.py", '"""', '"""Another word: ', REPORT),
        ("scripts/l2study/statistics.py", '"""', '"""Another word: ', TABLES),
        ("scripts/l2study/config.py", '"""Reading', '"""On reading', EVERYTHING),
        ("reports/claims.yaml", "claims:", "# a comment\nclaims:", TABLES),
        ("reports/report.ipynb", '"cells"', '"cells" ', REPORT),
        ("reports/captions/gap.rst", "gap", "Gap", REPORT),
        ("reports/page/page.css", "body", "body ", REPORT),
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


def test_an_added_lambda_is_all_that_is_trained(project):
    """The one row that is run for real: files of the other runs stay as they are."""
    before = {p: p.stat().st_mtime_ns for p in (project.results / "runs").rglob("*.csv")}
    project.configure(lambdas=[0, 0.001, 0.03, "1e-1"])
    done = project.snakemake()
    assert done.returncode == 0, done.stderr
    after = {p: p.stat().st_mtime_ns for p in (project.results / "runs").rglob("*.csv")}
    new = {str(path.relative_to(project.results / "runs")) for path in after.keys() - before.keys()}
    assert new == {f"l2~0.1/seed~{seed}/history.csv" for seed in range(3)}
    assert {path: after[path] for path in before} == before
    assert planned(project) == {}
