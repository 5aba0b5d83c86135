"""Where the data sets are, and what their arrays must be: the embedded one, files, downloads."""

import hashlib
import os
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

import numpy as np

from l2study.core.files import read_json
from l2study.data import formats
from l2study.data.formats import ARRAYS
from l2study.data.prepared import DataError, reading, reason

RESOURCES = Path(__file__).resolve().parents[3] / "resources"
EMBEDDED = "mnist.npz"

INSTALLED = {"fashion_mnist": Path("/usr/share/datasets/fashion-mnist")}
"""Where a system may have a data set: Debian's package dataset-fashion-mnist. Else Keras has it."""

LABELS = ("y_train", "y_test")
"""Those of the arrays that hold labels."""


DOWNLOADS = {"fashion_mnist": 60000, "cifar10": 50000, "cifar100": 50000}
"""How many training images the data sets that Keras downloads are known to have."""


def read_arrays(dataset: Mapping, resources: Path = RESOURCES) -> dict[str, np.ndarray]:
    """Return the four arrays of a data set, checked: images uint8 or float32, labels int32.

    Args:
        dataset: the `dataset` of a canonical configuration.
        resources: the folder of the embedded data set.

    Raises:
        DataError: the data are absent, damaged, or not images with integer labels, or the embedded
            file is not the original.
    """
    location = location_of(dataset, resources)
    where = str(location or dataset["name"])
    arrays = _downloaded(where) if location is None else _read(location, resources, ARRAYS)
    _check_images(arrays, where)
    images = {name: _images(arrays[name], name, where) for name in ("x_train", "x_test")}
    return images | _checked_labels(arrays, where)


def read_labels(dataset: Mapping, resources: Path = RESOURCES) -> dict[str, np.ndarray] | None:
    """Return the labels of a data set, checked; None for a data set that Keras downloads.

    Quick, for the moment before anything is started: of the images it is only noticed that they are
    absent or cut short.

    Raises:
        DataError: a file is absent, unreadable or cut short, labels are out of range, or the
            embedded file is not the original.
    """
    location = location_of(dataset, resources)
    if location is None:
        return None
    return _checked_labels(_read(location, resources, LABELS), str(location))


def training_images(dataset: Mapping) -> int:
    """Return how many images the training file of a data set has.

    Raises:
        DataError: a file is absent, unreadable or cut short.
    """
    location = location_of(dataset)
    return _rows(location) if location else DOWNLOADS[dataset["name"]]


@cache
def _rows(location: Path) -> int:
    return len(_read(location, RESOURCES, ["y_train"])["y_train"])


def source_fingerprint(dataset: Mapping, resources: Path = RESOURCES) -> list[str]:
    """Return the SHA-256 of each file that a data set is read from; none where Keras downloads it.

    Raises:
        DataError: a file is absent or cannot be read.
    """
    location = location_of(dataset, resources)
    if location is None:
        return []
    with reading(f"{location}: cannot be read"):
        files = dict.fromkeys(formats.files_of(location).values())
        return [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]


def source_name(dataset: Mapping) -> str:
    """Return what the data is called: its name, or the last part of its path."""
    return Path(dataset["path"]).name if "path" in dataset else dataset["name"]


def location_of(dataset: Mapping, resources: Path = RESOURCES) -> Path | None:
    """Return the file or folder of a data set, or None where Keras downloads it."""
    if "path" in dataset:
        return Path(os.path.expanduser(dataset["path"]))
    if dataset["name"] == "mnist":
        return resources / EMBEDDED
    installed = INSTALLED.get(dataset["name"])
    return installed if installed and installed.is_dir() else None


def _read(location: Path, resources: Path, names: Iterable[str]) -> dict[str, np.ndarray]:
    """Return arrays of a data set; those of the embedded one are compared with its checksums."""
    if location == resources / EMBEDDED:
        _verify(location)
    return formats.read(location, names)


def _verify(path: Path) -> None:
    """Compare the embedded file with its checksum, before anything is read from it."""
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
    """Return the arrays of a data set that Keras downloads, or has downloaded before."""
    import keras

    try:
        train, test = getattr(keras.datasets, name).load_data()
    except Exception as error:  # Keras raises a bare Exception where the download fails
        raise DataError(
            f"dataset.name: {name} could not be downloaded by Keras ({reason(error)});"
            " without a network, get the files elsewhere and name them in dataset.path"
        ) from None
    return dict(zip(ARRAYS, (*train, *test), strict=True))


def _checked_labels(arrays: Mapping[str, np.ndarray], where: str) -> dict[str, np.ndarray]:
    """Return the labels of both parts, int32 of shape (rows,), having checked their range."""
    for name in LABELS:
        labels = arrays[name]
        if labels.dtype.kind not in "iu":
            raise DataError(f"{where}: {name} has type {labels.dtype}; allowed: whole numbers")
        if not labels.size or (labels.ndim != 1 and labels.shape[1:] != (1,)):
            raise DataError(
                f"{where}: {name} has shape {labels.shape}; allowed: (rows,) or (rows, 1), one"
                " class number per image"
            )
        if labels.min() < 0:
            raise DataError(f"{where}: {name} has the label {labels.min()}; labels count from 0")
    train, test = (arrays[name].reshape(-1) for name in LABELS)
    classes = int(train.max()) + 1
    if not 2 <= classes <= len(train):
        raise DataError(
            f"{where}: the highest label in y_train is {classes - 1}; allowed: 1 to"
            f" {len(train) - 1}, as labels count from 0 and there are {len(train)} rows"
        )
    if test.max() >= classes:
        raise DataError(
            f"{where}: y_test has the label {test.max()}; allowed: 0 to {classes - 1}, the labels"
            " of y_train"
        )
    if absent := sorted(set(range(classes)) - set(np.unique(train).tolist())):
        raise DataError(
            f"{where}: y_train has no row of class {absent[0]}, but labels up to {classes - 1};"
            " labels count from 0, and every class needs a training row"
        )
    return {"y_train": train.astype(np.int32), "y_test": test.astype(np.int32)}


def _check_images(arrays: Mapping[str, np.ndarray], where: str) -> None:
    """Check shapes and types of the images, and that each has a label."""
    for part in ("train", "test"):
        x, y = arrays[f"x_{part}"], arrays[f"y_{part}"]
        if x.ndim < 2 or 0 in x.shape:
            raise DataError(
                f"{where}: x_{part} has shape {x.shape}; allowed: (rows, ...), none of them 0"
            )
        if x.dtype != np.uint8 and x.dtype.kind != "f":
            raise DataError(
                f"{where}: x_{part} has type {x.dtype}; allowed: uint8 (0 to 255) or float"
            )
        if y.shape[:1] != x.shape[:1]:
            raise DataError(
                f"{where}: x_{part} has shape {x.shape} and y_{part} {y.shape};"
                " allowed: as many rows in both"
            )
    train, test = arrays["x_train"], arrays["x_test"]
    if train.shape[1:] != test.shape[1:]:
        raise DataError(
            f"{where}: images of x_test have shape {test.shape[1:]}, those of x_train"
            f" {train.shape[1:]}; allowed: the same shape"
        )
    if (train.dtype == np.uint8) != (test.dtype == np.uint8):
        raise DataError(
            f"{where}: x_test has type {test.dtype} and x_train {train.dtype};"
            " allowed: both uint8 or both float"
        )


def _images(array: np.ndarray, name: str, where: str) -> np.ndarray:
    """Return images as uint8 or float32."""
    if array.dtype == np.uint8:
        return array
    with np.errstate(over="ignore"):
        single = array.astype(np.float32)
    if not np.isfinite(single).all():
        row = int(np.argwhere(~np.isfinite(single))[0][0])
        raise DataError(
            f"{where}: {name} has a value that is not finite as a 32-bit float, in row {row}"
        )
    return single
