"""Count the words and lines of texts: summaries, pages before and after unfolding, the README.

A word has a letter or a digit, so `|` and `---` are none. A page is read as it stands in the file:
what a script shows later is not counted, nor are code, and the second copy of the contents.

    python tests/words.py results/mnist/report/*.{md,html} README.md
"""

import re
import sys
from html.parser import HTMLParser
from pathlib import Path

VOID = {"br", "col", "hr", "img", "input", "link", "meta"}
"""The elements of HTML that have no end."""


def words(text: str) -> int:
    """Return how many words a text has."""
    return sum(bool(re.search(r"\w", part)) for part in text.split())


def page_text(page: str, unfolded: bool = True) -> str:
    """Return what a reader sees of a page of HTML, with its details unfolded or as it opens."""
    reader = _Reader(unfolded)
    reader.feed(page)
    return "".join(reader.found)


class _Reader(HTMLParser):
    """Gathers the text of all that is shown."""

    def __init__(self, unfolded: bool) -> None:
        super().__init__()
        self.unfolded = unfolded
        self.open: list[tuple[str, bool]] = []
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        """Enter an element: it is shown if what holds it is, and if it is not hidden itself."""
        given, (parent, shown) = dict(attrs), self.open[-1] if self.open else ("", True)
        classes = (given.get("class") or "").split()
        shown &= tag not in ("script", "style", "title") and "hidden" not in given
        shown &= (tag, *classes) not in (("details", "code"), ("nav", "above"))
        shown &= tag == "summary" or parent != "details"
        if tag == "details" and (self.unfolded or "open" in given):
            tag = "details open"
        self.found.append(" ")
        if tag not in VOID:
            self.open.append((tag, shown))

    def handle_endtag(self, tag: str) -> None:
        """Leave the innermost element of this name, and those inside it that have no end."""
        self.found.append(" ")
        for depth in reversed(range(len(self.open))):
            if self.open[depth][0].removesuffix(" open") == tag:
                del self.open[depth:]
                break

    def handle_data(self, data: str) -> None:
        """Keep a text that is shown, and not directly inside details that are folded."""
        tag, shown = self.open[-1] if self.open else ("", True)
        if shown and tag != "details":
            self.found.append(data)


def counts(path: Path) -> str:
    """Return the counts of a file in a line."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".html":
        folded, unfolded = (words(page_text(text, unfold)) for unfold in (False, True))
        return f"{path}: {folded} words before anything is unfolded, {unfolded} in all"
    return f"{path}: {words(text)} words, {len(text.splitlines())} lines"


if __name__ == "__main__":
    for name in sys.argv[1:]:
        print(counts(Path(name)))
