"""The parts and the classes of data, as everything after takes them.

Data come with a training part, and perhaps with parts for validation and test. What is made of them
is a training file, of which rows are kept for validation, and a test part. Classes are numbered.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from l2study.data.prepared import DataError
from l2study.data.rows import set_aside


class Parts(NamedTuple):
    """Data whose parts and classes are settled.

    `arrays` are some of x_train, y_train, x_test and y_test; the labels count from 0. `given` is
    how many of the last training rows are the validation part that the data came with, and
    `left_out` how many such rows are not used. `class_names` are the names of the classes, and None
    where these are the numbers from 0.
    """

    arrays: dict[str, np.ndarray]
    given: int
    left_out: int
    class_names: list[str] | None


def parted(arrays: Mapping[str, np.ndarray], config: Mapping, where: str) -> Parts:
    """Return data with classes numbered and parts as the configuration says.

    `validation.split: given` puts the validation part at the end of the training file, where the
    rows that are kept are its own; any other split leaves it out. `dataset.test_fraction` sets a
    test part aside, stratified, and the same for every seed and every set-up.

    Args:
        arrays: checked, of the names of `formats.ARRAYS`, all of them or labels alone.
        config: a canonical configuration; `dataset` and `validation` are read.
        where: what the data are called in messages.

    Raises:
        DataError: see `numbered`, or the data have no such part, or have it already.
    """
    check_parts({name[2:] for name in arrays}, config, where)
    labels, class_names = numbered(arrays, where)
    found, given, left_out = dict(arrays) | labels, 0, 0
    own = {name: found.pop(name) for name in ("x_val", "y_val") if name in found}
    if own and config["validation"]["split"] == "given":
        given = len(own["y_val"])
        for name, array in own.items():
            train = name.replace("val", "train")
            found[train] = np.concatenate([found[train], array])
    elif own:
        left_out = len(own["y_val"])
    fraction = config["dataset"].get("test_fraction")
    if fraction is not None:
        kept, test = set_aside(labels["y_train"], fraction)
        rest = np.arange(len(labels["y_train"]), len(found["y_train"]))
        for name in [name for name in found if name.endswith("train")]:
            found[name.replace("train", "test")] = found[name][test]
            found[name] = found[name][np.concatenate([kept, rest])]
    return Parts(found, given, left_out, class_names)


def check_parts(there: set[str], config: Mapping, where: str) -> None:
    """Raise DataError where a configuration does not go with the parts that data have.

    Args:
        there: of train, val and test.
        config: a canonical configuration; `dataset` and `validation` are read.
        where: what the data are called in messages.
    """
    fraction = config["dataset"].get("test_fraction")
    if "test" not in there and fraction is None:
        raise DataError(
            f"dataset.test_fraction: missing, and {where} has no test part; allowed: the share of"
            " the rows to set aside for it, such as 0.2"
        )
    if "test" in there and fraction is not None:
        raise DataError(
            f"dataset.test_fraction: {fraction} is given, but {where} has a test part; allowed:"
            " none, to use that"
        )
    if config["validation"]["split"] == "given" and "val" not in there:
        raise DataError(
            f"validation.split: given, but {where} has no validation part; allowed: tail,"
            " stratified"
        )


def numbered(
    arrays: Mapping[str, np.ndarray], where: str
) -> tuple[dict[str, np.ndarray], list[str] | None]:
    """Return the labels of all parts, int32 of shape (rows,), and the names of the classes.

    Classes are numbered from 0 in sorted order: numbers by their size, words by code point.

    Raises:
        DataError: there is one class alone, or a part has a class that the training part lacks.
    """
    labels = {name: array.reshape(-1) for name, array in arrays.items() if name[0] == "y"}
    classes = np.unique(labels["y_train"])
    if len(classes) < 2:
        raise DataError(
            f"{where}: all labels in y_train are {classes[0]}; allowed: two classes or more"
        )
    known, found = set(classes.tolist()), {}
    for name, own in labels.items():
        if unknown := set(own.tolist()) - known:
            row = next(row for row, label in enumerate(own.tolist()) if label in unknown)
            some = ", ".join(map(str, classes[:10])) + (", ..." if len(classes) > 10 else "")
            raise DataError(
                f"{where}: {name} has the label {own[row]}, in row {row} counted from 0;"
                f" allowed: the labels of y_train, {some}"
            )
        found[name] = np.searchsorted(classes, own).astype(np.int32)
    usual = classes.dtype.kind in "iu" and np.array_equal(classes, np.arange(len(classes)))
    return found, None if usual else [str(name) for name in classes.tolist()]
