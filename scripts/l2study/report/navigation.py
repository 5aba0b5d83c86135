"""Addresses seen from the page of a set-up, and the links to the pages of the others."""

from typing import NamedTuple
from urllib.parse import quote

from l2study.core.design import Setup
from l2study.core.paths import BASE
from l2study.report.setup_names import spaced
from l2study.report.study import Study


class PageLink(NamedTuple):
    """What leads to the page of a set-up; without an address where there is no such page."""

    text: str
    address: str
    current: bool


def path_to(study: Study, name: str) -> str:
    """Return the address of a set-up's page, seen from the page of this study."""
    up = "../" if study.setup == BASE else "../../../"
    return up + ("report/" if name == BASE else f"setups/{quote(name)}/report/") + "report.html"


def tables_folder(study: Study) -> str:
    """Return the address of the folder of tables, seen from the page of this study."""
    return "../tables" if study.setup == BASE else "../../../tables"


def has_page(study: Study, name: str) -> bool:
    """Return whether a set-up has a page; one without any run has none."""
    runs = study.tables["setups"].set_index("setup").loc[name]
    return name == BASE or runs["missing"] < runs["runs"]


def page_link(study: Study, name: str, text: str) -> PageLink:
    """Return the link with this text to the page of a set-up."""
    address = path_to(study, name) if has_page(study, name) else ""
    return PageLink(text, address, name == study.setup)


def groups(study: Study) -> dict[str, list[PageLink]]:
    """Return the links to the pages of all set-ups but the base; none if there is only the base.

    They are grouped by the factor in which they differ from the base, or by the level of the first
    factor where levels are combined.
    """
    others = study.setups[1:]
    combined = any(len(setup.changes) > 1 for setup in others)
    found = {}
    for setup in others:
        head, text = _combined(setup) if combined else _alone(setup)
        found.setdefault(head, []).append(page_link(study, setup.name, text))
    return found


def _alone(setup: Setup) -> tuple[str, str]:
    (factor,) = setup.changes
    return spaced(factor), setup.levels[factor]


def _combined(setup: Setup) -> tuple[str, str]:
    first, *others = (f"{spaced(factor)} {label}" for factor, label in setup.levels.items())
    return first, ", ".join(others)
