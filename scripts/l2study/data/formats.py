"""Reading the files of a data set: one function for each format, from a path to arrays."""

import gzip
import math
import os
import re
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from l2study.data.prepared import DataError, reading

ARRAYS = ("x_train", "y_train", "x_test", "y_test")
"""The arrays of a data set, by Keras's names."""

IDX_NAMES = {
    "x_train": "train-images",
    "y_train": "train-labels",
    "x_test": "t10k-images",
    "y_test": "t10k-labels",
}
"""How the names of the four IDX files begin; `-idx3-ubyte`, `-idx1-ubyte` or alike follows."""

IDX_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
"""Element types of the IDX format, by the third byte of a file."""


def read(path: Path, names: Iterable[str] = ARRAYS) -> dict[str, np.ndarray]:
    """Return the arrays of the data set at `path` as they are written.

    Args:
        path: a file, or a folder of IDX files.
        names: the arrays that are wanted; others may be there as well.

    Raises:
        DataError: the file or folder is absent, damaged or cut short, or lacks an array.
    """
    with reading(f"{path}: cannot be read"):
        if not path.exists():
            raise DataError(f"{path}: there is no such file or folder")
        kind = "folder" if path.is_dir() else path.suffix
        return READERS.get(kind, read_npz)(path, names)


def read_npz(path: Path, names: Iterable[str]) -> dict[str, np.ndarray]:
    """Return arrays of a file of NumPy's savez."""
    with reading(f"{path}: not a complete .npz file"), zipfile.ZipFile(path) as archive:
        members = archive.namelist()
    for name in ARRAYS:
        if f"{name}.npy" not in members:
            found = ", ".join(member.removesuffix(".npy") for member in members[:8]) or "nothing"
            found = " ".join(found.splitlines())  # a damaged name may have line breaks
            raise DataError(f"{path}: has no array {name}; it holds {found}")
    arrays = {}
    with np.load(path, allow_pickle=False) as archive:
        for name in names:
            with reading(f"{path}: {name} cannot be read"):
                arrays[name] = archive[name]
    return arrays


def read_idx_folder(folder: Path, names: Iterable[str]) -> dict[str, np.ndarray]:
    """Return all arrays of a folder of IDX files, those of MNIST's names."""
    arrays = {}
    for name, path in files_of(folder).items():
        with reading(f"{path}: {name} cannot be read"):
            arrays[name] = read_idx(path)
    return arrays


def files_of(path: Path) -> dict[str, Path]:
    """Return the file of each array of a data set; of IDX, an unpacked one before a gzipped one.

    Raises:
        DataError: an IDX file is absent.
    """
    if not path.is_dir():
        return dict.fromkeys(ARRAYS, path)
    files = {}
    for name, start in IDX_NAMES.items():
        pattern = re.compile(rf"{start}[-.]idx\d-\w+(\.gz)?")
        found = [file for file in path.iterdir() if pattern.fullmatch(file.name)]
        if not found:
            dimensions = 3 if name.startswith("x") else 1
            raise DataError(
                f"{path}: has no file for {name}; {start}-idx{dimensions}-ubyte, or the same"
                " with .gz, is looked for"
            )
        files[name] = min(found, key=lambda file: (file.suffix == ".gz", file.name))
    return files


def read_idx(path: str | os.PathLike) -> np.ndarray:
    """Return the array in an IDX file, gzipped or not, in the machine's byte order.

    Format (the MNIST page of LeCun, Cortes and Burges): two zero bytes, one byte for the type of an
    element, one for the number of dimensions, every dimension as a big-endian 32-bit number, then
    the elements, big-endian as well.

    Raises:
        ValueError: the file is not IDX, or shorter or longer than its header says.
        OSError, EOFError, zlib.error: the file cannot be read or unpacked.
    """
    content = Path(path).read_bytes()
    if content[:2] == b"\x1f\x8b":
        content = gzip.decompress(content)
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in IDX_TYPES or not content[3]:
        raise ValueError("it does not begin as an IDX file")
    start = 4 + 4 * content[3]
    if len(content) < start:
        raise ValueError("its header is cut short")
    shape = tuple(int(n) for n in np.frombuffer(content[4:start], ">u4"))
    dtype = np.dtype(IDX_TYPES[content[2]])
    expected, there = math.prod(shape) * dtype.itemsize, len(content) - start
    if there != expected:
        raise ValueError(f"{there} bytes of elements where its header says {expected}")
    array = np.frombuffer(content, dtype, offset=start).reshape(shape)
    return array.astype(dtype.newbyteorder("="))


READERS: dict[str, Callable[[Path, Iterable[str]], dict[str, np.ndarray]]] = {
    "folder": read_idx_folder,
    ".npz": read_npz,
}
"""The reader of each format, by the suffix of a file. A suffix that is not here is read as .npz."""
