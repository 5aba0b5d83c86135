"""The files of a run: how they are written, and how they are read and checked.

A run is one lambda and one seed. Training writes three files to the run's folder: history.csv, the
final weights, and run.json, the record, which is written last. Measuring writes two files per
lambda, with the measures and the predictions of every seed.
"""

import csv
import hashlib
import io
import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from l2study.core.columns import EMPTY_AT_START, HISTORY_COLUMNS
from l2study.core.files import replacing, write_json, write_text
from l2study.core.labels import l2_label
from l2study.core.paths import left_folder, measures_file, predictions_file, run_folder
from l2study.core.predictions import PARTS, Predicted, read_predictions
from l2study.core.variation import USUAL

COSTS = [
    "seconds_setup",
    "seconds_train",
    "seconds_evaluate",
    "seconds_total",
    "cpu_seconds",
    "peak_memory_mb",
]
"""The keys of `cost` in run.json."""


class DamagedRunError(ValueError):
    """Promised runs are missing or damaged: one line for each, which says what to do."""


class Run(NamedTuple):
    """A run as it was read: its history, shape (evaluated epochs, columns), its record, and more.

    `measured` is what measuring has written for this run, and `predictions` what the run predicts
    for the images of each part of `PARTS`. Both are empty for a diverged run, and where they were
    not asked for.
    """

    l2: str
    seed: int
    history: np.ndarray
    record: dict
    measured: dict
    predictions: dict[str, Predicted]


# --- writing --------------------------------------------------------------------------------------


def write_run(
    folder: Path, history: list[list], weights: Mapping[str, np.ndarray], record: dict
) -> None:
    """Write the three files of a run, each whole or not at all, the record last.

    Args:
        folder: of the run.
        history: one row per evaluated epoch, with `HISTORY_COLUMNS`; None is an empty cell.
        weights: every array by its name, in the order that `model.set_weights` takes.
        record: the content of run.json; the checksum of the weights is added to it.

    Raises:
        OSError: a file cannot be written, for instance because the disk is full.
    """
    folder = Path(folder)
    # Not as HDF5, whose library ends the process on a full disk, or says nothing.
    with replacing(folder / "weights.npz") as unfinished:
        np.savez(unfinished, **weights)
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([HISTORY_COLUMNS, *history])
    write_text(folder / "history.csv", text.getvalue())
    checksum = _sha256(folder / "weights.npz")
    write_json(folder / "run.json", record | {"weights_sha256": checksum})


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def weights_checksum(records: Iterable[dict]) -> str:
    """Return a checksum of the final weights of the runs with these records, in any order."""
    lines = sorted(
        f"{record['l2']} {record['seed']} {record['weights_sha256']}" for record in records
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def take_left(longer: Path, folder: Path, expected: dict) -> bool:
    """Move the run that a longer one has left (see `left_folder`) to `folder`; return whether.

    Args:
        longer: the folder of the longer run.
        folder: of the run that is wanted.
        expected: keys of run.json, and the values that they must have; what was left is of no use
            if one differs.
    """
    left = left_folder(longer, expected["config"]["training"]["epochs"])
    try:
        record = read_record(left, expected["l2"], expected["seed"])
        if any(record.get(key) != value for key, value in expected.items()):
            return False
        read_weights(left, record)
        Path(folder).mkdir(parents=True, exist_ok=True)
        for name in ("weights.npz", "history.csv", "run.json"):
            os.replace(left / name, Path(folder) / name)
        left.rmdir()
    except (DamagedRunError, OSError):
        return False
    return True


# --- reading --------------------------------------------------------------------------------------


def read_weights(folder: Path, record: dict) -> list[np.ndarray]:
    """Return the final weights of a run, in the order that `model.set_weights` takes.

    Args:
        folder: of the run.
        record: the content of its run.json.

    Raises:
        DamagedRunError: they are missing, or not those that the record was written with.
    """
    path = Path(folder) / "weights.npz"
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise DamagedRunError(_redo(f"{path}: missing", folder)) from None
    except OSError as error:
        raise DamagedRunError(_redo(f"{path}: cannot be read ({error})", folder)) from None
    if hashlib.sha256(content).hexdigest() != record["weights_sha256"]:
        raise DamagedRunError(_redo(f"{path}: are not the weights of run.json", folder))
    with np.load(io.BytesIO(content)) as arrays:
        return list(arrays.values())


def read_runs(
    results: Path,
    lambdas: Iterable[str],
    seeds: Iterable[int],
    epochs: Sequence[int],
    *,
    promised: dict | None = None,
    sources: Mapping[int, dict[str, int]] | None = None,
    measures: Iterable[str] = (),
    predictions: bool = False,
    images: Mapping[str, int] | None = None,
    allow_missing: bool = False,
) -> list[Run]:
    """Return every promised run, in the order of lambdas, then seeds; others are not looked at.

    Args:
        results: the study's results folder.
        lambdas: canonical labels.
        seeds: whole numbers.
        epochs: those that a completed run has, from `evaluated_epochs`; a diverged run has those
            before it diverged.
        promised: keys of run.json that every run must have, with these values. This keeps out runs
            of another configuration or of other data: copied here by hand, or written by a job that
            outlived its workflow.
        sources: what run.json must have as `sources` for every seed, if that is to be looked at.
        measures: the measures of the final weights that every completed run must have.
        predictions: whether every completed run must have predictions.
        images: of how many images there must be predictions, by part; None if that is not known.
        allow_missing: leave out runs without run.json, the last file that a run writes.

    Raises:
        DamagedRunError: a run is missing or damaged, or is not the run its path promises.
    """
    runs, faults, seeds, names = [], [], list(seeds), list(measures)
    for l2 in lambdas:
        path = measures_file(results, l2)
        measured = _read_measures(path) if names or predictions else {}
        predicted = {}
        if predictions:
            predicted = _read_predictions(predictions_file(results, l2), measured)
        for seed in seeds:
            folder = run_folder(results, l2, seed)
            if allow_missing and not (folder / "run.json").exists():
                continue
            try:
                own = {"sources": sources[seed]} if sources else {}
                run = _read_run(folder, l2, seed, epochs, (promised or {}) | own)
                if run.record["status"] == "completed":
                    if names or predictions:
                        found = _measured(path, measured, run, names)
                        run = run._replace(measured=found)
                    if predictions:
                        found = _predicted(predictions_file(results, l2), predicted, seed, images)
                        run = run._replace(predictions=found)
                runs.append(run)
            except DamagedRunError as fault:
                faults.append(str(fault))
    if faults:
        raise DamagedRunError("\n".join(dict.fromkeys(faults)))
    return runs


def read_record(folder: Path, l2: str, seed: int) -> dict:
    """Return the content of a run's run.json, checked.

    Raises:
        DamagedRunError: it is missing or damaged, or of another run.
    """
    path = Path(folder) / "run.json"
    text = _text(path)
    try:
        record = json.loads(text)
        label, number, status = l2_label(record["l2"]), record["seed"], record["status"]
        # Records of runs from before there were sources have none.
        record.setdefault("sources", dict.fromkeys(USUAL, number))
        cost, _ = record["cost"], [record[k] for k in ("config", "data_sha256", "weights_sha256")]
        missing = [name for name in COSTS if name not in cost]
    except (ValueError, TypeError):
        raise DamagedRunError(f"{path}: is not the JSON that a run leaves") from None
    except KeyError as error:
        raise DamagedRunError(f"{path}: has no {error.args[0]}") from None
    if missing:
        raise DamagedRunError(f"{path}: has no {', '.join(missing)}")
    if (label, number) != (l2, seed):
        raise DamagedRunError(f"{path}: is of l2 {label}, seed {number}, another run")
    if status not in ("completed", "diverged"):
        raise DamagedRunError(f"{path}: status is {status!r}, neither completed nor diverged")
    if status == "diverged" and not isinstance(record.get("diverged_epoch"), int):
        raise DamagedRunError(f"{path}: does not say in which epoch the run diverged")
    return record


def _read_run(folder: Path, l2: str, seed: int, epochs: Sequence[int], promised: dict) -> Run:
    try:
        record = read_record(folder, l2, seed)
        path = folder / "history.csv"
        history = _read_history(path, l2, seed, epochs)
        completed, end = record["status"] == "completed", record.get("diverged_epoch")
        kept = [epoch for epoch in epochs if completed or epoch < end]
        if len(history) != len(kept):
            how = "completed" if completed else f"diverged in epoch {end}"
            raise DamagedRunError(
                f"{path}: the run {how}, but has {len(history)} of the {len(kept)} epochs that"
                " were to be evaluated"
            )
        if odd := [key for key, value in promised.items() if record[key] != value]:
            raise DamagedRunError(
                f"{folder / 'run.json'}: is of another study, its {' and '.join(odd)} differs"
            )
    except DamagedRunError as fault:
        raise DamagedRunError(_redo(str(fault), folder)) from None
    return Run(l2, seed, history, record, {}, {})


def _redo(fault: str, folder: Path) -> str:
    return (
        f"{fault}. To redo this run alone: delete the folder {folder}"
        " and give the same command again"
    )


def _read_measures(path: Path) -> dict:
    """Return the content of a file of measures; empty if it is of no use."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return content if isinstance(content["runs"], dict) else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _measured(path: Path, content: dict, run: Run, names: list[str]) -> dict:
    """Return the measures of one run, after checking that they are of these weights and data."""
    try:
        found = content["runs"][str(run.seed)]
        same = (
            found["weights_sha256"] == run.record["weights_sha256"]
            and content["measured_with"]["data_sha256"] == run.record["data_sha256"]
        )
        absent = [name for name in names if name not in found["measures"]]
        _ = found["seconds"], found["weight_histogram"]
    except (KeyError, TypeError):
        same, absent = False, []
    if not same:
        raise DamagedRunError(_measure_again(path, "the runs that are there"))
    if absent:
        raise DamagedRunError(
            f"{path}: has no {', '.join(absent)}. Every measure of schemas/measures.yaml that is"
            " computed from weights needs a function in scripts/l2study/measuring/functions.py"
        )
    return found


def _measure_again(path: Path, of: str) -> str:
    return (
        f"{path}: is missing, damaged, or not of {of}. To measure them"
        " again: delete it, if it is there, and give the same command again"
    )


def _read_predictions(path: Path, measured: dict) -> dict[int, dict[str, Predicted]]:
    """Return what a file of predictions has, or nothing if it is not that of these measures."""
    try:
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != measured.get("predictions_sha256"):
            return {}
        return read_predictions(content)
    except (OSError, ValueError):
        return {}


def _predicted(
    path: Path,
    predicted: Mapping[int, dict[str, Predicted]],
    seed: int,
    images: Mapping[str, int] | None,
) -> dict[str, Predicted]:
    """Return the predictions of one run, after checking that they are of all images."""
    found = predicted.get(seed, {})
    counts = {part: {len(array) for array in found.get(part, ((),))} for part in PARTS}
    expected = images or {part: len(found[part].label) for part in found}
    if tuple(found) != PARTS or any(counts[part] != {expected[part]} for part in PARTS):
        raise DamagedRunError(_measure_again(path, "the runs and measures that are there"))
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise DamagedRunError(f"{path}: missing") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DamagedRunError(f"{path}: cannot be read ({error})") from None


def _read_history(path: Path, l2: str, seed: int, epochs: Sequence[int]) -> np.ndarray:
    text = _text(path)
    plain = _plain_history(text, l2, seed, epochs)
    if plain is not None:
        return plain
    header, *lines = csv.reader(text.splitlines() or [""])
    if header != HISTORY_COLUMNS:
        if header == HISTORY_COLUMNS[: len(header)] or not lines:
            raise DamagedRunError(f"{path}: is incomplete, its first line is cut off")
        odd = sorted(set(HISTORY_COLUMNS) ^ set(header))
        what = f"differ in {', '.join(odd)}" if odd else "are not in the order expected"
        raise DamagedRunError(f"{path}: the columns {what}")
    rows = []
    for number, line in enumerate(lines):
        where = f"{path}: line {number + 2}"
        if len(line) != len(HISTORY_COLUMNS):
            raise DamagedRunError(f"{where} has {len(line)} of {len(HISTORY_COLUMNS)} columns")
        try:
            row = [float(cell) if cell else math.nan for cell in line]
        except ValueError as error:
            raise DamagedRunError(f"{where}: {error}") from None
        if row[0] != float(l2) or row[1] != seed:
            raise DamagedRunError(f"{where} is of l2 {line[0]}, seed {line[1]}, another run")
        if number == len(epochs):
            raise DamagedRunError(f"{where} is one too many, epoch {epochs[-1]} is the last")
        epoch = epochs[number]
        if row[2] != epoch:
            raise DamagedRunError(f"{where} is of epoch {line[2]}, but epoch {epoch} is expected")
        for column, value in zip(HISTORY_COLUMNS, row, strict=True):
            empty = epoch == 0 and column in EMPTY_AT_START
            if not math.isfinite(value) and not (empty and math.isnan(value)):
                raise DamagedRunError(f"{where}: {column} is not a finite number")
        rows.append(row)
    return np.array(rows).reshape(-1, len(HISTORY_COLUMNS))


def _plain_history(text: str, l2: str, seed: int, epochs: Sequence[int]) -> np.ndarray | None:
    """Return the rows of a history in which nothing is wrong, without looking where; else None."""
    header, *lines = text.removesuffix("\n").split("\n")
    plain = header == ",".join(HISTORY_COLUMNS) and text.endswith("\n")
    if not plain or any(line.count(",") + 1 != len(HISTORY_COLUMNS) for line in lines):
        return None
    try:
        cells = [float(cell) if cell else math.nan for cell in ",".join(lines).split(",")]
        rows = np.array(cells).reshape(-1, len(HISTORY_COLUMNS))
    except ValueError:
        return None
    of_run = (rows[:, :2] == [float(l2), seed]).all()
    if not of_run or rows[:, 2].tolist() != list(epochs[: len(rows)]):
        return None
    there = np.isfinite(rows)
    there[:1] |= _EMPTY_AT_START & np.isnan(rows[:1]) & (rows[:1, 2:3] == 0)
    return rows if there.all() else None


_EMPTY_AT_START = np.isin(HISTORY_COLUMNS, EMPTY_AT_START)
