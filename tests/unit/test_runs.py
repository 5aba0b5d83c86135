"""The files of a run, and of what was measured of it: written, read, and refused if damaged."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import synthetic
from l2study.core.columns import HISTORY_COLUMNS
from l2study.core.design import Design
from l2study.core.measures import names
from l2study.core.predictions import Predicted
from l2study.core.runs import (
    DamagedRunError,
    read_earlier_predictions,
    read_measured,
    read_run,
    read_runs,
    read_weights,
    take_left,
    write_run,
)

CONFIG = {"training": {"epochs": 2}}
RECORD = {"l2": "0.01", "seed": 7, "status": "completed", "diverged_epoch": None}
PREDICTED = {"val@1": Predicted(np.array([1, 0]), np.array([1, 1]), np.array([0.25, 0.5]))}
RECORD |= {"sources": {"weights": 7}, "config": CONFIG, "data_sha256": "0", "cost": {}}


def written(folder):
    """Write a run of three epochs."""
    row = [0.1 * number for number in range(len(HISTORY_COLUMNS) - 3)]
    history = [["0.01", 7, epoch, *(row if epoch else [None, *row[1:]])] for epoch in range(3)]
    weights = {"kernel": np.arange(6.0).reshape(2, 3), "bias": np.array([1.0])}
    write_run(folder, HISTORY_COLUMNS, history, weights, PREDICTED, RECORD)
    return folder


def damage(path, change):
    """Change a file in place; None deletes it."""
    path.unlink() if change is None else path.write_bytes(change(path.read_bytes()))


def replacing(old, new):
    return lambda content: content.replace(old.encode(), new.encode())


def test_what_is_written_is_read(tmp_path):
    run = read_run(written(tmp_path), "0.01", 7, {"config": CONFIG})
    assert run.history.shape == (3, len(HISTORY_COLUMNS))
    assert run.history[:, :3].tolist() == [[0.01, 7, 0], [0.01, 7, 1], [0.01, 7, 2]]
    assert run.history[1, 5] == 0.2
    assert np.isnan(run.history).sum() == 1 and np.isnan(run.history[0, 3])
    assert run.record["status"] == "completed" and run.record["cost"] == {}
    kernel, bias = read_weights(tmp_path, run.record)
    assert kernel.tolist() == [[0, 1, 2], [3, 4, 5]] and bias.tolist() == [1]
    earlier = read_earlier_predictions(tmp_path, run.record)
    assert earlier.keys() == PREDICTED.keys()
    assert earlier["val@1"].probability.tolist() == [0.25, 0.5]


def test_a_run_that_diverged_at_once_has_no_rows(tmp_path):
    record = RECORD | {"status": "diverged"}
    write_run(tmp_path, HISTORY_COLUMNS, [], {"bias": np.zeros(1)}, {}, record)
    assert read_earlier_predictions(tmp_path, read_run(tmp_path, "0.01", 7).record) == {}
    assert read_run(tmp_path, "0.01", 7).history.shape == (0, len(HISTORY_COLUMNS))


@pytest.mark.parametrize(
    ("name", "change", "fault"),
    [
        ("history.csv", None, "missing"),
        ("history.csv", lambda content: content[:-20], "is not the file that this run wrote"),
        ("weights.npz", None, "missing"),
        ("weights.npz", lambda content: content[:-1], "is not the file that this run wrote"),
        ("run.json", None, "missing"),
        ("run.json", lambda content: content[:100], "is not the record of a run"),
        ("run.json", replacing('"cost"', '"x"'), "has no cost"),
        ("run.json", replacing('"0.01"', '"0.1"'), "belongs to another run, l2 0.1, seed 7"),
        ("run.json", replacing('"epochs": 2', '"epochs": 9'), "another study: its config differs"),
    ],
)
def test_damage_is_one_line_that_says_what_to_do(tmp_path, name, change, fault):
    damage(written(tmp_path) / name, change)
    with pytest.raises(DamagedRunError) as refused:
        read_weights(tmp_path, read_run(tmp_path, "0.01", 7, {"config": CONFIG}).record)
    said, advice = str(refused.value).split(". To redo this run: ")
    assert said.startswith(f"{tmp_path / name}: ") and fault in said
    assert advice == f"delete the folder {tmp_path} and run the same command again"


def test_a_history_with_other_columns_is_refused(tmp_path, monkeypatch):
    """Of a version whose columns were others; its checksum is right."""
    written(tmp_path)
    monkeypatch.setattr("l2study.core.runs.HISTORY_COLUMNS", [*HISTORY_COLUMNS, "more"])
    with pytest.raises(DamagedRunError, match="has the wrong columns"):
        read_run(tmp_path, "0.01", 7)


@pytest.mark.parametrize(
    "damaged", [None, "history.csv", "weights.npz", "predictions.npz", "run.json"]
)
def test_what_a_longer_run_left_is_taken_only_if_it_is_whole(tmp_path, damaged):
    left = written(tmp_path / "longer" / "first-2")
    if damaged:
        damage(left / damaged, lambda content: content[:-9])
    taken = take_left(tmp_path / "longer", tmp_path / "run", "0.01", 7, {"config": CONFIG})
    assert taken == (not damaged) == (not left.exists())
    if taken:
        assert read_run(tmp_path / "run", "0.01", 7).history[-1, 2] == 2


# ---- all runs of a set-up, with what was measured


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A study of two lambdas, two seeds and two epochs, to be copied and damaged."""
    folder = tmp_path_factory.mktemp("small")
    return folder, synthetic.write_study(folder, lambdas=[0, 0.01], seeds=[0, 7], epochs=2)


@pytest.fixture
def study(small, tmp_path):
    """A copy of the small study, and a function that reads its runs."""
    folder, config = small
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    setup = Design.of(config, checked=True).base

    def read(data=None, **options):
        return read_runs(tmp_path, setup, data, names("weights"), **options)

    return tmp_path, read


def test_runs_come_by_lambda_and_seed_with_measures_and_predictions(study):
    _, read = study
    runs = read({"sha256": "0" * 64})
    assert [(run.l2, run.seed) for run in runs] == [("0", 0), ("0", 7), ("0.01", 0), ("0.01", 7)]
    assert all(set(run.measured["measures"]) >= set(names("weights")) for run in runs)
    assert all({"val", "test", "val@best", "test@best"} == set(run.predictions) for run in runs)


def test_every_run_that_is_damaged_has_a_line(study):
    folder, read = study
    shutil.rmtree(folder / "runs/l2~0/seed~7")
    (folder / "runs/l2~0.01/seed~0/run.json").unlink()
    with pytest.raises(DamagedRunError) as refused:
        read()
    lines = str(refused.value).splitlines()
    assert len(lines) == 2 and "l2~0/seed~7" in lines[0] and "l2~0.01/seed~0" in lines[1]
    assert [(run.l2, run.seed) for run in read(allow_missing=True)] == [("0", 0), ("0.01", 7)]


@pytest.mark.parametrize("key", ["config", "data_sha256", "sources"])
def test_a_run_of_another_study_is_refused(study, key):
    folder, read = study
    path = folder / "runs/l2~0.01/seed~0/run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: "another"}))
    with pytest.raises(DamagedRunError, match=f"belongs to another study: its {key} differs"):
        read({"sha256": "0" * 64})


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("l2~0.01.json", None),
        ("l2~0.01.json", lambda content: content[:100]),
        ("l2~0.01.json", replacing('"7"', '"8"')),
        ("l2~0.01.json", replacing('"0000', '"2222')),
        ("l2~0.01.predictions.npz", None),
        ("l2~0.01.predictions.npz", lambda content: content[:-20]),
    ],
)
def test_measures_that_are_damaged_or_of_other_runs_are_one_line(study, name, change):
    folder, read = study
    damage(folder / "measures" / name, change)
    with pytest.raises(DamagedRunError) as refused:
        read()
    (line,) = str(refused.value).splitlines()
    assert line.startswith(f"{folder / 'measures/l2~0.01.json'}: ")
    assert line.endswith("delete it if it exists, and run the same command again")


def test_predictions_of_other_runs_are_of_no_use(study):
    folder, _ = study
    measures = folder / "measures"
    assert read_measured(folder, "0.01")[1].keys() == {0, 7}
    shutil.copy(measures / "l2~0.predictions.npz", measures / "l2~0.01.predictions.npz")
    assert read_measured(folder, "0.01") == ({}, {})


def test_a_measure_without_a_function_is_named(study):
    folder, read = study
    damage(Path(folder) / "measures/l2~0.01.json", replacing('"ece"', '"x"'))
    with pytest.raises(DamagedRunError, match="has no ece"):
        read()
