"""The column `scope` of tables: what an interval is for. A mean over images has a row for each."""

from collections.abc import Sequence

import pandas as pd

SEEDS, SEEDS_AND_IMAGES = "seeds", "seeds and images"
"""For other seeds with the same images, or for other seeds and other images."""


def for_seeds(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of a table whose intervals are for other seeds, on the same images."""
    return table[table["scope"] == SEEDS]


def widest(table: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """Return one row for each value of `keys`: that for other images too, where there is one."""
    wide = table["scope"] == SEEDS_AND_IMAGES
    both = pd.MultiIndex.from_frame(table[list(keys)]).isin(
        pd.MultiIndex.from_frame(table.loc[wide, list(keys)])
    )
    return table[wide | ~both]
