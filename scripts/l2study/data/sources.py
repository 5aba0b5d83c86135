"""Where data come from, and what their arrays must be: files, what scikit-learn or Keras has."""

import gzip
import hashlib
import os
import pickle
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import numpy as np

from l2study.core import user_code
from l2study.core.files import read_json
from l2study.data import formats, groups, user_data
from l2study.data.file_kinds import kind
from l2study.data.formats import FORMATS, IDX_NAMES, NPZ_NAMES, PARTS
from l2study.data.prepared import MOST_EXACT, DataError, reading, reason

RESOURCES = Path(__file__).resolve().parents[3] / "resources"
EMBEDDED = "mnist.npz"

INSTALLED = {"fashion_mnist": Path("/usr/share/datasets/fashion-mnist")}
"""Where a system may have a data set: Debian's package dataset-fashion-mnist. Else Keras has it."""

DOWNLOADS = {"fashion_mnist": 60000, "cifar10": 50000, "cifar100": 50000}
"""How many training images the data sets that Keras downloads are known to have. They have a test
part, and no validation part."""

FOLDERS = {
    "fashion_mnist": "fashion-mnist",
    "cifar10": "cifar-10-batches-py-target",
    "cifar100": "cifar-100-python-target",
}
"""The folders in which Keras keeps what it has downloaded."""

DAMAGED = (
    *(EOFError, ValueError, FileNotFoundError),
    *(gzip.BadGzipFile, zlib.error, tarfile.TarError, pickle.UnpicklingError),
)
"""What Keras raises where a file that it has downloaded is not whole."""

SCIKIT_LEARN = {"digits": "images", "breast_cancer": "data", "wine": "data", "iris": "data"}
"""The data sets that scikit-learn brings along, and what it calls their inputs."""


def read_arrays(dataset: Mapping) -> dict[str, np.ndarray]:
    """Return the arrays of the `dataset` of a canonical configuration, checked: images uint8 or
    float32, labels and groups as they are.

    Raises:
        DataError: the data are absent, damaged, or not inputs with a class for each, a key is not
            for their format, or the embedded file is not the original.
    """
    _check_keys(dataset)
    arrays = _downloaded(dataset["name"]) if is_downloaded(dataset) else _read(dataset)
    where = where_of(dataset)
    _check(arrays, where)
    return {
        name: _images(array, name, where) if name[0] == "x" else array
        for name, array in arrays.items()
    }


def glance(dataset: Mapping) -> dict[str, np.ndarray] | None:
    """Return labels and groups of data, checked; None where a download or a function makes them.

    Quick, for the moment before anything is started: of most images only number and shape are read.
    DataError as of `read_arrays`, but for the numbers in images.
    """
    _check_keys(dataset)
    if "load" in dataset:
        with reading("dataset.load"):
            user_code.files(dataset["load"])
        user_data.files_read(dataset.get("files", []))
    if "load" in dataset or is_downloaded(dataset):
        return None
    arrays = _read(dataset, quick=True)
    _check(arrays, where_of(dataset))
    return {name: array for name, array in arrays.items() if name[0] != "x"}


def not_read(dataset: Mapping, arrays: Mapping[str, np.ndarray]) -> list[str]:
    """Return the names of arrays that an .npz file has, and that are not among those read."""
    location = location_of(dataset)
    if location is None or formats.format_of(location) is not FORMATS[".npz"]:
        return []
    with np.load(location, allow_pickle=False) as archive:
        there = archive.files
    # By the names of Keras or those of MedMNIST: a file that has both is read by one of them.
    used = next(own for own in NPZ_NAMES if own["x_train"] in there)
    known = {used.get(name, name) for name in arrays}
    return [name for name in there if name not in known]


def is_downloaded(dataset: Mapping) -> bool:
    """Return whether Keras downloads the data, or has downloaded them before."""
    if "load" in dataset or dataset.get("name") in SCIKIT_LEARN:
        return False
    return location_of(dataset) is None


def source_fingerprint(dataset: Mapping) -> list[str]:
    """Return checksums of the files that data are read from, none of what Keras or scikit-learn
    has; DataError where one is absent or cannot be read."""
    if "load" in dataset:
        read = user_data.checksums(dataset.get("files", []))
        with reading("dataset.load"):
            return [user_code.fingerprint(dataset["load"]), *read]
    location = location_of(dataset)
    return [] if location is None else formats.fingerprint(location)


def where_of(dataset: Mapping) -> str:
    """Return what data are called in messages: their path, their function or their name."""
    return dataset.get("load") or str(location_of(dataset) or dataset["name"])


def source_name(dataset: Mapping) -> str:
    """Return what data are called: their name, or the last part of their path or function."""
    return Path(dataset.get("load") or dataset.get("path") or dataset["name"]).name


def location_of(dataset: Mapping) -> Path | None:
    """Return the file or folder of data, or None where they have none of their own."""
    if "path" in dataset:
        return Path(os.path.expanduser(dataset["path"]))
    if dataset.get("name") == "mnist":
        return RESOURCES / EMBEDDED
    installed = INSTALLED.get(dataset.get("name"))
    return installed if installed and installed.is_dir() else None


def _check_keys(dataset: Mapping) -> None:
    """Raise DataError where a key is given that is not for data of this format."""
    location = location_of(dataset)
    form = None if location is None else formats.format_of(location)
    for key in dict.fromkeys(key for one in FORMATS.values() for key in one.options):
        if key in dataset and key not in (form.options if form else ()):
            what = f"{location} is {form.words}" if form else f"{where_of(dataset)} is no file"
            others = (one.words for one in FORMATS.values() if key in one.options)
            raise DataError(f"dataset.{key}: is given, but {what}; allowed with {next(others)}")


def _read(dataset: Mapping, quick: bool = False) -> dict[str, np.ndarray]:
    """Return the arrays of data; those of the embedded file are compared with its checksum."""
    if "load" in dataset:
        return user_data.read_function(dataset["load"])
    location = location_of(dataset)
    if location is None:
        return _of_scikit_learn(dataset["name"])
    if location == RESOURCES / EMBEDDED:
        _verify(location)
    _check_kind(location)
    arrays = formats.read(location, dataset, quick)
    is_npz = formats.format_of(location) is FORMATS[".npz"]
    return arrays | groups.in_npz(location) if is_npz else arrays


def _check_kind(location: Path) -> None:
    """Raise DataError where a file or a folder is of a kind that is not read, and say which."""
    form = formats.format_of(location)
    with reading(f"{location}: cannot be read"):
        if form is FORMATS[".npz"] and (found := kind(location)):
            what, to_do = found
            raise DataError(
                f"{location}: is {what}; {to_do}, or read it with your own function (dataset.load)"
            )
        if form is not FORMATS["idx"]:
            return
        names = sorted(file.name for file in location.iterdir() if not file.name.startswith("."))
        if not any(name.startswith(tuple(IDX_NAMES.values())) for name in names):
            found = ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
            raise DataError(
                f"{location}: has neither folders of images nor files of MNIST's names, but"
                f" {found or 'nothing'}; allowed: a folder with these, or the name of a single file"
            )


@cache
def _of_scikit_learn(name: str) -> dict[str, np.ndarray]:
    from sklearn import datasets

    found = getattr(datasets, f"load_{name}")()
    return {
        "x_train": found[SCIKIT_LEARN[name]],
        "y_train": np.asarray(found["target_names"])[found["target"]],
    }


def _verify(path: Path) -> None:
    with reading(f"{path}: cannot be read"):
        found = hashlib.sha256(path.read_bytes()).hexdigest()
    with reading(f"{path.with_name('checksums.json')}: not a list of checksums"):
        expected = read_json(path.with_name("checksums.json"))[path.name]
    if found != expected:
        raise DataError(
            f"{path}: its SHA-256 is {found}, which is not the one in checksums.json; restore the"
            " file from the project's repository"
        )


def _downloaded(name: str) -> dict[str, np.ndarray]:
    import keras

    try:
        train, test = getattr(keras.datasets, name).load_data()
    except Exception as error:
        # Keras raises a bare Exception where it cannot reach the server.
        if isinstance(error, DAMAGED):
            folder = Path(keras.config.keras_home(), "datasets", FOLDERS[name])
            if folder.exists():
                raise DataError(
                    f"dataset.name: what Keras has downloaded of {name} before is damaged"
                    f" ({reason(error)}); delete the folder {folder}"
                ) from None
        raise DataError(
            f"dataset.name: {name} could not be downloaded by Keras ({reason(error)});"
            " without a network, get the files elsewhere and name them in dataset.path"
        ) from None
    names = ("x_train", "y_train", "x_test", "y_test")
    return dict(zip(names, (*train, *test), strict=True))


def _check(arrays: Mapping[str, np.ndarray], where: str) -> None:
    for fault in _faults(arrays):
        raise DataError(f"{where}: {fault}")


def _faults(arrays: Mapping[str, np.ndarray]) -> Iterator[str]:
    """Yield where shapes or types of arrays are not those of inputs with a class each."""
    train = arrays["x_train"]
    for part in [part for part in PARTS if f"x_{part}" in arrays]:
        x, y = arrays[f"x_{part}"], arrays[f"y_{part}"]
        if y.ndim == 2 and y.shape[1] > 1 and _is_one_hot(y):
            yield (
                f"y_{part} has shape {y.shape}, a column for each class (one-hot);"
                " allowed: (rows,), the class of each row: numpy.argmax(y, axis=1)"
            )
        if y.dtype.kind not in "iubU":
            kinds = "whole numbers, words or booleans"
            yield f"y_{part} has type {y.dtype}; allowed: {kinds}{_mended(y)}"
        if not y.size or (y.ndim != 1 and y.shape[1:] != (1,)):
            yield (
                f"y_{part} has shape {y.shape}; allowed: (rows,) or (rows, 1), one class for each"
                " row"
            )
        if x.ndim < 2 or 0 in x.shape:
            yield f"x_{part} has shape {x.shape}; allowed: (rows, ...), none of them 0"
        if x.dtype.kind not in "iubf":
            yield f"x_{part} has type {x.dtype}; allowed: numbers"
        if y.shape[:1] != x.shape[:1]:
            both = f"x_{part} has shape {x.shape} and y_{part} {y.shape}"
            yield f"{both}; allowed: as many rows in both"
        if train.shape[1:] != x.shape[1:]:
            yield (
                f"a row of x_{part} has shape {x.shape[1:]}, one of x_train {train.shape[1:]};"
                " allowed: the same shape"
            )
        if (train.dtype == np.uint8) != (x.dtype == np.uint8):
            yield (
                f"x_{part} has type {x.dtype} and x_train {train.dtype}; allowed: uint8 (0 to 255)"
                " in all parts, or in none"
            )
    yield from groups.faults(arrays)


def _is_one_hot(labels: np.ndarray) -> bool:
    return labels.dtype.kind in "iubf" and bool(
        (labels.sum(axis=1) == 1).all() and np.isin(labels, (0, 1)).all()
    )


def _mended(labels: np.ndarray) -> str:
    """Return how labels of a type that is refused become classes, where that is known."""
    if labels.dtype.kind == "f":
        if np.array_equal(labels, np.round(labels)):
            return ": y.astype(int)"
        return "; numbers between are no classes"
    return ": y.astype(str)" if labels.dtype.kind in "SO" else ""


def _images(array: np.ndarray, name: str, where: str) -> np.ndarray:
    """Return images as uint8 or float32; whole numbers of other types must be exact as float32."""
    if array.dtype == np.uint8:
        return array
    with np.errstate(over="ignore"):
        single = array.astype(np.float32)
    if array.dtype.kind in "iu":
        wrong = (array > MOST_EXACT) | (array < -MOST_EXACT)
        what = f"a whole number beyond {MOST_EXACT}, not exact as a 32-bit float"
    else:
        wrong, what = ~np.isfinite(single), "a value that is not finite as a 32-bit float"
    if wrong.any():
        row = int(np.argwhere(wrong)[0][0])
        raise DataError(f"{where}: {name} has {what}, in row {row}")
    return single
