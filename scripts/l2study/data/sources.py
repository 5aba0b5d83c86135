"""Reading data sets: the embedded one, NumPy and IDX files, and those that Keras downloads."""

import gzip
import hashlib
import math
import os
import re
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from l2study.core.files import read_json
from l2study.data.prepared import DataError, reading, reason

RESOURCES = Path(__file__).resolve().parents[3] / "resources"
EMBEDDED = "mnist.npz"

INSTALLED = {"fashion_mnist": Path("/usr/share/datasets/fashion-mnist")}
"""Where a system may have a data set: Debian's package dataset-fashion-mnist. Else Keras has it."""

ARRAYS = ("x_train", "y_train", "x_test", "y_test")
"""The arrays of a data set, by Keras's names."""

LABELS = ("y_train", "y_test")
"""Those of them that hold labels."""

IDX_NAMES = {
    "x_train": "train-images",
    "y_train": "train-labels",
    "x_test": "t10k-images",
    "y_test": "t10k-labels",
}
"""How the names of the four IDX files begin; `-idx3-ubyte`, `-idx1-ubyte` or alike follows."""

IDX_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
"""Element types of the IDX format, by the third byte of a file."""


class Outline(NamedTuple):
    """What the headers of a data set say: numbers of rows, shape and number type of one image."""

    train: int
    test: int
    shape: tuple[int, ...]
    dtype: str
    """Of the images once they are read: "uint8" or "float32"."""


DOWNLOADS = {
    "fashion_mnist": Outline(60000, 10000, (28, 28), "uint8"),
    "cifar10": Outline(50000, 10000, (32, 32, 3), "uint8"),
    "cifar100": Outline(50000, 10000, (32, 32, 3), "uint8"),
}
"""What the data sets that Keras downloads are known to be, before they are there."""


class _Header(NamedTuple):
    shape: tuple[int, ...]
    dtype: np.dtype


Reader = Callable[[Path, str], Any]
"""Gives an array, or its header, for a file and the array's name."""


def read_arrays(dataset: Mapping, resources: Path) -> dict[str, np.ndarray]:
    """Return the four arrays of a data set, checked: images uint8 or float32, labels int32."""
    location = _location(dataset, resources)
    where = str(location or dataset["name"])
    if location is None:
        arrays = _downloaded(where)
        _check_headers(arrays, where)
    else:
        embedded = location == resources / EMBEDDED
        if embedded:
            _verify_file(location)
        outline(dataset, resources)
        arrays = _read(location, _npz_array, _idx_array)
        if embedded:
            _verify(location, {name: sha256(array) for name, array in arrays.items()})
    images = {name: _images(arrays[name], name, where) for name in ("x_train", "x_test")}
    return images | _checked_labels(arrays, where)


def outline(dataset: Mapping, resources: Path = RESOURCES) -> Outline | None:
    """Return what the headers of a data set say, without reading the arrays.

    Args:
        dataset: the `dataset` of a canonical configuration.
        resources: the folder of the embedded data set.

    Returns:
        The outline, or None for a data set that Keras downloads.

    Raises:
        DataError: a file is absent or unreadable, or its header has the wrong shape or type.
    """
    location = _location(dataset, resources)
    if location is None:
        return None
    headers = _read(location, _npz_header, _idx_header)
    _check_headers(headers, str(location))
    train, *shape = headers["x_train"].shape
    dtype = "uint8" if headers["x_train"].dtype == np.uint8 else "float32"
    return Outline(train, headers["x_test"].shape[0], tuple(shape), dtype)


def read_labels(dataset: Mapping, resources: Path = RESOURCES) -> dict[str, np.ndarray] | None:
    """Return the labels of a data set, with everything checked but the images' values.

    Returns None for a data set that Keras downloads.

    Raises:
        DataError: a file is absent, unreadable or cut short, a header has the wrong shape or type,
            labels are out of range, or the embedded file is not the original.
    """
    location = _location(dataset, resources)
    if location is None:
        return None
    if location == resources / EMBEDDED:
        _verify_file(location)
    outline(dataset, resources)
    return _checked_labels(_read(location, _npz_array, _idx_array, LABELS), str(location))


def source_fingerprint(dataset: Mapping, resources: Path = RESOURCES) -> list[str]:
    """Return the SHA-256 of each file that a data set is read from; none where Keras downloads it.

    Raises:
        DataError: a file is absent or cannot be read.
    """
    location = _location(dataset, resources)
    if location is None:
        return []
    with reading(f"{location}: cannot be read"):
        files = _idx_files(location).values() if location.is_dir() else [location]
        return [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]


def source_name(dataset: Mapping) -> str:
    """Return what the data is called: its name, or the last part of its path."""
    return Path(dataset["path"]).name if "path" in dataset else dataset["name"]


def read_idx(path: str | os.PathLike) -> np.ndarray:
    """Return the array in an IDX file, gzipped or not, in the machine's byte order.

    Format (the MNIST page of LeCun, Cortes and Burges): two zero bytes, one byte for the type of an
    element, one for the number of dimensions, every dimension as a big-endian 32-bit number, then
    the elements, big-endian as well.

    Raises:
        ValueError: the file is not IDX, or shorter or longer than its header says.
        OSError, EOFError, zlib.error: the file cannot be read or unpacked.
    """
    with _opened(path) as file:
        header, expected = _idx_start(file)
        content = file.read()
    if len(content) != expected:
        raise ValueError(f"{len(content)} bytes of elements where its header says {expected}")
    array = np.frombuffer(content, header.dtype).reshape(header.shape)
    return array.astype(header.dtype.newbyteorder("="))


def _location(dataset: Mapping, resources: Path) -> Path | None:
    """Return the file or folder of a data set, or None where Keras downloads it."""
    if "path" in dataset:
        return Path(os.path.expanduser(dataset["path"]))
    if dataset["name"] == "mnist":
        return resources / EMBEDDED
    installed = INSTALLED.get(dataset["name"])
    return installed if installed and installed.is_dir() else None


def _checked_labels(arrays: Mapping[str, np.ndarray], where: str) -> dict[str, np.ndarray]:
    """Return the labels of both parts, int32 of shape (rows,), having checked their range."""
    labels = {name: arrays[name].reshape(-1) for name in LABELS}
    for name, values in labels.items():
        if values.min() < 0:
            raise DataError(f"{where}: {name} has the label {values.min()}; labels count from 0")
    rows, classes = len(labels["y_train"]), int(labels["y_train"].max()) + 1
    if not 2 <= classes <= rows:
        raise DataError(
            f"{where}: the highest label in y_train is {classes - 1}; allowed: 1 to {rows - 1}, as"
            f" labels count from 0 and there are {rows} rows"
        )
    highest = int(labels["y_test"].max())
    if highest >= classes:
        raise DataError(
            f"{where}: y_test has the label {highest}; allowed: 0 to {classes - 1}, the labels of"
            " y_train"
        )
    if absent := sorted(set(range(classes)) - set(np.unique(labels["y_train"]).tolist())):
        raise DataError(
            f"{where}: y_train has no row of class {absent[0]}, but labels up to {classes - 1};"
            " labels count from 0, and every class needs a training row"
        )
    return {name: values.astype(np.int32) for name, values in labels.items()}


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


def _verify_file(path: Path) -> None:
    """Compare the embedded file with its checksum, before anything is read from it."""
    with reading(f"{path}: cannot be read"):
        found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest()}
    _verify(path, found)


def _verify(path: Path, found: Mapping[str, str]) -> None:
    """Compare checksums of the embedded file or its arrays with those in `checksums.json`."""
    with reading(f"{path.with_name('checksums.json')}: not a list of checksums"):
        expected = read_json(path.with_name("checksums.json"))
        wrong = [name for name in found if found[name] != expected[name]]
    for name in wrong:
        raise DataError(
            f"{path}: the SHA-256 of {name} is {found[name]}, which is not the one in"
            " checksums.json; restore the file from the project's repository"
        )


def sha256(array: np.ndarray) -> str:
    """Return the SHA-256 of an array's bytes, in C order."""
    return hashlib.sha256(np.ascontiguousarray(array)).hexdigest()


def _read(
    location: Path, from_npz: Reader, from_idx: Reader, names: Iterable[str] = ARRAYS
) -> dict[str, Any]:
    """Return for each of the arrays `names` what the reader of the format gives."""
    with reading(f"{location}: cannot be read"):
        if not location.exists():
            raise DataError(f"{location}: there is no such file or folder")
        folder = location.is_dir()
        files = _idx_files(location) if folder else dict.fromkeys(ARRAYS, location)
    if not folder:
        _check_npz(location)
    result = {}
    for name in names:
        with reading(f"{files[name]}: {name} cannot be read"):
            result[name] = (from_idx if folder else from_npz)(files[name], name)
    return result


def _check_npz(path: Path) -> None:
    with reading(f"{path}: not a complete .npz file"), zipfile.ZipFile(path) as archive:
        members = archive.namelist()
    for name in ARRAYS:
        if f"{name}.npy" not in members:
            found = ", ".join(member.removesuffix(".npy") for member in members[:8]) or "nothing"
            found = " ".join(found.splitlines())  # a damaged name may have line breaks
            raise DataError(f"{path}: has no array {name}; it holds {found}")


def _npz_array(path: Path, name: str) -> np.ndarray:
    with np.load(path, allow_pickle=False) as archive:
        return archive[name]


def _npz_header(path: Path, name: str) -> _Header:
    with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as file:
        version = np.lib.format.read_magic(file)
        read = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        shape, _, dtype = read(file)
    return _Header(shape, dtype)


def _idx_files(folder: Path) -> dict[str, Path]:
    """Return the path of the IDX file of each array; an unpacked file goes before a gzipped one."""
    files = {}
    for name, start in IDX_NAMES.items():
        pattern = re.compile(rf"{start}[-.]idx\d-\w+(\.gz)?")
        found = [path for path in folder.iterdir() if pattern.fullmatch(path.name)]
        if not found:
            dimensions = 3 if name.startswith("x") else 1
            raise DataError(
                f"{folder}: has no file for {name}; {start}-idx{dimensions}-ubyte, or the same"
                " with .gz, is looked for"
            )
        files[name] = min(found, key=lambda path: (path.suffix == ".gz", path.name))
    return files


def _idx_array(path: Path, name: str) -> np.ndarray:
    return read_idx(path)


def _idx_header(path: Path, name: str) -> _Header:
    """Return the header of an IDX file, having made sure that the file is not cut short."""
    with _opened(path) as file:
        header, content = _idx_start(file)
        start = file.tell()
        packed = isinstance(file, gzip.GzipFile)
    size = path.stat().st_size
    if packed:
        # a gzip file ends with the size of what is packed, modulo 2**32
        with open(path, "rb") as file:
            file.seek(-4, os.SEEK_END)
            size = int.from_bytes(file.read(), "little")
    if size != (start + content) % 2**32:
        # either damaged or, rarely, packed in several pieces: reading it all tells
        read_idx(path)
    return header


def _idx_start(file: IO[bytes]) -> tuple[_Header, int]:
    """Return the header of an IDX file, read to its end, and the number of bytes that follow."""
    magic = file.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in IDX_TYPES or not magic[3]:
        raise ValueError("it does not begin as an IDX file")
    dimensions = file.read(4 * magic[3])
    if len(dimensions) < 4 * magic[3]:
        raise ValueError("its header is cut short")
    shape = tuple(int(n) for n in np.frombuffer(dimensions, ">u4"))
    dtype = np.dtype(IDX_TYPES[magic[2]])
    return _Header(shape, dtype), math.prod(shape) * dtype.itemsize


def _opened(path: str | os.PathLike) -> IO[bytes]:
    """Open a file, gzipped or not, by how it begins and not by its name."""
    with open(path, "rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return gzip.open(path) if packed else open(path, "rb")


def _check_headers(arrays: Mapping, where: str) -> None:
    """Check shapes and types of the four arrays, or of their headers."""
    for part in ("train", "test"):
        x, y = arrays[f"x_{part}"], arrays[f"y_{part}"]
        if len(x.shape) < 2 or 0 in x.shape:
            raise DataError(
                f"{where}: x_{part} has shape {x.shape}; allowed: (rows, ...), none of them 0"
            )
        if x.dtype != np.uint8 and x.dtype.kind != "f":
            raise DataError(
                f"{where}: x_{part} has type {x.dtype}; allowed: uint8 (0 to 255) or float"
            )
        if y.dtype.kind not in "iu":
            raise DataError(f"{where}: y_{part} has type {y.dtype}; allowed: whole numbers")
        if len(y.shape) != 1 and y.shape[1:] != (1,):
            raise DataError(
                f"{where}: y_{part} has shape {y.shape}; allowed: (rows,) or (rows, 1), one class"
                " number per image"
            )
        if y.shape[0] != x.shape[0]:
            raise DataError(
                f"{where}: x_{part} has {x.shape[0]} rows and y_{part} {y.shape[0]};"
                " allowed: the same number"
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
