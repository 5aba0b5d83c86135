"""The files of a run: how they are written, and how they are read and checked.

A run is one lambda and one seed. Training writes four files to the run's folder: history.csv, the
final weights, what was predicted after earlier epochs, and run.json, the record. The record has the
checksums of the others and is written last. Measuring writes two files per lambda, with the
measures and all predictions of every seed. The measures have the checksums of the predictions, the
weights and the data.
"""

import contextlib
import csv
import hashlib
import io
import json
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from l2study.core.columns import ALL_COLUMNS, HISTORY_COLUMNS
from l2study.core.files import read_json, replacing, write_json, write_text
from l2study.core.paths import left_folder, measures_file, predictions_file, run_folder
from l2study.core.predictions import Predicted, read_predictions, write_predictions

if TYPE_CHECKING:
    from l2study.core.design import Setup

_RECORD = {"status", "diverged_epoch", "sources", "config", "data_sha256", "cost"}
_RECORD |= {"history_sha256", "weights_sha256", "predictions_sha256"}
_FILES = {name: f"{name}.npz" for name in ("weights", "predictions")} | {"history": "history.csv"}

MEASURED_OF = ("weights_sha256", "predictions_sha256")
"""The keys of a run's record by which its measures and all its predictions are known to be its."""


class DamagedRunError(ValueError):
    """Promised runs are missing or damaged: one line for each, which says what to do."""


class Run(NamedTuple):
    """A run as it was read: its history, shape (evaluated epochs, columns), its record, and more.

    The columns are `HISTORY_COLUMNS`, or `ALL_COLUMNS` if the model has a mode of training.

    `measured` is what measuring has written for this run, and `predictions` what the run predicts
    for the images of each part, by the names of `predictions.part_at`. Both are empty for a
    diverged run, and where they were not asked for.
    """

    l2: str
    seed: int
    history: np.ndarray
    record: dict
    measured: dict
    predictions: dict[str, Predicted]


def write_run(
    folder: Path,
    columns: list[str],
    history: list[list],
    weights: Mapping[str, np.ndarray],
    predictions: Mapping[str, Predicted],
    record: dict,
) -> None:
    """Write the four files of a run, each whole or not at all, the record last.

    Args:
        folder: of the run.
        columns: `HISTORY_COLUMNS` or `ALL_COLUMNS`.
        history: one row per evaluated epoch, with these columns; None is an empty cell.
        weights: every array by its name, in the order that `model.set_weights` takes.
        predictions: after earlier epochs, by the names of `predictions.part_at`.
        record: the content of run.json; checksums are added to it.
    """
    folder = Path(folder)
    # Not as HDF5, whose library ends the process on a full disk, or says nothing.
    with replacing(folder / "weights.npz") as unfinished:
        np.savez(unfinished, **weights)
    with replacing(folder / "predictions.npz") as unfinished:
        write_predictions(unfinished, {record["seed"]: predictions})
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([columns, *history])
    write_text(folder / "history.csv", text.getvalue())
    checksums = {
        f"{name}_sha256": hashlib.sha256((folder / file).read_bytes()).hexdigest()
        for name, file in _FILES.items()
    }
    write_json(folder / "run.json", record | checksums)


def read_run(folder: Path, l2: str, seed: int, promised: Mapping | None = None) -> Run:
    """Return a run without what was measured of it.

    `promised` has keys of run.json, and the values that they must have. This keeps out a run of
    another configuration or of other data: copied here by hand, or written by a job that outlived
    its workflow. Such a run is a DamagedRunError, and so is one that is missing or damaged.
    """
    record = read_record(folder, l2, seed)
    if odd := [key for key, value in (promised or {}).items() if record[key] != value]:
        raise _damaged(
            folder, "run.json", f"belongs to another study: its {' and '.join(odd)} differs"
        )
    content = _checked(folder, "history.csv", record["history_sha256"]).decode()
    header, *rows = csv.reader(content.splitlines())
    if header not in (HISTORY_COLUMNS, ALL_COLUMNS):
        raise _damaged(folder, "history.csv", "has the wrong columns")
    cells = [[float(cell) if cell else math.nan for cell in row] for row in rows]
    history = np.array(cells).reshape(-1, len(header))
    return Run(l2, seed, history, record, measured={}, predictions={})


def read_record(folder: Path, l2: str, seed: int) -> dict:
    """Return the content of a run's run.json; DamagedRunError where it is that of no or another."""
    content = _content(folder, "run.json")
    try:
        record = json.loads(content)
        own = record["l2"], record["seed"]
    except (ValueError, TypeError, KeyError):
        raise _damaged(folder, "run.json", "is not the record of a run") from None
    if absent := sorted(_RECORD - record.keys()):
        raise _damaged(folder, "run.json", f"has no {', '.join(absent)}")
    if own != (l2, seed):
        raise _damaged(folder, "run.json", f"belongs to another run, l2 {own[0]}, seed {own[1]}")
    return record


def read_weights(folder: Path, record: Mapping) -> list[np.ndarray]:
    """Return the final weights of a run, in the order that `model.set_weights` takes;
    DamagedRunError where they are missing, or not those that the record was written with."""
    content = _checked(folder, "weights.npz", record["weights_sha256"])
    with np.load(io.BytesIO(content)) as arrays:
        return list(arrays.values())


def read_earlier_predictions(folder: Path, record: Mapping) -> dict[str, Predicted]:
    """Return what a run predicted after earlier epochs, by the names of `predictions.part_at`; it
    raises what `read_weights` does."""
    content = _checked(folder, "predictions.npz", record["predictions_sha256"])
    return read_predictions(content).get(record["seed"], {})


def weights_checksum(records: Iterable[Mapping]) -> str:
    """Return a checksum of the final weights of the runs with these records, in any order."""
    lines = sorted("{l2} {seed} {weights_sha256}".format_map(record) for record in records)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def is_whole(folder: Path, l2: str, seed: int, promised: Mapping) -> bool:
    """Return whether a run has all files and is what `promised` says, see `read_run`."""
    try:
        record = read_run(folder, l2, seed, promised).record
        read_weights(folder, record)
        read_earlier_predictions(folder, record)
    except (DamagedRunError, KeyError):
        return False
    return True


def take_left(longer: Path, folder: Path, l2: str, seed: int, promised: Mapping) -> bool:
    """Move the run that a longer one has left (see `left_folder`) to `folder`, if it is whole;
    return whether."""
    left = left_folder(longer, promised["config"]["training"]["epochs"])
    if not is_whole(left, l2, seed, promised):
        return False
    with contextlib.suppress(OSError):
        Path(folder).mkdir(parents=True, exist_ok=True)
        for name in (*_FILES.values(), "run.json"):
            os.replace(left / name, Path(folder) / name)
        left.rmdir()
        return True
    return False


def read_runs(
    results: Path,
    setup: "Setup",
    data: Mapping | None,
    measures: Iterable[str],
    *,
    allow_missing: bool = False,
) -> list[Run]:
    """Return every run that a set-up promises, by lambda and seed, with what was measured of it.

    Args:
        results: the folder of the set-up's results.
        setup: says which runs there are.
        data: the manifest of the data that the runs must be of; None if there is none.
        measures: the measures of the final weights that every completed run must have.
        allow_missing: leave out runs without run.json, the last file that a run writes.

    Raises:
        DamagedRunError: a run is missing or damaged, or is not the run its path promises.
    """
    promised = setup.promised | ({"data_sha256": data["sha256"]} if data else {})
    runs, faults, names = [], [], list(measures)
    for l2 in setup.lambdas:
        content, predicted = read_measured(results, l2)
        for seed in setup.seeds:
            folder = run_folder(results, l2, seed)
            if allow_missing and not (folder / "run.json").exists():
                continue
            try:
                run = read_run(folder, l2, seed, promised | {"sources": setup.sources(seed)})
                if run.record["status"] == "completed":
                    found = _measured(measures_file(results, l2), content, run, names)
                    run = run._replace(measured=found, predictions=predicted[seed])
                runs.append(run)
            except DamagedRunError as fault:
                faults.append(str(fault))
    if faults:
        raise DamagedRunError("\n".join(dict.fromkeys(faults)))
    return runs


def read_measured(results: Path, l2: str) -> tuple[dict, dict[int, dict[str, Predicted]]]:
    """Return the content of the file of measures of a lambda, and the predictions by seed.

    Both are empty if a file is missing or damaged, or if the two do not belong together.
    """
    try:
        content = read_json(measures_file(results, l2))
        raw = predictions_file(results, l2).read_bytes()
        if hashlib.sha256(raw).hexdigest() != content["predictions_sha256"]:
            return {}, {}
        predicted = read_predictions(raw)
        if predicted.keys() != {int(seed) for seed in content["runs"]}:
            return {}, {}
        return content, predicted
    except (OSError, ValueError, KeyError, TypeError):
        return {}, {}


def _measured(path: Path, content: Mapping, run: Run, names: list[str]) -> dict:
    found = content.get("runs", {}).get(str(run.seed))
    if (
        not found
        or any(found.get(key) != run.record[key] for key in MEASURED_OF)
        or content["measured_with"]["data_sha256"] != run.record["data_sha256"]
    ):
        raise DamagedRunError(
            f"{path}: this file or the predictions beside it are missing, damaged or of other"
            " runs. To measure again: delete it if it exists, and run the same command again"
        )
    if absent := [name for name in names if name not in found["measures"]]:
        raise DamagedRunError(
            f"{path}: has no {', '.join(absent)}. Every measure of schemas/measures.yaml that is"
            " computed from weights needs a function in scripts/l2study/measuring/functions.py"
        )
    return found


def _checked(folder: Path, name: str, checksum: str) -> bytes:
    content = _content(folder, name)
    if hashlib.sha256(content).hexdigest() != checksum:
        raise _damaged(folder, name, "is not the file that this run wrote")
    return content


def _content(folder: Path, name: str) -> bytes:
    try:
        return (Path(folder) / name).read_bytes()
    except FileNotFoundError:
        raise _damaged(folder, name, "missing") from None
    except OSError as error:
        raise _damaged(folder, name, f"cannot be read ({error})") from None


def _damaged(folder: Path, name: str, fault: str) -> DamagedRunError:
    return DamagedRunError(
        f"{Path(folder) / name}: {fault}. To redo this run: delete the folder {folder} and"
        " run the same command again"
    )
