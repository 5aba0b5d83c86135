"""Data that a function of the user's own returns."""

import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from l2study.core import user_code
from l2study.data import groups
from l2study.data.formats import ARRAYS, PARTS
from l2study.data.prepared import DataError, reading


def files_read(files: Iterable[str]) -> list[Path]:
    """Return the files that a function reads, those of a folder among them in the order of names;
    DataError where one is absent, or a folder is empty."""
    found = []
    for path in (Path(os.path.expanduser(file)) for file in files):
        if not path.exists():
            raise DataError(f"dataset.files: {path}: there is no such file")
        own = [path] if path.is_file() else sorted(o for o in path.rglob("*") if o.is_file())
        if not own:
            raise DataError(f"dataset.files: {path}: is an empty folder; allowed: files")
        found += own
    return found


def checksums(files: Iterable[str]) -> list[str]:
    """Return a checksum of each of `files_read`, or raise DataError."""
    found = []
    for path in files_read(files):
        with reading(f"dataset.files: {path}: cannot be read"), path.open("rb") as file:
            found.append(hashlib.file_digest(file, "sha256").hexdigest())
    return found


def read_function(name: str) -> dict[str, np.ndarray]:
    """Return the arrays that a function returns, by names of `ARRAYS` and `groups.ARRAYS`.

    It returns a mapping of these names, or what a `load_data` of Keras does, ((x_train, y_train),
    (x_test, y_test)). All else is a DataError.
    """
    with reading("dataset.load"):
        given = user_code.load(name)()
    if not isinstance(given, Mapping):
        given = _of_pairs(given, name)
    allowed = (*ARRAYS, *groups.ARRAYS)
    if unknown := [str(key) for key in given if key not in allowed]:
        raise DataError(f"{name}: returns {unknown[0]}; allowed: {', '.join(allowed)}")
    arrays = {key: _array(given[key], key, name) for key in allowed if given.get(key) is not None}
    for part in PARTS:
        there = [key for key in (f"x_{part}", f"y_{part}") if key in arrays]
        if len(there) == 1 or (part == "train" and not there):
            lacking = next(key for key in (f"x_{part}", f"y_{part}") if key not in there)
            raise DataError(f"{name}: returns no {lacking}; allowed: x and y of a part, or neither")
    return arrays


def _of_pairs(given: object, name: str) -> dict:
    """Return the arrays of two pairs by their names."""
    match given:
        case [[x_train, y_train], [x_test, y_test]]:
            return {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}
    raise DataError(
        f"{name}: returns {type(given).__name__}; allowed: a dict with the arrays x_train, y_train"
        " and so on, or ((x_train, y_train), (x_test, y_test))"
    )


def _array(value: object, key: str, name: str) -> np.ndarray:
    """Return what can be an array as one; words that are objects of Python as text."""
    try:
        array = np.asarray(value)
    except Exception as error:
        text = " ".join(str(error).split())
        raise DataError(f"{name}: {key} is no array: {text}") from None
    if array.dtype == object and all(isinstance(one, str) for one in array.flat):
        return array.astype(str)
    return array
