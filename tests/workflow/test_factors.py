"""A study in several set-ups: what it trains, keeps, shares, and says of what is missing."""

import csv
import json
import re
from collections import Counter

import pytest

pytestmark = pytest.mark.xdist_group("factors")

FACTORS = {
    "training.epochs": [2, 5],
    "dataset.train_size": [60],
    "optimizer": {"sgd": {"training": {"optimizer": "sgd"}}},
}
OTHERS = ["epochs~2", "epochs~5", "train_size~60", "optimizer~sgd"]
REPORTS = {"report": 1, "report_of_setup": 4, "aggregate": 1, "all": 1}


@pytest.fixture(scope="module")
def varied(finished, tmp_path_factory):
    """The finished study, given factors and run again."""
    project = finished.copy(tmp_path_factory.mktemp("factors") / "study")
    project.shorten_report()
    project.configure(factors=FACTORS)
    done = project.snakemake()
    assert done.returncode == 0, done.stdout + done.stderr
    project.printed = done.stdout + done.stderr
    return project


@pytest.fixture
def project(varied, tmp_path):
    """A copy of the varied study for a test to change."""
    return varied.copy(tmp_path / "copy")


def planned(project):
    """Return how many jobs of each rule a dry run plans, and the set-ups that it trains."""
    done = project.snakemake("--dry-run")
    text = done.stdout + done.stderr
    assert done.returncode == 0, text
    rules = Counter(re.findall(r"^(?:local)?rule (\w+):$", text, re.MULTILINE))
    trained = re.findall(
        r"^ +wildcards: place=(?:/setups/)?(\S*), l2=\S+, seed=", text, re.MULTILINE
    )
    return rules, Counter(trained)


def files(folder):
    """Return the content of every file of the runs in a folder."""
    return {
        path.relative_to(folder): path.read_bytes()
        for path in sorted(folder.glob("runs/*/*/*"))
        if path.is_file()
    }


def rows(project, table):
    with open(project.results / "tables" / f"{table}.csv", newline="") as file:
        return list(csv.DictReader(file))


def history(folder):
    """Return a run's history without its times."""
    with open(folder / "history.csv", newline="") as file:
        return [row | {"seconds": ""} for row in csv.DictReader(file)]


def test_a_finished_study_that_is_given_factors_keeps_its_base(varied, finished):
    assert "36 runs to train, 9 kept" in varied.printed
    assert files(varied.results) == files(finished.results)
    for name in OTHERS:
        assert len(files(varied.results / "setups" / name)) == 9 * 3
        for place in (f"setups/{name}/report/report.html", f"setups/{name}/report/summary.md"):
            assert (varied.results / place).stat().st_size > 1000
    assert len(list((varied.results / "data").iterdir())) == 1
    assert planned(varied) == (Counter(), Counter())


def test_the_page_of_snakemake_has_the_figures_of_every_set_up(varied):
    done = varied.snakemake("--report", "snakemake.html")
    assert done.returncode == 0, done.stdout + done.stderr
    page = (varied.folder / "snakemake.html").read_text()
    assert "verdict_map.svg" in page
    for name in OTHERS:
        assert f"setups/{name}/report/figures/gap.svg" in page


def test_every_table_says_of_which_set_up_a_row_is(varied, finished):
    assert [row["setup"] for row in rows(varied, "setups")] == ["base", *OTHERS]
    own = finished.tables()
    for name, table in varied.tables().items():
        if name in ("setups.csv", "verdicts.csv", "interactions.csv", "best.csv", "rounds.csv"):
            continue
        assert list(dict.fromkeys(row["setup"] for row in table)) == ["base", *OTHERS], name
        assert [row for row in table if row["setup"] == "base"] == own[name], name


def test_set_ups_that_differ_in_epochs_alone_share_their_training(varied, finished):
    """The run of 2 epochs is taken from that of 5, and both begin as that of 3 epochs does."""
    setups, run = varied.results / "setups", "runs/l2~0.001/seed~1"
    log = varied.folder / "logs/tiny/setups/epochs~2/train/l2~0.001/seed~1.log"
    assert log.read_text().startswith("taken from the longer run in ")
    long, base, short = (
        history(folder / run)
        for folder in (setups / "epochs~5", finished.results, setups / "epochs~2")
    )
    assert len(long) == 6
    assert base == long[:4]
    assert short == long[:3]
    record = json.loads((setups / "epochs~2" / run / "run.json").read_text())
    assert record["config"]["training"]["epochs"] == 2
    assert not list(setups.glob("*/runs/*/*/first-2"))
    # measured in full
    measured = json.loads((setups / "epochs~2/measures/l2~0.001.json").read_text())
    assert measured["runs"]["1"]["weights_sha256"] == record["weights_sha256"]


def test_a_shorter_run_is_the_same_whether_taken_or_trained(varied, project):
    run = "setups/epochs~2/runs/l2~0/seed~0"
    before = history(project.results / run), (project.results / run / "weights.npz").read_bytes()
    (project.results / run / "run.json").unlink()
    done = project.snakemake(f"results/tiny/{run}/run.json")
    assert done.returncode == 0, done.stdout + done.stderr
    log = project.folder / "logs/tiny/setups/epochs~2/train/l2~0/seed~0.log"
    assert "epoch 2/2" in log.read_text()
    assert (
        history(project.results / run),
        (project.results / run / "weights.npz").read_bytes(),
    ) == before


@pytest.mark.parametrize(
    ("changes", "trained", "measured"),
    [
        ({"factors": FACTORS | {"training.batch_size": [16]}}, {"batch_size~16": 9}, 3),
        ({"factors": FACTORS | {"dataset.train_size": [60, 90]}}, {"train_size~90": 9}, 3),
        ({"factors": FACTORS | {"training.epochs": [2, 5, 4]}}, {"epochs~4": 9}, 3),
        ({"factors": {"training.epochs": [2], "dataset.train_size": [60]}}, {}, 0),
        ({"factors": {}, "design": "full"}, {}, 0),
        ({"lambdas": [0, 0.001, 0.03, 0.1]}, dict.fromkeys(["", *OTHERS], 3), 5),
        ({"seeds": 4}, dict.fromkeys(["", *OTHERS], 3), 15),
        ({"seeds": 2}, {}, 15),
        ({"lambdas": [0, 0.001]}, {}, 0),
    ],
    ids=["factor", "level", "epochs", "less", "none", "l2", "seed", "seeds", "lambdas"],
)
def test_a_change_costs_its_own_runs(project, changes, trained, measured):
    given = {"factors": FACTORS} | changes
    if not given["factors"]:
        given = {}
    project.configure(**given)
    rules, found = planned(project)
    assert found == Counter(trained)
    assert rules["train"] == sum(trained.values())
    assert rules["measure"] == measured
    assert rules["aggregate"] == 1


def test_a_set_up_that_fails_leaves_the_others_and_is_named(finished, tmp_path):
    project = finished.copy(tmp_path / "copy")
    project.shorten_report()
    factors = {"training.batch_size": [16, 8]}
    project.configure(lambdas=[0, 0.001], seeds=2, factors=factors)
    project.strike({"at": "open .*batch_size~16/runs/.*weights", "do": "fail", "once": False})
    done = project.snakemake()
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert "4 failed; what is complete is kept" in said
    assert "train batch_size~16 l2=0 seed=0" in said
    assert len(files(project.results / "setups" / "batch_size~8")) == 4 * 3
    project.release()
    done = project.snakemake("--config", "allow_missing=true")
    assert done.returncode == 0, done.stdout + done.stderr
    missing = {row["setup"]: row["missing"] for row in rows(project, "setups")}
    assert missing == {"base": "0", "batch_size~16": "4", "batch_size~8": "0"}
    assert "batch size 16" in (project.results / "report" / "summary.md").read_text()
    assert {row["setup"] for row in rows(project, "verdicts")} == {"base", "batch_size~8"}
    assert not (project.results / "setups" / "batch_size~16" / "report").exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"factors": {"training.epochs": [4, 4]}}, "is the same set-up as level 4"),
        ({"factors": {"dataset.train_size": [10000]}}, "set-up train_size~10000: dataset.train"),
        ({"factors": {"training.batch_size": [9999]}}, "set-up batch_size~9999: training.batch"),
        ({"factors": FACTORS, "design": "full", "seeds": 5000}, "allow_large=true"),
    ],
    ids=["twice", "data", "batch", "large"],
)
def test_a_fault_is_one_line_and_nothing_starts(finished, tmp_path, changes, words):
    project = finished.copy(tmp_path / "copy")
    project.configure(**changes)
    done = project.snakemake()
    assert done.returncode != 0
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("config: ")]
    assert words in line
    assert not (project.results / "setups").exists()
