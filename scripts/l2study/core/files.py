"""Files that are either complete under their final name or not there at all; and tables."""

import glob
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from l2study.core.labels import l2_label

if TYPE_CHECKING:
    import pandas as pd


@contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """Give a path beside `path` to write to, and rename it to `path` once the block has succeeded.

    The data is on disk before the rename, so a reader, a crash or a full disk never meets half a
    file under the final name. If the block raises, or an OSError keeps the file from being written,
    synced or renamed, the unfinished file is removed and `path` is as it was. Missing parent
    folders are created, and what a killed process left there is removed.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # the suffixes stay last: np.save, Keras and matplotlib choose the format by them
    unfinished = path.with_name(f".unfinished-{os.getpid()}-{path.name}")
    for left in path.parent.glob(f".unfinished-*-{glob.escape(path.name)}"):
        left.unlink(missing_ok=True)
    try:
        yield unfinished
        with open(unfinished, "rb") as file:
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write `text` to `path` as UTF-8, whole or not at all."""
    with replacing(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")


def write_json(path: str | os.PathLike, value: object) -> None:
    """Write `value` as indented JSON, whole or not at all; ValueError for a number that is not
    finite."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: str | os.PathLike) -> dict:
    """Return the JSON object in the file at `path`."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def read_yaml(path: str | os.PathLike) -> object:
    """Return the content of the YAML file at `path`, or raise YAMLError."""
    # The loader in C is ten times as fast, where PyYAML has it.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load(Path(path).read_text(encoding="utf-8"), loader)


def write_table(table: "pd.DataFrame", path: str | os.PathLike) -> None:
    """Write `table` as CSV, whole or not at all.

    Numbers keep their shortest spelling that reads back as the same number. Columns of lambdas,
    which are `l2`, `against` and those that end in `_l2`, hold canonical labels. Missing values are
    empty.
    """
    lambdas = [name for name in table if name in ("l2", "against") or name.endswith("_l2")]
    labels = {
        name: table[name].map({value: l2_label(value) for value in table[name].dropna().unique()})
        for name in lambdas
    }
    with replacing(path) as unfinished:
        table.assign(**labels).to_csv(unfinished, index=False, lineterminator="\n")


def read_table(path: str | os.PathLike) -> "pd.DataFrame":
    """Return the CSV at `path` with every number as it was written; lists of seeds are text."""
    import pandas as pd  # late: training needs none of it

    return pd.read_csv(path, dtype={"diverged_seeds": str, "which_seeds": str, "note_lambdas": str})
