"""What the report's notebook shows, and the page made from it: one HTML file that needs no network.

The functions that the notebook calls gather facts. The macros of reports/page/parts.html.j2 say
them in HTML, which the notebook displays.
"""

import base64
import html
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from IPython.display import HTML
from nbconvert import HTMLExporter
from nbconvert.filters import markdown2html
from nbformat import NotebookNode
from traitlets.config import Config

from l2study.core.measures import MEASURES
from l2study.core.paths import BASE, place
from l2study.core.wording import labelled
from l2study.report import answer as answering
from l2study.report import (
    claim_tables,
    curve_picker,
    dose_text,
    effect_figures,
    figures,
    navigation,
    one_seed_text,
    provenance,
    setups_text,
    text_tables,
    variance_figures,
    variance_text,
)
from l2study.report.study import Study
from l2study.report.table_cells import Rows
from l2study.report.templates import part, slug, terms


def header(study: Study) -> HTML:
    """Return the page's heading: the study's name, and links to other set-ups."""
    return _shown(
        "header",
        title=study.title,
        base=navigation.page_link(study, BASE, BASE),
        groups=navigation.groups(study),
        here=navigation.path_to(study, study.setup),
    )


def overview(study: Study, folder: str | Path = "") -> HTML | None:
    """Return what the study says across its set-ups, on the page of the base; else nothing."""
    if not setups_text.has_overview(study):
        return None
    return _shown(
        "overview",
        answer=setups_text.answer(study),
        claims=setups_text.claim_sentences(study),
        verdicts=setups_text.map_table(study),
        best=setups_text.best_table(study),
        drawn={name: _drawn(study, name, folder) for name in figures.ACROSS},
    )


def answer(study: Study, name: str, folder: str | Path = "") -> HTML:
    """Return the answer: one sentence, three numbers and the figure `name`, which fit on a screen;
    then what else there is to know, and how sure it is. For `folder` see `figure`.
    """
    return _shown("answer", answering.of(study), _drawn(study, name, folder))


def table(rows: Rows, about: str, kind: str = "cards", note: str = "") -> HTML:
    """Return a table as HTML, with a note below it; `about` is for readers who do not see it.

    Its kind is a stack of `cards` where the screen is narrow, to be sorted by its columns; or a
    `list` of few columns that are not to be sorted.
    """
    return _shown("table_or_none", rows, about, kind, note)


def _unfolding(said: Iterable[str], tables: Mapping[str, Rows]) -> HTML:
    """Return sentences, and tables to unfold below them, by what each is about."""
    shown = [(about, about, rows) for about, rows in tables.items() if rows]
    return _shown("said_and_unfolding", [text for text in said if text], shown)


def lambdas(study: Study) -> HTML:
    """Return accuracies, gaps and norm of every lambda."""
    about = "Accuracy, gap and norm of weights per lambda"
    return table(text_tables.lambda_table(study), about, note=text_tables.missing_sentence(study))


def gaps(study: Study) -> HTML:
    """Return every kind of gap of every lambda, to unfold."""
    rows = {"Gaps per lambda, in points": text_tables.gap_table(study)}
    return _unfolding([text_tables.mode_sentences(study)], rows)


def weights(study: Study) -> HTML:
    """Return the norms of the kernels, to unfold, and what they say of the network."""
    rows = {"Norms of the kernels at the last epoch": text_tables.weight_table(study)}
    return _unfolding([], rows)


def choice(study: Study) -> HTML:
    """Return which lambdas are as good as the best, and what each metric chooses, to unfold."""
    rows = {"What each metric and rule chooses": text_tables.choice_table(study)}
    return _unfolding(dose_text.text(study), rows)


def spread(study: Study) -> HTML:
    """Return how much gaps vary over seeds, and to unfold how many seeds a difference needs."""
    tables = {
        "Standard deviation of the gap over seeds, in points": text_tables.spread_table(study),
        "Seeds needed to resolve a difference in a gap": text_tables.power_table(study),
    }
    return _unfolding(text_tables.variance_sentences(study), tables)


def claims(study: Study) -> HTML:
    """Return the claims: a table of verdicts, then what is known of every claim, to unfold."""
    return _shown(
        "claims",
        about=claim_tables.claims_text(study),
        verdicts=claim_tables.verdict_table(study),
        details=claim_tables.details(study),
        folder=navigation.tables_folder(study),
    )


def runs(study: Study) -> HTML:
    """Return how many runs completed, which diverged and when, and what the runs cost."""
    return _shown(
        "runs",
        provenance.runs_sentence(study),
        provenance.diverged(study),
        provenance.cost_table(study),
    )


def setup(study: Study) -> HTML:
    """Return the set-up of the study, what it was run with, and where this page was made."""
    return _shown(
        "setup",
        provenance.setup(study),
        provenance.versions(study),
        provenance.report_versions(),
        f"results/{study.config['study']}{place(study.setup)}",
    )


def figure(study: Study, name: str, folder: str | Path = "") -> HTML:
    """Return a figure with its caption and links to its data.

    `folder` is where the figure is, or is to be written, as .png and .svg; nowhere if empty.
    """
    return _shown("figure", _drawn(study, name, folder))


def _drawn(study: Study, name: str, folder: str | Path) -> dict:
    """Return what the page shows of a figure: its picture, its caption, and its tables."""
    picture = figures.picture(name, study, folder)
    return {
        "name": name,
        "caption": study.captions[name],
        "image": base64.b64encode(picture).decode("ascii"),
        "tables": figures.files_of(name),
        "folder": navigation.tables_folder(study),
    }


def sources(study: Study, folder: str | Path = "") -> HTML | None:
    """Return where the variance comes from, if its sources are crossed; else nothing."""
    if not study.design.crossed:
        return None
    tables = []
    for measure in variance_figures.SHOWN:
        label = f"{MEASURES[measure].label}: standard deviations and shares by source"
        tables.append((label, label, variance_text.source_table(study, measure)))
    drawn = _drawn(study, "variance", folder)
    return _shown("sources", texts=variance_text.text(study), drawn=drawn, tables=tables)


def one_seed(study: Study) -> HTML:
    """Return how often one seed would have said otherwise, and a button that draws a seed."""
    return _shown(
        "one_seed",
        texts=one_seed_text.text(study),
        counts=one_seed_text.counts_table(study),
        drawing=one_seed_text.drawing(study),
    )


def rounds(study: Study) -> HTML | None:
    """Return the rounds of a study whose seeds come in rounds; else nothing."""
    texts = text_tables.rounds_text(study)
    return _shown("rounds", texts, text_tables.rounds_table(study)) if texts else None


def differences(study: Study) -> HTML:
    """Return the comparisons with the reference, a table to unfold for every measure drawn."""
    contrasts = study.tables["contrasts"]
    shown = [name for name in effect_figures.CONTRASTS if name in set(contrasts["measure"])]
    tables = {
        f"Differences: {labelled(MEASURES[name])}": text_tables.contrast_table(study, name)
        for name in shown
    }
    return _unfolding([], tables)


def curves(study: Study) -> HTML:
    """Return the plot in which the reader picks lambdas and measures."""
    return HTML(curve_picker.explorer(study))


def glossary() -> HTML:
    """Return what the words mean, to unfold: the page works without the project's docs."""
    return _shown("glossary", [(slug(term), term, markdown2html(text)) for term, text in terms()])


def _shown(macro: str, *facts: object, **more: object) -> HTML:
    return HTML(part(macro, *facts, **more))


def to_html(notebook: NotebookNode, templates: Path, title: str) -> str:
    """Return an executed notebook as one HTML page with its code folded and a table of contents.

    `templates` is the folder that holds the page's template, in a folder `page`.
    """
    settings = Config(
        HTMLExporter={
            "template_name": "page",
            "extra_template_basedirs": [str(templates)],
            "exclude_anchor_links": True,
            "exclude_input_prompt": True,
            "exclude_output_prompt": True,
            "language_code": "en",
        },
        CSSHTMLHeaderPreprocessor={"style": "friendly"},
    )
    own = [path.read_text(encoding="utf-8") for path in sorted((templates / "page").glob("*.js"))]
    body, _ = HTMLExporter(config=settings).from_notebook_node(
        notebook,
        resources={"metadata": {"name": title}, "scripts": [*curve_picker.scripts(), *own]},
    )
    return with_contents(body)


def with_contents(page: str) -> str:
    """Return `page` with an anchor at every second-level heading and the list of contents."""
    places = {head: slug(html.unescape(head)) for head in re.findall(r"<h2>(.*?)</h2>", page)}
    for head, at in places.items():
        page = page.replace(f"<h2>{head}</h2>", f'<h2 id="{at}">{head}</h2>')
    entries = "".join(f'<li><a href="#{at}">{head}</a></li>' for head, at in places.items())
    return page.replace("<!-- contents -->", f"<ol>{entries}</ol>")
