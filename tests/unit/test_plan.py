"""What the plan says, against numbers by hand. What Snakemake says is in tests/workflow."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import plan
from l2study.core.code import fingerprint
from l2study.core.config import check
from l2study.core.design import Design
from l2study.workflow import estimate, notes, seeds_for_claims
from l2study.workflow.estimate import (
    actual_and_expected,
    expected_runs,
    extent,
    machine_rate,
    training_seconds,
    typical,
)
from snakemake_executor_plugin_plan import Executor

RATE = 1e9


@pytest.fixture
def simple(monkeypatch):
    """A machine that computes and does nothing else, as fast in training as in a product."""
    monkeypatch.setattr(estimate, "EFFICIENCY", 1.0)
    for name in ("STEP", "EPOCH", "RUN", "COMPILE", "MEASURING", "JOB"):
        monkeypatch.setattr(estimate, f"{name}_SECONDS", 0.0)
    monkeypatch.setattr(estimate, "UPDATE", 0)


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
            "dataset": {"path": data},
            "model": {"hidden_units": [5]},
            "training": training | changes.pop("training", {}),
            "lambdas": [0, 0.1],
            "seeds": 3,
            **changes,
        }
    )


def write_run(folder, seconds, epochs=4, status="completed"):
    training = {"batch_size": 10, "epochs": epochs}
    record = {"status": status, "config": {"training": training}}
    folder.mkdir(parents=True)
    text = json.dumps(record | {"cost": {"seconds_total": seconds}})
    (folder / "run.json").write_text(text)


# ---- a run


@pytest.mark.parametrize(
    ("dataset", "units", "rows", "kernels"),
    [
        ({"name": "mnist"}, [128], (54000, 6000, 10000), (784 * 128, 1280)),
        ({"name": "mnist", "train_size": 500}, [3, 2], (500, 6000, 10000), (2352, 6, 20)),
        ({"name": "cifar10"}, [128], (45000, 5000, 10000), (3072 * 128, 1280)),
        ({"name": "cifar100"}, [4], (45000, 5000, 10000), (3072 * 4, 400)),
    ],
)
def test_extent(dataset, units, rows, kernels):
    size = extent(check({"dataset": dataset, "model": {"hidden_units": units}}))
    assert (size.train, size.validation, size.test) == rows
    assert size.kernels == kernels


def test_the_extent_of_own_data(data):
    size = extent(study(data))
    assert size == (90, 10, 50, 6 * 4, (30, 50), 15, 10, 150)
    # images of 32-bit floats, and labels of 4 bytes
    assert estimate.data_bytes(size) == 150 * (24 + 4)
    # 95 parameters of 4 bytes, five rows of a history, and predictions of 10 + 50 images
    assert estimate.run_bytes({"epochs": 4}, size) == 4 * 95 + 5 * 270 + 7000 + 4 * 60


def test_the_seconds_of_a_run_are_those_of_its_arithmetic(simple, data):
    config = study(data)
    # 80 weights, 30 of them in the first layer, whose inputs need no gradient
    training = 4 * 90 * (6 * 80 - 2 * 30)
    evaluating = 5 * 150 * 2 * 80
    seconds = training_seconds(config["training"], extent(config), RATE)
    assert seconds == pytest.approx((training + evaluating) / RATE)
    fewer = config["training"] | {"evaluate_at": [2]}
    seconds = training_seconds(fewer, extent(config), RATE)
    assert seconds == pytest.approx((training + evaluating * 3 / 5) / RATE)
    # 50 test images, as many attacked, and 10 for validation
    passes = 50 * (10 + 2) + 50 * 44 + 10
    measuring = estimate.measuring_seconds(extent(config), RATE)
    assert measuring == pytest.approx(passes * 2 * 80 / RATE)


def test_small_batches_and_short_epochs_have_a_price(simple, data, monkeypatch):
    config = study(data)
    before = training_seconds(config["training"], extent(config), RATE)
    monkeypatch.setattr(estimate, "STEP_SECONDS", 0.5)
    monkeypatch.setattr(estimate, "EPOCH_SECONDS", 10.0)
    monkeypatch.setattr(estimate, "UPDATE", 2)
    after = training_seconds(config["training"], extent(config), RATE)
    # 9 steps in each of 4 epochs, and 5 evaluations
    expected = 4 * (9 * 0.5 + 10) + 5 * 10 + 4 * 9 * 2 * 6 * 80 / RATE
    assert after - before == pytest.approx(expected)


def test_the_machine_is_measured():
    assert 1e8 < machine_rate(0.01) < 1e13


@pytest.mark.parametrize(
    ("pairs", "ratio"),
    [
        ([], None),
        ([(1, 0)], None),
        ([(6, 2)], 3),
        ([(1, 1), (2, 1), (9, 1)], 2),
        ([(1, 1), (2, 1)], 1.5),
        # a long run weighs more than two short ones
        ([(9, 1), (9, 1), (20, 10)], 2),
    ],
)
def test_typical_ratio(pairs, ratio):
    assert typical(pairs) == ratio


def test_runs_that_are_there_are_expected_by_their_own_settings(simple, data, tmp_path):
    config = study(data)
    write_run(tmp_path / "runs" / "l2~0" / "seed~0", 7.0, epochs=2)
    write_run(tmp_path / "runs" / "l2~0" / "seed~1", 99.0, status="diverged")
    (tmp_path / "runs" / "l2~0" / "seed~2").mkdir()
    (tmp_path / "runs" / "l2~0" / "seed~2" / "run.json").write_text("{")
    runs = expected_runs(Design.of(config), str(tmp_path), lambda folder: False, RATE)
    (pair,) = actual_and_expected(runs, RATE)
    own = training_seconds({"epochs": 2, "batch_size": 10}, extent(config), RATE)
    assert pair == (7.0, own)


# ---- the words


def told(config, results, new, cores=2, rate=RATE, prepared=()):
    """Return the lines of the plan of a study, of whose runs those in the folders `new` are new."""
    jobs = [{"rule": "train", "params": {"folder": path}} for path in new]
    jobs += [{"rule": "prepare", "output": [path]} for path in prepared]
    about = {"config": json.dumps(config), "results": str(results)}
    jobs += [{"rule": "aggregate", "params": about}]
    return plan.plan(jobs, cores, lambda: rate).splitlines()


def folders(config, results, *names):
    """Return the folders of the runs of the set-ups `names`, or of all."""
    runs = expected_runs(Design.of(config), str(results), lambda folder: True)
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
    assert found[2] == {
        "rule": "train",
        "output": ["2/history.csv", "2/run.json"],
        "params": {"folder": "2"},
    }
    assert [one.is_group() for one in done] == [False, True]


def test_nothing_to_be_done():
    assert plan.plan([], 2, lambda: RATE).startswith("Nothing to be done")


def test_a_study_of_one_setup_names_its_new_runs(simple, data, tmp_path):
    config = study(data)
    _, *new = folders(config, tmp_path)
    size = extent(config)
    each = training_seconds(config["training"], size, 1.0) + estimate.measuring_seconds(size, 1.0)
    # five runs on two cores, at a speed at which each takes 30 minutes
    lines = told(config, tmp_path, new, rate=each / 1800, prepared=[f"{tmp_path}/data.json"])
    assert lines == [
        "6 runs: 1 kept, 5 to train",
        "  lambda 0: seeds 1, 2",
        "  lambda 0.1: seeds 0, 1, 2",
        "about 1:15 (h:mm) of training and measuring on 2 cores,"
        " going by the speed of this machine",
        "about 1 MB of new files, without tables and report",
        "other jobs: prepare, aggregate",
    ]


def test_runs_that_are_there_say_how_long_others_take(simple, data, tmp_path):
    config = study(data)
    _, *new = folders(config, tmp_path)
    size = extent(config)
    own = training_seconds(config["training"], size, RATE)
    write_run(tmp_path / "runs" / "l2~0" / "seed~0", 3600.0)
    hours = 5 / 2 * (1 + estimate.measuring_seconds(size, RATE) / own)
    (line,) = [line for line in told(config, tmp_path, new) if "(h:mm)" in line]
    about = f"about {int(hours)}:{round(hours * 60) % 60:02} "
    assert line.startswith(about)
    assert line.endswith("going by 1 completed run")
    # not where other data are prepared, which the runs that are there have not seen
    lines = told(config, tmp_path, new, prepared=[f"{tmp_path}/data.json"])
    assert any("going by the speed of this machine" in line for line in lines)


def test_each_setup_has_a_line(simple, data, tmp_path):
    config = study(data, factors={"training.batch_size": [5], "dataset.train_size": [50]})
    lines = told(config, tmp_path, folders(config, tmp_path, "batch_size~5", "train_size~50")[1:])
    assert lines[:4] == [
        "3 set-ups, 18 runs: 7 kept, 11 to train",
        "  base: 6 kept, 0 to train",
        "  batch_size~5: 1 kept, 5 to train",
        "  train_size~50: 0 kept, 6 to train",
    ]


def test_a_setup_with_runs_is_estimated_by_these(simple, data, tmp_path):
    """A completed run takes an hour in one set-up, ten in the other."""
    config = study(data, factors={"model.activation": ["tanh"]})
    write_run(tmp_path / "runs" / "l2~0" / "seed~0", 3600.0)
    other = tmp_path / "setups" / "activation~tanh"
    write_run(other / "runs" / "l2~0" / "seed~0", 36000.0)
    size = extent(config)
    own = training_seconds(config["training"], size, RATE)
    more = 1 + estimate.measuring_seconds(size, RATE) / own
    for name, hours in (("base", more), ("activation~tanh", 10 * more)):
        new = folders(config, tmp_path, name)[1:2]
        (line,) = [line for line in told(config, tmp_path, new) if "(h:mm)" in line]
        assert line.startswith(f"about {int(hours)}:{round(hours * 60) % 60:02} "), name


def test_runs_that_differ_in_epochs_alone_are_trained_once(simple, data, tmp_path):
    config = study(data, factors={"training.epochs": [2, 8]})
    lines = told(config, tmp_path, folders(config, tmp_path))
    assert lines[:4] == [
        "3 set-ups, 18 runs: 0 kept, 6 to train, 12 to take from longer runs",
        "  base: 0 kept, 0 to train, 6 to take from longer runs",
        "  epochs~2: 0 kept, 0 to train, 6 to take from longer runs",
        "  epochs~8: 0 kept, 6 to train",
    ]
    runs = expected_runs(Design.of(config), str(tmp_path), lambda folder: True, RATE)
    longest = training_seconds({"epochs": 8, "batch_size": 10}, extent(config), RATE)
    assert sum(run.seconds for run in runs) == pytest.approx(6 * longest)


def test_a_shorter_run_is_trained_where_a_longer_one_has_left_nothing(data, tmp_path):
    config = study(data, factors={"training.epochs": [2]})
    new = folders(config, tmp_path, "epochs~2")
    lines = told(config, tmp_path, new)
    assert lines[2] == "  epochs~2: 0 kept, 6 to train"
    write_run(tmp_path / "runs" / "l2~0" / "seed~0" / "first-2", 1.0, epochs=2)
    lines = told(config, tmp_path, new)
    assert lines[2] == "  epochs~2: 0 kept, 5 to train, 1 to take from longer runs"


# ---- what one should know


def finished(config, results, code=None, **training):
    """Write every run of a study as finished, trained with these settings and this code."""
    made = {part: config[part] for part in ("model", "training")}
    made["training"] = made["training"] | training
    for folder in folders(config, results):
        write_run(Path(folder), 1.0)
        record = {"config": made, "code": code or fingerprint("train")}
        cost = {"status": "completed", "cost": {"seconds_total": 1.0}}
        Path(folder, "run.json").write_text(json.dumps(record | cost))


def test_runs_that_will_be_replaced_are_announced_with_the_reason(data, tmp_path):
    config = study(data, training={"optimizer": "sgd", "momentum": 0.5})
    finished(config, tmp_path, epochs=2)
    new = folders(config, tmp_path)
    said = (
        "6 finished runs are trained again and replaced: training.epochs was 2 and is 4."
        " To keep them, give this configuration another study name"
    )
    assert said in told(config, tmp_path, new)
    assert not any("replaced" in line for line in told(config, tmp_path, []))
    (again,) = [line for line in told(config, tmp_path, new[:1]) if "replaced" in line]
    assert again.startswith("1 finished run is trained again and replaced: training.epochs was 2")


@pytest.mark.parametrize(
    ("code", "why"),
    [("old", "the code of training has changed"), (None, "their data have changed")],
)
def test_runs_of_other_code_or_data_are_replaced(data, tmp_path, code, why):
    config = study(data)
    finished(config, tmp_path, code=code)
    lines = told(config, tmp_path, folders(config, tmp_path))
    assert f"6 finished runs are trained again and replaced: {why}" in lines


def test_a_key_that_was_not_there_before_is_named(data, tmp_path):
    finished(study(data), tmp_path)
    config = study(data, model={"hidden_units": [5, 6], "regularizer": "decoupled"})
    (line,) = [
        line for line in told(config, tmp_path, folders(config, tmp_path)) if "replaced" in line
    ]
    assert "model.hidden_units was [5] and is [5, 6]; " in line
    assert "model.regularizer was not given and is decoupled. " in line


def test_a_forgotten_name_is_noticed(data):
    assert notes.unnamed(check({})) is notes.unnamed(check({"seeds": 2, "lambdas": [0]})) is None
    assert notes.unnamed(study(data)) is None
    for changes in ({"training": {"epochs": 3}}, {"dataset": {"path": data}}):
        assert "results go to results/mnist" in notes.unnamed(check(changes))


# ---- a finished study


def write_finished(folder, verdicts):
    (folder / "tables").mkdir()
    rows = [f"base,{name},overall,{verdict},{seeds}" for name, (verdict, seeds) in verdicts.items()]
    rows += ["base,gap,a row of it,not resolved,", "momentum~0.9,gap,overall,not resolved,99"]
    heads = "setup,id,estimand,verdict,seeds_needed"
    (folder / "tables" / "claims.csv").write_text("\n".join([heads, *rows]) + "\n")
    runs = [f"base,{l2},{seed},9.5,0.5" for l2 in (0, 0.01) for seed in range(5)]
    heads = "setup,l2,seed,seconds_total,seconds_measures"
    (folder / "tables" / "runs.csv").write_text("\n".join([heads, *runs]) + "\n")


def test_a_finished_study_says_what_would_resolve_its_claims(tmp_path):
    verdicts = {
        "gap": ("not resolved", 77),
        "penalty": ("supported", ""),
        "creep": ("not resolved", ""),
    }
    write_finished(tmp_path, verdicts)
    _, *found = seeds_for_claims.lines(tmp_path, cores=2)
    # 72 more seeds of 2 lambdas are 144 runs of 10 seconds, two at a time
    assert found == [
        "  gap: 77 seeds, 72 more than now, about 0:12 (h:mm)",
        "  creep: more seeds alone would not",
    ]
    assert plan.plan([], 2, lambda: RATE, found).splitlines()[1:] == found


def test_where_all_is_resolved_nothing_is_said(tmp_path):
    write_finished(tmp_path, {"gap": ("supported", "")})
    assert seeds_for_claims.lines(tmp_path, cores=2) == []
    assert seeds_for_claims.lines(tmp_path / "absent", cores=2) == []


def test_the_name_of_a_study_is_the_last_that_is_given(tmp_path):
    (tmp_path / "a.yaml").write_text("study: mine\n")
    (tmp_path / "b.yaml").write_text("seeds: 3\n")
    files = [tmp_path / "a.yaml", tmp_path / "b.yaml"]
    assert plan._name([], []) == "mnist"
    assert plan._name(files, ["--config", "allow_large=true"]) == "mine"
    assert plan._name(files, ["--config", "study=other"]) == "other"
