"""Cells of the tables that are made to be read: page and summary each write them in their own way.

A table is a list of rows, and a row maps the head of every column to a cell. `str` of a cell is its
plain text. A cell that is a plain string is a word or a sentence.
"""

import math
from dataclasses import dataclass

from l2study.core.wording import MISSING, Form, interval


@dataclass(frozen=True)
class Number:
    """A number, perhaps with an interval, and how both are written."""

    value: float
    form: Form
    low: float = math.nan
    high: float = math.nan
    unit: str = ""
    """For a number in a column where others have another unit."""

    @property
    def text(self) -> str:
        """The number with its unit, without the interval."""
        text = self.form(self.value)
        return f"{text} {self.unit}" if self.unit and text != MISSING else text

    @property
    def interval(self) -> str:
        """The interval alone, such as `0.5 to 1.5`; empty if there is none."""
        return "" if math.isnan(self.low) else interval(self.low, self.high, self.form)

    def __str__(self) -> str:
        """The number, and its interval in brackets."""
        return f"{self.text} ({self.interval})" if self.interval else self.text


@dataclass(frozen=True)
class Verdict:
    """A verdict on a claim or on one of its rows."""

    text: str

    def __str__(self) -> str:
        """The verdict."""
        return self.text


@dataclass(frozen=True)
class Words:
    """Words with sentences in smaller print beneath them."""

    text: str
    beneath: str = ""

    def __str__(self) -> str:
        """The words, then what is beneath them."""
        return " ".join(filter(None, [self.text, self.beneath]))


@dataclass(frozen=True)
class Evidence:
    """The file of a table, and a figure of the report."""

    table: str
    figure: str
    folder: str = "../tables"
    """The address of the folder of the table."""

    def __str__(self) -> str:
        """The table, then the figure."""
        return f"{self.table}, {self.figure}"


@dataclass(frozen=True)
class Link:
    """Words that lead to another page, with a few words in smaller print beneath them."""

    text: str
    address: str
    beneath: str = ""

    def __str__(self) -> str:
        """The words, then what is beneath them in brackets."""
        return f"{self.text} ({self.beneath})" if self.beneath else self.text


Cell = str | Number | Verdict | Words | Evidence | Link
Rows = list[dict[str, Cell]]
