"""measure.py on the runs of one lambda: what it measures, and what it keeps from before."""

import itertools
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from l2study.core.measures import names
from l2study.core.paths import measures_file, predictions_file, run_folder
from l2study.core.predictions import PARTS, part_at, read_predictions
from l2study.core.runs import DamagedRunError
from l2study.data.preparation import prepare
from tiny import CONFIG, history, set_up, train_command, write_npz

SEEDS = [0, 3]

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]


def train(results, name, seed, **options):
    """Train a run of `seed` in this process, in the folder of that of the seed `name`."""
    from train import main

    run = run_folder(results, "0.001", name)
    main(train_command(results / "data.json", run, seed=seed, **options)[2:])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Two runs of a lambda, trained but not measured."""
    folder = tmp_path_factory.mktemp("results")
    write_npz(folder / "tiny.npz")
    prepare(set_up(dataset={"path": str(folder / "tiny.npz")}), folder / "data.json")
    for seed in SEEDS:
        train(folder, seed, seed)
    return folder


@pytest.fixture
def results(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "results")


def measure(results, seeds=SEEDS):
    from l2study.measuring.one_lambda import measure_lambda

    setup = set_up(**CONFIG)
    setup = replace(setup, config=setup.config | {"seeds": seeds})
    measure_lambda(setup, results / "data.json", "0.001", results, 1)
    return json.loads(measures_file(results, "0.001").read_text())


def predictions(results):
    return read_predictions(predictions_file(results, "0.001").read_bytes())


def measured_anew(printed):
    return [line.split()[3].rstrip(":") for line in printed.splitlines()]


def test_every_registered_measure_of_every_run(results, capsys):
    found = measure(results)["runs"]
    assert list(found) == ["0", "3"]
    for seed, entry in found.items():
        record = json.loads((run_folder(results, "0.001", seed) / "run.json").read_text())
        assert entry["weights_sha256"] == record["weights_sha256"]
        assert list(entry["measures"]) == names("weights")
        assert sum(entry["weight_histogram"]["counts"]) == 25 * 8
        assert entry["seconds"] > 0
    assert found["0"]["measures"] != found["3"]["measures"]
    assert measured_anew(capsys.readouterr().out) == ["0", "3"]


def test_predictions_give_the_rows_of_a_history(results):
    """The last, the best and one of `predict_at`, of every image with its own label."""
    measure(results)
    found, labels = predictions(results), np.load(results / "data.labels.npy")
    assert list(found) == SEEDS
    for seed, parts in found.items():
        rows = history(run_folder(results, "0.001", seed))
        best = min(rows, key=lambda row: float(row["val_ce"]))
        of_epoch = {None: rows[-1], "best": best, 1: rows[1]}
        images = {"val": slice(270, 300), "test": slice(300, 390)}
        assert parts.keys() == {part_at(part, epoch) for part in PARTS for epoch in of_epoch}
        for part, epoch in itertools.product(PARTS, of_epoch):
            predicted, row = parts[part_at(part, epoch)], of_epoch[epoch]
            assert predicted.label.tolist() == labels[images[part]].tolist()
            assert predicted.predicted.dtype == predicted.label.dtype == np.uint8
            assert predicted.probability.dtype == np.float32
            assert predicted.right.mean() == float(row[f"{part}_accuracy"])
            ce = predicted.cross_entropy.mean()
            assert ce == pytest.approx(float(row[f"{part}_ce"]), abs=1e-6)
            # the probability of the right class, not of the most probable one
            assert (predicted.probability[predicted.right == 0] <= 0.5).all()
    assert (found[0]["test"].probability != found[3]["test"].probability).any()


def test_other_epochs_are_taken_in_although_the_weights_are_the_same(results):
    measure(results)
    run = run_folder(results, "0.001", 3)
    before = (run / "weights.npz").read_bytes()
    train(results, 3, 3, config=CONFIG | {"training": CONFIG["training"] | {"predict_at": [2]}})
    assert (run / "weights.npz").read_bytes() == before
    measure(results)
    found = predictions(results)
    assert {"test@2", "val@2"} <= found[3].keys() and "test@1" not in found[3]
    assert "test@1" in found[0]


@pytest.mark.parametrize(
    ("damaged", "change", "anew"),
    [
        (measures_file, None, []),
        (measures_file, Path.unlink, ["0", "3"]),
        (measures_file, lambda path: path.write_text(""), ["0", "3"]),
        (measures_file, lambda path: path.write_text('{"runs": {}}'), ["0", "3"]),
        (predictions_file, Path.unlink, ["0", "3"]),
    ],
)
def test_what_is_whole_stays_and_what_is_not_is_made_again(results, damaged, change, anew, capsys):
    files = [predictions_file(results, "0.001"), measures_file(results, "0.001")]
    whole, before = measure(results)["runs"], [path.read_bytes() for path in files]
    capsys.readouterr()
    if change:
        change(damaged(results, "0.001"))
    again, after = measure(results)["runs"], [path.read_bytes() for path in files]
    assert measured_anew(capsys.readouterr().out) == anew
    assert after[0] == before[0]
    assert change or after == before
    for seed, run in again.items():
        assert run["measures"] == whole[seed]["measures"]


def test_a_kill_between_the_two_files_leaves_nothing_that_looks_valid(results, monkeypatch, capsys):
    from l2study.measuring import one_lambda

    def killed(*_):
        raise KeyboardInterrupt

    measure(results, seeds=[0])
    with monkeypatch.context() as patched:
        patched.setattr(one_lambda, "write_json", killed)
        with pytest.raises(KeyboardInterrupt):
            measure(results)
    assert sorted(predictions(results)) == SEEDS
    content = json.loads(measures_file(results, "0.001").read_text())
    assert list(content["runs"]) == ["0"]
    measure(results)
    assert measured_anew(capsys.readouterr().out) == ["0", "3", "0", "3"]


def test_only_what_is_new_is_measured(results, capsys):
    """A seed added, one removed and added again, nothing at all."""
    first = measure(results, seeds=[3])
    of_first = predictions(results)[3]
    both = measure(results)
    measure(results, seeds=[0])
    assert measure(results) == both
    assert both["runs"]["3"] == first["runs"]["3"]
    for part, predicted in predictions(results)[3].items():
        for new, old in zip(predicted, of_first[part], strict=True):
            assert new.tolist() == old.tolist()
    assert measured_anew(capsys.readouterr().out) == ["3", "0"]


def test_other_code_measures_again(results, monkeypatch, capsys):
    from l2study.measuring import one_lambda

    measure(results)
    monkeypatch.setattr(one_lambda, "fingerprint", lambda stage: f"another {stage}")
    measure(results)
    assert measured_anew(capsys.readouterr().out) == ["0", "3"] * 2


def test_a_run_that_was_trained_again_is_measured_again(results, capsys):
    measure(results)
    train(results, 3, seed=4)
    record = run_folder(results, "0.001", 3) / "run.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"seed": 3}))
    capsys.readouterr()
    measure(results)
    assert measured_anew(capsys.readouterr().out) == ["3"]


def test_a_diverged_run_has_no_measures_and_a_missing_one_is_left_out(results):
    record = run_folder(results, "0.001", 3) / "run.json"
    measure(results)
    ended = {"status": "diverged", "diverged_epoch": 1}
    record.write_text(json.dumps(json.loads(record.read_text()) | ended))
    assert list(measure(results)["runs"]) == ["0"]
    assert list(predictions(results)) == [0]
    record.unlink()
    assert list(measure(results)["runs"]) == ["0"]


def test_weights_that_are_not_those_of_the_record_are_refused(results):
    weights = run_folder(results, "0.001", 3) / "weights.npz"
    weights.write_bytes((run_folder(results, "0.001", 0) / "weights.npz").read_bytes())
    with pytest.raises(DamagedRunError, match="is not the file that this run wrote"):
        measure(results)
    weights.unlink()
    with pytest.raises(DamagedRunError, match="missing"):
        measure(results)
    assert not measures_file(results, "0.001").exists()
    assert not predictions_file(results, "0.001").exists()


@pytest.mark.parametrize("change", [{}, {"data_sha256": "1" * 64}, {"config": {"model": {}}}])
def test_a_run_that_the_tables_will_refuse_is_left_out(results, change, capsys):
    path = run_folder(results, "0.001", 0) / "run.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | change) if change else "{")
    assert list(measure(results)["runs"]) == ["3"]
    assert "the tables will refuse it" in capsys.readouterr().out
