"""How tables are read and written."""

import io
import os

import pandas as pd

from l2study.core.files import write_text
from l2study.core.labels import l2_label


def write_table(table: pd.DataFrame, path: str | os.PathLike) -> None:
    """Write `table` as CSV, whole or not at all.

    Numbers keep their shortest spelling that reads back as the same number. Columns of lambdas,
    which are `l2`, `against` and those that end in `_l2`, hold canonical labels. Missing values are
    empty.
    """
    labels = [c for c in table.columns if c in ("l2", "against") or c.endswith("_l2")]
    table = table.assign(
        **{c: [l2_label(v) if pd.notna(v) else "" for v in table[c]] for c in labels}
    )
    buffer = io.StringIO()
    table.to_csv(buffer, index=False, lineterminator="\n")
    write_text(path, buffer.getvalue())


def read_table(path: str | os.PathLike) -> pd.DataFrame:
    """Return the CSV at `path` with every number as it was written; lists of seeds are text."""
    return pd.read_csv(path, dtype={"diverged_seeds": str})
