"""Addresses seen from the page of a set-up, and the links to the pages of the others."""

from urllib.parse import quote

from l2study.core.paths import BASE
from l2study.report.setup_names import spaced
from l2study.report.study import Study
from l2study.report.table_cells import Words


def path_to(study: Study, name: str) -> str:
    """Return the address of a set-up's page, seen from the page of this study."""
    up = "../" if study.setup == BASE else "../../../"
    return up + ("report/" if name == BASE else f"setups/{quote(name)}/report/") + "report.html"


def tables_folder(study: Study) -> str:
    """Return the address of the folder of tables, seen from the page of this study."""
    return "../tables" if study.setup == BASE else "../../../tables"


def page_link(study: Study, name: str, text: str, beneath: str = "") -> Words:
    """Return the link to the page of a set-up; one without any run has none, and says so."""
    if name != BASE:
        runs = study.tables["setups"].set_index("setup").loc[name]
        if runs["missing"] == runs["runs"]:
            return Words(text, "no runs")
    return Words(text, beneath, path_to(study, name))


def groups(study: Study) -> dict[str, list[Words]]:
    """Return the links to the pages of all set-ups but the base; none if there is only the base.

    They are grouped by the factor in which they differ from the base, or by the level of the first
    factor where levels are combined.
    """
    others = study.setups[1:]
    combined = any(len(setup.changes) > 1 for setup in others)
    found = {}
    for setup in others:
        head, *more = (f"{spaced(factor)} {label}" for factor, label in setup.levels.items())
        text = ", ".join(more)
        if not combined:
            (factor,) = setup.changes
            head, text = spaced(factor), setup.levels[factor]
        found.setdefault(head, []).append(page_link(study, setup.name, text))
    return found
