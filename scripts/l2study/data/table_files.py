"""Reading tables: CSV and Parquet files with a row for each example and a column for its class."""

import codecs
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from l2study.data.prepared import MOST_EXACT, DataError, reading

if TYPE_CHECKING:
    import pyarrow as pa

_SHOWN = 8
"""Columns that are named at most."""

_ROW_NUMBERS = ("__index_level_", "Unnamed: ")
"""What pandas calls a column without a name, such as its own row numbers."""


def read_table(path: Path, dataset: Mapping, quick: bool) -> dict[str, np.ndarray]:
    """Return the arrays of a table: a column is a number of every input, in the order of the file.

    The column that `dataset.group` names is no input, and says which group a row is of.

    Raises:
        DataError: the file is damaged, `dataset.label` or `dataset.group` names no column, another
            column is not of numbers or has no name or that of another, or a value is missing or
            cannot be used.
    """
    table, first_row, counted = _read(path)
    names = table.column_names
    for place, name in enumerate(names, 1):
        if not name.strip() or name.startswith(_ROW_NUMBERS):
            called = f"the name {name}" if name.strip() else "no name"
            raise DataError(
                f"{path}: column {place} has {called}, as the row numbers that pandas writes;"
                " allowed: a name of your own for each column (pandas: to_csv(index=False))"
            )
    for name, count in Counter(names).items():
        if count > 1:
            raise DataError(f"{path}: {count} columns have the name {name}; allowed: each once")
    label = dataset.get("label")
    if label not in names:
        fault = "missing" if label is None else f"there is no column {label}"
        raise DataError(
            f"dataset.label: {fault}; allowed: the column of {path} with the classes, of"
            f" {_list(names)}"
        )
    group = dataset.get("group")
    own = [label] if group is None else [label, group]
    if group is not None and (group not in names or group == label):
        fault = "is dataset.label too" if group == label else "there is no such column"
        others = [name for name in names if name != label]
        raise DataError(
            f"dataset.group: {group}: {fault}; allowed: a column of {path}, of {_list(others)}"
        )
    if not table.num_rows or len(names) == len(own):
        what = "row" if len(names) > len(own) else "column"
        raise DataError(f"{path}: has no {what} but {' and '.join(own)}")
    columns = dict(zip(names, table.columns, strict=True))

    def where(name: str, row: int) -> str:
        return f"{path}: column {name} in row {first_row + row} ({counted})"

    _check_types(path, {n: column for n, column in columns.items() if n not in own}, where)
    for name, column in columns.items():
        if column.null_count:
            row = int(np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))[0])
            raise DataError(f"{where(name, row)} has no value; allowed: a value in every row")
    words = {name: _labels(columns.pop(name), f"{path}: column {name}") for name in own}
    for name, given in words.items():
        if given.dtype.kind == "U" and (empty := np.flatnonzero(np.char.strip(given) == "")).size:
            raise DataError(
                f"{where(name, int(empty[0]))} has no value; allowed: a value in every row"
            )
    features = np.empty((table.num_rows, len(columns)), np.float32)
    for place, (name, column) in enumerate(columns.items()):
        features[:, place] = _numbers(column, lambda row, name=name: where(name, row))
    found = {"x_train": features, "y_train": words[label]}
    return found if group is None else found | {"groups_train": words[group]}


def _read(path: Path) -> tuple["pa.Table", int, str]:
    """Return the table, the number of its first row as a reader counts them, and how they count."""
    if path.name.lower().endswith(".parquet"):
        import pyarrow.parquet

        with reading(f"{path}: cannot be read as Parquet"):
            return pyarrow.parquet.read_table(path), 0, "counted from 0"
    import pyarrow.csv

    with reading(f"{path}: cannot be read as CSV"), pyarrow.input_stream(str(path)) as file:
        header = file.read(1 << 16).split(b"\n")[0]
    if header.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise DataError(
            f"{path}: is in UTF-16; allowed: UTF-8"
            " (pandas: read_csv(path, encoding='utf-16').to_csv(path, index=False))"
        )
    for sign, name in {b";": "semicolons", b"\t": "tabs"}.items():
        if sign in header and b"," not in header:
            raise DataError(f"{path}: has {name} between the columns; allowed: commas")
    # With one thread, the message on a row of another length has its number.
    options = pyarrow.csv.ReadOptions(use_threads=False)
    with reading(f"{path}: cannot be read as CSV"):
        return pyarrow.csv.read_csv(path, options), 2, "the header is row 1"


def _check_types(path: Path, columns: Mapping[str, "pa.ChunkedArray"], where) -> None:
    """Raise an error that names the columns that do not hold numbers."""
    from pyarrow import types

    kinds = (types.is_integer, types.is_floating, types.is_decimal, types.is_boolean)
    # A column without any value has no type; that is said later.
    others = [
        name
        for name, column in columns.items()
        if not types.is_null(column.type) and not any(is_kind(column.type) for is_kind in kinds)
    ]
    if not others:
        return
    values = columns[others[0]].to_pylist()
    row = next((i for i, value in enumerate(values) if not _is_number(value)), 0)
    raise DataError(
        f"{path}: no numbers in {'column' if len(others) == 1 else 'the columns'} {_list(others)}"
        f" ({str(values[row]).strip()[:40]!r}{where('', row).rpartition('column ')[2]});"
        " allowed: numbers in every column but those of dataset.label and dataset.group"
    )


def _is_number(value: object) -> bool:
    try:
        float(value or 0)
    except (TypeError, ValueError):
        return False
    return True


def _labels(column: "pa.ChunkedArray", where: str) -> np.ndarray:
    from pyarrow import types

    if types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if types.is_string(column.type) or types.is_large_string(column.type):
        return np.array(column.to_pylist(), dtype=str)
    if types.is_integer(column.type) or types.is_boolean(column.type):
        return column.to_numpy()
    raise DataError(f"{where} has type {column.type}; allowed: whole numbers, or words")


def _numbers(column: "pa.ChunkedArray", where) -> np.ndarray:
    """Return a column as floats; a number that 32 bits cannot hold is an error."""
    from pyarrow import types

    is_whole = types.is_integer(column.type)
    if types.is_decimal(column.type):
        column = column.cast("float64")
    values = column.to_numpy()
    if is_whole:
        wrong, what = (
            np.abs(values.astype(float)) > MOST_EXACT,
            f"from -{MOST_EXACT} to {MOST_EXACT}",
        )
        what = f"whole numbers {what}, which 32-bit floats hold exactly, or a column of floats"
    else:
        with np.errstate(over="ignore"):
            wrong = ~np.isfinite(values.astype(np.float32))
        what = "finite 32-bit floats"
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise DataError(f"{where(row)} has the value {values[row]}; allowed: {what}")
    return values


def _list(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(map(str, names[:_SHOWN])) + more
