"""What the plan says, against numbers by hand. What Snakemake says is in tests/workflow."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import plan
from l2study.core.code import fingerprint
from l2study.core.config import check
from l2study.core.design import Design
from l2study.workflow import data_findings, estimate, notes
from l2study.workflow.estimate import Cost, expected_runs, kind, known_costs
from snakemake_executor_plugin_plan import Executor

HALF_AN_HOUR = Cost(train=0.0, evaluate=360.0, measure=0.0, size=2e6, runs=2)
"""What a run of five evaluations takes where they take six minutes each."""


@pytest.fixture(autouse=True)
def _no_time_between_jobs(monkeypatch):
    monkeypatch.setattr(estimate, "JOB_SECONDS", 0.0)


@pytest.fixture
def data(tmp_path):
    """A data set of 100 training and 50 test images of 2 x 3 numbers."""
    path = tmp_path / "data.npz"
    labels = {"y_train": np.arange(100) % 10, "y_test": np.arange(50) % 10}
    images = {"x_train": np.zeros((100, 2, 3)), "x_test": np.zeros((50, 2, 3))}
    np.savez(path, **images, **labels)
    return str(path)


def study(data, **changes):
    training = {"batch_size": 10, "epochs": 4, "evaluate_at": "all"}
    return check(
        {
            "study": "a",
            "dataset": changes.pop("dataset", {"path": data}),
            "model": {"hidden_units": [5]},
            "training": training | changes.pop("training", {}),
            "lambdas": [0, 0.1],
            "seeds": 3,
            **changes,
        }
    )


def write_run(config, folder, train, evaluate=0.0, status="completed", epochs=4):
    """Write the record of a run of a configuration, with its seconds of training and evaluation."""
    made = {part: config[part] for part in ("model", "training")}
    made["training"] = made["training"] | {"epochs": epochs}
    cost = {"seconds_train": train, "seconds_evaluate": evaluate}
    record = {"status": status, "config": made, "cost": cost}
    Path(folder).mkdir(parents=True, exist_ok=True)
    Path(folder, "run.json").write_text(json.dumps(record))


# ---- what a run takes


def test_a_run_takes_what_runs_of_its_kind_have_taken(data, tmp_path):
    config = study(data)
    folders = [tmp_path / "a" / "runs" / "l2~0" / f"seed~{seed}" for seed in range(4)]
    # the middle one of three by image and epoch; others do not count
    write_run(config, folders[0], train=90 * 2 * 7.0, evaluate=3 * 5.0, epochs=2)
    write_run(config, folders[1], train=90 * 4 * 6.0, evaluate=5 * 4.0)
    write_run(config, folders[2], train=90 * 4 * 99.0, evaluate=5 * 6.0)
    write_run(config, folders[3], train=0.0, status="diverged")
    write_run(study(data, model={"hidden_units": [9]}), tmp_path / "a/runs/l2~0/seed~4", train=0.0)
    (tmp_path / "a/measures").mkdir()
    measured = {"runs": {"0": {"seconds": 3.0}, "1": {"seconds": 1.0}, "2": {"seconds": 2.0}}}
    (tmp_path / "a/measures/l2~0.json").write_text(json.dumps(measured))
    ((_, cost),) = known_costs(Design.of(config), tmp_path / "a").items()
    assert (cost.train, cost.evaluate, cost.measure, cost.runs) == (7.0, 5.0, 2.0, 3)
    longer = study(data, training={"epochs": 10, "evaluate_at": [5]})
    assert cost.seconds(longer) == 10 * 90 * 7 + 3 * 5
    # not where other data are prepared, which these runs have not seen
    assert known_costs(Design.of(config), tmp_path / "a", anew=[""]) == {}


def test_finished_studies_beside_it_count_where_they_have_runs_of_the_kind(data, tmp_path):
    config, other = study(data), study(data, study="b", factors={"model.activation": ["tanh"]})
    write_run(other, tmp_path / "b" / "runs" / "l2~0" / "seed~0", train=90 * 4 * 3.0)
    tanh = Design.of(other).setups[1]
    write_run(tanh.config, tmp_path / f"b{tanh.place}/runs/l2~0/seed~0", train=1.0)
    assert known_costs(Design.of(config), tmp_path / "a") == {}
    package = tmp_path / "b" / "tables" / "datapackage.json"
    package.parent.mkdir()
    package.write_text(json.dumps({"config": other}))
    found = known_costs(Design.of(config), tmp_path / "a")
    assert {alike: cost.train for alike, cost in found.items()} == {kind(config): 3.0}


@pytest.mark.slow
def test_short_runs_are_made_where_there_are_none(data, tmp_path, monkeypatch):
    monkeypatch.setattr(estimate, "TIMING_SECONDS", 600)
    cost = estimate.time_short_runs(Design.of(study(data)).base)
    assert cost.runs == 2 and min(cost.train, cost.evaluate, cost.measure) > 0
    assert 2000 < cost.size < 20000
    assert list(tmp_path.iterdir()) == [Path(data)]
    monkeypatch.setattr(estimate, "TIMING_SECONDS", 0.1)
    said = estimate.time_short_runs(Design.of(study(data)).base)
    assert said == "not even a few steps were made in 0.1 seconds"


@pytest.mark.slow
def test_of_a_slow_model_a_few_steps_are_timed_and_what_fails_is_said(tmp_path, monkeypatch):
    """Of data that a function makes, they know how many rows there are."""
    (tmp_path / "data.py").write_text(
        "import numpy as np\n\n\ndef load():\n    x = np.ones((400, 6))\n"
        "    return (x, np.arange(400) % 5), (x[:50], np.arange(50) % 5)\n\n\n"
        "def broken():\n    raise OSError('no disk')\n"
    )
    monkeypatch.setattr(estimate, "TIMING_SECONDS", 600)
    monkeypatch.setattr(estimate, "RUNS_SECONDS", 0)
    config = study(None, dataset={"load": f"{tmp_path}/data.py:load"})
    cost = estimate.time_short_runs(Design.of(config).base)
    assert (cost.runs, cost.rows, cost.measure) == (0, 360, 0.0)
    assert cost.seconds(config) == pytest.approx(4 * 360 * cost.train + 5 * cost.evaluate)
    assert min(cost.train, cost.evaluate) > 0 and cost.size == 4 * (6 * 5 + 5 + 5 * 5 + 5)
    broken = study(None, dataset={"load": f"{tmp_path}/data.py:broken"})
    said = estimate.time_short_runs(Design.of(broken).base)
    assert said.startswith("a short run: dataset.load: ") and said.endswith("OSError: no disk")


def test_rows_of_data_that_a_function_makes_are_those_last_prepared(tmp_path):
    (tmp_path / "data.py").write_text("def load():\n    return None\n")
    config = study(None, dataset={"load": f"{tmp_path}/data.py:load"})
    write_run(config, tmp_path / "a" / "runs" / "l2~0" / "seed~0", train=4 * 360 * 5.0)
    (tmp_path / "a" / "data.json").write_text(json.dumps({"counts": {"train": 360}}))
    ((_, cost),) = known_costs(Design.of(config), tmp_path / "a").items()
    assert (cost.train, cost.rows) == (5.0, 360)


# ---- the data


def unscaled(tmp_path, **changes):
    """Return a configuration whose test images are copies of training images, from 0 to 255."""
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (400, 6)).astype(np.float32), np.arange(400) % 5
    np.savez(tmp_path / "mine.npz", x_train=x, y_train=y, x_test=x[:50], y_test=y[:50])
    return study(None, dataset={"path": str(tmp_path / "mine.npz")}, **changes)


def test_data_are_checked_in_passing(tmp_path, monkeypatch):
    monkeypatch.setattr(data_findings, "SECONDS", 600)
    found = data_findings.findings(Design.of(unscaled(tmp_path)), str(tmp_path / "results"))
    assert "standard deviation" in found[0] and "rows" in found[1] and "copies" in found[1]
    assert len(found) == 2 and not (tmp_path / "results").exists()


def test_the_check_that_is_there_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(data_findings, "SECONDS", 0)
    design, results = Design.of(unscaled(tmp_path)), tmp_path / "results"
    assert data_findings.findings(design, str(results)) == []
    row = {"part": "test", "check": "copies", "which": "train", "count": 3, "of": 50,
           "finding": "yes"}  # fmt: skip
    results.mkdir()
    (results / "data.json").write_text(json.dumps({"shape": [6]}))
    (results / "data.check.json").write_text(json.dumps([row]))
    (said,) = data_findings.findings(design, str(results))
    assert said.startswith("3 of the 50 test rows")
    assert data_findings.findings(design, str(results), anew={""}) == []


def test_data_that_would_be_downloaded_or_fail_are_not_checked(tmp_path):
    (tmp_path / "data.py").write_text("def load():\n    raise OSError('no disk')\n")
    for dataset in ({"name": "cifar10"}, {"load": f"{tmp_path}/data.py:load"}):
        design = Design.of(study(None, dataset=dataset))
        assert data_findings.findings(design, str(tmp_path / "results")) == []


# ---- the words


def told(config, results, new, cores=2, prepared=(), cost=HALF_AN_HOUR, findings=()):
    """Return the lines of the plan of a study, of whose runs those in the folders `new` are new.

    Its data are not looked at: there are these `findings`.
    """
    jobs = [{"rule": "train", "params": {"folder": path}} for path in new]
    jobs += [{"rule": "prepare", "output": [path]} for path in prepared]
    about = {"config": json.dumps(config), "results": str(results)}
    jobs += [{"rule": "aggregate", "params": about}]
    return plan.plan(jobs, cores, lambda setup: cost, lambda *of: list(findings)).splitlines()


def folders(config, results, *names):
    """Return the folders of the runs of the set-ups `names`, or of all."""
    runs = expected_runs(Design.of(config), str(results), lambda folder: True, {})
    return [run.folder for run in runs if not names or run.setup.name in names]


def test_the_executor_prints_the_jobs_of_a_group_and_counts_it_as_done(capsys):
    def job(seed):
        return SimpleNamespace(
            rule=SimpleNamespace(name="train"),
            output=[f"{seed}/history.csv", f"{seed}/run.json"],
            params={"folder": str(seed)},
            is_group=lambda: False,
        )

    done = []
    scheduler = SimpleNamespace(submit_callback=lambda job: None, finish_callback=done.append)
    executor = Executor(SimpleNamespace(dag=None, scheduler=scheduler), logger=None)
    group = SimpleNamespace(jobs=[job(1), job(2)], is_group=lambda: True)
    executor.run_jobs([job(0), group])
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["params"] for one in found] == [{"folder": str(seed)} for seed in range(3)]
    outputs = ["2/history.csv", "2/run.json"]
    assert found[2] == {"rule": "train", "output": outputs, "params": {"folder": "2"}}
    assert [one.is_group() for one in done] == [False, True]


def test_a_study_of_one_setup_names_its_new_runs_and_what_they_take(data, tmp_path):
    config = study(data)
    _, *new = folders(config, tmp_path)
    lines = told(config, tmp_path, new, prepared=[f"{tmp_path}/data.json"])
    assert lines == [
        "6 runs: 1 kept, 5 to train",
        "  lambda 0: seeds 1, 2",
        "  lambda 0.1: seeds 0, 1, 2",
        # five runs of half an hour on two cores
        "about 1:15 (h:mm) of training and measuring on 2 cores, based on two short runs, made now",
        "about 10 MB for the files of runs",
        "other jobs: prepare, aggregate",
    ]
    *_, unknown, _ = told(config, tmp_path, new, cost="no TensorFlow")
    assert unknown.endswith(": no TensorFlow")
    assert "the data: All is the same." in told(
        config, tmp_path, new, findings=["All is the same."]
    )
    few_steps = HALF_AN_HOUR._replace(runs=0, measure=0.0)
    (said,) = (line for line in told(config, tmp_path, new, cost=few_steps) if "based on" in line)
    assert said.endswith("based on a few steps of training, made now, without measuring")


def test_a_setup_with_runs_goes_by_these_and_another_by_all(data, tmp_path):
    """A run takes an hour in one set-up, ten in another; the lower median counts for the third."""
    config = study(data, factors={"model.activation": ["tanh", "sigmoid"]})
    design = Design.of(config)
    for setup, hours in zip(design.setups, (1, 10), strict=False):
        folder = tmp_path / f"{tmp_path}{setup.place}" / "runs" / "l2~0" / "seed~0"
        write_run(setup.config, folder, train=3600.0 * hours)
    for setup, hours in zip(design.setups, (1, 10, 1), strict=True):
        new = folders(config, tmp_path, setup.name)[1:2]
        (line,) = [line for line in told(config, tmp_path, new) if "(h:mm)" in line]
        assert line.startswith(f"about {hours}:00 (h:mm)"), setup.name
        assert line.endswith("based on finished runs")


def test_runs_that_differ_in_epochs_alone_are_trained_once(data, tmp_path):
    config = study(data, factors={"training.epochs": [2, 8], "dataset.train_size": [50]})
    lines = told(config, tmp_path, folders(config, tmp_path)[1:])
    assert lines[:5] == [
        "4 set-ups, 24 runs: 1 kept, 12 to train, 11 to take from longer runs",
        "  base: 1 kept, 0 to train, 5 to take from longer runs",
        "  epochs~2: 0 kept, 0 to train, 6 to take from longer runs",
        "  epochs~8: 0 kept, 6 to train",
        "  train_size~50: 0 kept, 6 to train",
    ]
    costs = {kind(config): Cost(1.0, 0.0, 0.0, 0.0, 1)}
    runs = expected_runs(Design.of(config), str(tmp_path), lambda folder: True, costs)
    assert sum(run.seconds for run in runs) == 6 * 8 * 90 + 6 * 4 * 50


def test_a_shorter_run_is_trained_where_a_longer_one_has_left_nothing(data, tmp_path):
    config = study(data, factors={"training.epochs": [2]})
    new = folders(config, tmp_path, "epochs~2")
    assert told(config, tmp_path, new)[2] == "  epochs~2: 0 kept, 6 to train"
    write_run(config, tmp_path / "runs" / "l2~0" / "seed~0" / "first-2", 1.0, epochs=2)
    lines = told(config, tmp_path, new)
    assert lines[2] == "  epochs~2: 0 kept, 5 to train, 1 to take from longer runs"


# ---- what one should know


def finished(config, results, code=None, epochs=4):
    """Write every run of a study as finished, trained for so many epochs and by this code."""
    for folder in folders(config, results):
        write_run(config, folder, 1.0, epochs=epochs)
        record = json.loads(Path(folder, "run.json").read_text())
        record["code"] = code or fingerprint("train")
        Path(folder, "run.json").write_text(json.dumps(record))


def test_runs_that_will_be_replaced_are_announced_with_the_reason(data, tmp_path):
    finished(study(data), tmp_path, epochs=2)
    config = study(data, model={"hidden_units": [5], "regularizer": "decoupled"})
    text = "\n".join(told(config, tmp_path, folders(config, tmp_path)))
    (changes,) = re.findall("6 finished runs are trained again and replaced: (.*)", text)
    assert "training.epochs was 2 and is 4" in changes
    assert "model.regularizer was not given and is decoupled" in changes
    assert not any("replaced" in line for line in told(config, tmp_path, []))


@pytest.mark.parametrize(
    ("code", "why"),
    [("old", "the code of training has changed"), (None, "their data have changed")],
)
def test_runs_of_other_code_or_data_are_replaced(data, tmp_path, code, why):
    config = study(data)
    finished(config, tmp_path, code=code)
    lines = told(config, tmp_path, folders(config, tmp_path))
    assert f"6 finished runs are trained again and replaced: {why}" in lines


def test_a_forgotten_name_is_noticed(data):
    assert notes.unnamed(check({})) is notes.unnamed(check({"seeds": 2, "lambdas": [0]})) is None
    assert notes.unnamed(study(data)) is None
    for changes in ({"training": {"epochs": 3}}, {"dataset": {"path": data}}):
        assert "results go to results/mnist" in notes.unnamed(check(changes))
