"""How tables are read and written."""

import csv
import os
from functools import cache

import pandas as pd

from l2study.core.files import replacing
from l2study.core.labels import l2_label

_ROWS = 10_000
"""How many rows are written at a time."""


def write_table(table: pd.DataFrame, path: str | os.PathLike) -> None:
    """Write `table` as CSV, whole or not at all.

    Numbers keep their shortest spelling that reads back as the same number. Columns of lambdas,
    which are `l2`, `against` and those that end in `_l2`, hold canonical labels. Missing values are
    empty.
    """
    labels = [c for c in table.columns if c in ("l2", "against") or c.endswith("_l2")]
    label = cache(lambda value: "" if pd.isna(value) else l2_label(value))
    table = table.assign(**{c: list(map(label, table[c].tolist())) for c in labels})
    with replacing(path) as unfinished, open(unfinished, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(table.columns)
        for start in range(0, len(table), _ROWS):
            # not pandas's to_csv, which takes twice as long
            part = table.iloc[start : start + _ROWS]
            writer.writerows(zip(*(_cells(part[name]) for name in part), strict=True))


def _cells(column: pd.Series) -> list:
    """Return the values of a column as Python has them, None for a missing one."""
    values, missing = column.tolist(), column.isna().to_numpy()
    if not missing.any():
        return values
    return [None if gone else value for value, gone in zip(values, missing, strict=True)]


def read_table(path: str | os.PathLike) -> pd.DataFrame:
    """Return the CSV at `path` with every number as it was written; lists of seeds are text."""
    return pd.read_csv(path, dtype={"diverged_seeds": str, "by_seeds": str})
