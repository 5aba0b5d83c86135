"""What a change costs: after each, the jobs that Snakemake would run, by its own account."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter

import pytest

from l2study.core.code import WORK, code_of
from project import STUDY
from tiny import PROJECT, write_npz

REPORT = {"report": 1, "all": 1}
TABLES = {"aggregate": 1, **REPORT}
MEASURED = {"measure": 3, **TABLES}
MEASURED_ONE = {"measure": 1, **TABLES}
ALL_TRAINING = {"train": 9, **MEASURED}
EVERYTHING = {"prepare": 1, **ALL_TRAINING}


@pytest.fixture
def project(finished, tmp_path):
    """A copy of the finished study, with Snakemake's records, for a test to change."""
    return finished.copy(tmp_path / "copy")


def planned(project, *arguments):
    """Return how many jobs of each rule a dry run plans."""
    done = project.snakemake("--dry-run", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return Counter(re.findall(r"^(?:local)?rule (\w+):$", done.stdout + done.stderr, re.MULTILINE))


def remark(project, name):
    """Give a file a last line that changes nothing but its content."""
    with open(project.folder / name, "a") as file:
        file.write("\n# a remark\n")


def section(name, **changes):
    return {name: STUDY.get(name, {}) | changes}


@pytest.fixture(scope="session")
def rules(made_once, finished):
    """What Snakemake says of a job of each rule, once for all: its inputs, and its settings."""

    def make(folder):
        project = finished.copy(folder / "copy")
        project.configure(tensorboard=True)
        done = project.snakemake("--dry-run", "--forceall", "--printshellcmds")
        assert done.returncode == 0, done.stderr
        (folder / "plan.txt").write_text(done.stdout + done.stderr)

    plan = (made_once("plan", make) / "plan.txt").read_text()
    found = {}
    job = r"^(?:local)?rule (\w+):\n +input: ([^\n]*)\n.*--config '(.*?)'"
    for text in plan.split("\n\n"):
        if said := re.search(job, text, re.MULTILINE | re.DOTALL):
            found[said[1]] = set(said[2].split(", ")), json.loads(said[3])
    return found


@pytest.mark.parametrize(
    ("rule", "keys"),
    [
        ("prepare", {"dataset", "validation"}),
        ("train", {"model", "training"}),
        ("measure", {"model", "training", "seeds"}),
        ("aggregate", set(STUDY) | {"reference_lambda", "confidence"}),
        ("report", set(STUDY) | {"reference_lambda", "confidence"}),
        ("tensorboard", {"training", "seeds"}),
    ],
)
def test_a_rule_depends_on_these_keys(rules, rule, keys):
    """As one JSON text with sorted keys, in which two swapped values are a change."""
    _, settings = rules[rule]
    assert set(settings) == keys
    assert json.dumps(settings) == json.dumps(settings, sort_keys=True)


CORE, DATA, TRAINING, MEASURING, TABLE_CODE, REPORT_CODE = (
    f"scripts/l2study/{name}.py"
    for name in ("core/config", "data/formats", "training/engine")
    + ("measuring/functions", "tables/statistics", "report/curve_picker")
)


@pytest.mark.parametrize(
    ("rule", "files", "others"),
    [
        ("prepare", {"scripts/prepare.py", DATA}, {CORE, TRAINING, MEASURING, TABLE_CODE}),
        ("train", {"scripts/train.py", TRAINING}, {CORE, DATA, MEASURING, TABLE_CODE, REPORT_CODE}),
        ("measure", {"scripts/measure.py", MEASURING}, {CORE, DATA, TABLE_CODE, REPORT_CODE}),
        (
            "aggregate",
            {
                "scripts/aggregate.py",
                CORE,
                TABLE_CODE,
                "reports/claims/general.yaml",
                "schemas/measures.yaml",
                "schemas/tables.yaml",
            },
            {TRAINING, MEASURING, REPORT_CODE},
        ),
        (
            "report",
            {"scripts/report.py", REPORT_CODE, "reports/report.ipynb", "reports/captions/gap.rst"}
            | {"reports/page/page.css", "reports/page/explorer.js", "reports/page/index.html.j2"},
            {TRAINING, MEASURING, "reports/claims/general.yaml", "schemas/tables.yaml"},
        ),
        ("tensorboard", {"scripts/events.py", "scripts/l2study/tables/tensorboard.py"}, {TRAINING}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_rule_depends_on_these_files_and_not_on_others(rules, rule, files, others):
    inputs, _ = rules[rule]
    if rule in WORK:  # which has one checksum of them instead
        inputs = inputs | {path.relative_to(PROJECT).as_posix() for path in code_of(rule)}
    assert files <= inputs
    assert not others & inputs
    neutral = ("scripts/plan.py", "scripts/l2study/workflow/", "reports/tables/", "config.yaml")
    assert not [path for path in inputs if path.startswith(neutral)]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"lambdas": ["3e-2", "1e-3", -0.0], "seeds": [2, 0, 1], "allow_missing": True}, {}),
        ({"lambdas": [0, 0.001]}, TABLES),
        ({"seeds": 4}, {"train": 3, **MEASURED}),
        (section("validation", fraction=0.3), EVERYTHING),
        ({"claims": "exercise"}, TABLES),
        # the same set of values as 8 units and batches of 32
        (section("model", hidden_units=[32]) | section("training", batch_size=8), ALL_TRAINING),
    ],
    ids=str,
)
def test_a_change_of_the_configuration_reruns_what_depends_on_it(project, changes, expected):
    project.configure(**changes)
    assert planned(project) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["training={epochs: 3}", "seeds=[2, 0, 1]", "lambdas=[0, 1e-3, 0.03]"], {}),
        (["training={epochs: 4}"], ALL_TRAINING),
        (['training={"epochs": 4}'], ALL_TRAINING),
        (["model={hidden_units: [9]}"], ALL_TRAINING),
        (["seeds=[0, 1, 2, 3]"], {"train": 3, **MEASURED}),
    ],
    ids=str,
)
def test_a_key_on_the_command_line_is_read_as_in_a_file(project, given, expected):
    """Also one within another, which Snakemake reads as text."""
    assert planned(project, "--config", *given) == expected


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("training={epochs: two}", 'training.epochs: "two" is not allowed'),
        ("training={epochs: 2", 'training: "{epochs: 2" is not allowed'),
    ],
)
def test_a_mistake_on_the_command_line_is_named(project, given, words):
    done = project.snakemake("--dry-run", "--config", given)
    assert done.returncode != 0
    assert done.stderr.splitlines()[-1].startswith(f"config: {words}; allowed: ")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (TRAINING, ALL_TRAINING),
        (CORE, TABLES),
        (DATA, EVERYTHING),
        (MEASURING, MEASURED),
        ("reports/claims/general.yaml", TABLES),
        ("reports/captions/gap.rst", REPORT),
    ],
)
def test_a_change_of_a_file_reruns_what_is_made_from_it(project, name, expected):
    """A file for each way in which it counts; the test above has the others."""
    remark(project, name)
    assert planned(project) == expected


def test_files_that_determine_no_result_rerun_nothing(project):
    """All at once: the display and the lock, the plan, captions of tables, comments, pages."""
    workflow = sorted(project.folder.glob("scripts/l2study/workflow/*.py"))
    names = [path.relative_to(project.folder).as_posix() for path in workflow]
    names += ["scripts/plan.py", "reports/tables/gap.rst", "reports/workflow.rst", "tiny.yaml"]
    for name in [*names, "config.yaml", "README.md", "profiles/default/config.yaml"]:
        remark(project, name)
    assert planned(project) == {}


def test_modification_times_alone_rerun_nothing(project):
    """As after `git clone` over old results, `cp` or `touch`: every file newer, in any order."""
    for path in sorted(project.folder.rglob("*"), reverse=True):
        if path.is_file() and ".snakemake" not in path.parts:
            os.utime(path)
    assert planned(project) == {}


def test_data_of_another_content_rerun_everything(project):
    write_npz(project.folder / "tiny.npz", seed=1)
    assert planned(project) == EVERYTHING


def test_modification_times_of_a_large_table_rerun_nothing(project):
    """Above Snakemake's own limit of 1 MB for comparing contents."""
    with open(project.folder / "reports" / "claims" / "general.yaml", "a") as file:
        file.write(f"# {'x' * 90}\n" * 15000)
    done = project.snakemake("aggregate")
    assert done.returncode == 0, done.stderr
    os.utime(project.folder / "reports" / "claims" / "general.yaml")
    assert planned(project, "aggregate") == {}


@pytest.mark.parametrize("name", ["history.csv", "run.json"])
def test_a_run_that_lacks_a_file_is_trained_again(project, name):
    (project.results / "runs" / "l2~0.001" / "seed~2" / name).unlink()
    assert planned(project) == {"train": 1, **MEASURED_ONE}


def test_only_what_is_missing_is_trained_and_nothing_if_that_is_allowed(project):
    shutil.rmtree(project.results / "runs" / "l2~0.001" / "seed~2")
    assert planned(project) == {"train": 1, **MEASURED_ONE}
    assert planned(project, "--config", "allow_missing=true") == MEASURED_ONE


def test_the_plan_says_what_is_new_and_how_long_it_takes(project):
    """In the words of plan.py, from the same dry run; it changes nothing."""

    def plan(*arguments, **changes):
        project.configure(**changes)
        return subprocess.run(
            [sys.executable, "scripts/plan.py", "--cores", "2", "--configfile", "tiny.yaml"]
            + [*arguments],
            cwd=project.folder, capture_output=True, text=True,
        )  # fmt: skip

    before = {p: p.stat().st_mtime_ns for p in project.folder.rglob("*.*") if p.is_file()}
    assert plan().stdout.startswith("Nothing to be done")
    told = plan(lambdas=[0, 0.001, 0.1], seeds=[1, 2, 3]).stdout
    assert "9 runs: 4 kept, 5 to train" in told
    assert "  lambda 0: seed 3\n" in told
    assert "  lambda 0.1: seeds 1, 2, 3\n" in told
    # tiny runs: to train and measure five takes a moment, a few of them where all compile
    what = r"about 0:0\d \(h:mm\) of training and measuring on 2 cores, going by 4 completed runs"
    assert re.search(what, told)
    assert "about 1 MB of new files" in told
    told = plan(factors={"training.batch_size": [3], "training.epochs": [4]}).stdout
    assert told.startswith("3 set-ups, 27 runs: 9 kept, 18 to train\n")
    assert "\n  base: 9 kept, 0 to train\n  batch_size~3: 0 kept, 9 to train\n" in told
    told = plan("--config", "training={epochs: 2}").stdout
    assert told.startswith("9 runs: 0 kept, 9 to train\n")
    assert "9 finished runs are trained again and replaced: training.epochs was 3 and is 2" in told
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


def test_of_an_added_seed_only_its_own_runs_are_measured(project):
    """Run for real. A run's weights are damaged at first: what was measured before stays.

    Without one of the two files of a lambda, all of it is measured again.
    """
    measures = of_lambda(project, "0.03")
    predictions = measures.with_name("l2~0.03.predictions.npz")
    before, predicted = measures.read_bytes(), predictions.read_bytes()
    others = {l2: json.loads(of_lambda(project, l2).read_text())["runs"] for l2 in ("0", "0.001")}
    weights = project.results / "runs" / "l2~0.03" / "seed~2" / "weights.npz"
    right = weights.read_bytes()
    weights.write_bytes(b"not weights")
    project.configure(seeds=[0, 1, 2, 5])
    content = json.loads(before)
    del content["runs"]["2"]
    measures.write_text(json.dumps(content))
    done = project.snakemake("aggregate")
    assert done.returncode != 0
    assert "are not the weights of run.json" in done.stdout + done.stderr
    assert json.loads(measures.read_text()) == content
    assert predictions.read_bytes() == predicted
    for l2, runs in others.items():
        assert log_of_measuring(project, l2) == [f"lambda {l2}, seed 5: measured"]
        after = json.loads(of_lambda(project, l2).read_text())["runs"]
        assert list(after) == ["0", "1", "2", "5"]
        assert {seed: after[seed] for seed in runs} == runs
    weights.write_bytes(right)
    measures.write_bytes(before)
    predictions.unlink()
    done = project.snakemake("aggregate")
    assert done.returncode == 0, done.stderr
    assert log_of_measuring(project, "0.03") == [
        f"lambda 0.03, seed {seed}: measured" for seed in (0, 1, 2, 5)
    ]


def of_lambda(project, l2):
    return project.results / "measures" / f"l2~{l2}.json"


def log_of_measuring(project, l2):
    log = project.folder / "logs" / "tiny" / "measure" / f"l2~{l2}.log"
    return log.read_text().splitlines()


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
    project.configure(tensorboard=True, lambdas=[0, 0.001, 0.03, 0.1], confidence=0.9)
    added = {"train": 3, **MEASURED_ONE, "tensorboard": 1, **TABLES}
    assert planned(project) == added
