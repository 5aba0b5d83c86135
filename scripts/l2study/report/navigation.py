"""Addresses seen from the page of a set-up, and the links to the pages of the others."""

import html
from urllib.parse import quote

from l2study.core.paths import BASE
from l2study.core.setups import Setup
from l2study.report.setup_names import spaced
from l2study.report.study import Study


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


def chooser(study: Study) -> str:
    """Return the links to the pages of all set-ups as HTML; empty if there is only one.

    The base comes first. The others are grouped by the factor in which they differ from the base,
    or by the level of the first factor where levels are combined.
    """
    if len(study.setups) < 2:
        return ""
    base, *others = study.setups
    groups = {}
    combined = any(len(setup.changes) > 1 for setup in others)
    for setup in others:
        head, text = _combined(setup) if combined else _alone(setup)
        groups.setdefault(head, []).append(_link(study, setup.name, text))
    items = [f"<li>{_link(study, base.name, 'base')}</li>"] + [
        f"<li><span>{html.escape(head)}</span> <ul>"
        + "".join(f"<li>{link}</li>" for link in links)
        + "</ul></li>"
        for head, links in groups.items()
    ]
    here = (
        "This page is about the base, and begins with an overview of all set-ups."
        if study.setup == BASE
        else "This page is about one of them; the base's page has an overview of all."
    )
    return (
        '<nav class="setups" aria-label="Set-ups"><p><strong>Set-ups of this study.</strong> '
        f"{here}</p><ul>{''.join(items)}</ul></nav>"
    )


def _alone(setup: Setup) -> tuple[str, str]:
    (factor,) = setup.changes
    return spaced(factor), setup.levels[factor]


def _combined(setup: Setup) -> tuple[str, str]:
    (first, level), *rest = setup.levels.items()
    return (
        f"{spaced(first)} {level}",
        ", ".join(f"{spaced(factor)} {label}" for factor, label in rest),
    )


def _link(study: Study, name: str, text: str) -> str:
    if not has_page(study, name):
        return f"{html.escape(text)} (no runs)"
    current = ' aria-current="page"' if name == study.setup else ""
    return f'<a href="{html.escape(path_to(study, name))}"{current}>{html.escape(text)}</a>'
