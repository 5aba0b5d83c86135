"""What the rules ask of a study. That Snakemake then does the right thing is in tests/workflow."""

import json
import shlex
from types import SimpleNamespace

import pytest

from l2study.core.config import check
from l2study.core.design import Design
from l2study.workflow import snakemake_compat
from l2study.workflow.study import PROJECT, Cell, Study, round_of

SMALL = {"study": "tiny", "lambdas": [0, 0.1], "seeds": 2}


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def study(**changes):
    return Study(Design.of(check(SMALL | changes)))


def job(place="", l2="0", seed="0", **others):
    """The wildcards of a job."""
    return SimpleNamespace(**{"place": place, "l2": l2, "seed": seed, **others})


def write(tmp_path, *files):
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()


# ---- reading


def started(config, main=True, place=PROJECT):
    """Read the study of a start of Snakemake."""
    settings = SimpleNamespace(config_args=[])
    workflow = SimpleNamespace(
        is_main_process=main, basedir=str(place), configfiles=[], config_settings=settings
    )
    return Study.read(check({}) | config, workflow)


UNTIL = {"measure": "val_ce", "half_width": 0.1, "max_seeds": 40}
EXTENDED = {"from": 0.01, "to": 0.1, "per_decade": 1, "zero": True, "extend": True}


@pytest.mark.parametrize(
    ("config", "first", "told", "words"),
    [
        ({"seeds": {"until": UNTIL}}, (2, 10), (17, (2, 17)), "seeds.until"),
        ({"lambdas": EXTENDED}, (3, 2), (["0", "0.01", "0.1", "1"], (4, 2)), "lambdas.extend"),
    ],
)
def test_rounds_begin_with_the_first_and_jobs_are_told(tmp_path, config, first, told, words):
    def size(study):
        return len(study.design.base.lambdas), len(study.design.base.seeds)

    assert size(started(SMALL | config)) == first
    write(tmp_path, round_of("tiny"))
    round_of("tiny").write_text(json.dumps(told[0]))
    assert size(started(SMALL | config, main=False)) == told[1]
    with pytest.raises(SystemExit, match=f"config: {words}: does not work in a module"):
        started(SMALL | config, place=tmp_path)


def test_results_without_records_are_not_touched(tmp_path):
    write(tmp_path, "results/tiny/my-notes.txt")
    started(SMALL)
    write(tmp_path, "results/tiny/runs/l2~0/seed~0/run.json")
    with pytest.raises(SystemExit, match="make adopt"):
        started(SMALL)
    started(SMALL, main=False)
    write(tmp_path, ".snakemake/at-work/tiny")
    started(SMALL)


# ---- jobs


def test_a_stage_gets_the_keys_and_the_data_of_its_set_up():
    assert json.loads(study().settings("seeds")) == {"seeds": [0, 1]}
    found, own = study(factors={"dataset.train_size": [500]}), job("/setups/train_size~500")
    assert json.loads(found.settings("dataset")(own))["dataset"]["train_size"] == 500
    assert found.data_file("data.json")(own) == "results/tiny/data/train_size~500/data.json"


def test_data_depend_on_what_a_seed_changes_of_them():
    split = {"validation": {"split": "stratified"}, "variation": ["weights", "split"]}
    plain, by_seed = (
        json.loads(one.data_settings(job(data=""))) for one in (study(), study(**split))
    )
    assert plain.keys() == {"dataset", "validation"}
    assert by_seed["variation"] == ["split"]


def test_runs_that_differ_in_epochs_share_training_the_longest_first(monkeypatch):
    found = study(training={"epochs": 4}, factors={"training.epochs": [2, 8]})
    long, short = "/setups/epochs~8", "/setups/epochs~2"

    def sharing(place):
        history = f"sub/{found.results}{place}/runs/l2~0/seed~0/history.csv"
        wildcards = {"place": place, "l2": "0", "seed": "0"}
        both = type("Wildcards", (dict,), {"__getattr__": dict.__getitem__})(wildcards)
        return found.sharing(both, SimpleNamespace(history=history))

    assert sharing(long) == "--leave 2 4"
    longer = f"sub/results/tiny{long}/runs/l2~0/seed~0"
    assert shlex.split(sharing(short)) == ["--take-from", longer]
    monkeypatch.setattr(snakemake_compat, "orders_jobs", lambda workflow: True)
    training, measuring = (found.priority(None, is_first=first) for first in (True, False))
    assert training(job(long)) > training(job()) > training(job(short)) > measuring(job(long))


# ---- files


def test_files_that_are_not_there_are_asked_for_one_of_each_run(tmp_path):
    found = study()
    runs = [f"results/tiny/runs/l2~{l2}/seed~{seed}" for l2 in ("0", "0.1") for seed in (0, 1)]
    for run in runs[:2]:
        write(tmp_path, f"{run}/run.json", f"{run}/history.csv")
    (tmp_path / runs[1] / "history.csv").unlink()
    assert found.deleted() == [
        f"{runs[1]}/history.csv",
        f"{runs[2]}/run.json",
        f"{runs[3]}/run.json",
    ]
    # an aggregation asks only for runs that had been measured
    assert found.deleted_after_measuring() == []
    write(tmp_path, found.measures(Cell("", "0")))
    assert found.deleted_after_measuring() == [f"{runs[1]}/history.csv"]
    write(tmp_path, found.tables[0])
    assert found.deleted_after_measuring() == []
    assert Study(found.design, is_main=False).deleted() == []


def test_a_study_may_go_without_runs_and_then_without_cells(tmp_path):
    write(tmp_path, "sub/results/tiny/runs/l2~0.1/seed~1/run.json")
    found = study(allow_missing=True)
    found.root = tmp_path / "sub"
    assert found.runs == {("", "0.1"): ["results/tiny/runs/l2~0.1/seed~1"]}
    assert found.records(Cell("", "0.1")) == ["results/tiny/runs/l2~0.1/seed~1/run.json"]
    assert found.lacks_runs and not study().lacks_runs


def test_each_set_up_has_a_report_and_only_the_base_has_the_figures_across(tmp_path):
    found = study(factors={"training.batch_size": [50]}, tensorboard=True)
    base, other = (found.report(place) for place in ("", "/setups/batch_size~50"))
    assert base[1] == "results/tiny/report/report.html"
    assert found.reports == base + other
    only_base = {file.removeprefix("results/tiny/report") for file in base} - {
        file.removeprefix("results/tiny/setups/batch_size~50/report") for file in other
    }
    assert only_base and all("/figures/" in file for file in only_base)
    assert study().figures["captions_across"] == []
    assert len(found.events) == 4 and study().events == []
