"""What set-ups and their factors are called in figures and sentences, and in which order they come.

A factor is something besides lambda and seed that a study varies, and its values are levels. A
set-up is one level of every factor; the base is the configuration itself.
"""

import math
from collections.abc import Iterable

import pandas as pd

COUNTS = ("runs", "completed", "diverged", "missing")
"""The columns of the table of set-ups that are numbers."""

CLOSE = "matches_exercise"
"""The column that says whether the first losses of a set-up are near the exercise's figures."""

STAR = "★"
"""The mark of a set-up that is close to the exercise's figures."""


def words(name: str) -> str:
    """Return the name of a set-up as words, such as `batch size 32`.

    >>> words("train_size~500,label_noise~0.2")
    'train size 500 + label noise 0.2'
    """
    levels = (level.partition("~") for level in name.split(","))
    return " + ".join(f"{spaced(factor)} {label}".strip() for factor, _, label in levels)


def spaced(factor: str) -> str:
    """Return the name of a factor as words."""
    return factor.replace("_", " ")


def factors(setups: pd.DataFrame) -> list[str]:
    """Return the names of the factors of a study, which are columns of its table of set-ups."""
    return [c for c in setups.columns if c not in ("setup", CLOSE, *COUNTS)]


def close(setups: pd.DataFrame) -> list[str]:
    """Return the names of the set-ups that are close to the exercise's figures."""
    return setups.loc[setups[CLOSE] == "yes", "setup"].tolist()


def starred(name: str, near: Iterable[str]) -> str:
    """Return a set-up as words, with a star if it is one of those that are `near`."""
    return f"{words(name)} {STAR}" if name in near else words(name)


def ordered(labels: Iterable[str]) -> list[str]:
    """Return the distinct levels of a factor: numbers ascending, then words, `all` last.

    >>> ordered(["all", "500", "10000", "2000"])
    ['500', '2000', '10000', 'all']
    """

    def key(label: str) -> tuple:
        try:
            number = float(label)
        except ValueError:
            number = math.inf
        return label == "all", number, label

    return sorted(set(labels), key=key)


def crossed(setups: pd.DataFrame) -> tuple[str, str] | None:
    """Return the two factors whose levels are all combined, the one with fewer levels last; None if
    there are not two, or some of their combinations are not set-ups.
    """
    names = factors(setups)
    counts = setups[names].nunique()
    if len(names) != 2 or counts.min() < 2:
        return None
    if len(setups[names].drop_duplicates()) < counts.prod():
        return None
    return tuple(sorted(names, key=counts.get, reverse=True))
