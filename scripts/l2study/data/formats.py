"""Reading the data of a path: one small function for each format, from a path to arrays.

A reader returns the arrays that are there, by names of `ARRAYS`. The training part always is; what
is there of another part is complete. A table may have groups, `groups_train`, too. Values and types
are as they are written: `sources` checks.
"""

import gzip
import hashlib
import math
import os
import re
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from l2study.data.image_folders import image_files, read_image_folder
from l2study.data.prepared import DataError, reading
from l2study.data.table_files import read_table

PARTS = ("train", "val", "test")
"""The parts that data may have."""

ARRAYS = tuple(f"{kind}_{part}" for part in PARTS for kind in "xy")
"""The arrays of a data set, by Keras's names."""

NPZ_NAMES = (
    {name: name for name in ARRAYS},
    {
        f"{kind}_{part}": f"{part}_{what}"
        for part in PARTS
        for kind, what in (("x", "images"), ("y", "labels"))
    },
)
"""What the arrays of an .npz file are called: by Keras, and by MedMNIST."""

IDX_NAMES = {
    "x_train": "train-images",
    "y_train": "train-labels",
    "x_test": "t10k-images",
    "y_test": "t10k-labels",
}
"""How the names of the four IDX files begin; `-idx3-ubyte`, `-idx1-ubyte` or alike follows."""

IDX_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
"""Element types of the IDX format, by the third byte of a file."""


class Format(NamedTuple):
    """A format: what it is called, its reader, the files that it reads, and the keys it takes."""

    words: str
    read: Callable[[Path, Mapping, bool], dict[str, np.ndarray]]
    """Returns the arrays, of a path, the part `dataset` of a configuration, and whether a quick
    look is enough. Then images may be stand-ins, of the right shape and type (see `stand_in`)."""
    files: Callable[[Path], Iterable[Path]]
    options: tuple[str, ...] = ()


def read(path: Path, dataset: Mapping, quick: bool = False) -> dict[str, np.ndarray]:
    """Return the arrays of the data at `path` as they are written.

    Args:
        path: a file or a folder.
        dataset: the part of a configuration, of which the keys for its format are read.
        quick: whether images may be stand-ins (see `stand_in`), so that it takes little time.

    Raises:
        DataError: the file or folder is absent, damaged or cut short, or lacks an array; or its
            format needs a key.
    """
    form = format_of(path)
    with reading(f"{path}: cannot be read"):
        return form.read(path, dataset, quick)


def format_of(path: Path) -> Format:
    """Return the format of a file, by its name, or of a folder, by what is in it.

    Raises:
        DataError: it is absent.
    """
    with reading(f"{path}: cannot be read"):
        if not path.exists():
            raise DataError(f"{path}: there is no such file or folder")
        if not path.is_dir():
            found = (end for end in FORMATS if path.name.lower().endswith(end))
            return FORMATS[next(found, ".npz")]
        names = [file.name for file in path.iterdir()]
        is_idx = any(name.startswith(tuple(IDX_NAMES.values())) for name in names)
        has_folders = any((path / name).is_dir() for name in names)
        return FORMATS["images" if has_folders and not is_idx else "idx"]


def fingerprint(path: Path) -> list[str]:
    """Return checksums that change with the content of the files that `path` is read from.

    Raises:
        DataError: a file is absent or cannot be read.
    """
    form = format_of(path)
    with reading(f"{path}: cannot be read"):
        files = list(form.files(path))
        sums = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
        if form is not FORMATS["images"]:
            return sums
        # Of many files one checksum, and the folders say what an image is of.
        named = [
            f"{file.relative_to(path)} {sum_}\n" for file, sum_ in zip(files, sums, strict=True)
        ]
        return [hashlib.sha256("".join(named).encode(errors="surrogateescape")).hexdigest()]


def stand_in(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Return an array of this shape and type that takes no memory; its numbers mean nothing."""
    return np.broadcast_to(np.zeros((), dtype), shape)


# ---- .npz


def read_npz(path: Path, dataset: Mapping, quick: bool) -> dict[str, np.ndarray]:
    """Return the arrays of a file of NumPy's savez, with names of Keras or of MedMNIST."""
    others = ", ".join(end for end, form in FORMATS.items() if form is _TABLE)
    known = "" if path.suffix == ".npz" else f", and its name does not end in {others}"
    with reading(f"{path}: not a complete .npz file{known}"), zipfile.ZipFile(path) as archive:
        members = {member.removesuffix(".npy"): member for member in archive.namelist()}
    names = next((own for own in NPZ_NAMES if own["x_train"] in members), NPZ_NAMES[0])
    parts = [p for p in PARTS if {names[f"x_{p}"], names[f"y_{p}"]} & members.keys()]
    wanted = [f"{kind}_{part}" for part in dict.fromkeys(["train", *parts]) for kind in "xy"]
    for name in wanted:
        if names[name] not in members:
            found = ", ".join(list(members)[:8]) or "nothing"
            found = " ".join(found.splitlines())  # a damaged name may have line breaks
            raise DataError(f"{path}: has no array {names[name]}; it holds {found}")
    arrays = {}
    with np.load(path, allow_pickle=False) as archive:
        for name in wanted:
            with reading(f"{path}: {names[name]} cannot be read"):
                member = members[names[name]]
                is_header = quick and name.startswith("x")
                header = _header(archive, member)
                if header.dtype == object:
                    raise DataError(
                        f"{path}: {names[name]} has objects of Python, which could run any code;"
                        " allowed: numbers or words, such as y.astype(str)"
                    )
                arrays[name] = header if is_header else archive[names[name]]
    return arrays


def _header(archive: np.lib.npyio.NpzFile, member: str) -> np.ndarray:
    """Return a stand-in for an array of an .npz file, by its header."""
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    with archive.zip.open(member) as file:
        shape, _, dtype = readers[np.lib.format.read_magic(file)](file)
    return stand_in(shape, dtype)


# ---- IDX


def read_idx_folder(folder: Path, dataset: Mapping, quick: bool) -> dict[str, np.ndarray]:
    """Return the arrays of a folder of IDX files, those of MNIST's names."""
    arrays = {}
    for name, path in idx_files(folder).items():
        with reading(f"{path}: {name} cannot be read"):
            arrays[name] = read_idx(path)
    return arrays


def idx_files(folder: Path) -> dict[str, Path]:
    """Return the IDX file of each array; an unpacked one before a gzipped one.

    Raises:
        DataError: one is absent; the test part may be absent as a whole.
    """
    files = {}
    for name, start in IDX_NAMES.items():
        pattern = re.compile(rf"{start}[-.]idx\d-\w+(\.gz)?")
        found = [file for file in folder.iterdir() if pattern.fullmatch(file.name)]
        # An archive of Kaggle's has folders that are called like the file in them.
        found = [file / file.name if file.is_dir() else file for file in found]
        found = [file for file in found if file.is_file()]
        if found:
            files[name] = min(found, key=lambda file: (file.suffix == ".gz", file.name))
    parts = {"train", *(name.removeprefix("x_").removeprefix("y_") for name in files)}
    for name, start in IDX_NAMES.items():
        if name not in files and name[2:] in parts:
            dimensions = 3 if name.startswith("x") else 1
            raise DataError(
                f"{folder}: has no file for {name}; {start}-idx{dimensions}-ubyte, or the same"
                " with .gz, is looked for"
            )
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


# ---- all formats


def _itself(path: Path) -> list[Path]:
    return [path]


_TABLE = Format("a table (.csv, .csv.gz or .parquet)", read_table, _itself, ("label", "group"))

FORMATS = {
    ".npz": Format("an .npz file", read_npz, _itself),
    ".csv": _TABLE,
    ".csv.gz": _TABLE,
    ".parquet": _TABLE,
    "idx": Format("a folder of IDX files", read_idx_folder, lambda path: idx_files(path).values()),
    "images": Format("a folder of images", read_image_folder, image_files, ("image_size", "color")),
}
"""Every format, by how the name of its files ends, or by the kind of folder. A file whose name ends
in another way is read as .npz."""
