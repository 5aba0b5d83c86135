"""What a change costs: after each, the jobs that Snakemake would run, by its own account."""

import json
import os
import re
import shutil

import pytest

from project import STUDY
from tiny import write_npz

REPORT = {"report": 1, "all": 1}
TABLES = {"aggregate": 1, **REPORT}
MEASURED = {"measure": 3, **TABLES}
MEASURED_ONE = {"measure": 1, **TABLES}
ALL_TRAINING = {"train": 9, **MEASURED}
ANOTHER_MODEL = {"model": 1, **ALL_TRAINING}
EVERYTHING = {"prepare": 1, "check_data": 1, **ALL_TRAINING}


@pytest.fixture
def project(finished, tmp_path):
    """A copy of the finished study, with Snakemake's records, for a test to change."""
    return finished.copy(tmp_path / "copy")


def remark(project, name):
    """Give a file a last line that changes nothing but its content."""
    with open(project.folder / name, "a") as file:
        file.write("\n# a remark\n")


# ---- what Snakemake says of a job of each rule


@pytest.fixture(scope="session")
def rules(made_once, finished):
    """The inputs and the settings of a job, by its rule."""

    def make(folder):
        project = finished.copy(folder / "copy")
        project.configure(tensorboard=True)
        plan = project.make("--dry-run", "--forceall", "--printshellcmds")
        (folder / "plan.txt").write_text(plan)

    found = {}
    job = r"^(?:local)?rule (\w+):\n +input: ([^\n]*)\n.*--config '(.*?)'"
    for text in (made_once("plan", make) / "plan.txt").read_text().split("\n\n"):
        if said := re.search(job, text, re.MULTILINE | re.DOTALL):
            found[said[1]] = set(said[2].split(", ")), json.loads(said[3])
    return found


def test_rules_depend_on_these_keys_alone(rules):
    """As one JSON text with sorted keys, in which two swapped values are a change."""
    whole = set(STUDY) | {"reference_lambda", "confidence"}
    settings = {rule: settings for rule, (_, settings) in rules.items()}
    assert {rule: set(keys) for rule, keys in settings.items()} == {
        "prepare": {"dataset", "validation"},
        "model": {"dataset", "model", "training"},
        "train": {"model", "training"},
        "measure": {"model", "training", "seeds"},
        "aggregate": whole,
        "report": whole,
        "tensorboard": {"seeds"},
    }
    for keys in settings.values():
        assert json.dumps(keys) == json.dumps(keys, sort_keys=True)


ENGINE, MEASURING, STATISTICS, PICKER = (
    f"scripts/l2study/{name}.py"
    for name in ("training/engine", "measuring/functions", "tables/statistics",
                 "report/curve_picker")
)  # fmt: skip
LEDGER, TABLE_SCHEMA = "reports/claims/general.yaml", "schemas/tables.yaml"
PAGE = {"reports/report.ipynb", "reports/captions/gap.rst", "reports/page/page.css"}
PAGE |= {"reports/page/explorer.js", "reports/page/index.html.j2"}


@pytest.mark.parametrize(
    ("rule", "files", "others"),
    [
        ("aggregate", {STATISTICS, LEDGER, TABLE_SCHEMA}, {ENGINE, MEASURING, PICKER}),
        ("report", {PICKER, *PAGE}, {ENGINE, MEASURING, LEDGER, TABLE_SCHEMA}),
    ],
)
def test_a_rule_depends_on_these_files_and_not_on_others(rules, rule, files, others):
    """test_what_trains.py says it of the other rules."""
    inputs, _ = rules[rule]
    assert {f"scripts/{rule}.py", *files} <= inputs
    assert not others & inputs
    neutral = ("scripts/plan.py", "scripts/l2study/workflow/", "reports/tables/", "config.yaml")
    assert not [path for path in inputs if path.startswith(neutral)]


# ---- what is planned after a change


def section(name, **changes):
    return {name: STUDY[name] | changes}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"lambdas": ["3e-2", "1e-3", -0.0], "seeds": [2, 0, 1], "allow_missing": True}, {}),
        ({"lambdas": [0, 0.001]}, TABLES),
        ({"seeds": 4}, {"train": 3, **MEASURED}),
        (section("validation", fraction=0.3), EVERYTHING),
        # the same set of values as 8 units and batches of 32
        (section("model", hidden_units=[32]) | section("training", batch_size=8), ANOTHER_MODEL),
    ],
    ids=str,
)
def test_a_change_of_the_configuration_reruns_what_depends_on_it(project, changes, expected):
    project.configure(**changes)
    assert project.planned() == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["training={epochs: 3}", "seeds=[2, 0, 1]", "lambdas=[0, 1e-3, 0.03]"], {}),
        (['training={"epochs": 4}'], ALL_TRAINING),
    ],
)
def test_a_key_on_the_command_line_is_read_as_in_a_file(project, given, expected):
    """Also one within another, which Snakemake reads as text."""
    assert project.planned("--config", *given) == expected


def test_a_mistake_on_the_command_line_is_named(project):
    said = project.fail("--dry-run", "--config", "training={epochs: two}")
    line = said.splitlines()[-1]
    assert line.startswith("config: ") and "training.epochs" in line and "two" in line


@pytest.mark.parametrize(
    ("name", "expected"),
    [(ENGINE, ANOTHER_MODEL), (MEASURING, MEASURED), ("reports/captions/gap.rst", REPORT)],
)
def test_a_change_of_a_file_reruns_what_is_made_from_it(project, name, expected):
    """A file for each way in which it counts; the test above has the others."""
    remark(project, name)
    assert project.planned() == expected


def test_files_that_determine_no_result_rerun_nothing(project):
    """All at once: the display and the lock, the plan, captions of tables, comments, pages."""
    workflow = sorted(project.folder.glob("scripts/l2study/workflow/*.py"))
    names = [path.relative_to(project.folder).as_posix() for path in workflow]
    names += ["scripts/plan.py", "reports/tables/gap.rst", "reports/workflow.rst", "tiny.yaml"]
    for name in [*names, "config.yaml", "README.md", "profiles/default/config.yaml"]:
        remark(project, name)
    assert project.planned() == {}


def test_modification_times_alone_rerun_nothing(project):
    """As after `git clone` over old results, `cp` or `touch`: every file newer, in any order.

    One file is above Snakemake's own limit of 1 MB for comparing contents.
    """
    with open(project.folder / LEDGER, "a") as file:
        file.write(f"# {'x' * 1_200_000}\n")
    assert project.planned() == TABLES
    project.make("--touch")
    for path in sorted(project.folder.rglob("*"), reverse=True):
        if path.is_file() and ".snakemake" not in path.parts:
            os.utime(path)
    assert project.planned() == {}


def test_data_of_another_content_rerun_everything(project):
    write_npz(project.folder / "tiny.npz", seed=1)
    assert project.planned() == EVERYTHING


def test_only_what_is_missing_is_trained_and_nothing_if_that_is_allowed(project):
    shutil.rmtree(project.run_folder("0.001", 2))
    assert project.planned("--config", "allow_missing=true") == MEASURED_ONE
    (project.run_folder("0.001", 0) / "history.csv").unlink()
    (project.run_folder("0.001", 1) / "run.json").unlink()
    assert project.planned() == {"train": 3, **MEASURED_ONE}


def test_the_plan_says_what_is_new_and_changes_nothing(project):
    """From a dry run of real Snakemake; tests/unit/test_plan.py has the rest of its words."""

    def plan(**changes):
        project.configure(**changes)
        return project.program("plan", "--cores", "2", "--configfile", "tiny.yaml").stdout

    before = project.times("**/*")
    assert plan().startswith("Nothing to be done")
    told = plan(lambdas=[0, 0.001, 0.1], seeds=[1, 2, 3])
    assert "9 runs: 4 kept, 5 to train" in told
    assert "  lambda 0: seed 3\n" in told
    assert "  lambda 0.1: seeds 1, 2, 3\n" in told
    # tiny runs: to train and measure five takes a moment
    assert re.search(r"about 0:0\d \(h:mm\) of training and measuring on 2 cores", told)
    told = plan(**section("training", epochs=2), factors={"training.batch_size": [3]})
    assert told.startswith("2 set-ups, 18 runs: 0 kept, 18 to train\n")
    assert "training.epochs was 3 and is 2" in told
    assert project.times("**/*") == before


# ---- run for real


def test_an_added_seed_or_lambda_costs_its_own_runs(project):
    """A run's weights are damaged at first: what was measured before stays.

    Without one of the two files of a lambda, all of it is measured again.
    """
    trained = project.times()
    measures = of_lambda(project, "0.03")
    predictions = measures.with_name("l2~0.03.predictions.npz")
    before, predicted = measures.read_bytes(), predictions.read_bytes()
    others = {l2: json.loads(of_lambda(project, l2).read_text())["runs"] for l2 in ("0", "0.001")}
    weights = project.run_folder("0.03", 2) / "weights.npz"
    right = weights.read_bytes()
    weights.write_bytes(b"not weights")
    project.configure(seeds=[0, 1, 2, 5])
    content = json.loads(before)
    del content["runs"]["2"]
    measures.write_text(json.dumps(content))
    assert "is not the file that this run wrote" in project.fail("aggregate")
    assert json.loads(measures.read_text()) == content
    assert predictions.read_bytes() == predicted
    for l2, runs in others.items():
        assert log_of_measuring(project, l2) == [f"lambda {l2}, seed 5: measured"]
        after = json.loads(of_lambda(project, l2).read_text())["runs"]
        assert list(after) == ["0", "1", "2", "5"]
        assert runs.items() <= after.items()
    weights.write_bytes(right)
    measures.write_bytes(before)
    predictions.unlink()
    project.configure(seeds=[0, 1, 2, 5], lambdas=[0, 0.001, 0.03, "1e-1"])
    project.make("aggregate")
    for l2 in ("0.03", "0.1"):
        assert log_of_measuring(project, l2) == [
            f"lambda {l2}, seed {seed}: measured" for seed in (0, 1, 2, 5)
        ]
    now = project.times()
    assert trained.items() <= now.items()
    new = {path.parent.relative_to(project.results / "runs") for path in now.keys() - trained}
    added = {f"l2~{l2}/seed~5" for l2 in ("0", "0.001", "0.03")}
    assert {str(path) for path in new} == added | {f"l2~0.1/seed~{n}" for n in (0, 1, 2, 5)}
    assert project.planned() == REPORT


def of_lambda(project, l2):
    return project.results / "measures" / f"l2~{l2}.json"


def log_of_measuring(project, l2):
    log = project.folder / "logs" / "tiny" / "measure" / f"l2~{l2}.log"
    return log.read_text().splitlines()


def test_tensorboard_costs_a_job_per_lambda_and_no_training(project):
    before = project.times("**/*.*")
    project.configure(tensorboard=True)
    project.make()
    assert before.items() <= project.times("**/*.*").items()
    files = project.results.glob("tensorboard/*/*/events.out.tfevents.*")
    runs = (project.results / "runs").glob("*/*")
    assert {path.parts[-3:-1] for path in files} == {path.parts[-2:] for path in runs}
    assert project.planned() == {}
    project.configure(tensorboard=True, lambdas=[0, 0.001, 0.03, 0.1])
    assert project.planned() == {"train": 3, **MEASURED_ONE, "tensorboard": 1}
