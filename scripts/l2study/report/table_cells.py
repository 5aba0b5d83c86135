"""Cells of the tables that are made to be read: page and summary each write them in their own way.

A table is a list of rows, and a row maps the head of every column to a cell. `str` of a cell is its
plain text. A cell that is a plain string is a word or a sentence.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from l2study.core.wording import MISSING, Form, interval


@dataclass(frozen=True)
class Number:
    """A number, perhaps with an interval, and how both are written."""

    kind: ClassVar[str] = "number"
    value: float
    form: Form
    low: float = math.nan
    high: float = math.nan
    unit: str = ""
    """For a number in a column where others have another unit, or in a sentence."""

    @property
    def text(self) -> str:
        """The number with its unit, without the interval."""
        text = self.form(self.value)
        return f"{text} {self.unit}" if self.unit and text != MISSING else text

    @property
    def interval(self) -> str:
        """The interval alone, such as `0.5 to 1.5`; empty if there is none."""
        return "" if math.isnan(self.low) else interval(self.low, self.high, self.form)

    @property
    def sort_key(self) -> str:
        """The number as sort.js reads it; empty if it is missing."""
        return "" if math.isnan(self.value) else repr(float(self.value))

    @property
    def decimals(self) -> int:
        """How many decimals are written; none before an exponent, which stands where they end."""
        decimals = self.text.partition(".")[2]
        return len(decimals) if decimals.isdigit() else 0

    def __str__(self) -> str:
        """The number, and its interval in brackets."""
        return f"{self.text} ({self.interval})" if self.interval else self.text


@dataclass(frozen=True)
class Words:
    """Words that may lead to another page, with a few more in smaller print beneath them."""

    kind: ClassVar[str] = "words"
    text: str
    beneath: str = ""
    address: str = ""

    def __str__(self) -> str:
        """The words, then what is beneath them in brackets."""
        return f"{self.text} ({self.beneath})" if self.beneath else self.text


class Verdict(Words):
    """A verdict on a claim or on one of its rows."""

    kind: ClassVar[str] = "verdict"


@dataclass(frozen=True)
class Lines:
    """Several texts, one below the other."""

    kind: ClassVar[str] = "lines"
    texts: list[str]


@dataclass(frozen=True)
class Drawn:
    """An estimate with a drawing of it: what is estimated, and its value with its interval."""

    kind: ClassVar[str] = "drawn"
    text: str
    value: str
    drawing: dict
    """See `l2study.report.claim_drawings.estimate`."""


Cell = str | Number | Words | Lines | Drawn
Rows = list[dict[str, Cell]]


def decimals_of(rows: Rows) -> dict[str, int | None]:
    """Return for every column of numbers how many decimals it has at most, None for words.

    The first column names the rows: its numbers are labels, which do not meet at a point.
    """
    columns = {}
    for rank, (head, cell) in enumerate(rows[0].items()):
        numeric = isinstance(cell, Number)
        most = max(row[head].decimals for row in rows) if numeric and rank else 0
        columns[head] = most if numeric else None
    return columns


def padding(cell: Number, most: int) -> str:
    """Return spaces as wide as the point and the digits that a number lacks to have `most`."""
    if not most or not cell.text[-1].isdigit() or "e" in cell.text:
        return ""
    point, digit = "\u2008", "\u2007"
    return ("" if cell.decimals else point) + digit * (most - cell.decimals)


def markdown_table(rows: Rows) -> str:
    """Return a Markdown table in which numbers are aligned to the right."""
    if not rows:
        return "(none)"

    def line(cells: Iterable[Cell]) -> str:
        return "| " + " | ".join(str(cell).replace("|", r"\|") for cell in cells) + " |"

    rule = ["---:" if isinstance(cell, Number) else "---" for cell in rows[0].values()]
    return "\n".join([line(rows[0]), line(rule), *(line(row.values()) for row in rows)])
