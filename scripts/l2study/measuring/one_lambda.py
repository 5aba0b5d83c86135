"""Measure the runs of one lambda from their saved weights, and keep what is still valid."""

from l2study.training.backend import configure, tf  # isort: skip  # sets what NumPy reads

import hashlib
import json
import time
from pathlib import Path

from l2study.core import runs
from l2study.core.code import fingerprint
from l2study.core.design import Setup
from l2study.core.files import replacing, write_json
from l2study.core.paths import measures_file, predictions_file, run_folder
from l2study.core.predictions import write_predictions
from l2study.data import prepared
from l2study.measuring.functions import measured
from l2study.measuring.network import Network
from l2study.training.engine import kind
from l2study.training.model import Task, build_model
from l2study.training.one_run import function_of

_compiled = {}
"""The network that this process measured last, by what its programs depend on."""


def measure_lambda(setup: Setup, data_path: Path, l2: str, results: Path, threads: int) -> None:
    """Write the measures and the predictions of every run of `l2` to the two files of its lambda.

    A run that the files already have is not measured again, as long as its weights and predictions,
    the data, the code that measures and TensorFlow are the same. A run whose record is damaged or
    of another study has no measures: the tables name all of these at once. The measures name the
    checksum of the predictions, and are written after them, so files that do not belong together
    are of no use to anybody.

    Raises:
        DamagedRunError: the weights or the predictions of a run are missing or damaged.
        DataError: the prepared data are not as their manifest says.
        OSError: a file cannot be written.
    """
    configure(threads)
    config = setup.config
    checksum, data = prepared.checksum(data_path), None
    measured_with = {
        "code": fingerprint("measure"),
        "tensorflow": tf.__version__,
        "data_sha256": checksum,
        "model": config["model"],
    }
    path, beside = measures_file(results, l2), predictions_file(results, l2)
    before, predicted = runs.read_measured(results, l2)
    if before.get("measured_with") != measured_with:
        before, predicted = {"runs": {}}, {}
    found = before["runs"]
    for seed in setup.seeds:
        folder = run_folder(results, l2, seed)
        if not (folder / "run.json").exists():
            continue
        record = _record(folder, l2, seed, config, checksum)
        kept = found.get(str(seed), {})
        if record is None or record["status"] != "completed":
            found.pop(str(seed), None)
        elif any(kept.get(key) != record[key] for key in runs.MEASURED_OF):
            if data is None or data.chosen_by:  # each run has rows of its own
                data = prepared.load(data_path, record["sources"])
            network = _network(config, data)
            begun = time.perf_counter()
            network.set_weights(runs.read_weights(folder, record))
            earlier = runs.read_earlier_predictions(folder, record)
            predicted[seed] = network.predicted() | earlier
            found[str(seed)] = {
                **{key: record[key] for key in runs.MEASURED_OF},
                **measured(network),
                "seconds": round(time.perf_counter() - begun, 3),
            }
            print(f"lambda {l2}, seed {seed}: measured", flush=True)
    in_order = {seed: found[seed] for seed in sorted(found, key=int)}
    with replacing(beside) as unfinished:
        write_predictions(unfinished, {int(seed): predicted[int(seed)] for seed in in_order})
    content = {
        "l2": l2,
        "measured_with": measured_with,
        "predictions_sha256": hashlib.sha256(beside.read_bytes()).hexdigest(),
        "runs": in_order,
    }
    write_json(path, content)


def _record(folder: Path, l2: str, seed: int, config: dict, checksum: str) -> dict | None:
    """Return the record of a run, or None, and say so, where the tables will refuse the run."""
    try:
        record = runs.read_record(folder, l2, seed)
        same = record["config"].get("model") == config["model"]
        if same and record["data_sha256"] == checksum:
            return record
        fault = f"{folder}: is of another study"
    except runs.DamagedRunError as error:
        fault = str(error)
    print(f"{fault}. It is not measured, and the tables will refuse it.", flush=True)
    return None


def _network(config: dict, data: prepared.Prepared) -> Network:
    """Return a network on `data`, whose programs are compiled if the last was of the same kind."""
    key = json.dumps([config["model"], kind(data)])
    if key not in _compiled:
        model, training = config["model"], config["training"]
        task = Task(model, training, data.shape, data.classes, function_of(model))
        _compiled.clear()
        _compiled[key] = Network(build_model(task, 0.0, {}), data)
    elif _compiled[key].prepared is not data:
        _compiled[key].set_data(data)
    return _compiled[key]
