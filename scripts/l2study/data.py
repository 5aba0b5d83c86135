"""Preparing a data set once, in a form that training jobs map into memory instead of parsing.

Prepared data is a small manifest (JSON, with the checksum that identifies the data) and, beside it,
the images and the labels as NumPy files: training rows first, then validation, then test.
"""

import gzip
import hashlib
import json
import math
import os
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from l2study.config import ConfigError
from l2study.files import read_json, replacing, write_json

RESOURCES = Path(__file__).resolve().parents[2] / "resources"

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

VALIDATION_STREAM, SUBSET_STREAM = 7001, 7002
"""Seeds of the two random choices of rows. They are fixed: no seed of a study changes the data."""


class DataError(ValueError):
    """The data cannot be used. The message is one line: the file, the array and what is wrong."""


class Outline(NamedTuple):
    """What the headers of a data set say: numbers of rows, and the shape of one image."""

    train: int
    test: int
    shape: tuple[int, ...]


class _Header(NamedTuple):
    shape: tuple[int, ...]
    dtype: np.dtype


Reader = Callable[[Path, str], Any]
"""Gives an array, or its header, for a file and the array's name."""


@dataclass(frozen=True)
class Prepared:
    """Prepared data, with the images mapped into memory.

    `images` has the shape (rows, *image shape) and is uint8, to be multiplied by `scale`, or
    float32; `labels` has the shape (rows,), int32, from 0 to `classes` - 1. `train`, `validation`
    and `test` are the slices of the rows; `counts` has their lengths by the same names. `sha256`
    identifies the data, whatever the file it came from is called.
    """

    images: np.ndarray
    labels: np.ndarray
    counts: dict[str, int]
    classes: int
    scale: float
    sha256: str
    source: str

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one image."""
        return self.images.shape[1:]

    @property
    def train(self) -> slice:
        """Rows to train on."""
        return slice(0, self.counts["train"])

    @property
    def validation(self) -> slice:
        """Rows set aside for validation."""
        return slice(self.train.stop, self.train.stop + self.counts["validation"])

    @property
    def test(self) -> slice:
        """Rows of the test set."""
        return slice(self.validation.stop, self.validation.stop + self.counts["test"])


def prepare(config: Mapping, output: str | os.PathLike, resources: Path = RESOURCES) -> None:
    """Write the prepared data of a canonical configuration: a manifest at `output`, arrays beside.

    Only `dataset` and `validation` are read. The same input gives the same bytes.

    Raises:
        ConfigError: the data has too few rows for what the configuration asks.
        DataError: the data is absent, damaged, or not images with integer labels.
    """
    arrays = _arrays(config["dataset"], resources)
    y_train = arrays["y_train"]
    train, held_out = chosen_rows(y_train, config)
    rows = np.concatenate([train, held_out])
    images = np.concatenate([arrays["x_train"][rows], arrays["x_test"]])
    labels = np.concatenate([y_train[rows], arrays["y_test"]])
    identity = {
        "counts": {
            "train": len(train),
            "validation": len(held_out),
            "test": len(arrays["y_test"]),
        },
        "shape": list(images.shape[1:]),
        "dtype": images.dtype.name,
        "scale": 1 / 255 if images.dtype == np.uint8 else 1.0,
        "classes": int(y_train.max()) + 1,
        "images_sha256": _sha256(images),
        "labels_sha256": _sha256(labels),
    }
    for path, array in zip(_array_paths(output), (images, labels), strict=True):
        with replacing(path) as unfinished:
            np.save(unfinished, array)
    text = json.dumps(identity, sort_keys=True)
    checksum = hashlib.sha256(text.encode()).hexdigest()
    write_json(output, {"source": _source(config["dataset"]), **identity, "sha256": checksum})


def load(manifest: str | os.PathLike) -> Prepared:
    """Return the prepared data of the manifest at `manifest`.

    Shapes and types are compared with the manifest; the checksums are not computed again.

    Raises:
        DataError: a file is absent, damaged or does not fit the manifest.
    """
    with _reading(f"{manifest}: not a manifest of prepared data"):
        expected = read_json(manifest)
        counts, rows = expected["counts"], sum(expected["counts"].values())
        headers = [
            _Header((rows, *expected["shape"]), np.dtype(expected["dtype"])),
            _Header((rows,), np.dtype(np.int32)),
        ]
        known = {name: expected[name] for name in ("classes", "scale", "sha256", "source")}
    arrays = []
    for path, header in zip(_array_paths(manifest), headers, strict=True):
        with _reading(f"{path}: cannot be read"):
            # copy-on-write, not read-only: TensorFlow borrows the memory of writeable arrays only
            array = np.load(path, mmap_mode="c")
        if _Header(array.shape, array.dtype) != header:
            raise DataError(
                f"{path}: has shape {array.shape} and type {array.dtype}, but {Path(manifest).name}"
                f" says {header.shape} and {header.dtype}; prepare the data again"
            )
        arrays.append(array)
    return Prepared(images=arrays[0], labels=np.array(arrays[1]), counts=counts, **known)


def outline(dataset: Mapping, resources: Path = RESOURCES) -> Outline | None:
    """Return numbers of rows and image shape from the headers alone, without reading the arrays.

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
    return Outline(train, headers["x_test"].shape[0], tuple(shape))


def check_against_data(config: Mapping, resources: Path = RESOURCES) -> None:
    """Raise an error if a canonical configuration does not fit its data, read but for the images.

    Meant for the moment before anything is started, so it is quick. Of a data set that Keras
    downloads nothing can be said.

    Raises:
        ConfigError: the choice of rows is impossible (see `chosen_rows`), or the batch is larger
            than the training part.
        DataError: a file is absent, unreadable or cut short, a header has the wrong shape or type,
            labels are out of range, or the embedded file is not the original.
    """
    dataset = config["dataset"]
    location = _location(dataset, resources)
    if location is None:
        return
    if "path" not in dataset:
        _verify_file(location)
    outline(dataset, resources)
    labels = _checked_labels(_read(location, _npz_array, _idx_array, LABELS), str(location))
    rows = len(chosen_rows(labels["y_train"], config)[0])
    batch = config["training"]["batch_size"]
    if batch > rows:
        raise ConfigError(
            f"training.batch_size: {batch} is more than the {rows} training rows;"
            f" allowed: 1 to {rows}"
        )


def chosen_rows(labels: np.ndarray, config: Mapping) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of the rows to train on and of those set aside for validation.

    The validation split comes first, so that `train_size` leaves the validation rows as they are;
    the rows of the subset keep their order.

    Args:
        labels: classes of the rows of the training file.
        config: a canonical configuration; `dataset.train_size` and `validation` are read.

    Raises:
        ConfigError: see `split_rows`; or `train_size` is more than there is, or lacks a class.
    """
    validation = config["validation"]
    train, held_out = split_rows(labels, validation["split"], validation["fraction"])
    size = config["dataset"].get("train_size")
    if size is None:
        return train, held_out
    if size > len(train):
        raise ConfigError(
            f"dataset.train_size: {size} is more than the {len(train)} rows that the validation"
            f" split leaves for training; allowed: 1 to {len(train)}"
        )
    subset = _stratified(labels[train], size, np.random.default_rng(SUBSET_STREAM))
    _check_classes(labels[train], labels[train[subset]], f"dataset.train_size: {size}")
    return train[subset], held_out


def source_fingerprint(dataset: Mapping, resources: Path = RESOURCES) -> list[str]:
    """Return the SHA-256 of each file that a data set is read from; none where Keras downloads it.

    Raises:
        DataError: a file is absent or cannot be read.
    """
    location = _location(dataset, resources)
    if location is None:
        return []
    with _reading(f"{location}: cannot be read"):
        files = _idx_files(location).values() if location.is_dir() else [location]
        return [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]


def split_rows(labels: np.ndarray, split: str, fraction: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the row numbers to train on and those of the validation set.

    `tail`: in file order, cut where Keras's `validation_split=fraction` cuts. `stratified`: as
    many, drawn at random with every class in proportion, both parts shuffled; always the same rows
    for the same labels.

    Raises:
        ConfigError: a part would be empty, or (stratified) would lack a class.
    """
    # the arithmetic of train_validation_split in Keras 3
    cut = math.floor(len(labels) * (1.0 - fraction))
    if cut in (0, len(labels)):
        raise ConfigError(
            f"validation.fraction: {fraction} of {len(labels)} rows leaves none for"
            f" {'training' if cut == 0 else 'validation'}; allowed: at least one row for each"
        )
    if split == "tail":
        return np.arange(cut), np.arange(cut, len(labels))
    rng = np.random.default_rng(VALIDATION_STREAM)
    train = _stratified(labels, cut, rng)
    held_out = np.setdiff1d(np.arange(len(labels)), train)
    for part in (train, held_out):
        what = f"validation.fraction: {fraction} with split: stratified"
        _check_classes(labels, labels[part], what)
    return rng.permutation(train), rng.permutation(held_out)


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


def _stratified(labels: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Return `size` positions in `labels`, ascending, drawn with every class in proportion.

    The largest-remainder method shares `size` out among the classes; a tie goes to the smaller
    label.
    """
    classes, members = np.unique(labels, return_counts=True)
    # whole-number arithmetic, so that equal remainders are equal
    share, remainder = np.divmod(members * size, len(labels))
    share[np.argsort(-remainder, kind="stable")[: size - share.sum()]] += 1
    drawn = [
        rng.permutation(np.flatnonzero(labels == label))[:count]
        for label, count in zip(classes, share, strict=True)
    ]
    return np.sort(np.concatenate(drawn))


def _check_classes(labels: np.ndarray, part: np.ndarray, what: str) -> None:
    """Raise ConfigError if a class of `labels` is not in `part`."""
    lacking = np.setdiff1d(labels, part)
    if len(lacking):
        count = np.count_nonzero(labels == lacking[0])
        raise ConfigError(
            f"{what} takes {len(part)} of {len(labels)} rows, in proportion none of class"
            f" {lacking[0]}, which has {count}; allowed: what leaves a row of every class"
        )


def _source(dataset: Mapping) -> str:
    """Return what the data is called: its name, or the last part of its path."""
    return Path(dataset["path"]).name if "path" in dataset else dataset["name"]


def _location(dataset: Mapping, resources: Path) -> Path | None:
    """Return the file or folder of a data set, or None where Keras downloads it."""
    if "path" in dataset:
        return Path(dataset["path"])
    return resources / "mnist.npz" if dataset["name"] == "mnist" else None


def _arrays(dataset: Mapping, resources: Path) -> dict[str, np.ndarray]:
    """Return the four arrays of a data set, checked: images uint8 or float32, labels int32."""
    location = _location(dataset, resources)
    where = str(location or dataset["name"])
    if location is None:
        arrays = _downloaded(where)
        _check_headers(arrays, where)
    else:
        embedded = "path" not in dataset
        if embedded:
            _verify_file(location)
        outline(dataset, resources)
        arrays = _read(location, _npz_array, _idx_array)
        if embedded:
            _verify(location, {name: _sha256(array) for name, array in arrays.items()})
    images = {name: _images(arrays[name], name, where) for name in ("x_train", "x_test")}
    return images | _checked_labels(arrays, where)


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
    return {name: values.astype(np.int32) for name, values in labels.items()}


def _downloaded(name: str) -> dict[str, np.ndarray]:
    """Return the arrays of a data set that Keras downloads, or has downloaded before."""
    import keras

    try:
        train, test = getattr(keras.datasets, name).load_data()
    except Exception as error:  # Keras raises a bare Exception where the download fails
        raise DataError(
            f"dataset.name: {name} could not be downloaded by Keras ({_reason(error)});"
            " without a network, get the files elsewhere and name them in dataset.path"
        ) from None
    return dict(zip(ARRAYS, (*train, *test), strict=True))


def _verify_file(path: Path) -> None:
    """Compare the embedded file with its checksum, before anything is read from it."""
    with _reading(f"{path}: cannot be read"):
        found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest()}
    _verify(path, found)


def _verify(path: Path, found: Mapping[str, str]) -> None:
    """Compare checksums of the embedded file or its arrays with those in `checksums.json`."""
    with _reading(f"{path.with_name('checksums.json')}: not a list of checksums"):
        expected = read_json(path.with_name("checksums.json"))
        wrong = [name for name in found if found[name] != expected[name]]
    for name in wrong:
        raise DataError(
            f"{path}: the SHA-256 of {name} is {found[name]}, which is not the one in"
            " checksums.json; restore the file from the project's repository"
        )


def _sha256(array: np.ndarray) -> str:
    """Return the SHA-256 of an array's bytes, in C order."""
    return hashlib.sha256(np.ascontiguousarray(array)).hexdigest()


def _read(
    location: Path, from_npz: Reader, from_idx: Reader, names: Iterable[str] = ARRAYS
) -> dict[str, Any]:
    """Return for each of the arrays `names` what the reader of the format gives."""
    with _reading(f"{location}: cannot be read"):
        if not location.exists():
            raise DataError(f"{location}: there is no such file or folder")
        folder = location.is_dir()
        files = _idx_files(location) if folder else dict.fromkeys(ARRAYS, location)
    if not folder:
        _check_npz(location)
    result = {}
    for name in names:
        with _reading(f"{files[name]}: {name} cannot be read"):
            result[name] = (from_idx if folder else from_npz)(files[name], name)
    return result


def _check_npz(path: Path) -> None:
    with _reading(f"{path}: not a complete .npz file"), zipfile.ZipFile(path) as archive:
        members = archive.namelist()
    for name in ARRAYS:
        if f"{name}.npy" not in members:
            found = ", ".join(member.removesuffix(".npy") for member in members[:8]) or "nothing"
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


def _array_paths(manifest: str | os.PathLike) -> tuple[Path, Path]:
    path = Path(manifest)
    return path.with_name(f"{path.stem}.images.npy"), path.with_name(f"{path.stem}.labels.npy")


@contextmanager
def _reading(what: str) -> Iterator[None]:
    """Turn whatever goes wrong in the block into a DataError of one line that begins with `what`.

    A damaged file makes zipfile, gzip, json and NumPy raise errors of a dozen kinds.
    """
    try:
        yield
    except DataError:
        raise
    except Exception as error:
        raise DataError(f"{what}: {_reason(error)}") from None


def _reason(error: BaseException) -> str:
    """Return an error's message in one line."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split()) or type(error).__name__
