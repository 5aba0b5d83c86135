"""The sentences and the HTML of the report: Jinja templates in reports/, filled with facts.

Texts (.txt.j2) say the same on the page, in the summary and wherever else they stand. HTML
(.html.j2) escapes what is put into it.
"""

import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from l2study.core.labels import l2_label
from l2study.core.measures import MEASURES
from l2study.core.wording import optimum, percent, with_arguments
from l2study.report.setup_names import words
from l2study.report.table_cells import decimals_of, markdown_table, padding

REPORTS = Path(__file__).resolve().parents[3] / "reports"


def listed(texts: Iterable[str], most: int | None = None) -> str:
    """Return a list in words: `a, b and c`, or `a, b and 3 more` if only `most` are named."""
    texts = list(texts)
    if most is not None and len(texts) > most:
        texts = [*texts[:most], f"{len(texts) - most} more"]
    return " and ".join(filter(None, [", ".join(texts[:-1]), *texts[-1:]]))


def filled(rows: Mapping | Iterable[tuple], pattern: str) -> list[str]:
    """Return `pattern` with each of `rows`, or the items of a mapping, put into its braces."""
    return [pattern.format(*row) for row in (rows.items() if isinstance(rows, Mapping) else rows)]


def slug(text: str) -> str:
    """Return `text` as a name for a class or an anchor."""
    return re.sub(r"\W+", "-", text.lower()).strip("-")


@cache
def terms() -> list[tuple[str, str]]:
    """Return the terms of docs/glossary.md, each with its explanation in Markdown."""
    text = (REPORTS.parent / "docs" / "glossary.md").read_text(encoding="utf-8")
    return [tuple(part.split("\n", 1)) for part in text.split("\n## ")[1:]]


EVERYWHERE = ("Lambda", "Seed", "Run", "Study", "Set-up", "Intervals", "Conclusion", "Open")
"""Terms that are no links in texts, because they are in each of them or have other meanings too."""


def with_terms(text: str) -> str:
    """Return HTML in which the first mention of every term of the glossary leads to it."""
    places = {term.lower(): slug(term) for term, _ in terms() if term not in EVERYWHERE}
    words = sorted(map(re.escape, places), key=len, reverse=True)
    done = set()

    def link(found: re.Match) -> str:
        place = places.get(found[0].lower())
        if not found[1] or place in done:
            return found[0]
        done.add(place)
        return f'<a href="#term-{place}">{found[0]}</a>'

    return re.sub(rf"<[^>]*>|(?<![\w-])({'|'.join(words)})(?![\w-])", link, text, flags=re.I)


FILTERS = (
    decimals_of,
    filled,
    l2_label,
    listed,
    markdown_table,
    optimum,
    padding,
    percent,
    slug,
    with_arguments,
    with_terms,
    words,
)
"""What every template may use, by its name."""


def environment(folder: Path = REPORTS) -> Environment:
    """Return the templates in `folder`."""
    templates = Environment(
        loader=FileSystemLoader(folder),
        autoescape=lambda name: name is not None and name.endswith(".html.j2"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    templates.filters |= {function.__name__: function for function in FILTERS}
    templates.globals["measures"] = MEASURES
    return templates


TEMPLATES = environment()


def paragraphs(name: str, **facts: object) -> list[str]:
    """Return the paragraphs of the text reports/page/NAME.txt.j2, each of them in one line."""
    text = TEMPLATES.get_template(f"page/{name}.txt.j2").render(facts)
    lines = (re.sub(r"[ \n]+", " ", part).strip() for part in re.split(r"\n\s*\n", text))
    return list(filter(None, lines))


def line(name: str, **facts: object) -> str:
    """Return all that the text says in one line; empty if it says nothing."""
    return " ".join(paragraphs(name, **facts))


def part(name: str, *facts: object, **more: object) -> str:
    """Return what the macro `name` of reports/page/parts.html.j2 makes of facts."""
    return str(getattr(TEMPLATES.get_template("page/parts.html.j2").module, name)(*facts, **more))
