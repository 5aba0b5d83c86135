"""Measure the runs of one lambda from their saved weights, and keep what is still valid."""

from l2study.training.backend import configure, tf  # isort: skip  # sets what NumPy reads

import json
import time
from collections.abc import Iterable
from pathlib import Path

from l2study.core import runs
from l2study.core.code import fingerprint
from l2study.core.files import read_json, write_json
from l2study.core.paths import measures_file, run_folder
from l2study.data import prepared
from l2study.measuring.functions import FUNCTIONS, weight_histogram
from l2study.measuring.network import Network
from l2study.training.model import build_model

_compiled = {}
"""The network that this process measured last, by what its programs depend on."""


def measure_lambda(
    config: dict,
    data_path: Path,
    l2: str,
    seeds: Iterable[int],
    results: Path,
    threads: int,
    program: Path,
) -> None:
    """Write the measures of every run of `l2` to the measures file of its lambda.

    A run that the file already has is not measured again, as long as its weights, the data, the
    code of `program` and TensorFlow are the same. A diverged run has no measures, and neither has
    one whose record is damaged or of another study: the tables name all of these at once.

    Args:
        config: a canonical configuration; only `model` and `training` are read.
        data_path: the manifest of the prepared data.
        l2: the label of the coefficient.
        seeds: of the runs; one that has no record is left out.
        results: the study's results folder.
        threads: threads to compute with.
        program: the script that measures, whose code counts.

    Raises:
        DamagedRunError: the weights of a run are missing or damaged.
        DataError: the prepared data are not as their manifest says.
        OSError: the file cannot be written.
    """
    configure(threads)
    data = prepared.load(data_path)
    measured_with = {
        "code": fingerprint(program),
        "tensorflow": tf.__version__,
        "data_sha256": data.sha256,
        "model": config["model"],
    }
    path = measures_file(results, l2)
    found = _still_valid(path, measured_with)
    for seed in seeds:
        folder = run_folder(results, l2, seed)
        if not (folder / "run.json").exists():
            continue
        record = _record(folder, l2, seed, config, data)
        kept = found.get(str(seed), {})
        if record is None or record["status"] != "completed":
            found.pop(str(seed), None)
        elif kept.get("weights_sha256") != record["weights_sha256"]:
            network = _network(config, data)
            begun = time.perf_counter()
            network.set_weights(runs.read_weights(folder, record))
            found[str(seed)] = {
                "weights_sha256": record["weights_sha256"],
                "measures": {name: function(network) for name, function in FUNCTIONS.items()},
                "weight_histogram": weight_histogram(network),
                "seconds": round(time.perf_counter() - begun, 3),
            }
            print(f"lambda {l2}, seed {seed}: measured", flush=True)
    in_order = {seed: found[seed] for seed in sorted(found, key=int)}
    write_json(path, {"l2": l2, "measured_with": measured_with, "runs": in_order})


def _record(folder: Path, l2: str, seed: int, config: dict, data: prepared.Prepared) -> dict | None:
    """Return the record of a run, or None, and say so, where the tables will refuse the run."""
    try:
        record = runs.read_record(folder, l2, seed)
        same = record["config"].get("model") == config["model"]
        if same and record["data_sha256"] == data.sha256:
            return record
        fault = f"{folder}: is of another study"
    except runs.DamagedRunError as error:
        fault = str(error)
    print(f"{fault}. It is not measured, and the tables will refuse it.", flush=True)
    return None


def _still_valid(path: Path, measured_with: dict) -> dict:
    """Return what the file at `path` knows of each seed, or nothing if it was made otherwise."""
    try:
        content = read_json(path)
        return dict(content["runs"]) if content["measured_with"] == measured_with else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _network(config: dict, data: prepared.Prepared) -> Network:
    key = json.dumps([config["model"], data.sha256])
    if key not in _compiled:
        model = build_model(config["model"], config["training"], 0.0, 0, data.shape, data.classes)
        _compiled.clear()
        _compiled[key] = Network(model, data)
    return _compiled[key]
