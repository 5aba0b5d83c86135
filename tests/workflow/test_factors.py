"""A study in several set-ups: what it trains, keeps, shares, and says of what is missing."""

import csv
import json
import re
from collections import Counter

import pytest

pytestmark = pytest.mark.xdist_group("factors")

FACTORS = {
    "training.epochs": [2, 5],
    "few": {"sgd": {"dataset": {"train_size": 60}, "training": {"optimizer": "sgd"}}},
}
OTHERS = ["epochs~2", "epochs~5", "few~sgd"]


@pytest.fixture(scope="module")
def varied(finished, tmp_path_factory):
    """The finished study, given factors and run again."""
    project = finished.copy(tmp_path_factory.mktemp("factors") / "study")
    project.shorten_report()
    project.configure(factors=FACTORS)
    project.printed = project.make()
    return project


@pytest.fixture
def project(varied, tmp_path):
    """A copy of the varied study for a test to change."""
    return varied.copy(tmp_path / "copy")


def files(folder):
    """Return the content of every file of the runs in a folder."""
    return {
        path.relative_to(folder): path.read_bytes()
        for path in sorted(folder.glob("runs/*/*/*"))
        if path.is_file()
    }


def history(folder):
    """Return a run's history without its times."""
    with open(folder / "history.csv", newline="") as file:
        return [row | {"seconds": ""} for row in csv.DictReader(file)]


def test_a_finished_study_that_is_given_factors_keeps_its_base(varied, finished):
    assert "27 runs to train, 9 kept" in varied.printed
    assert files(varied.results) == files(finished.results)
    for name in OTHERS:
        assert len(files(varied.results / "setups" / name)) == 9 * 4
        for place in (f"setups/{name}/report/report.html", f"setups/{name}/report/summary.md"):
            assert (varied.results / place).stat().st_size > 1000
    assert len(list((varied.results / "data").iterdir())) == 1
    assert varied.planned() == {}


def test_the_page_of_snakemake_has_the_figures_of_every_set_up(varied):
    varied.make("--report", "snakemake.html")
    page = (varied.folder / "snakemake.html").read_text()
    assert all(f"setups/{name}/report/figures/gap.svg" in page for name in OTHERS)


def test_every_table_says_of_which_set_up_a_row_is(varied, finished):
    assert [row["setup"] for row in varied.table("setups")] == ["base", *OTHERS]
    across = ("setups", "interactions", "best", "rounds")
    own = finished.tables()
    for name, table in varied.tables().items():
        if name in ("dose_response", "equivalence"):  # three lambdas are too few for a curve
            assert table == own[name] == []
        elif name not in across:
            found = list(dict.fromkeys(row["setup"] for row in table))
            # what decides a claim may have no course in a set-up
            expected = [one for one in ["base", *OTHERS] if name != "course" or one in found]
            assert found == expected, name
            base = [row for row in table if row["setup"] == "base"]
            # a law that is about SGD alone has a column for all
            known = [{key: row[key] for key in own[name][0]} for row in base]
            assert known == own[name], name


def test_set_ups_that_differ_in_epochs_alone_share_their_training(varied, project, finished):
    """The run of 2 epochs is taken from that of 5; trained for itself, it is the same."""
    setups, run = project.results / "setups", "runs/l2~0.001/seed~1"
    log = project.folder / "logs/tiny/setups/epochs~2/train/l2~0.001/seed~1.log"
    assert log.read_text().startswith("taken from the longer run in ")
    long, base = history(setups / "epochs~5" / run), history(finished.results / run)
    assert len(long) == 6
    assert base == long[:4]
    short = setups / "epochs~2" / run
    assert history(short) == long[:3]
    record, weights = json.loads((short / "run.json").read_text()), short / "weights.npz"
    assert record["config"]["training"]["epochs"] == 2
    assert not list(setups.glob("*/runs/*/*/first-2"))
    measured = json.loads((setups / "epochs~2/measures/l2~0.001.json").read_text())
    assert measured["runs"]["1"]["weights_sha256"] == record["weights_sha256"]
    taken = weights.read_bytes()
    (short / "run.json").unlink()
    project.make(f"results/tiny/setups/epochs~2/{run}/run.json")
    assert "epoch 2/2" in log.read_text()
    assert (history(short), weights.read_bytes()) == (long[:3], taken)


@pytest.mark.parametrize(
    ("changes", "trained", "measured"),
    [
        ({"factors": FACTORS | {"validation.fraction": [0.3]}}, {"fraction~0.3": 9}, 3),
        ({"factors": FACTORS | {"training.epochs": [2, 5, 4]}}, {"epochs~4": 9}, 3),
        ({"factors": {"training.epochs": [2]}}, {}, 0),
        ({"factors": FACTORS, "lambdas": [0, 0.001, 0.1]}, dict.fromkeys(["", *OTHERS], 3), 4),
        ({"factors": FACTORS, "seeds": 2}, {}, 12),
    ],
    ids=["level", "epochs", "less", "lambdas", "seeds"],
)
def test_a_change_costs_its_own_runs(project, changes, trained, measured):
    project.configure(**changes)
    text = project.make("--dry-run")
    places = r"^ +wildcards: place=(?:/setups/)?(\S*), l2=\S+, seed="
    assert Counter(re.findall(places, text, re.MULTILINE)) == trained
    rules = Counter(re.findall(r"^(?:local)?rule (\w+):$", text, re.MULTILINE))
    assert (rules["train"], rules["measure"]) == (sum(trained.values()), measured)
    assert rules["aggregate"] == 1


def test_a_set_up_that_fails_leaves_the_others_and_is_named(finished, tmp_path):
    project = finished.copy(tmp_path / "copy")
    project.shorten_report()
    factors = {"training.batch_size": [16, 8]}
    project.configure(lambdas=[0], seeds=2, factors=factors)
    project.inject({"at": "open .*batch_size~16/runs/.*weights", "do": "fail"})
    said = project.fail()
    assert "2 failed; what is complete is kept" in said
    assert "train batch_size~16 l2=0 seed=0" in said
    assert len(files(project.results / "setups" / "batch_size~8")) == 2 * 4
    project.remove_faults()
    project.make("--config", "allow_missing=true")
    missing = {row["setup"]: row["missing"] for row in project.table("setups")}
    assert missing == {"base": "0", "batch_size~16": "2", "batch_size~8": "0"}
    assert "batch size 16" in (project.results / "report" / "summary.md").read_text()
    assert {row["setup"] for row in project.table("claims")} == {"base", "batch_size~8"}
    assert not (project.results / "setups" / "batch_size~16" / "report").exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"factors": {"dataset.train_size": [10000]}}, "set-up train_size~10000: dataset.train"),
        ({"factors": FACTORS, "design": "full", "seeds": 10000}, "allow_large=true"),
    ],
    ids=["data", "large"],
)
def test_a_fault_is_one_line_and_nothing_starts(finished, tmp_path, changes, words):
    """One that the data show, and one that the number of runs shows."""
    project = finished.copy(tmp_path / "copy")
    project.configure(**changes)
    (line,) = [line for line in project.fail().splitlines() if line.startswith("config: ")]
    assert words in line
    assert not (project.results / "setups").exists()
